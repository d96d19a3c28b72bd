import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_SAMPLES } from '../../src/media/frame.js';
import { Framer } from '../../src/phone/framer.js';

function setUp() {
  const frames: { samples: number[]; stamp: number }[] = [];
  const framer = new Framer({ write: (frame, stamp) => frames.push({ samples: [...frame], stamp }) });
  return { frames, framer };
}

/** Every sample differs, so that a lost, doubled or swapped one shows. */
const ramp = (from: number, count: number) => Int16Array.from({ length: count }, (_, i) => from + i);

describe('the framer', () => {
  test('cuts any pieces into whole frames without losing or moving a sample', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 10 }), (sizes) => {
        const { frames, framer } = setUp();
        let total = 0;
        for (const size of sizes) {
          framer.push(ramp(total, size), 0);
          total += size;
          expect(frames).toHaveLength(Math.floor(total / FRAME_SAMPLES));
          expect(framer.isEmpty).toBe(total % FRAME_SAMPLES === 0);
        }
        expect(frames.every(({ samples }) => samples.length === FRAME_SAMPLES)).toBe(true);
        const all = frames.flatMap(({ samples }) => samples);
        expect(all).toEqual([...ramp(0, all.length)]);
      }),
      { numRuns: 50 },
    );
  });

  test('passes whole frames without copying them', () => {
    const views: Int16Array[] = [];
    const framer = new Framer({ write: (frame) => views.push(frame) });
    const samples = ramp(0, 2 * FRAME_SAMPLES);
    framer.push(samples, 0);
    expect(views.map((view) => [view.buffer === samples.buffer, view.byteOffset])).toEqual([
      [true, 0],
      [true, 2 * FRAME_SAMPLES],
    ]);
  });

  test('copies the remainder, because the memory is only lent', () => {
    const { frames, framer } = setUp();
    const lent = ramp(0, 500);
    framer.push(lent, 1);
    lent.fill(-1);
    framer.push(ramp(500, 460), 2);
    expect(frames).toEqual([{ samples: [...ramp(0, FRAME_SAMPLES)], stamp: 1 }]);
  });

  test('gives each frame the timestamp of its first part', () => {
    const { frames, framer } = setUp();
    framer.push(ramp(0, 1_000), 7);
    framer.push(ramp(0, 2_000), 9);
    expect(frames.map(({ stamp }) => stamp)).toEqual([7, 7, 9]);
  });

  test('discards the remainder on clear', () => {
    const { frames, framer } = setUp();
    framer.push(ramp(0, 900), 0);
    framer.clear();
    expect(framer.isEmpty).toBe(true);
    framer.push(ramp(5_000, FRAME_SAMPLES), 0);
    expect(frames[0]?.samples[0]).toBe(5_000);
  });
});
