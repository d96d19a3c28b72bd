import { describe, expect, it } from 'vitest';
import { Envelope } from '../../../src/bridge/stream/envelope.js';
import {
  firstLoudness,
  loudnessOf,
  packLoudness,
  secondLoudness,
} from '../../../src/bridge/stream/loudness.js';
import { randomNumbers } from '../../../src/simulator/random.js';

const FRAME_MS = 20;

/** Loudness of syllables and pauses, one value for each 10 ms. */
function speech(seed: number, count: number): number[] {
  const random = randomNumbers(seed);
  const levels: number[] = [];
  while (levels.length < count) {
    const [length, level] = [4 + Math.floor(random() * 12), random() < 0.3 ? 1 : 500 + random() * 400];
    for (let i = 0; i < length; i++) levels.push(Math.round(level * (0.95 + random() * 0.1)));
  }
  return levels.slice(0, count);
}

/** Fills an envelope with what arrives so many milliseconds late, up to the moment `until`. */
function filled(levels: readonly number[], lateMs: number, until: number): Envelope {
  const envelope = new Envelope();
  for (let i = 0; i + 1 < levels.length; i += 2) {
    const now = i * 10 + lateMs;
    if (now > until) break;
    envelope.push(levels[i] as number, levels[i + 1] as number, now);
  }
  return envelope;
}

describe('loudness', () => {
  it('is 1 for silence and grows by 64 with each doubling', () => {
    const of = (amplitude: number) => loudnessOf(new Int16Array(480).fill(amplitude));
    expect([of(0), of(-32_768)]).toEqual([1, 961]);
    expect(of(4_000) - of(2_000)).toBe(64);
    expect(of(-2_000)).toBe(of(2_000));
  });

  it('of two halves fits one integer', () => {
    const packed = packLoudness(961, 1);
    expect([firstLoudness(packed), secondLoudness(packed)]).toEqual([961, 1]);
  });
});

describe('two envelopes of one voice', () => {
  it.each([0, 50, 130, 310, 500])('show that it is under way for %i ms', (lateMs) => {
    for (const seed of [1, 2, 3]) {
      const levels = speech(seed, 400);
      const [sent, heard] = [filled(levels, 0, 3_000), filled(levels, lateMs, 3_000)];
      const found = heard.lagBehind(sent) ?? Number.NaN;
      expect(Math.abs(found * 10 - lateMs), `seed ${seed}`).toBeLessThanOrEqual(FRAME_MS / 2);
    }
  });

  it('show it by a single onset', () => {
    const levels = Array.from({ length: 400 }, (_, i) => (i < 260 ? 1 : 700));
    expect(filled(levels, 120, 3_000).lagBehind(filled(levels, 0, 3_000))).toBe(12);
  });

  it('show it although a jitter buffer changed what was heard', () => {
    const levels = speech(4, 400);
    const warped = levels.flatMap((level, i) =>
      i % 50 === 49 ? [level, level] : i % 50 === 24 ? [] : [level],
    );
    const found = filled(warped, 90, 3_000).lagBehind(filled(levels, 0, 3_000)) ?? Number.NaN;
    expect(Math.abs(found - 9)).toBeLessThanOrEqual(1);
  });

  it('show that a jitter buffer has just become deeper, or less deep', () => {
    const errors: number[] = [];
    for (let seed = 1; seed <= 10; seed++) {
      const voice = speech(seed, 400);
      for (const [before, after] of [
        [90, 150],
        [150, 90],
      ] as const) {
        const heard = new Envelope();
        for (let now = 0; now < 3_000; now += 20) {
          const at = (now - (now < 2_640 ? before : after)) / 10;
          heard.push(voice[at] ?? 1, voice[at + 1] ?? 1, now);
        }
        const found = heard.lagBehind(filled(voice, 0, 3_000), before / 10) ?? Number.NaN;
        errors.push(Math.abs(found * 10 - after));
      }
    }
    // Where the latest 300 ms are steady, it takes longer.
    expect(errors.filter((ms) => ms > FRAME_MS / 2).length, `${errors}`).toBeLessThan(5);
  });

  it('show nothing of steady sound, of silence, or of different voices', () => {
    const same = (level: number) => new Array<number>(400).fill(level);
    for (const level of [1, 700]) {
      expect(filled(same(level), 90, 3_000).lagBehind(filled(same(level), 0, 3_000))).toBeUndefined();
    }
    for (let seed = 1; seed <= 10; seed++) {
      const other = filled(speech(100 + seed, 400), 0, 3_000);
      expect(filled(speech(seed, 400), 90, 3_000).lagBehind(other), `seed ${seed}`).toBeUndefined();
    }
  });
});

describe('an envelope', () => {
  it('follows jitter without a gap, and the clock after one', () => {
    const envelope = new Envelope();
    for (const now of [1_000, 1_030, 1_035, 1_070]) envelope.push(500, 600, now);
    expect([100, 101, 106, 107].map((slot) => envelope.at(slot))).toEqual([500, 600, 500, 600]);
    envelope.push(700, 700, 1_500);
    expect([149, 150].map((slot) => envelope.at(slot))).toEqual([0, 700]);
    expect(envelope.slotAt(1_530)).toBe(152);
    expect(envelope.slotAt(1_800)).toBe(180);
  });

  it('knows how much sound there was from a slot on, once', () => {
    const envelope = new Envelope();
    for (let now = 1_000; now < 1_200; now += 20) envelope.push(500, 1, now);
    envelope.push(500, 500, 1_500);
    expect(envelope.takeFrom(115)).toBe(70);
    expect(envelope.takeFrom(0)).toBe(0);
    envelope.push(500, 500, 1_520);
    expect(envelope.takeFrom(100)).toBe(20);
    expect(envelope.at(150)).toBe(500);
  });

  it('forgets what is older than 2.5 seconds', () => {
    const envelope = new Envelope();
    envelope.push(500, 500, 1_000);
    envelope.push(500, 500, 9_000);
    expect(envelope.at(100)).toBe(0);
    expect(envelope.takeFrom(0)).toBe(20);
  });
});
