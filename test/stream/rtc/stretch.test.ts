import { describe, expect, test } from 'vitest';
import { SpeechTape } from '../../../src/rtc/speech-tape.js';
import {
  largestAbove,
  largestJump,
  largestWithout,
  type Source,
  speech,
  tone,
} from '../../rtc/jitter-network.js';

const RATES = [8_000, 16_000, 24_000, 48_000];

/** Plays ten seconds of a source and changes its length every 50 ms. */
function play(source: Source, rate: number, change: (tape: SpeechTape) => number) {
  const tape = new SpeechTape(rate);
  const block = new Int16Array(rate / 100);
  const heard = new Int16Array(rate * 10);
  let read = 0;
  let changed = 0;
  for (let i = 0; i < 1_000; i++) {
    while (tape.length < (rate * 30) / 1_000) {
      tape.append(Int16Array.from({ length: rate / 50 }, (_, n) => source(read + n)));
      read += rate / 50;
    }
    if (i % 5 === 4) changed += change(tape);
    tape.take(block);
    heard.set(block, i * block.length);
  }
  expect(heard.length + tape.length).toBe(read + changed);
  return { heard, changed };
}

const shorten = (least: number) => (tape: SpeechTape) => -tape.shorten(1_000_000, least);
const lengthen = (least: number) => (tape: SpeechTape) => tape.lengthen(1_000_000, least);
const natural = (source: Source, rate: number) => Int16Array.from({ length: rate * 10 }, (_, n) => source(n));

describe.each(RATES)('at %i Hz', (rate) => {
  test.each([
    ['shorter', shorten(0.8), -1],
    ['longer', lengthen(0.8), 1],
  ] as const)('a tone becomes %s without a click', (_, change, sign) => {
    for (const hz of [200, 440, 1_000]) {
      const { heard, changed } = play(tone(hz, rate), rate, change);
      expect(changed * sign).toBeGreaterThan(rate);
      expect(largestJump(heard)).toBeLessThanOrEqual(1.01 * largestJump(natural(tone(hz, rate), rate)));
      // A jump by half the level, which is 8,000, would leave 4,000.
      expect(largestWithout(hz, heard, rate)).toBeLessThan(60);
    }
  });

  test.each([
    ['shorter', shorten(0.8), -1],
    ['longer', lengthen(0.8), 1],
  ] as const)('a voice becomes %s without a click', (_, change, sign) => {
    const voice = speech(rate, 3_000);
    const { heard, changed } = play(voice, rate, change);
    expect(changed * sign).toBeGreaterThan(rate / 2);
    expect(largestJump(heard)).toBeLessThanOrEqual(1.05 * largestJump(natural(voice, rate)));
    // The voice ends at 1,800 Hz; a jump by half its level, which is 5,500, would leave 1,500 here.
    expect(largestAbove(2_500, heard, rate)).toBeLessThan(90);
  });
});

describe('a tape', () => {
  test('is left as it is where nothing is alike', () => {
    let state = 1;
    const noise: Source = () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return (state >> 15) - 32_768;
    };
    expect(play(noise, 8_000, shorten(0.8)).changed).toBe(0);
    expect(play(noise, 8_000, lengthen(0.8)).changed).toBe(0);
    expect(play(noise, 8_000, shorten(-1)).changed).toBeLessThan(-8_000);
  });

  test('loses a pause by 10 ms at a time', () => {
    const tape = new SpeechTape(8_000);
    tape.appendSilence(800);
    expect(tape.isQuiet()).toBe(true);
    expect(tape.shorten(1_000, 1)).toBe(80);
    expect(tape.shorten(30, 1)).toBe(30);
    expect(tape.length).toBe(690);
  });

  test('fades from one period into the next, though that is shorter than the fade', () => {
    const source = tone(400, 8_000);
    const sound = Int16Array.from({ length: 104 }, (_, n) => source(n));
    const tape = new SpeechTape(8_000);
    tape.append(sound);
    // 24 samples are not the period, which is 20.
    const removed = tape.shorten(24, -1);
    const out = new Int16Array(80);
    tape.take(out);
    for (let i = 0; i < 80; i++) {
      const [now, later] = [sound[i] as number, sound[i + removed] as number];
      expect(out[i]).toBe(Math.round(now + ((later - now) * i) / 80));
    }
  });

  test('is not changed with too little on it', () => {
    const tape = new SpeechTape(8_000);
    tape.append(new Int16Array(79).fill(5_000));
    expect(tape.shorten(1_000, -1)).toBe(0);
    expect(tape.lengthen(1_000, -1)).toBe(0);
    tape.append(new Int16Array(20).fill(5_000));
    expect(tape.shorten(1_000, -1)).toBe(0);
    expect(tape.lengthen(19, -1)).toBe(0);
    expect(tape.length).toBe(99);
  });

  test('fades', () => {
    const tape = new SpeechTape(8_000);
    tape.appendFading(new Int16Array(80).fill(8_000), 1, 0);
    const out = new Int16Array(80);
    tape.take(out);
    expect([out[0], out[40], out[79]]).toEqual([8_000, 4_000, 100]);
  });
});
