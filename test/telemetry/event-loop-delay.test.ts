import { expect, test } from 'vitest';
import { EventLoopDelay } from '../../src/telemetry/event-loop-delay.js';

test('a stalled event loop shows, a free one does not stay late', async () => {
  const delay = new EventLoopDelay();
  delay.start();
  delay.start();
  try {
    await new Promise((resolve) => setTimeout(resolve, 30));
    // Most of a second in pieces of 120 ms: each tick is late by about that.
    for (const end = performance.now() + 1_300; performance.now() < end; ) {
      for (const stop = performance.now() + 120; performance.now() < stop; );
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    expect(delay.recentMs).toBeGreaterThan(50);
    const { count, maxUs } = delay.summary();
    expect(count).toBeGreaterThan(5);
    expect(maxUs).toBeGreaterThan(80_000);
    const late = delay.recentMs;
    await expect.poll(() => delay.recentMs, { timeout: 10_000, interval: 200 }).toBeLessThan(late / 2);
  } finally {
    delay.stop();
  }
  const { count } = delay.summary();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(delay.summary().count).toBe(count);
});
