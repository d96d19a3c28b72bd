import { expect, it } from 'vitest';
import { agentLevel, heardBy, notHeardBy, phoneLevel } from '../support/stream-call.js';
import { audioPasses, realStream } from '../support/stream-real.js';
import { eventually } from '../support/time.js';

const { talk } = realStream();

type Talk = Awaited<ReturnType<typeof talk>>;

const REJOIN = { code: 205, strategy: 3, message: 'planned', shouldRetry: true };

/** What counts up when a client has noticed a fault, by how much, and how to bring the fault about. */
const FAULTS: Record<string, [sign: string, times: number, inject: (of: Talk) => void | Promise<void>]> = {
  'a cut signalling socket (FAST)': ['SetPublisher', 1, ({ double, userId }) => double.dropSfuSocket(userId)],
  'an ICE restart of what it sends': [
    'SetPublisher',
    1,
    ({ double, userId }) => double.iceRestart(userId, 'publisher'),
  ],
  'an ICE restart of what it hears': [
    'SendAnswer',
    1,
    ({ double, userId }) => double.iceRestart(userId, 'subscriber'),
  ],
  'an error that wants a new session (REJOIN)': [
    'SetPublisher',
    1,
    ({ double, userId }) => double.sfuError(userId, REJOIN as never),
  ],
  'a server that goes away (MIGRATE)': ['SetPublisher', 1, ({ double, userId }) => double.goAway(userId)],
  'an agent that reconnects': ['SetPublisher', 1, ({ double }) => double.sfuError('agent', REJOIN as never)],
  'an agent that migrates': ['SetPublisher', 1, ({ double }) => double.goAway('agent')],
  'cut coordinator sockets': ['POST /video/calls', 2, ({ double }) => double.dropCoordinator()],
  'expired tokens': [
    'POST /video/calls',
    2,
    ({ double }) => {
      double.expireTokens();
      double.dropCoordinator();
    },
  ],
  'a coordinator that is away for a while': [
    'POST /video/calls',
    2,
    async ({ double }) => {
      double.refuseCoordinator(true);
      double.dropCoordinator();
      await audioPasses(double);
      expect(double.state.coordinatorSockets).toBe(0);
      double.refuseCoordinator(false);
    },
  ],
};

it('survives faults that the client repairs, one after the other', {
  timeout: 120_000,
}, async () => {
  const setup = await talk({ bridge: { watchdogSeconds: 60 } });
  const { double, caller, bridge, pool, hear } = setup;
  const count = (sign: string) => double.state.signals[sign] ?? double.state.requests[sign] ?? 0;
  for (const [name, [sign, times, inject]] of Object.entries(FAULTS)) {
    const before = count(sign);
    await inject(setup);
    await eventually(`${name} to be noticed`, () => count(sign) >= before + times, 20_000);
    await audioPasses(double);
    await hear(`, after ${name},`);
    expect(caller.status, name).toBe('in-progress');
  }
  double.impair({ loss: 0.05, jitterMs: 20 });
  await audioPasses(double, 200);
  await hear(' over a bad network');
  double.impair();
  expect([bridge.stats().rejoins, pool.deaths]).toEqual([0, 0]);
  expect(double.state.unknownRoutes).toEqual([]);
});

it('rejoins when its media dies silently', { timeout: 120_000 }, async () => {
  const { double, userId, hear, bridge, caller } = await talk();
  // The client alone needs fifteen seconds and more, and would not count as a join of ours.
  double.silenceMedia(userId);
  await eventually('it to join again', () => bridge.stats().rejoins === 1, 15_000);
  await hear(' again');
  double.closeMedia(userId);
  await eventually('it to join once more', () => bridge.stats().rejoins === 2, 15_000);
  await hear(' once more');
  expect(caller.status).toBe('in-progress');
});

it('hears a participant again who crashed and came back', async () => {
  const { other, agent, caller } = await talk();
  await other.crash();
  const again = await agent('agent', 2_309);
  await heardBy('the phone', () => phoneLevel(caller, 2_309));
  await notHeardBy('the phone', () => phoneLevel(caller, 1_700));
  await heardBy('the agent', () => agentLevel(again, 1_000));
});
