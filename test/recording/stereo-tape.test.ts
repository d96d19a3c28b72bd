import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StereoTape } from '../../src/recording/stereo-tape.js';

/** Collects what a tape hands on. */
function setUp(capacity: number) {
  const out: number[] = [];
  const tape = new StereoTape(
    {
      append: (interleaved) => void out.push(...interleaved),
      skip: (samples) => void out.push(...new Array(2 * samples).fill(0)),
    },
    capacity,
  );
  return { tape, out };
}

const pcm = (...samples: number[]) => Int16Array.from(samples);

describe('a tape of two tracks', () => {
  test('hands on interleaved left and right samples, silence where there was no audio', () => {
    const { tape, out } = setUp(8);
    tape.put(0, pcm(1, 2), 0);
    tape.put(1, pcm(9), 2);
    tape.commit(4, true);
    expect(out).toEqual([1, 0, 2, 0, 0, 9, 0, 0]);
  });

  test('accepts audio late and early, and returns how much was out of range', () => {
    const { tape, out } = setUp(4);
    tape.commit(10, true);
    out.length = 0;
    expect(tape.put(0, pcm(1, 2, 3), 9)).toBe(1);
    expect(tape.put(1, pcm(7, 8, 9), 12)).toBe(1);
    expect(tape.put(0, pcm(5), 2)).toBe(1);
    tape.commit(14, true);
    expect(out).toEqual([2, 0, 3, 0, 0, 7, 0, 8]);
  });

  test('erases one track from a position on', () => {
    const { tape, out } = setUp(8);
    tape.put(0, pcm(1, 2, 3), 0);
    tape.put(1, pcm(4, 5, 6), 0);
    tape.erase(1, 1);
    tape.commit(3, true);
    expect(out).toEqual([1, 4, 2, 0, 3, 0]);
  });

  test('waits for a full step before it hands on, except at the end', () => {
    const { tape, out } = setUp(10_000);
    tape.commit(3_199);
    expect(out).toEqual([]);
    tape.commit(3_200);
    expect(out).toHaveLength(6_400);
    expect(tape.begin).toBe(3_200);
  });

  test('equals an infinite tape for everything within its buffer', () => {
    const step = fc.record({
      track: fc.constantFrom<0 | 1>(0, 1),
      ahead: fc.integer({ min: 0, max: 30 }),
      length: fc.integer({ min: 0, max: 30 }),
      value: fc.integer({ min: 1, max: 32_767 }),
      commit: fc.integer({ min: 0, max: 100 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { tape, out } = setUp(60);
        const endless = new Map<number, number>();
        let end = 0;
        for (const { track, ahead, length, value, commit } of steps) {
          const at = tape.begin + ahead;
          expect(tape.put(track, new Int16Array(length).fill(value), at)).toBe(0);
          for (let i = 0; i < length; i++) endless.set(2 * (at + i) + track, value);
          end += commit;
          tape.commit(end, true);
        }
        expect(out).toEqual(Array.from({ length: 2 * end }, (_, i) => endless.get(i) ?? 0));
      }),
    );
  });
});
