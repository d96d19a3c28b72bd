import { Fourier } from '../simulator/fourier.js';
import { PHONE_RATE } from '../simulator/wav.js';

/** Milliseconds from one frame to the next. */
export const FEATURE_MS = 10;
const HOP = (PHONE_RATE * FEATURE_MS) / 1000;
/** Samples of a frame's window: 32 ms. */
const WINDOW = 256;
/** Bands between these frequencies, evenly spaced in mel. */
const BANDS = 12;
const LOWEST_HZ = 250;
const HIGHEST_HZ = 3_300;
/** Frames this many dB below the loudest count for the level of speech. */
const LOUD_DB = 15;
/** Frames this many dB below the level of speech are pauses. */
const PAUSE_DB = 15;
/** A band is silent this many dB below its own level in speech, so that a line's noise does not count. */
const FLOOR_DB = 12;
/** Nor does what stays within this many dB above the noise of pauses. */
const NOISE_DB = 6;
/** Below this level nothing is speech: a sine of about -60 dBFS in one window. */
const SILENCE_DB = 65;

const fourier = new Fourier(WINDOW);
const hann = new Float64Array(WINDOW).map((_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
const edges = bandEdges();

/**
 * What speech sounds like over time, whatever its level: the energies of 12 bands every 10 ms, in dB above a floor that
 * follows the level.
 */
export class SpeechFeatures {
  /** Frames of 10 ms. */
  readonly length: number;
  /** For each frame 1 if it is loud enough to be speech, else 0. */
  readonly isActive: Uint8Array;
  private readonly values: Float32Array;

  /** @param pcm 8 kHz mono */
  constructor(pcm: Int16Array) {
    this.length = Math.max(0, Math.floor((pcm.length - WINDOW) / HOP) + 1);
    this.values = new Float32Array(this.length * BANDS);
    this.isActive = new Uint8Array(this.length);
    const levels = this.measure(pcm);
    const speechDb = meanAbove(levels, levels.reduce((a, b) => Math.max(a, b), 0) - LOUD_DB);
    if (speechDb < SILENCE_DB) {
      this.values.fill(0);
      return;
    }
    for (let t = 0; t < this.length; t++)
      this.isActive[t] = (levels[t] as number) > speechDb - PAUSE_DB ? 1 : 0;
    for (let band = 0; band < BANDS; band++) this.subtractFloor(band);
  }

  /** Frames loud enough to be speech, from `from` to before `to`. */
  activeFrames(from = 0, to = this.length): number {
    return this.isActive
      .subarray(Math.max(0, from), Math.max(0, to))
      .reduce((sum, active) => sum + active, 0);
  }

  /**
   * How alike `count` frames of both are, as a correlation: 1 for the same sound at any level, about 0 for unrelated ones.
   * Frames outside of either are silent.
   */
  likeness(from: number, other: SpeechFeatures, otherFrom: number, count: number): number {
    let [xy, xx, yy] = [0, 0, 0];
    for (let band = 0; band < BANDS; band++) {
      let [sx, sy, sxy, sxx, syy] = [0, 0, 0, 0, 0];
      for (let t = 0; t < count; t++) {
        const x = this.values[(from + t) * BANDS + band] ?? 0;
        const y = other.values[(otherFrom + t) * BANDS + band] ?? 0;
        sx += x;
        sy += y;
        sxy += x * y;
        sxx += x * x;
        syy += y * y;
      }
      xy += sxy - (sx * sy) / count;
      xx += sxx - (sx * sx) / count;
      yy += syy - (sy * sy) / count;
    }
    return xx <= 0 || yy <= 0 ? 0 : xy / Math.sqrt(xx * yy);
  }

  /** Fills in the energies of the bands. @returns the level of each frame, in dB */
  private measure(pcm: Int16Array): Float64Array {
    const re = new Float64Array(WINDOW);
    const im = new Float64Array(WINDOW);
    const levels = new Float64Array(this.length);
    for (let t = 0; t < this.length; t++) {
      im.fill(0);
      for (let i = 0; i < WINDOW; i++) re[i] = (pcm[t * HOP + i] as number) * (hann[i] as number);
      fourier.transform(re, im);
      let sum = 0;
      for (let band = 0; band < BANDS; band++) {
        let energy = 0;
        for (let k = edges[band] as number; k < (edges[band + 1] as number); k++)
          energy += (re[k] as number) ** 2 + (im[k] as number) ** 2;
        sum += energy;
        this.values[t * BANDS + band] = decibels(energy);
      }
      levels[t] = decibels(sum);
    }
    return levels;
  }

  /** The level of the pauses, where there are any. */
  private noiseIn(band: number, active: number): number {
    if (active === this.length) return 0;
    let sum = 0;
    for (let t = 0; t < this.length; t++)
      if (this.isActive[t] === 0) sum += this.values[t * BANDS + band] as number;
    return sum / (this.length - active);
  }

  private subtractFloor(band: number): void {
    let sum = 0;
    for (let t = 0; t < this.length; t++)
      if (this.isActive[t] === 1) sum += this.values[t * BANDS + band] as number;
    const active = this.activeFrames();
    const floor = Math.max(sum / active - FLOOR_DB, this.noiseIn(band, active) + NOISE_DB);
    for (let t = 0; t < this.length; t++) {
      const at = t * BANDS + band;
      this.values[at] = Math.max(0, (this.values[at] as number) - floor);
    }
  }
}

function decibels(energy: number): number {
  return 10 * Math.log10(energy + 1);
}

function meanAbove(levels: Float64Array, least: number): number {
  const loud = levels.filter((level) => level > least);
  return loud.reduce((sum, level) => sum + level, 0) / Math.max(1, loud.length);
}

/** Where each band begins, and the last one ends, as a bin of the transform. */
function bandEdges(): number[] {
  const mel = (hz: number) => 1127 * Math.log(1 + hz / 700);
  const [low, high] = [mel(LOWEST_HZ), mel(HIGHEST_HZ)];
  return Array.from({ length: BANDS + 1 }, (_, i) => {
    const hz = 700 * (Math.exp((low + ((high - low) * i) / BANDS) / 1127) - 1);
    return Math.round((hz * WINDOW) / PHONE_RATE);
  });
}
