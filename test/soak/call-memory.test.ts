import { afterAll, beforeAll, expect, test } from 'vitest';
import { Caller } from '../support/caller.js';
import { GatewayChild } from '../support/gateway-child.js';

const AT_A_TIME = 10;
const KB = 1_000;

let gateway: GatewayChild;
beforeAll(async () => {
  gateway = await GatewayChild.start();
});
afterAll(() => gateway.stop());

/** Callers who say nothing yet: what waits while they speak is lent to a call, not held by it. */
async function callers(count: number): Promise<void> {
  for (let i = 0; i < count; i += AT_A_TIME) {
    await Promise.all(
      Array.from({ length: AT_A_TIME }, async () => {
        await Caller.call(gateway.url);
      }),
    );
  }
}

test('a call holds at most 25 KB of objects and buffers', async () => {
  // What is loaded and compiled for the first calls is not theirs.
  await callers(200);
  const before = await gateway.report();
  const more = 300;
  await callers(more);
  const after = await gateway.report();
  expect(after.stats.activeCalls - before.stats.activeCalls).toBe(more);
  const bytes = after.heapUsed + after.bufferBytes - before.heapUsed - before.bufferBytes;
  expect(bytes / more).toBeLessThan(25 * KB);
  expect(bytes / more).toBeGreaterThan(5 * KB);
});
