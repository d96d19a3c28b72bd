import { expect, test } from 'vitest';
import { EventLoopDelay } from '../../src/telemetry/event-loop-delay.js';
import { VirtualClock } from '../support/virtual-clock.js';

test('shows a stalled event loop, and recovers when it is free', () => {
  const clock = new VirtualClock();
  const delay = new EventLoopDelay(clock);
  delay.start();
  delay.start();
  expect(clock.pending).toBe(1);
  clock.advance(30);
  // A second and more in pieces of 120 ms: each tick is late by 110.
  for (let i = 0; i < 11; i++) clock.stall(120);
  expect(delay.recentMs).toBeGreaterThan(100);
  expect(delay.recentMs).toBeLessThan(120);
  const { count, maxUs } = delay.summary();
  expect(count).toBe(3 + 11);
  expect(maxUs).toBeGreaterThan(105_000);
  // The window under way still has a late tick in it.
  clock.advance(2_000);
  expect(delay.recentMs).toBeLessThan(1);
  delay.stop();
  const { count: counted } = delay.summary();
  clock.advance(50);
  expect(delay.summary().count).toBe(counted);
});

test('summarises the last one to two minutes', () => {
  const clock = new VirtualClock();
  const delay = new EventLoopDelay(clock);
  delay.start();
  clock.stall(500);
  clock.advance(59_000);
  expect(delay.summary().maxUs).toBeGreaterThan(450_000);
  clock.advance(64_000);
  expect(delay.summary().maxUs).toBeLessThan(1_000);
  delay.stop();
});
