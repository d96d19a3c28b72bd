import { StreamClient } from '@stream-io/node-sdk';
import { describe, expect, it } from 'vitest';
import { amplitudeAt, decibels } from '../support/media.js';
import type { CallState } from '../support/stream/call-state.js';
import { agentLevel, heardBy, LEVEL, notHeardBy, phoneLevel } from '../support/stream-call.js';
import { realStream } from '../support/stream-real.js';
import { eventually } from '../support/time.js';

const { start, talk } = realStream();

/** Whether the key 5 sounds in it: 770 and 1336 Hz, -9 and -7 dBm0, i.e. 12.2 and 10.2 dB below the largest sine. */
function hasKey(heard: Int16Array): boolean {
  for (let at = 0; at + 640 <= heard.length; at += 80) {
    const part = heard.subarray(at, at + 640);
    const level = (hz: number) => decibels(Math.max(amplitudeAt(hz, 8_000, part), 1e-3) / 32_124);
    if (Math.abs(level(770) + 12.2) < 1.5 && Math.abs(level(1_336) + 10.2) < 1.5 && level(1_700) < -40)
      return true;
  }
  return false;
}

it('executes commands and reports their results; tones are heard alone, then the call again', async () => {
  const { caller, other, userId, hear } = await talk();
  const events = () =>
    other.events.map(({ custom }) => custom).filter(({ type }) => type !== 'phone.answered');
  const answer = async (type: string) => {
    await eventually(type, () => events().some((event) => event.type === type), 10_000);
    return events().find((event) => event.type === type);
  };
  let clears = 0;
  caller.on('clear', () => {
    clears += 1;
  });
  caller.dtmf('1*');
  await eventually('two events', () => events().length === 2, 10_000);
  expect(events()).toEqual(['1', '*'].map((digit) => ({ type: 'phone.digit', digit, phone: userId })));
  expect(new Set(other.events.map((event) => event.userId))).toEqual(new Set([userId]));
  await other.sendEvent({ type: 'chat.message', text: 'none of its business' });
  await other.sendEvent({ type: 'phone.mark', name: 'greeting', phone: userId });
  expect(await answer('phone.marked')).toMatchObject({ name: 'greeting', phone: userId });
  await other.sendEvent({ type: 'phone.clear' });
  expect(await answer('phone.cleared')).toMatchObject({ phone: userId, played_ms: expect.any(Number) });
  await eventually('the clear at the phone', () => clears === 1, 10_000);

  const begin = caller.heard().length;
  await other.sendEvent({ type: 'phone.dtmf', digits: '5' });
  await eventually('the tones, alone', () => hasKey(caller.heard().subarray(begin)), 10_000);
  await hear(' after the tones');
  for (let i = 0; i < 4; i++) await other.sendEvent({ type: 'phone.dtmf', digits: 'W'.repeat(32) });
  expect(await answer('phone.error')).toMatchObject({ command: 'phone.dtmf', code: 'GW_DTMF_QUEUE_FULL' });
});

it('is silent while muted, by a moderator or by command, and hears nothing of a muted agent', async () => {
  const { caller, other, double, hear, room, userId } = await talk();
  const silent = () => eventually('silence', () => other.level({ from: userId, seconds: 0.2 }) === 0, 10_000);
  const { url: basePath, apiKey, apiSecret } = double;
  const call = new StreamClient(apiKey, apiSecret, { basePath }).video.call('default', room);
  await call.muteUsers({ user_ids: [userId], audio: true, muted_by_id: 'agent' });
  await silent();
  // A moderator cannot undo that, and a telephone has no button for it: the call can.
  await other.sendEvent({ type: 'phone.unmute' });
  await hear(' again');
  await other.sendEvent({ type: 'phone.mute', phone: userId });
  await silent();
  await other.sendEvent({ type: 'phone.unmute' });
  await other.mute();
  const loudest = () => Math.max(...caller.heard().slice(-1_600).map(Math.abs));
  await eventually('silence', () => loudest() <= LEVEL / 1_000, 10_000);
  await other.unmute();
  await hear(' in the end');
});

it('reports who muted it, and speaks again when its permission is restored', async () => {
  const { other, double, hear, room, userId, bridge } = await talk();
  const { url: basePath, apiKey, apiSecret } = double;
  const call = new StreamClient(apiKey, apiSecret, { basePath }).video.call('default', room);
  const silent = () => eventually('silence', () => other.level({ from: userId, seconds: 0.2 }) === 0, 10_000);
  const told = async (type: string, by: object) => {
    const is = ({ custom }: { custom: object }) =>
      JSON.stringify(custom) === JSON.stringify({ type, ...by, phone: userId });
    await eventually(`${type} ${JSON.stringify(by)}`, () => other.events.some(is), 10_000);
  };
  await call.muteUsers({ user_ids: [userId], audio: true, muted_by_id: 'agent' });
  await silent();
  await told('phone.muted', { by: 'moderator', user: 'agent' });
  // It stays so where the phone joins anew.
  double.closeMedia(userId);
  await eventually('it to join again', () => bridge.stats().rejoins === 1, 15_000);
  await silent();
  await other.sendEvent({ type: 'phone.unmute' });
  await hear(' again');
  await told('phone.unmuted', { by: 'command', user: 'agent' });

  const permissions = ['send-audio'];
  await call.updateUserPermissions({ user_id: userId, revoke_permissions: permissions });
  await silent();
  await told('phone.muted', { by: 'permission' });
  // Nor may it after a loss, and hears all the same.
  double.closeMedia(userId);
  await eventually('it to join once more', () => bridge.stats().rejoins === 2, 30_000);
  await call.updateUserPermissions({ user_id: userId, grant_permissions: permissions });
  await hear(' by permission');
  await told('phone.unmuted', { by: 'permission' });
});

it('moves a live caller from one Stream call to another', async () => {
  const { gateway, present, caller, other: first, agent, userId, room } = await talk();
  const elsewhere = `${room}-other`;
  const second = await agent('second', 2_309, { callId: elsewhere });
  const callId = gateway.calls.listActive()[0]?.callId as string;
  await gateway.control.transfer(callId, { stream: { id: elsewhere } });
  await heardBy('the phone', () => phoneLevel(caller, 2_309));
  await heardBy('the second agent', () => agentLevel(second, 1_000));
  await notHeardBy('the first agent', () => agentLevel(first, 1_000));
  await notHeardBy('the phone', () => phoneLevel(caller, 1_700));
  await eventually('its leave', () => !present().includes(userId), 10_000);
  expect(present(`default:${elsewhere}`)).toEqual([userId, 'second']);
});

describe('leaves', () => {
  it('no ghost when the phone hangs up, or its socket breaks', async () => {
    const { phone, agent, present, pool, double } = await start();
    const other = await agent();
    const callers = [phone(), phone()];
    await eventually('both to be in', () => present().length === 3, 10_000);
    await callers[0]?.hangUp();
    await callers[1]?.drop();
    await eventually('the agent to be alone', () => other.remoteUserIds().length === 0, 10_000);
    await eventually('the seats to be free', () => pool.census().legs === 0, 15_000);
    await eventually('nothing of them to be left', () => {
      const { sfuSockets, coordinatorSockets, peerConnections } = double.state;
      return sfuSockets === 1 && coordinatorSockets === 1 && peerConnections === 2;
    });
  });

  it.each(['ended', 'kicked', 'blocked'])('the phone hung up when it is %s', async (how) => {
    const { phone, agent, present, double, room, cid, gateway } = await start();
    await agent();
    const caller = phone();
    await eventually('both to be in', () => present().length === 2, 10_000);
    const user_id = present()[1] as string;
    const { url: basePath, apiKey, apiSecret } = double;
    const call = new StreamClient(apiKey, apiSecret, { basePath }).video.call('default', room);
    if (how === 'ended') double.endCall(cid);
    else if (how === 'kicked') double.kick(cid, user_id);
    else await call.blockUser({ user_id });
    expect(await caller.ended).toMatchObject({ status: 'completed', said: [], error: undefined });
    expect(gateway.stats().activeCalls).toBe(0);
  });
});

describe('while it joins a slow server', () => {
  const SLOW_MS = 1_500;

  it('waits, and is heard then', async () => {
    const { phone, agent, double } = await start();
    const other = await agent();
    double.slowJoin(SLOW_MS);
    phone(1_000);
    await heardBy('the agent', () => agentLevel(other, 1_000));
  });

  it('leaves when the phone hangs up', async () => {
    const { phone, double, present, pool } = await start();
    const asked = () => double.state.requests['POST /video/call/:type/:id/join'] ?? 0;
    const before = asked();
    double.slowJoin(SLOW_MS);
    const caller = phone();
    await eventually('the join', () => asked() > before, 10_000);
    await caller.hangUp();
    // The client cannot leave what it has not finished joining.
    await eventually('its seat to be free', () => pool.census().legs === 0, 15_000);
    await eventually('it to be gone', () => present().length === 0 && double.state.coordinatorSockets === 0);
    expect(pool.deaths).toBe(0);
  });

  it('hangs up the phone when the call ends', async () => {
    const { phone, agent, double, cid } = await start();
    await agent();
    const asked = () => double.state.requests['POST /video/call/:type/:id/join'] ?? 0;
    const before = asked();
    double.slowJoin(SLOW_MS);
    const caller = phone();
    await eventually('the join', () => asked() > before, 10_000);
    double.endCall(cid);
    expect((await caller.ended).status).toBe('completed');
  });
});

describe('reports why it cannot join', () => {
  const line = {
    isLive: true,
    write() {},
    clear: () => ({ playedMs: 0, discardedMs: 0 }),
    mark() {},
    hangUp() {},
    transfer() {},
    fail() {},
  };

  it.each([
    ['Stream does not let it in', 'GW_STREAM_JOIN', 'could not be joined', 403],
    ['it is not allowed to join', 'GW_STREAM_PERMISSION', 'the permission join-call', 'blocked'],
    ['it is not allowed to speak', 'GW_STREAM_PERMISSION', 'the permission send-audio', 'listener'],
    ['the call is over', 'GW_STREAM_CALL_ENDED', 'the call was ended', 'over'],
  ])('%s', async (_, code, message, why) => {
    const { bridge, double, room, cid, agent, pool } = await start();
    await agent();
    const call = double.calls.get(cid) as CallState;
    if (why === 'over') double.endCall(cid);
    else if (why === 'blocked') call.blockedUserIds.add('phone');
    else if (why === 'listener') call.capabilities = call.capabilities.filter((one) => one !== 'send-audio');
    else double.failNext({ path: `/${room}/join`, status: 403, times: 99 });
    const { signal } = new AbortController();
    const joining = bridge.join({ callId: 'call', room, user: { id: 'phone' }, signal }, line);
    await expect(joining).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    await eventually('its seat to be free', () => pool.census().legs === 0, 15_000);
  });

  it.each([
    ['a server that is full', (double) => double.sfuFull(1)],
    ['a coordinator that is busy', (double) => double.failNext({ path: '/join', status: 429, times: 2 })],
    ['a coordinator out of order', (double) => double.failNext({ path: '/join', status: 500, times: 2 })],
    [
      'a coordinator that has not heard of the call',
      (double) => double.failNext({ path: '/join', status: 404 }),
    ],
    ['a token that has expired', (double) => double.failNext({ path: '/join', status: 401, code: 40 })],
  ] as [string, (double: Awaited<ReturnType<typeof start>>['double']) => void][])(
    'but not for %s, which it survives',
    async (_, inject) => {
      const { double, phone, agent } = await start();
      const other = await agent();
      inject(double);
      phone(1_000);
      await heardBy('the agent', () => agentLevel(other, 1_000));
    },
  );
});
