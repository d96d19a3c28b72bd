import { describe, expect, test } from 'vitest';
import { DelayTarget } from '../../src/rtc/delay-target.js';
import { seeded } from './jitter-network.js';

/** Packets of 20 ms, each with its lateness. */
function arrive(target: DelayTarget, count: number, lateMs: (i: number) => number, from = 0): void {
  const packets = Array.from({ length: count }, (_, i) => ({ sent: (from + i) * 20, late: lateMs(i) }));
  packets.sort((a, b) => a.sent + a.late - (b.sent + b.late));
  for (const { sent, late } of packets) target.arrived(500 + late, sent + late);
}

const spread = (target: DelayTarget) => target.highMs - target.lowMs;

describe('the delay target', () => {
  test('is nothing while packets come evenly', () => {
    const target = new DelayTarget();
    expect(target.isEmpty).toBe(true);
    arrive(target, 1_000, () => 0);
    expect(target.lowMs).toBe(500);
    expect(target.highMs).toBe(500);
  });

  test('covers jitter within a second, and forgets it within eight', () => {
    const random = seeded(1);
    const target = new DelayTarget();
    arrive(target, 50, () => 50 * random());
    expect(spread(target)).toBeGreaterThan(45);
    arrive(target, 450, () => 50 * random(), 50);
    expect(spread(target)).toBeGreaterThan(46);
    expect(spread(target)).toBeLessThan(53);
    const falling = Array.from({ length: 8 }, (_, i) => {
      arrive(target, 50, () => 0, 500 + i * 50);
      return spread(target);
    });
    expect(falling[3]).toBeGreaterThan(45);
    expect(falling[5]).toBeLessThan(30);
    expect(falling[7]).toBeLessThan(4);
  });

  test('is not moved by one hold-up, however long, but by a second', () => {
    const target = new DelayTarget();
    const held = (i: number) => (i >= 10 && i < 60 ? (60 - i) * 20 : 0);
    arrive(target, 200, () => 0);
    arrive(target, 100, held, 200);
    expect(spread(target)).toBe(0);
    arrive(target, 100, (i) => held(i) / 10, 300);
    expect(spread(target)).toBeCloseTo(105);
  });

  test('covers hold-ups that come again within 16 s, until they do not', () => {
    const held = (i: number) => (i >= 40 && i < 44 ? (44 - i) * 20 : 0);
    const target = new DelayTarget();
    arrive(target, 500, held);
    expect(spread(target)).toBe(0);
    arrive(target, 500, held, 500);
    expect(spread(target)).toBeCloseTo(84);
    arrive(target, 500, held, 1_000);
    expect(spread(target)).toBeCloseTo(84);
    arrive(target, 500, () => 0, 1_500);
    expect(spread(target)).toBe(0);
  });

  test('is at most 400 ms', () => {
    const target = new DelayTarget();
    arrive(target, 500, (i) => (i % 50 < 40 ? (40 - (i % 50)) * 20 : 0));
    expect(spread(target)).toBe(400);
  });

  test('follows a clock that is faster and one that is slower', () => {
    for (const drift of [-0.001, 0.001]) {
      const target = new DelayTarget();
      arrive(target, 5_000, (i) => i * 20 * drift);
      expect(spread(target)).toBeLessThan(8.5);
      expect(target.highMs).toBeCloseTo(500 + 100_000 * drift, -1);
    }
  });

  test('begins anew', () => {
    const target = new DelayTarget();
    arrive(target, 100, (i) => i % 7);
    target.clear();
    expect(target.isEmpty).toBe(true);
    target.arrived(-3_000, 9_000);
    expect([target.lowMs, target.highMs]).toEqual([-3_000, -3_000]);
  });
});
