import { expect, it } from 'vitest';
import type { Agent } from '../support/stream/agent.js';
import { LEVEL } from '../support/stream-call.js';
import { realStream } from '../support/stream-real.js';
import { eventually } from '../support/time.js';

const { talk } = realStream({ pool: { legsPerWorker: 1 } });

/** Longest silence in what an agent hears from now on. */
function listenForGaps(agent: Agent) {
  const gaps = { longestMs: 0, lastAt: performance.now() };
  agent.onFrame((_, samples, atMs) => {
    if (!samples.some((sample) => Math.abs(sample) > LEVEL / 2)) return;
    gaps.longestMs = Math.max(gaps.longestMs, atMs - gaps.lastAt);
    gaps.lastAt = atMs;
  });
  return gaps;
}

// Its bars are times: it wants a machine that has nothing else to do.
it.each(['SIGKILL', 'SIGSEGV', 'SIGSTOP'] as const)(
  'interrupts its own call briefly, and no other worker’s call, when a worker gets %s',
  { timeout: 120_000 },
  async (signal) => {
    const hurt = await talk();
    const other = await talk();
    const ready = () => hurt.pool.list().filter(({ isReady, isRetiring }) => isReady && !isRetiring);
    await eventually('two workers and a spare', () => ready().length === 3, 20_000);
    const [first] = hurt.pool.list().filter(({ legs }) => legs > 0);
    const gaps = [hurt.other, other.other].map(listenForGaps);
    process.kill(first?.pid as number, signal);
    await eventually('the call to be joined again', () => hurt.bridge.stats().rejoins === 1, 10_000);
    await hurt.hear();
    await other.hear();
    const [longest, others] = gaps.map(({ longestMs }) => longestMs) as [number, number];
    // Two seconds are promised, plus two to detect a hung worker; the agents run in this process.
    expect(longest).toBeLessThan(signal === 'SIGSTOP' ? 5_000 : 3_000);
    expect(others).toBeLessThan(400);
  },
);
