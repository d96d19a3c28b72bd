import { describe, expect, test } from 'vitest';
import { TokenBucket } from '../../src/phone/token-bucket.js';
import { VirtualClock } from '../support/virtual-clock.js';

const clock = new VirtualClock();

/** How many single tokens can be had at once. */
function burst(bucket: TokenBucket): number {
  let taken = 0;
  while (taken < 10_000 && bucket.take(1, clock.now())) taken += 1;
  return taken;
}

describe('the token bucket', () => {
  test('is full at first, and bounded', () => {
    expect(burst(new TokenBucket(100, 20, clock.now()))).toBe(20);
  });

  test('refills steadily', () => {
    const bucket = new TokenBucket(100, 20, clock.now());
    burst(bucket);
    clock.advance(50);
    expect(burst(bucket)).toBe(5);
    clock.advance(10);
    expect(bucket.take(1, clock.now())).toBe(true);
    expect(bucket.take(1, clock.now())).toBe(false);
  });

  test('saves up no more than it holds', () => {
    const bucket = new TokenBucket(100, 20, clock.now());
    burst(bucket);
    clock.advance(60_000);
    expect(burst(bucket)).toBe(20);
  });

  test('saves up no more than it holds while nothing was taken', () => {
    const bucket = new TokenBucket(100, 20, clock.now());
    clock.advance(60_000);
    expect(burst(bucket)).toBe(20);
  });

  test('lets a steady pace below its rate pass for ever', () => {
    const bucket = new TokenBucket(100, 20, clock.now());
    for (let i = 0; i < 2_000; i++) {
      clock.advance(20);
      expect(bucket.take(2, clock.now())).toBe(true);
    }
  });

  test('takes all or nothing', () => {
    const bucket = new TokenBucket(100, 20, clock.now());
    expect(bucket.take(15, clock.now())).toBe(true);
    expect(bucket.take(6, clock.now())).toBe(false);
    expect(bucket.take(5, clock.now())).toBe(true);
    expect(bucket.take(21, clock.now())).toBe(false);
  });

  test('lets pass what came while this process stood still, once', () => {
    const bucket = new TokenBucket(100, 20, clock.now(), 0);
    const lost = 30_000;
    clock.advance(lost);
    let taken = 0;
    while (taken < 10_000 && bucket.take(1, clock.now(), lost)) taken += 1;
    expect(taken).toBe(20 + 100 * 30);
    clock.advance(60_000);
    taken = 0;
    while (taken < 10_000 && bucket.take(1, clock.now(), lost)) taken += 1;
    expect(taken).toBe(20);
  });

  test('forgets what nobody needed of that after as long again', () => {
    const bucket = new TokenBucket(100, 20, clock.now(), 0);
    clock.advance(30_000);
    expect(bucket.take(1, clock.now(), 30_000)).toBe(true);
    clock.advance(30_000);
    expect(bucket.take(21, clock.now(), 30_000)).toBe(false);
    expect(bucket.take(20, clock.now(), 30_000)).toBe(true);
  });
});
