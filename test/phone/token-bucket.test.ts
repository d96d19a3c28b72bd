import { describe, expect, test } from 'vitest';
import { TokenBucket } from '../../src/phone/token-bucket.js';
import { VirtualClock } from '../support/virtual-clock.js';

const clock = new VirtualClock();

/** How many single tokens are available at once. */
function burst(bucket: TokenBucket): number {
  let taken = 0;
  while (taken < 10_000 && bucket.take(1, clock.now())) taken += 1;
  return taken;
}

describe('the token bucket', () => {
  test('starts full, and is bounded', () => {
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

  test('saves no more than its capacity', () => {
    const bucket = new TokenBucket(100, 20, clock.now());
    burst(bucket);
    clock.advance(60_000);
    expect(burst(bucket)).toBe(20);
  });

  test('saves no more than its capacity while idle', () => {
    const bucket = new TokenBucket(100, 20, clock.now());
    clock.advance(60_000);
    expect(burst(bucket)).toBe(20);
  });

  test('allows a steady rate below its limit forever', () => {
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

  test('allows messages that arrived during a stall of this process, once', () => {
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

  test('forgets the unused allowance of a stall after the same time again', () => {
    const bucket = new TokenBucket(100, 20, clock.now(), 0);
    clock.advance(30_000);
    expect(bucket.take(1, clock.now(), 30_000)).toBe(true);
    clock.advance(30_000);
    expect(bucket.take(21, clock.now(), 30_000)).toBe(false);
    expect(bucket.take(20, clock.now(), 30_000)).toBe(true);
  });
});
