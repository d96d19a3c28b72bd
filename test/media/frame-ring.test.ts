import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_SAMPLES } from '../../src/media/frame.js';
import { FrameRing } from '../../src/media/frame-ring.js';

const numbered = (n: number) => new Int16Array(FRAME_SAMPLES).fill(n);

describe('the frame ring', () => {
  test('is a bounded queue, for any sequence of pushes, drops and clears', () => {
    const step = fc.constantFrom('push', 'push', 'push', 'drop', 'clear' as const);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 80 }), (capacity, steps) => {
        const ring = new FrameRing(capacity);
        const model: number[] = [];
        for (const [n, what] of steps.entries()) {
          if (what === 'push') {
            const full = model.length === capacity;
            if (full) model.shift();
            model.push(n);
            expect(ring.push(numbered(n), n - 40)).toBe(full);
          } else if (what === 'drop') {
            model.shift();
            ring.drop();
          } else {
            model.length = 0;
            ring.clear();
          }
          expect(ring.length).toBe(model.length);
          expect(ring.oldest?.[FRAME_SAMPLES - 1]).toBe(model[0]);
          if (model.length > 0) expect(ring.oldestStamp).toBe((model[0] as number) - 40);
        }
      }),
    );
  });

  test('copies what it is given', () => {
    const ring = new FrameRing(2);
    const lent = numbered(1);
    ring.push(lent, 0);
    lent.fill(9);
    expect(ring.oldest?.[0]).toBe(1);
  });

  test('keeps stamps that have wrapped', () => {
    const ring = new FrameRing(1);
    ring.push(numbered(0), -2_147_483_648);
    expect(ring.oldestStamp).toBe(-2_147_483_648);
  });

  test('hands all frames on, oldest first, and is empty then', () => {
    const ring = new FrameRing(3);
    for (let n = 0; n < 5; n++) ring.push(numbered(n), n * 10);
    const seen: [number, number][] = [];
    ring.drainInto({ write: (frame, stamp) => seen.push([frame[0] as number, stamp]) });
    expect(seen).toEqual([
      [2, 20],
      [3, 30],
      [4, 40],
    ]);
    expect(ring.length).toBe(0);
    expect(ring.oldest).toBeUndefined();
  });

  test('serves the next queue of its size, empty, once it is given back', () => {
    const ring = FrameRing.borrow(5);
    ring.push(numbered(1), 0);
    FrameRing.giveBack(ring);
    expect(FrameRing.borrow(6)).not.toBe(ring);
    const next = FrameRing.borrow(5);
    expect(next).toBe(ring);
    expect(next.length).toBe(0);
    expect(FrameRing.borrow(5)).not.toBe(ring);
  });

  test('keeps at most 4 MiB of rings for later', () => {
    // 64 frames are 120 KiB.
    const rings = Array.from({ length: 40 }, () => FrameRing.borrow(64));
    for (const ring of rings) FrameRing.giveBack(ring);
    const again = Array.from({ length: 40 }, () => FrameRing.borrow(64));
    const kept = again.filter((ring) => rings.includes(ring)).length;
    expect(kept).toBeGreaterThan(30);
    expect(kept).toBeLessThan(36);
  });
});
