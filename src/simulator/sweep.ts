import { Fourier } from './fourier.js';
import { randomNumbers } from './random.js';
import { PHONE_RATE } from './wav.js';

/** Milliseconds after which the signal repeats: the least common multiple of both sweeps. */
export const SWEEP_MS = 19_200;

/**
 * Two tones that climb at the same time, each from `low` to `high` Hz in `periodMs`, then again from `low`. Where both are tells
 * the instant within {@link SWEEP_MS}; their falls are never less than 40 ms apart, so one of the two can always be read. Each
 * climb has whole periods of its tone, so nothing clicks but the falls.
 */
const SWEEPS = [
  { low: 320, high: 1_520, periodMs: 1_200, offsetMs: 0 },
  { low: 1_800, high: 3_200, periodMs: 1_280, offsetMs: 600 },
] as const;
/** Peak of each of the two tones: together -15 dBFS, as loud as speech. */
const PEAK = 32_768 * 10 ** (-15 / 20);

/** How much of its time a talker is silent, and how long each pause is. */
const SILENT_SHARE = 0.4;
const PAUSE_MS = { from: 200, to: 700 };
const FADE_MS = 4;
/** A room is never quite still: noise of -66 dBFS in the pauses. */
const ROOM_NOISE = 32_768 * 10 ** (-66 / 20);

/** Length of the window of a reading. */
const WINDOW = 256;
const FFT_SIZE = 512;
const BIN_HZ = PHONE_RATE / FFT_SIZE;
/** Half of a Hann window's main lobe, and the slope of a sweep within the window. */
const LOBE_BINS = 5;
/** Root mean square below which nothing is heard: -45 dBFS. */
const SILENCE = 32_768 * 10 ** (-45 / 20);
/** Share of the power that the two tones must have, and the weaker of them. */
const TONES_SHARE = 0.6;
const WEAKER_SHARE = 0.08;
/** Milliseconds by which the two tones may contradict each other; the next possible instant is 80 ms away. */
const MOST_DISCORD_MS = 20;
/** This close to its fall a tone is not read where the other can be. */
const NEAR_FALL_MS = 20;

/** What is heard at a moment: an instant of the source in milliseconds, 0 to {@link SWEEP_MS}, or none that can be read. */
export type HeardInstant = number | 'silence' | 'unknown';

/** One whole sweep, 8 kHz. @param seed of the pauses that a talker makes; without there are none */
export function sweepPcm(seed?: number): Int16Array {
  const level = seed === undefined ? undefined : talkLevel(seed);
  const noise = randomNumbers(seed ?? 0);
  return Int16Array.from({ length: samples(SWEEP_MS) }, (_, n) => {
    const tones = SWEEPS.reduce((sum, sweep) => {
      const { low, high, periodMs, offsetMs } = sweep;
      const seconds = (((n * 1000) / PHONE_RATE + offsetMs) % periodMs) / 1000;
      return sum + Math.sin(2 * Math.PI * (low * seconds + ((high - low) * seconds ** 2 * 500) / periodMs));
    }, 0);
    if (level === undefined) return Math.round(PEAK * tones);
    return Math.round(PEAK * tones * (level[n] as number) + ROOM_NOISE * (2 * noise() - 1));
  });
}

/** 1 while somebody talks, 0 in the pauses. */
function talkLevel(seed: number): Float64Array {
  const next = randomNumbers(seed);
  const level = new Float64Array(samples(SWEEP_MS));
  const { from, to } = PAUSE_MS;
  const talkShare = (1 - SILENT_SHARE) / SILENT_SHARE;
  const fade = samples(FADE_MS);
  for (let at = 0; at < level.length; ) {
    const talk = samples((from + (to - from) * next()) * talkShare);
    const end = Math.min(at + talk, level.length);
    for (let n = at; n < end; n++) level[n] = Math.min(1, (n - at + 1) / fade, (end - n) / fade);
    at = end + samples(from + (to - from) * next());
  }
  return level;
}

/**
 * Tells from the sound alone which instant of a sweep is heard, to a few milliseconds: through µ-law, resampling, Opus, and where
 * pieces of it were dropped or shortened.
 */
export class InstantReader {
  private readonly window = Float64Array.from(
    { length: WINDOW },
    (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (n + 0.5)) / WINDOW),
  );
  private readonly fourier = new Fourier(FFT_SIZE);
  private readonly re = new Float64Array(FFT_SIZE);
  private readonly im = new Float64Array(FFT_SIZE);
  private readonly power = new Float64Array(FFT_SIZE / 2);

  /**
   * Reads what is heard, a reading every `stepMs`; each is of the middle of its step.
   * @param heard mono PCM at `rate`: 8,000 or a multiple of it
   */
  read(heard: Int16Array, stepMs = 20, rate = PHONE_RATE): HeardInstant[] {
    const pcm = narrowed(heard, rate / PHONE_RATE);
    const step = samples(stepMs);
    return Array.from({ length: Math.floor(pcm.length / step) }, (_, i) => this.readAt(pcm, i * step, step));
  }

  private readAt(pcm: Int16Array, from: number, length: number): HeardInstant {
    let energy = 0;
    for (let n = from; n < from + length; n++) energy += (pcm[n] as number) ** 2;
    if (energy < SILENCE ** 2 * length) return 'silence';
    const offsetMs = this.analyse(pcm, from + length / 2);
    const [low, high] = SWEEPS.map((sweep) => this.place(sweep)) as [TonePeak, TonePeak];
    let total = 0;
    for (const power of this.power) total += power;
    if (low.power + high.power < TONES_SHARE * total) return 'unknown';
    if (Math.min(low.power, high.power) < WEAKER_SHARE * total) return 'unknown';
    const instant = together(low.ms, high.ms);
    return instant === undefined ? 'unknown' : modulo(instant - offsetMs, SWEEP_MS);
  }

  /** Power over frequency around a sample. @returns milliseconds by which the middle of what sounds there is later */
  private analyse(pcm: Int16Array, centre: number): number {
    const { re, im, power, window } = this;
    re.fill(0);
    im.fill(0);
    const first = Math.round(centre) - WINDOW / 2;
    let energy = 0;
    let moment = 0;
    for (let n = 0; n < WINDOW; n++) {
      const value = (pcm[first + n] ?? 0) * (window[n] as number);
      re[n] = value;
      energy += value * value;
      moment += value * value * (n + 0.5 - WINDOW / 2);
    }
    this.fourier.transform(re, im);
    for (let k = 0; k < power.length; k++) power[k] = (re[k] as number) ** 2 + (im[k] as number) ** 2;
    return (moment / energy / PHONE_RATE) * 1000;
  }

  /** Where one of the sweeps is. */
  private place({ low, high, periodMs, offsetMs }: (typeof SWEEPS)[number]): TonePeak {
    const { power } = this;
    const at = (k: number) => power[k] ?? 0;
    let peak = Math.floor(low / BIN_HZ) - 1;
    for (let k = peak; k <= Math.ceil(high / BIN_HZ) + 1; k++) if (at(k) > at(peak)) peak = k;
    let sum = 0;
    for (let k = peak - LOBE_BINS; k <= peak + LOBE_BINS; k++) sum += at(k);
    const [before, top, after] = [at(peak - 1), at(peak), at(peak + 1)].map((each) => Math.log(each + 1e-9));
    const bend = (before as number) - 2 * (top as number) + (after as number);
    const fraction = bend === 0 ? 0 : ((before as number) - (after as number)) / 2 / bend;
    const hz = (peak + Math.max(-0.5, Math.min(0.5, fraction))) * BIN_HZ;
    return { power: sum, ms: ((hz - low) / (high - low)) * periodMs - offsetMs };
  }
}

interface TonePeak {
  /** Of the tone. */
  readonly power: number;
  /** Instant, up to a multiple of the sweep's period. */
  readonly ms: number;
}

/** The one instant that two sweeps agree upon. */
function together(lowMs: number, highMs: number): number | undefined {
  const [low, high] = SWEEPS;
  let best: number | undefined;
  let least = MOST_DISCORD_MS;
  for (let ms = lowMs; ms < lowMs + SWEEP_MS; ms += low.periodMs) {
    const discord = signedModulo(highMs - ms, high.periodMs);
    if (Math.abs(discord) > least) continue;
    least = Math.abs(discord);
    const lowIsFalling = Math.abs(signedModulo(lowMs + low.offsetMs, low.periodMs)) < NEAR_FALL_MS;
    const highIsFalling = Math.abs(signedModulo(highMs + high.offsetMs, high.periodMs)) < NEAR_FALL_MS;
    best = ms + (lowIsFalling ? discord : highIsFalling ? 0 : discord / 2);
  }
  return best;
}

function narrowed(pcm: Int16Array, factor: number): Int16Array {
  if (factor === 1) return pcm;
  return Int16Array.from({ length: Math.floor(pcm.length / factor) }, (_, n) => {
    let sum = 0;
    for (let k = 0; k < factor; k++) sum += pcm[n * factor + k] as number;
    return sum / factor;
  });
}

function samples(ms: number): number {
  return Math.round((ms * PHONE_RATE) / 1000);
}

function modulo(value: number, period: number): number {
  return ((value % period) + period) % period;
}

function signedModulo(value: number, period: number): number {
  return modulo(value + period / 2, period) - period / 2;
}
