import { StreamClient } from '@stream-io/node-sdk';
import { describe, expect, it } from 'vitest';
import { amplitudeAt, decibels } from '../../support/media.js';
import {
  agentLevel,
  heardBy,
  LEVEL,
  phoneLevel,
  type StreamSetup,
  startStream,
} from '../../support/stream-call.js';
import { eventually } from '../../support/time.js';

/** A phone and an agent that hear each other. */
async function talk(setup: StreamSetup = {}) {
  const started = await startStream(setup);
  const caller = started.phone(1_000);
  const other = await started.agent('agent', 1_700);
  await heardBy('the agent', () => agentLevel(other, 1_000));
  await heardBy('the phone', () => phoneLevel(caller, 1_700));
  const userId = `phone-${started.gateway.calls.listActive()[0]?.callId}`;
  const events = () => other.events.map(({ custom }) => custom as Record<string, unknown>);
  const answer = async (type: string) => {
    await eventually(type, () => events().some((event) => event.type === type), 10_000);
    return events().find((event) => event.type === type) as Record<string, unknown>;
  };
  return { ...started, caller, other, userId, events, answer };
}

it('tells the keys that the caller presses, in order and by whom', async () => {
  const { caller, other, userId } = await talk();
  caller.dtmf('1*#');
  await eventually('three events', () => other.events.length >= 3, 10_000);
  expect(other.events.map(({ custom }) => custom)).toEqual(
    ['1', '*', '#'].map((digit) => ({ type: 'phone.digit', digit, phone: userId })),
  );
  expect(other.events.every(({ userId: by }) => by === userId)).toBe(true);
});

describe('phone.clear', () => {
  it('drops what the caller would still hear, and tells how much was heard', async () => {
    const { caller, other, userId, answer } = await talk();
    let clears = 0;
    caller.on('clear', () => {
      clears += 1;
    });
    await other.sendEvent({ type: 'phone.clear' });
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
  it('tells when the caller has heard everything so far', async () => {
    const { other, userId, answer } = await talk();
    await other.sendEvent({ type: 'phone.mark', name: 'greeting', phone: userId });
    expect(await answer('phone.marked')).toEqual({
      type: 'phone.marked',
      name: 'greeting',
      played_ms: expect.any(Number),
      cleared: false,
      phone: userId,
    });
  });
});

describe('phone.dtmf', () => {
  it('plays keys to the phone as tones, alone, and then the call again', async () => {
    const { caller, other } = await talk();
    await other.sendEvent({ type: 'phone.dtmf', digits: '5' });
    const level = (hz: number, heard: Int16Array) =>
      decibels(Math.max(amplitudeAt(hz, 8_000, heard), 1e-3) / 32_124);
    // 770 and 1336 Hz, -9 and -7 dBm0, i.e. 12.2 and 10.2 dB below the largest sine.
    let best = Number.NEGATIVE_INFINITY;
    await eventually(
      'the tones',
      () => {
        const recent = caller.heard().slice(-640);
        if (level(770, recent) > best) best = level(770, recent);
        return Math.abs(level(770, recent) + 12.2) < 1.5 && Math.abs(level(1_336, recent) + 10.2) < 1.5;
      },
      10_000,
    ).catch((error) => {
      throw new Error(`${error.message}; best ${best} dB`);
    });
    await heardBy('the phone, after the tones,', () => phoneLevel(caller, 1_700));
  });

  it('refuses more digits than it holds', async () => {
    const { other, answer } = await talk();
    for (let i = 0; i < 4; i++) await other.sendEvent({ type: 'phone.dtmf', digits: 'W'.repeat(32) });
    expect(await answer('phone.error')).toMatchObject({ command: 'phone.dtmf', code: 'GW_DTMF_QUEUE_FULL' });
  });
});

it('phone.hangup hangs the phone up', async () => {
  const { caller, other, gateway } = await talk();
  await other.sendEvent({ type: 'phone.hangup' });
  expect(await caller.ended).toMatchObject({ status: 'completed', said: [], dialled: [] });
  expect(gateway.stats().activeCalls).toBe(0);
});

describe('phone.transfer', () => {
  it('connects the caller with a number that is allowed, and leaves the call', async () => {
    const { caller, other, gateway } = await talk({ bridge: { transferTo: ['+1555*'] } });
    const causes: string[] = [];
    gateway.on('end', (_, cause) => causes.push(cause));
    await other.sendEvent({ type: 'phone.transfer', to: '+15557654321' });
    expect(await caller.ended).toMatchObject({
      status: 'completed',
      dialled: ['+15557654321'],
      error: undefined,
    });
    expect(causes).toEqual(['transferred']);
    await eventually('the agent to be alone', () => other.remoteUserIds().length === 0);
  });

  it('connects with a SIP address', async () => {
    const { caller, other } = await talk({ bridge: { transferTo: (to) => to.endsWith('@example.com') } });
    await other.sendEvent({ type: 'phone.transfer', to: 'sip:desk@example.com' });
    expect((await caller.ended).dialled).toEqual(['sip:desk@example.com']);
  });

  it.each([
    ['by default every number', {}, '+15557654321', 'GW_TRANSFER_REFUSED'],
    ['a number that is not allowed', { transferTo: ['+1555*'] }, '+449000000', 'GW_TRANSFER_REFUSED'],
    ['what is no number', { transferTo: ['*'] }, 'not a number', 'GW_TRANSFER_TO'],
  ])('refuses %s', async (_, bridge, to, code) => {
    const { caller, other, answer } = await talk({ bridge });
    await other.sendEvent({ type: 'phone.transfer', to });
    expect(await answer('phone.error')).toMatchObject({ command: 'phone.transfer', code });
    expect(caller.status).toBe('in-progress');
    await heardBy('the phone, still,', () => phoneLevel(caller, 1_700));
  });
});

it('answers a command that makes no sense, and leaves alone what is not meant for it', async () => {
  const { other, answer, events, caller } = await talk();
  await other.sendEvent({ type: 'phone.hangup', phone: 'phone-of-somebody-else' });
  await other.sendEvent({ type: 'chat.message', text: 'hello' });
  await other.sendEvent({ type: 'phone.mark' });
  expect(await answer('phone.error')).toMatchObject({ command: 'phone.mark', code: 'GW_PHONE_COMMAND' });
  expect(events().filter(({ type }) => type === 'phone.error')).toHaveLength(1);
  expect(caller.status).toBe('in-progress');
});

it('is silent for the others while it is muted in the call, and heard again after', async () => {
  const { other, double, userId } = await talk();
  const { url: basePath, apiKey, apiSecret } = double;
  const call = new StreamClient(apiKey, apiSecret, { basePath }).video.call('default', 'room');
  await call.muteUsers({ user_ids: [userId], audio: true, muted_by_id: 'agent' });
  await expect.poll(() => other.level({ from: userId, seconds: 0.2 }), { timeout: 10_000 }).toBe(0);
  // A moderator can not undo that, and a telephone has no button for it: the call can.
  await other.sendEvent({ type: 'phone.unmute' });
  await heardBy('the agent', () => agentLevel(other, 1_000));
  await other.sendEvent({ type: 'phone.mute', phone: userId });
  await expect.poll(() => other.level({ from: userId, seconds: 0.2 }), { timeout: 10_000 }).toBe(0);
});

it('an agent that mutes itself is silent for the phone, and heard again after', async () => {
  const { caller, other } = await talk();
  await other.mute();
  await expect
    .poll(() => Math.max(...caller.heard().slice(-1_600).map(Math.abs)), { timeout: 10_000 })
    .toBeLessThanOrEqual(LEVEL / 1_000);
  await other.unmute();
  await heardBy('the phone', () => phoneLevel(caller, 1_700));
});
