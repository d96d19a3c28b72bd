import { deepStrictEqual } from 'node:assert';
import { describe, expect, test } from 'vitest';
import { core } from '../../src/media/thread-core.js';
import { loadWasm, WASM_MODULES } from '../../src/media/wasm.js';
import { noise, speech as recording, resample, tone } from '../support/media.js';

const FRAME = 960;
const [SHORTEST, LONGEST] = [120, 720];

const speech = () => resample(new core.Upsampler(), 6, recording());

/** Eight harmonics of a voice's pitch, in no phase together. */
const voice = (pitch: number, seconds = 2) =>
  Int16Array.from({ length: 48_000 * seconds }, (_, n) => {
    let sum = 0;
    for (let harmonic = 1; harmonic <= 8; harmonic++) {
      sum += Math.sin((2 * Math.PI * pitch * harmonic * n) / 48_000 + harmonic ** 2) / harmonic;
    }
    return Math.round(7_000 * sum);
  });

/** Of 20 ms frames so many are shortened that 15 % goes on average. */
function shortened(source: Int16Array, by = core): Int16Array {
  const out = new Int16Array(source.length);
  let [seen, written] = [0, 0];
  for (let from = 0; from + FRAME <= source.length; from += FRAME) {
    const frame = source.slice(from, from + FRAME);
    seen += FRAME;
    const excess = written + FRAME - 0.85 * seen;
    const left = excess > 0 ? by.shorten(frame, LONGEST) : FRAME;
    out.set(frame.subarray(0, left), written);
    written += left;
  }
  return out.subarray(0, written);
}

function largestStep(pcm: Int16Array): number {
  let largest = 0;
  for (let i = 1; i < pcm.length; i++) {
    largest = Math.max(largest, Math.abs((pcm[i] as number) - (pcm[i - 1] as number)));
  }
  return largest;
}

/** Samples after which 30 ms from `at` on are most like themselves; nothing where they are no vowel. */
function periodAt(pcm: Int16Array, at: number): number | undefined {
  const likeness = (lag: number) => {
    let [product, energy, other] = [0, 1, 1];
    for (let i = at; i < at + 1_440; i += 3) {
      const [a, b] = [pcm[i] as number, pcm[i + lag] as number];
      product += a * b;
      energy += a * a;
      other += b * b;
    }
    return energy > 4e7 ? product / Math.sqrt(energy * other) : 0;
  };
  let [best, most] = [0, 0.8];
  for (let lag = 100; lag <= LONGEST; lag++) {
    const now = likeness(lag);
    // The shortest of several.
    if (now > most + 0.02) [best, most] = [lag, now];
  }
  return best === 0 ? undefined : best;
}

/** For each vowel of the source the period after it was shortened, as a share of that before: the middle one of all. */
function pitchChange(source: Int16Array, out: Int16Array): number {
  const changes: number[] = [];
  for (let at = 0; at + 1_440 + LONGEST < out.length; at += 2_400) {
    const own = periodAt(source, Math.floor((at * source.length) / out.length));
    const other = periodAt(out, at);
    if (own !== undefined && other !== undefined) changes.push(other / own);
  }
  expect(changes.length).toBeGreaterThan(10);
  return changes.sort((a, b) => a - b)[changes.length >> 1] as number;
}

/** Rises through zero in a second. */
function crossings(pcm: Int16Array): number {
  let count = 0;
  for (let i = 1; i < pcm.length; i++) if ((pcm[i - 1] as number) < 0 && (pcm[i] as number) >= 0) count++;
  return (48_000 * count) / pcm.length;
}

const power = (pcm: Int16Array) => pcm.reduce((sum, sample) => sum + sample ** 2, 0) / pcm.length;

describe('shorten', () => {
  test.each([80, 97, 150, 211, 300, 390])(
    'leaves a voice of %i Hz its pitch, and clicks nowhere',
    (pitch) => {
      const source = voice(pitch);
      const out = shortened(source);
      expect(out.length / source.length).toBeCloseTo(0.85, 2);
      expect(Math.abs(crossings(out) / crossings(source) - 1)).toBeLessThan(0.005);
      expect(pitchChange(source, out)).toBeCloseTo(1, 2);
      expect(largestStep(out)).toBeLessThan(1.05 * largestStep(source));
      expect(Math.abs(power(out) / power(source) - 1)).toBeLessThan(0.02);
    },
  );

  test('leaves speech its pitch and its loudness, and clicks nowhere', () => {
    const source = speech();
    const out = shortened(source);
    expect(out.length / source.length).toBeCloseTo(0.85, 2);
    // A tape that runs faster would make 0.85 of it.
    expect(Math.abs(pitchChange(source, out) - 1)).toBeLessThan(0.02);
    expect(Math.abs(crossings(out) / crossings(source) - 1)).toBeLessThan(0.06);
    expect(largestStep(out)).toBeLessThan(1.1 * largestStep(source));
    expect(Math.abs(power(out) / power(source) - 1)).toBeLessThan(0.05);
  });

  test.each([960, 961, 1_439, 1_920])('of %i samples keeps the first and the last ones', (length) => {
    for (const [kind, source] of [
      ['speech', speech().subarray(30_000, 30_000 + length)],
      ['noise', noise(length, 5)],
      ['a tone', tone(1_000, 48_000, length)],
    ] as const) {
      const pcm = source.slice();
      const left = core.shorten(pcm, LONGEST);
      const period = length - left;
      expect(period, kind).toBeGreaterThanOrEqual(SHORTEST);
      expect(period, kind).toBeLessThanOrEqual(LONGEST);
      expect(pcm[0], kind).toBe(source[0]);
      const fade = Math.min(480, left);
      expect(pcm.subarray(fade, left), kind).toEqual(source.subarray(period + fade));
      // As long a fade as there is room for, and no step in it.
      if (kind === 'noise') {
        expect(pcm.subarray(fade - 60, fade)).not.toEqual(source.subarray(period + fade - 60, period + fade));
        expect(pcm.subarray(1, 60)).not.toEqual(source.subarray(1, 60));
      }
      // In between nothing is louder than what it is made of.
      for (let i = 0; i < fade; i++) {
        const [one, other] = [source[i] as number, source[period + i] as number];
        expect(pcm[i]).toBeGreaterThanOrEqual(Math.min(one, other) - 1);
        expect(pcm[i]).toBeLessThanOrEqual(Math.max(one, other) + 1);
      }
    }
  });

  test('removes the period itself, or several, to the sample', () => {
    for (const period of [121, 199, 320, 503, 720]) {
      const once = noise(period, period);
      const pcm = Int16Array.from({ length: 1_920 }, (_, i) => once[i % period] as number);
      const wanted = pcm.slice();
      const left = core.shorten(pcm, LONGEST);
      expect((1_920 - left) % period).toBe(0);
      expect(pcm.subarray(0, left)).toEqual(wanted.subarray(0, left));
    }
  });

  test('removes no more than it may', () => {
    for (const most of [120, 121, 125, 126, 300.9, 719]) {
      for (const seed of [1, 2, 3, 4]) {
        const taken = FRAME - core.shorten(noise(FRAME, seed), most);
        expect(taken).toBeGreaterThanOrEqual(SHORTEST);
        expect(taken).toBeLessThanOrEqual(most);
      }
    }
    expect(FRAME - core.shorten(new Int16Array(FRAME), Number.POSITIVE_INFINITY)).toBe(LONGEST);
  });

  test.each([119, 119.99, 0, -1, Number.NaN, Number.NEGATIVE_INFINITY])(
    'changes nothing if %d may go',
    (most) => {
      const pcm = noise(FRAME, 8);
      expect(core.shorten(pcm, most)).toBe(FRAME);
      expect(pcm).toEqual(noise(FRAME, 8));
    },
  );

  test('removes as much as it may of silence, and leaves silence', () => {
    const pcm = new Int16Array(FRAME);
    expect(core.shorten(pcm, 333)).toBe(FRAME - 333);
    expect(pcm.every((sample) => sample === 0)).toBe(true);
  });

  test('is the same in every core, for speech, noise and the loudest there is', () => {
    const square = Int16Array.from({ length: 48_000 }, (_, i) => (i % 331 < 165 ? 32_767 : -32_768));
    for (const source of [speech(), noise(48_000, 3), square]) {
      const wanted = shortened(source);
      for (const path of WASM_MODULES) deepStrictEqual(shortened(source, loadWasm(path)), wanted);
    }
  });

  test('refuses pieces and types that do not fit', () => {
    for (const length of [0, 959, 1_921]) {
      expect(() => core.shorten(new Int16Array(length), 200)).toThrow(
        new RangeError(`Expected 960 to 1920 samples for pcm but received ${length} samples`),
      );
    }
    expect(() => core.shorten(new Uint16Array(FRAME) as never, 200)).toThrow(
      new TypeError('Expected an Int16Array for pcm but received Uint16Array of 1920 bytes'),
    );
    expect(() => core.shorten(new Int16Array(FRAME), '200' as never)).toThrow(
      new TypeError('Expected a number for most but received "200"'),
    );
  });
});
