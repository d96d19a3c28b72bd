import { decodeMulaw } from './mulaw.js';

/** A level is of 5 ms: four make a frame. */
export const LEVELS_A_FRAME = 4;
const LEVEL_BYTES = 40;
/** Steps of a level: 0.75 dB, from what a line's own noise is, -60 dBFS, upwards. */
const STEPS_AN_OCTAVE = 8;
const NOISE = 32;
/** Levels below it are of a pause, as is what a server may leave out: -36 dBFS. */
export const PAUSE_LEVEL = 30;

/**
 * Magnitudes by base64 character: of the first byte of three its first character holds sign, exponent and half of the fraction;
 * of the second byte, 128 further on, the second character holds sign and exponent.
 */
const MAGNITUDES = new Uint16Array(256);
const SECOND = 128;
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
for (let i = 0; i < DIGITS.length; i++) {
  const [first = 0, second = 0] = decodeMulaw(Uint8Array.of((i << 2) | 2, ((i & 15) << 4) | 8));
  MAGNITUDES[DIGITS.charCodeAt(i)] = Math.abs(first);
  MAGNITUDES[DIGITS.charCodeAt(i) + SECOND] = Math.abs(second);
}

/** How loud a stream of µ-law was over time, coarse enough to be found again in its echo: every third byte is looked at, or the next. */
export class Levels {
  private readonly kept: Uint8Array;
  private readonly mask: number;
  private total = 0;
  /** Of the level that is not complete: sum and count of magnitudes, and its bytes so far. */
  private sum = 0;
  private count = 0;
  private filled = 0;

  /** @param kept levels that are kept, a power of two */
  constructor(kept: number) {
    this.kept = new Uint8Array(kept);
    this.mask = kept - 1;
  }

  /** Levels so far; the last of them are kept. */
  get length(): number {
    return this.total;
  }

  /** Those that were not kept. */
  get oldest(): number {
    return Math.max(0, this.total - this.kept.length);
  }

  /** @param at from the oldest that is kept to the last */
  at(at: number): number {
    return this.kept[at & this.mask] as number;
  }

  /** @param payload base64 of so many bytes; one message may hold any number */
  add(payload: string, bytes: number): void {
    let { sum, count, filled } = this;
    // Where there may be no second.
    const last = payload.length - 4;
    for (let i = 0; i < payload.length; i += 4) {
      // First and second in turn, so that no tone looks silent because it is sampled at its zeros.
      const turn = i < last ? (i >> 2) & 1 : 0;
      sum += MAGNITUDES[payload.charCodeAt(i + turn) + turn * SECOND] as number;
      count += 1;
      filled += 3;
      if (filled < LEVEL_BYTES) continue;
      this.kept[this.total & this.mask] = STEPS_AN_OCTAVE * Math.log2(1 + sum / (count * NOISE)) + 0.5;
      this.total += 1;
      sum = 0;
      count = 0;
      filled -= LEVEL_BYTES;
    }
    this.sum = sum;
    this.count = count;
    // The last characters stand for fewer than three bytes.
    this.filled = filled + bytes - (payload.length / 4) * 3;
  }
}
