import { describe, expect, it } from 'vitest';
import {
  agentLevel,
  heardBy,
  notHeardBy,
  phoneLevel,
  type StreamSetup,
  startStream,
} from '../../support/stream-call.js';
import { eventually } from '../../support/time.js';

/** A phone and an agent that hear each other, and what it takes to see that they do so again. */
async function talk(setup: StreamSetup = {}) {
  const started = await startStream(setup);
  const caller = started.phone(1_000);
  const other = await started.agent('agent', 1_700);
  const hear = async () => {
    await heardBy('the agent', () => agentLevel(other, 1_000));
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
  };
  await hear();
  const userId = `phone-${started.gateway.calls.listActive()[0]?.callId}`;
  return { ...started, caller, other, userId, hear };
}

/** Time for a fault to take effect before anybody looks whether it was survived. */
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const REJOIN = { code: 205, strategy: 3, message: 'planned', shouldRetry: true };

describe('survives', () => {
  it.each<[string, (setup: Awaited<ReturnType<typeof talk>>) => void | Promise<void>]>([
    ['a cut signalling socket (FAST)', ({ double, userId }) => double.dropSfuSocket(userId)],
    ['an ICE restart of what it sends', ({ double, userId }) => double.iceRestart(userId, 'publisher')],
    ['an ICE restart of what it hears', ({ double, userId }) => double.iceRestart(userId, 'subscriber')],
    [
      'an error that wants a new session (REJOIN)',
      ({ double, userId }) => double.sfuError(userId, REJOIN as never),
    ],
    ['a server that goes away (MIGRATE)', ({ double, userId }) => double.goAway(userId)],
    ['cut coordinator sockets', ({ double }) => double.dropCoordinator()],
    [
      'expired tokens',
      ({ double }) => {
        double.expireTokens();
        double.dropCoordinator();
      },
    ],
    [
      'a coordinator that is away for a while',
      async ({ double }) => {
        double.refuseCoordinator(true);
        double.dropCoordinator();
        await pause(2_000);
        double.refuseCoordinator(false);
      },
    ],
    ['a bad network', ({ double }) => double.impair({ loss: 0.05, jitterMs: 20 })],
    ['an agent that reconnects', ({ double }) => double.sfuError('agent', REJOIN as never)],
    ['an agent that migrates', ({ double }) => double.goAway('agent')],
  ])('%s', async (_, inject) => {
    const setup = await talk();
    await inject(setup);
    await pause(1_500);
    await setup.hear();
    expect(setup.caller.status).toBe('in-progress');
    expect(setup.bridge.stats()).toMatchObject({ deaths: 0, rejoins: 0 });
    expect(setup.double.state.unknownRoutes).toEqual([]);
  });

  it('many of them one after the other', async () => {
    const { double, userId, hear, caller } = await talk();
    for (let round = 0; round < 3; round++) {
      double.dropSfuSocket(userId);
      await pause(500);
      double.sfuError(userId, REJOIN as never);
      await pause(1_000);
      double.goAway(userId);
      await pause(2_000);
    }
    await hear();
    expect(caller.status).toBe('in-progress');
  });
});

describe('joins anew', () => {
  it.each(['silenceMedia', 'closeMedia'] as const)(
    'when its media dies without a word (%s)',
    async (fault) => {
      const { double, userId, hear, bridge, caller } = await talk();
      const begun = performance.now();
      double[fault](userId);
      await eventually('it to join again', () => bridge.stats().rejoins === 1, 15_000);
      await hear();
      // The client alone needs fifteen seconds and more.
      expect(performance.now() - begun).toBeLessThan(12_000);
      expect(caller.status).toBe('in-progress');
    },
  );

  it('and hears nothing of its own ghost', async () => {
    const { double, userId, hear, bridge, caller } = await talk();
    double.leaveGhost(userId);
    for (const { pid } of bridge.workers().filter(({ legs }) => legs > 0)) process.kill(pid, 'SIGKILL');
    await eventually('it to join again', () => bridge.stats().rejoins === 1, 10_000);
    await hear();
    const sessions = double.state.calls[0]?.participants.filter(
      (participant) => participant.userId === userId,
    );
    expect(sessions?.length, 'the ghost is still there').toBe(2);
    await notHeardBy('the phone, of its own voice,', () => phoneLevel(caller, 1_000));
  });
});

describe('joins in spite of', () => {
  it.each<[string, (double: Awaited<ReturnType<typeof startStream>>['double']) => void]>([
    ['a server that is full', (double) => double.sfuFull(1)],
    ['a coordinator that is busy', (double) => double.failNext({ path: '/join', status: 429, times: 2 })],
    ['a coordinator out of order', (double) => double.failNext({ path: '/join', status: 500, times: 2 })],
    [
      'a token that has expired',
      (double) => double.failNext({ path: '/join', status: 401, code: 40, times: 1 }),
    ],
  ])('%s', async (_, inject) => {
    const { double, phone, agent } = await startStream();
    const other = await agent('agent', 1_700);
    inject(double);
    const caller = phone(1_000);
    await heardBy('the agent', () => agentLevel(other, 1_000));
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
  });
});

it('takes up a participant who crashed and came back', async () => {
  const { other, agent, caller } = await talk();
  await other.crash();
  await agent('agent', 2_309);
  await heardBy('the phone', () => phoneLevel(caller, 2_309));
  await notHeardBy('the phone', () => phoneLevel(caller, 1_700));
});
