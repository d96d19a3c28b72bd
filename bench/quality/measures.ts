import type { Direction } from './direction.js';

/** -1 dBFS. */
const LEVEL = 32_767 * 10 ** (-1 / 20);
/** Longer than any filter here rings: 150 ms. */
const SETTLE_MS = 150;
/** A whole number of periods of every whole frequency, so that no tone leaks into another. */
const WINDOW_MS = 1_000;
/**
 * Noise put on a tone, in steps of 14 bits: without it, an image below half a step is rounded away or into a pattern of its
 * own, and either way is not what the filter does.
 */
const DITHER = 12;

/** What a direction does to a tone: amplitude and phase at some frequency of its output. */
interface Line {
  readonly amplitude: number;
  readonly phase: number;
}

/** dB of what a tone leaves at its own or another frequency, against its level going in. */
export function gainDb(direction: Direction, hz: number, atHz = hz): number {
  const dither = atHz === hz ? 0 : DITHER;
  return decibels(line(direction, settled(direction, hz, dither), atHz).amplitude / LEVEL);
}

/** Largest difference of gain from 100 Hz to 3.4 kHz, in dB. */
export function rippleDb(direction: Direction): number {
  const gains = range(100, 3_400, 100).map((hz) => gainDb(direction, hz));
  return Math.max(...gains) - Math.min(...gains);
}

/** Where the gain has fallen by 3 dB, in Hz. */
export function cutoffHz(direction: Direction): number {
  const reference = gainDb(direction, 1_000);
  let [low, high] = [1_000, 4_000];
  while (high - low > 4) {
    const middle = Math.round((low + high) / 2);
    if (gainDb(direction, middle) > reference - 3) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The loudest line that ought not to be there, and the tone that made it. */
export interface Worst {
  readonly db: number;
  readonly toneHz: number;
  readonly atHz: number;
}

/** On the way up: images of tones of the phone band around the multiples of 8 kHz. */
export function worstImage(up: Direction): Worst {
  return worst(
    range(300, 3_400, 100).map((hz) => hz + 3),
    (hz) => [8_000 - hz, 8_000 + hz, 16_000 - hz, 16_000 + hz, 24_000 - hz],
    up,
  );
}

/** On the way down: what tones from 4.0 kHz up are folded to. */
export function worstAlias(down: Direction): Worst {
  return worst(
    range(4_000, 23_950, 50).map((hz) => hz + 3),
    (hz) => [Math.abs(hz - 8_000 * Math.round(hz / 8_000))],
    down,
  );
}

function worst(tones: readonly number[], linesOf: (hz: number) => number[], direction: Direction): Worst {
  let found: Worst = { db: Number.NEGATIVE_INFINITY, toneHz: 0, atHz: 0 };
  for (const toneHz of tones) {
    const out = settled(direction, toneHz, DITHER);
    for (const atHz of linesOf(toneHz)) {
      const db = decibels(line(direction, out, atHz).amplitude / LEVEL);
      if (db > found.db) found = { db, toneHz, atHz };
    }
  }
  return found;
}

/** Signal to noise and distortion of 1 kHz at -1 dBFS, in dB. */
export function sinadDb(direction: Direction): number {
  const out = settled(direction, 1_000, 0);
  const { amplitude } = line(direction, out, 1_000);
  const signal = amplitude ** 2 / 2;
  return 10 * Math.log10(signal / Math.max(power(out) - signal, 1e-9));
}

/** Group delay at a frequency in milliseconds, from the phase 20 Hz below and above it. */
export function groupDelayMs(direction: Direction, hz: number): number {
  const [below, above] = [hz - 20, hz + 20].map(
    (f) => line(direction, settled(direction, f, DITHER), f).phase,
  ) as [number, number];
  // Unambiguous over 25 ms; no filter here is before its time by more than 5.
  const turn = 2 * Math.PI;
  const delay = (((((below - above) % turn) + turn) % turn) / (turn * 40)) * 1_000;
  return delay > 20 ? delay - 25 : delay;
}

/** Noise that comes out of the quietest noise that can go in (steps of 14 bits, up and down), in dBFS. */
export function idleNoiseDb(direction: Direction): number {
  const next = randomBits(5);
  const count = samples(direction.from, SETTLE_MS + WINDOW_MS);
  const out = direction.convert(Int16Array.from({ length: count }, () => 4 * ((next() >>> 31) * 2 - 1)));
  return 10 * Math.log10(power(out.subarray(samples(direction.to, SETTLE_MS))) / 32_767 ** 2);
}

/** Whether silence comes out as silence. */
export function keepsSilence(direction: Direction): boolean {
  return direction.convert(new Int16Array(direction.from)).every((sample) => sample === 0);
}

/** A tone, and of what comes out of it the part after everything has settled. */
function settled(direction: Direction, hz: number, dither: number): Int16Array {
  const { from, to } = direction;
  const next = randomBits(7);
  const noise = () => {
    // The sum of four is near enough to a Gaussian.
    let sum = 0;
    for (let i = 0; i < 4; i++) sum += (next() >>> 8) / 2 ** 24 - 0.5;
    return sum * Math.sqrt(3) * dither;
  };
  const pcm = Int16Array.from({ length: samples(from, SETTLE_MS + WINDOW_MS) }, (_, n) =>
    Math.max(
      -32_768,
      Math.min(
        32_767,
        Math.round(LEVEL * Math.sin((2 * Math.PI * hz * n) / from) + (dither > 0 ? noise() : 0)),
      ),
    ),
  );
  const out = direction.convert(pcm);
  const begin = samples(to, SETTLE_MS);
  if (out.length < begin + samples(to, WINDOW_MS)) throw new Error(`only ${out.length} samples came out`);
  return out.subarray(begin);
}

/** One line of a spectrum, its phase counted from the first input sample. */
function line({ to }: Direction, out: Int16Array, hz: number): Line {
  // Whole periods of every whole frequency: the rest of a longer tail is left out.
  const count = Math.min(out.length, samples(to, WINDOW_MS));
  let [re, im] = [0, 0];
  const step = (2 * Math.PI * hz) / to;
  const begin = samples(to, SETTLE_MS);
  for (let n = 0; n < count; n++) {
    const angle = step * (n + begin);
    re += (out[n] as number) * Math.cos(angle);
    im += (out[n] as number) * Math.sin(angle);
  }
  // A sine that went in with phase 0 has re = sin(phase), im = cos(phase).
  return { amplitude: (2 / count) * Math.hypot(re, im), phase: Math.atan2(re, im) };
}

function samples(rate: number, ms: number): number {
  return (rate * ms) / 1_000;
}

function power(pcm: Int16Array): number {
  let sum = 0;
  for (const sample of pcm) sum += sample * sample;
  return sum / pcm.length;
}

function decibels(ratio: number): number {
  return 20 * Math.log10(Math.max(ratio, 1e-12));
}

export function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step);
}

/** xorshift32. */
function randomBits(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
