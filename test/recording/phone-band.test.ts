import { describe, expect, test } from 'vitest';
import { PhoneBand } from '../../src/recording/phone-band.js';
import { amplitudeAt, decibels, noise, tone } from '../support/media.js';

const LEVEL = 8_000;

/** The whole output for pieces of a length. */
function through(rate: 8_000 | 16_000, pcm: Int16Array, piece = 960): Int16Array {
  const band = new PhoneBand(rate);
  const out = new Int16Array((pcm.length * rate) / 48_000);
  for (let at = 0, to = 0; at < pcm.length; at += piece) {
    const part = band.process(pcm.subarray(at, at + piece));
    out.set(part, to);
    to += part.length;
  }
  return out;
}

const levelDb = (rate: number, hz: number, pcm: Int16Array) =>
  decibels(amplitudeAt(hz, rate, pcm.subarray(rate / 10, rate / 10 + rate / 2)) / LEVEL);

describe.each([8_000, 16_000] as const)('a phone band at %i Hz', (rate) => {
  test('keeps the telephone band at its level', () => {
    for (const hz of [200, 300, 1_000, 2_000, 3_000, 3_400]) {
      const out = through(rate, tone(hz, 48_000, 48_000, LEVEL));
      expect(Math.abs(levelDb(rate, hz, out)), `${hz} Hz`).toBeLessThan(0.1);
    }
  });

  test('removes everything else, without aliasing', () => {
    for (const hz of [5_000, 6_000, 9_000, 11_000, 13_000, 20_000]) {
      const settled = through(rate, tone(hz, 48_000, 48_000, LEVEL)).subarray(rate / 10);
      expect(decibels(Math.max(1, ...settled.map(Math.abs)) / LEVEL), `${hz} Hz`).toBeLessThan(-65);
    }
  });

  test('produces the same samples however its input is cut', () => {
    const pcm = noise(9_600, 3);
    const whole = through(rate, pcm, pcm.length);
    for (const piece of [960, 6, 480, 1_200]) expect(through(rate, pcm, piece)).toEqual(whole);
  });

  test('delays speech by less than a millisecond', () => {
    const pcm = new Int16Array(48_000);
    pcm.set(tone(1_000, 48_000, 9_600, LEVEL), 24_000);
    const at = (audio: Int16Array, of: number) =>
      (audio.findIndex((sample) => Math.abs(sample) > LEVEL / 2) * 1_000) / of;
    expect(Math.abs(at(through(rate, pcm), rate) - at(pcm, 48_000))).toBeLessThan(1);
  });

  test('ends a segment on flush: the next one does not contain any of it', () => {
    const band = new PhoneBand(rate);
    band.process(tone(1_000, 48_000, 960, 30_000));
    const tail = band.flush().slice();
    expect(tail.length).toBe(rate / 50);
    expect(Math.abs(tail[0] as number)).toBeGreaterThan(0);
    expect(Math.max(...band.process(new Int16Array(960)).map(Math.abs))).toBe(0);
  });
});
