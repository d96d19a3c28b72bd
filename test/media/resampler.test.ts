import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { core } from '../../src/media/thread-core.js';
import { amplitudeAt, decibels, filterTable, noise, resample, sha256, tone } from '../support/media.js';

const up = (pcm: Int16Array, sizes?: number[]) => resample(new core.Upsampler(), 6, pcm, sizes);
const down = (pcm: Int16Array, sizes?: number[]) => resample(new core.Downsampler(), 1 / 6, pcm, sizes);

const upTable = filterTable('kUpTaps');
const downTable = filterTable('kDownTaps');

/** Tap n as the fraction of one it stands for. */
const gain = ({ taps, scales }: typeof upTable, n: number) => (taps[n] ?? 0) / 2 ** (scales[n] ?? 0);

/** One second that starts when the filter has settled. */
const SETTLE_MS = 100;
const settled = (pcm: Int16Array, rate: number) =>
  pcm.subarray((rate * SETTLE_MS) / 1000, (rate * SETTLE_MS) / 1000 + rate);
const secondOfTone = (frequency: number, rate: number) => tone(frequency, rate, rate + rate / 5);

describe('×6', () => {
  test('its impulse response is the table', () => {
    const out = up(Int16Array.from({ length: 60 }, (_, n) => (n === 0 ? 16_384 : 0)));
    expect(upTable.taps).toHaveLength(312);
    expect([...out]).toEqual(
      Array.from({ length: 360 }, (_, n) => (n < 312 ? Math.floor(gain(upTable, n) * 16_384 + 0.5) : 0)),
    );
  });

  test('rounds the true sum to the nearest sample, for the loudest input there is', () => {
    const input = noise(700, 11).map((sample, n) => (n < 350 ? sample : sample < 0 ? -32_768 : 32_767));
    const out = up(input);
    let worst = 0;
    let clipped = 0;
    for (const [n, sample] of out.entries()) {
      let sum = 0;
      for (let row = 0; row < 52; row++) {
        const x = input[Math.floor(n / 6) - row] ?? 0;
        sum += gain(upTable, 6 * row + (n % 6)) * (x & ~3);
      }
      if (sum < -32_768 || sum > 32_767) clipped++;
      worst = Math.max(worst, Math.abs(sample - Math.max(-32_768, Math.min(32_767, sum))));
    }
    expect(worst).toBeLessThan(0.502);
    expect(clipped).toBeGreaterThan(10);
  });

  test.each([300, 1000, 3000, 3400])('passes %i Hz at its level and without images', (frequency) => {
    const input = secondOfTone(frequency, 8000);
    const out = settled(up(input), 48_000);
    const level = amplitudeAt(frequency, 8000, settled(input, 8000));
    expect(Math.abs(decibels(amplitudeAt(frequency, 48_000, out) / level))).toBeLessThan(0.02);
    for (const image of [8000, 16_000, 24_000].flatMap((centre) => [
      centre - frequency,
      centre + frequency,
    ])) {
      if (image < 24_000) expect(decibels(amplitudeAt(image, 48_000, out) / level)).toBeLessThan(-90);
    }
  });

  test.each([-32_768, -4, 4, 1000, 32_764])('a constant %i comes out as itself', (value) => {
    const out = up(new Int16Array(100).fill(value));
    expect(out.subarray(6 * 51).every((sample) => sample === value)).toBe(true);
  });
});

describe('÷6', () => {
  test('its impulse response is the table, from each of the six places an impulse can have', () => {
    for (let lane = 0; lane < 6; lane++) {
      const out = down(Int16Array.from({ length: 360 }, (_, n) => (n === lane ? 16_384 : 0)));
      const wanted = Array.from({ length: 60 }, (_, row) =>
        row < 52 ? Math.floor(gain(downTable, 6 * row + 5 - lane) * 16_384 + 8211 / 16_384) : 0,
      );
      expect([...out]).toEqual(wanted);
    }
    expect(downTable.taps).toHaveLength(312);
  });

  test('rounds the true sum to the nearest sample, for the loudest input there is', () => {
    const input = noise(4200, 12).map((sample, n) => (n < 2100 ? sample : sample < 0 ? -32_768 : 32_767));
    const out = down(input);
    let worst = 0;
    for (const [k, sample] of out.entries()) {
      let sum = 0;
      for (let n = 0; n < 312; n++) sum += gain(downTable, n) * (input[6 * k + 5 - n] ?? 0);
      worst = Math.max(worst, Math.abs(sample - Math.max(-32_768, Math.min(32_767, sum))));
    }
    expect(worst).toBeLessThan(0.502);
  });

  test('does not wrap on the worst input', () => {
    const loudest = Int16Array.from({ length: 312 }, (_, n) =>
      (downTable.taps[311 - n] ?? 0) < 0 ? -32_768 : 32_767,
    );
    expect(down(loudest).at(-1)).toBe(32_767);
    expect(down(loudest.map((sample) => -1 - sample)).at(-1)).toBe(-32_768);
  });

  test.each([300, 1000, 3000, 3400])('passes %i Hz at its level', (frequency) => {
    const input = secondOfTone(frequency, 48_000);
    const level = amplitudeAt(frequency, 48_000, settled(input, 48_000));
    const out = settled(down(input), 8000);
    expect(Math.abs(decibels(amplitudeAt(frequency, 8000, out) / level))).toBeLessThan(0.02);
  });

  test.each([4001, 4600, 5000, 7000, 7700, 9000, 15_000, 17_000, 23_500])(
    'lets nothing of %i Hz fold back',
    (frequency) => {
      const out = settled(down(secondOfTone(frequency, 48_000)), 8000);
      const folded = Math.abs(frequency - 8000 * Math.round(frequency / 8000));
      expect(decibels(amplitudeAt(folded, 8000, out) / 16_000)).toBeLessThan(-90);
    },
  );

  test.each([-32_768, -1, 1, 999, 32_767])('a constant %i comes out as itself', (value) => {
    const out = down(new Int16Array(600).fill(value));
    expect(out.subarray(51).every((sample) => sample === value)).toBe(true);
  });
});

describe('both', () => {
  test.each([300, 1000, 3000, 3400])('%i Hz goes there and back within 0.05 dB', (frequency) => {
    const input = secondOfTone(frequency, 8000);
    const out = settled(down(up(input)), 8000);
    const level = amplitudeAt(frequency, 8000, settled(input, 8000));
    expect(Math.abs(decibels(amplitudeAt(frequency, 8000, out) / level))).toBeLessThan(0.05);
  });

  test('silence stays silence', () => {
    expect(up(new Int16Array(500)).every((sample) => sample === 0)).toBe(true);
    expect(down(new Int16Array(3000)).every((sample) => sample === 0)).toBe(true);
  });

  test('any way of cutting the input gives the same output, and exactly as much of it', () => {
    const narrow = noise(700, 21);
    const wide = noise(4200, 22);
    const wholeUp = up(narrow);
    const wholeDown = down(wide);
    expect(wholeUp).toHaveLength(4200);
    expect(wholeDown).toHaveLength(700);
    const sizes = fc.array(fc.integer({ min: 1, max: 330 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(sizes, (pieces) => {
        deepStrictEqual(up(narrow, pieces), wholeUp);
        const wider = pieces.map((size) => 6 * size);
        deepStrictEqual(down(wide, wider), wholeDown);
      }),
      { numRuns: 40 },
    );
    deepStrictEqual(up(narrow, [1]), wholeUp);
    deepStrictEqual(down(wide, [6]), wholeDown);
  });

  // Whatever computes it, scalar code or SIMD, on any processor: these bits are the definition.
  test('the output never changes, bit for bit', () => {
    expect(sha256(up(noise(32_000, 31)))).toBe(
      '45c38773864d7832a20b79c301449057c7d531e7cb47449fa38c675afd969fb1',
    );
    expect(sha256(down(noise(192_000, 32)))).toBe(
      '07a42e60b308ed3eb85fd8b2b61794f8ba44a573005187828498fbbe7128057c',
    );
  });

  test('two of a kind share nothing', () => {
    const [a, b] = [new core.Upsampler(), new core.Upsampler()];
    const out = new Int16Array(960);
    a.process(noise(160, 41), out);
    b.process(new Int16Array(160), out);
    expect(out.every((sample) => sample === 0)).toBe(true);
  });

  test('refuse other types, ragged frames and short outputs', () => {
    const upsampler = new core.Upsampler();
    const downsampler = new core.Downsampler();
    expect(upsampler.process(new Int16Array(0), new Int16Array(0))).toBe(0);
    expect(() => upsampler.process(new Uint8Array(2) as never, new Int16Array(12))).toThrow(
      new TypeError('Expected an Int16Array for pcm but received Uint8Array of 2 bytes'),
    );
    expect(() => upsampler.process(new Int16Array(2), new Int16Array(11))).toThrow(RangeError);
    expect(() => downsampler.process(new Int16Array(7), new Int16Array(2))).toThrow(
      new RangeError('Expected a multiple of 6 samples for pcm but received 7 samples'),
    );
    expect(() => downsampler.process(new Int16Array(12), new Int16Array(1))).toThrow(RangeError);
    expect(() => (core.Upsampler as unknown as () => void)()).toThrow(TypeError);
    expect(() => upsampler.process.call(downsampler, new Int16Array(1), new Int16Array(6))).toThrow(
      TypeError,
    );
  });
});
