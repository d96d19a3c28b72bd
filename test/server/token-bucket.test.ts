import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { TokenBucket } from '../../src/server/token-bucket.js';

/** How many single tokens can be had at once. */
function burst(bucket: TokenBucket): number {
  let taken = 0;
  while (taken < 10_000 && bucket.take(1)) taken += 1;
  return taken;
}

describe('the token bucket', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('is full at first, and bounded', () => {
    expect(burst(new TokenBucket(100, 20))).toBe(20);
  });

  test('refills steadily', () => {
    const bucket = new TokenBucket(100, 20);
    burst(bucket);
    vi.advanceTimersByTime(50);
    expect(burst(bucket)).toBe(5);
    vi.advanceTimersByTime(10);
    expect(bucket.take(1)).toBe(true);
    expect(bucket.take(1)).toBe(false);
  });

  test('saves up no more than it holds', () => {
    const bucket = new TokenBucket(100, 20);
    burst(bucket);
    vi.advanceTimersByTime(60_000);
    expect(burst(bucket)).toBe(20);
  });

  test('saves up no more than it holds while nothing was taken', () => {
    const bucket = new TokenBucket(100, 20);
    vi.advanceTimersByTime(60_000);
    expect(burst(bucket)).toBe(20);
  });

  test('lets a steady pace below its rate pass for ever', () => {
    const bucket = new TokenBucket(100, 20);
    for (let i = 0; i < 2_000; i++) {
      vi.advanceTimersByTime(20);
      expect(bucket.take(2)).toBe(true);
    }
  });

  test('takes all or nothing', () => {
    const bucket = new TokenBucket(100, 20);
    expect(bucket.take(15)).toBe(true);
    expect(bucket.take(6)).toBe(false);
    expect(bucket.take(5)).toBe(true);
    expect(bucket.take(21)).toBe(false);
  });
});
