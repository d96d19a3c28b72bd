import { StreamClient } from '@stream-io/node-sdk';
import { describe, expect, it } from 'vitest';
import { LEVEL, phoneLevel } from '../../support/stream-call.js';
import { talk } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

virtualTime();

it('reports the keys that the caller presses, in order and with the caller', async () => {
  const { caller, other, userId, rest } = await talk();
  // Even where Stream takes none of it for a while.
  rest.failNext({ path: '/event', status: 503, times: 2 });
  caller.dtmf('1*#');
  const digits = () => other.events.filter(({ custom }) => custom.type === 'phone.digit');
  await eventually('three events', () => digits().length >= 3);
  expect(digits()).toEqual(
    ['1', '*', '#'].map((digit) => ({ userId, custom: { type: 'phone.digit', digit, phone: userId } })),
  );
});

describe('phone.clear', () => {
  it('drops the caller’s queued audio, and reports how much was heard', async () => {
    const { caller, other, userId, answer } = await talk();
    let clears = 0;
    caller.on('clear', () => {
      clears += 1;
    });
    other.sendEvent({ type: 'phone.clear' });
    const cleared = await answer('phone.cleared');
    expect(cleared).toEqual({
      type: 'phone.cleared',
      phone: userId,
      played_ms: expect.any(Number),
      discarded_ms: expect.any(Number),
    });
    expect(cleared.played_ms).toBeGreaterThan(300);
    await eventually('the clear at the phone', () => clears === 1);
  });
});

describe('phone.mark', () => {
  it('reports when the caller has heard everything queued before it', async () => {
    const { other, userId, answer } = await talk();
    other.sendEvent({ type: 'phone.mark', name: 'greeting', phone: userId });
    const marked = await answer('phone.marked');
    expect(marked).toEqual({
      type: 'phone.marked',
      name: 'greeting',
      played_ms: expect.any(Number),
      cleared: false,
      phone: userId,
    });
    expect(marked.played_ms).toBeGreaterThan(300);
  });
});

describe('phone.dtmf', () => {
  it('is played by the participant', async () => {
    const { other, participant } = await talk();
    other.sendEvent({ type: 'phone.dtmf', digits: '5w#' });
    expect(participant.tones).toEqual(['5w#']);
  });

  it('reports that the participant rejects it', async () => {
    const { participant, answer } = await talk();
    participant.listener.tonesRefused('too many');
    expect(await answer('phone.error')).toMatchObject({
      command: 'phone.dtmf',
      code: 'GW_DTMF_QUEUE_FULL',
      message: 'too many',
    });
  });
});

it('phone.hangup hangs the phone up', async () => {
  const { caller, other, gateway } = await talk();
  other.sendEvent({ type: 'phone.hangup' });
  expect(await caller.ended).toMatchObject({ status: 'completed', said: [], dialled: [] });
  expect(gateway.stats().activeCalls).toBe(0);
});

describe('phone.transfer', () => {
  it('connects the caller with an allowed number, and leaves the call', async () => {
    const { caller, other, gateway } = await talk({ bridge: { transferTo: ['+1555*'] } });
    const causes: string[] = [];
    gateway.on('end', (_, cause) => causes.push(cause));
    other.sendEvent({ type: 'phone.transfer', to: '+15557654321' });
    expect(await caller.ended).toMatchObject({
      status: 'completed',
      dialled: ['+15557654321'],
      error: undefined,
    });
    expect(causes).toEqual(['transferred']);
    expect(other.remoteUserIds()).toEqual([]);
  });

  it('connects the caller even if the call ends right after it', async () => {
    const { caller, other, host } = await talk({ bridge: { transferTo: ['+1555*'] } });
    other.sendEvent({ type: 'phone.transfer', to: '+15557654321' });
    await sleep(50);
    host.end('default:room');
    expect(await caller.ended).toMatchObject({ status: 'completed', dialled: ['+15557654321'] });
  });

  it('connects with a SIP address', async () => {
    const { caller, other } = await talk({ bridge: { transferTo: (to) => to.endsWith('@example.com') } });
    other.sendEvent({ type: 'phone.transfer', to: 'sip:desk@example.com' });
    expect((await caller.ended).dialled).toEqual(['sip:desk@example.com']);
  });

  it.each([
    ['by default every number', {}, '+15557654321', 'GW_TRANSFER_REFUSED'],
    ['a number that is not allowed', { transferTo: ['+1555*'] }, '+449000000', 'GW_TRANSFER_REFUSED'],
    ['what is no number', { transferTo: ['*'] }, 'not a number', 'GW_TRANSFER_TO'],
  ])('refuses %s', async (_, bridge, to, code) => {
    const { caller, other, answer, hear } = await talk({ bridge });
    other.sendEvent({ type: 'phone.transfer', to });
    expect(await answer('phone.error')).toMatchObject({ command: 'phone.transfer', code });
    expect(caller.status).toBe('in-progress');
    await sleep(1_000);
    await hear();
  });
});

it('reports an invalid command, and ignores events that are not for it', async () => {
  const { other, answer, events, caller } = await talk();
  other.sendEvent({ type: 'phone.hangup', phone: 'phone-of-somebody-else' });
  other.sendEvent({ type: 'chat.message', text: 'hello' });
  other.sendEvent({ type: 'phone.mark' });
  expect(await answer('phone.error')).toMatchObject({ command: 'phone.mark', code: 'GW_PHONE_COMMAND' });
  await sleep(5_000);
  expect(events().filter(({ type }) => type === 'phone.error')).toHaveLength(1);
  expect(caller.status).toBe('in-progress');
});

it('is silent for the others while muted in the call, by a moderator or by command', async () => {
  const { other, rest, hear, host, userId, participant } = await talk();
  const silent = () => eventually('silence', () => other.level({ from: userId, seconds: 0.2 }) === 0);
  const { apiKey, apiSecret, baseUrl: basePath } = rest.keys;
  const call = new StreamClient(apiKey, apiSecret, { basePath }).video.call('default', 'room');
  await call.muteUsers({ user_ids: [userId], audio: true, muted_by_id: 'agent' });
  await silent();
  // A moderator cannot undo that, and a telephone has no button for it: the call can.
  other.sendEvent({ type: 'phone.unmute' });
  await hear();
  other.sendEvent({ type: 'phone.mute', phone: userId });
  await silent();
  // Whoever takes its place is as silent, and sends nothing at all to a worker.
  participant.depart('lost');
  await eventually('the next one', () => host.userIds().includes(userId));
  await sleep(1_000);
  expect(host.placed[1]).toMatchObject({ mutes: [true], frames: 0 });
  other.sendEvent({ type: 'phone.unmute' });
  await hear();
});

describe('notifies the call that the phone is muted, and by whom', () => {
  it('reports a command and a moderator, each once', async () => {
    const { other, events, userId, participant, answer } = await talk();
    const told = () => events().filter(({ type }) => /^phone\.(un)?muted$/.test(type as string));
    const step = async (type: string) => {
      const { length } = told();
      other.sendEvent({ type });
      await eventually(type, () => told().length > length);
      return told().at(-1);
    };
    const by = { by: 'command', user: 'agent', phone: userId };
    expect(await step('phone.mute')).toEqual({ type: 'phone.muted', ...by });
    other.sendEvent({ type: 'phone.mute' });
    expect(await step('phone.unmute')).toEqual({ type: 'phone.unmuted', ...by });
    participant.turn(true, 'moderator', 'supervisor');
    await eventually('the moderator', () => told().length === 3);
    expect(told()[2]).toEqual({ type: 'phone.muted', by: 'moderator', user: 'supervisor', phone: userId });
    expect(await step('phone.unmute')).toEqual({ type: 'phone.unmuted', ...by });
    participant.turn(true, 'permission');
    await eventually('the permission', () => told().length === 5);
    expect(told()[4]).toEqual({ type: 'phone.muted', by: 'permission', phone: userId });
    other.sendEvent({ type: 'phone.unmute' });
    expect(await answer('phone.error')).toMatchObject({
      command: 'phone.unmute',
      code: 'GW_STREAM_PERMISSION',
      message: expect.stringContaining('send-audio'),
    });
    participant.turn(false, 'permission');
    await eventually('the permission, again', () => told().length === 6);
    expect(told()[5]).toEqual({ type: 'phone.unmuted', by: 'permission', phone: userId });
  });

  it('reports nothing new after a lost connection', async () => {
    const { other, events, host, participant, userId } = await talk();
    other.sendEvent({ type: 'phone.mute' });
    await eventually('the mute', () => events().some(({ type }) => type === 'phone.muted'));
    participant.depart('lost');
    await eventually('the next one', () => host.userIds().includes(userId));
    host.placed[1]?.listener.muted(false, 'permission');
    await sleep(1_000);
    expect(events().filter(({ type }) => /muted/.test(type as string))).toHaveLength(1);
  });
});

describe('the caller mutes the phone', () => {
  it('by the configured keys, and still hears the call', async () => {
    const { caller, other, events, userId, hear } = await talk({ bridge: { muteKey: '*6' } });
    caller.dtmf('1**6');
    await eventually('silence', () => other.level({ from: userId, seconds: 0.2 }) === 0);
    await eventually('the event', () => events().some(({ type }) => type === 'phone.muted'));
    expect(events().at(-1)).toEqual({ type: 'phone.muted', by: 'keypad', phone: userId });
    expect(phoneLevel(caller, 1_700)).toBeGreaterThan(-1);
    caller.dtmf('*6');
    await hear();
    await eventually('the event', () => events().some(({ type }) => type === 'phone.unmuted'));
  });

  it('not by keys that are far apart, and not by default', async () => {
    for (const bridge of [{ muteKey: '*6' }, {}]) {
      const { caller, events, hear } = await talk({ bridge });
      caller.dtmf('*');
      await sleep(bridge.muteKey === undefined ? 100 : 4_000);
      caller.dtmf('6');
      await sleep(1_000);
      await hear();
      const types = events().map(({ type }) => type);
      expect(types.filter((type) => type !== 'phone.answered')).toEqual(['phone.digit', 'phone.digit']);
    }
  });
});

it('an agent that mutes itself is silent for the phone until it unmutes', async () => {
  const { caller, other, hear } = await talk();
  other.mute(true);
  await eventually('silence', () => phoneLevel(caller, 1_700) < -60);
  expect(Math.max(...caller.heard().slice(-1_600).map(Math.abs))).toBeLessThanOrEqual(LEVEL / 1_000);
  other.mute(false);
  await hear();
});

it('queues up to a hundred events for Stream, in order, and drops later ones', async () => {
  const { participant, other } = await talk();
  for (let i = 0; i < 150; i++) participant.listener.tonesRefused(`${i}`);
  const refusals = () => other.events.filter(({ custom }) => custom.type === 'phone.error');
  await eventually('a hundred', () => refusals().length === 100);
  await sleep(5_000);
  expect(refusals().map(({ custom }) => custom.message)).toEqual(
    Array.from({ length: 100 }, (_, i) => `${i}`),
  );
});
