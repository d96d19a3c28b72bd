import { Fourier } from './fourier.js';
import { PHONE_RATE } from './wav.js';

/** Furthest a sample may come from when the fractional part of a delay is interpolated. */
const SINC_HALF = 16;
/** Peaks this close to the best count as equal; the shortest lag of them counts (tones and loops repeat). */
const EQUAL_PEAKS = 0.002;
/** An overlap must hold this share of the energy of either side, or its correlation says nothing. */
const ENERGY_SHARE = 0.25;

/** Pieces of sound of 100 to 250 ms, in steps of 10 ms. */
const PIECE_STEP = 80;
const SHORTEST_PIECE = 800;
const LONGEST_PIECE = 2000;
/** Of a step that is sound: -40 dBFS. */
const SILENCE_ENERGY = (32_768 * 10 ** (-40 / 20)) ** 2 * PIECE_STEP;
/** A piece is searched near the previous one first. */
const NEAR_SAMPLES = 4000;
const FOUND = 0.98;
const LIKELY = 0.4;
/** A shortened piece is searched in steps of 20 ms, within this range. */
const SHORTENED_PIECE = 160;
const SHORTENED_SAMPLES = 480;

/** How well one recording is found again in another. */
export interface Alignment {
  /** Milliseconds by which `heard` is later than `sent`; 0 where nothing was found. */
  readonly lagMs: number;
  /** Normalised correlation at that lag, -1 to 1; 0 for silence. */
  readonly correlation: number;
  /** Signal to noise after the best gain, in dB, -99 to 99. */
  readonly snrDb: number;
  /** That gain in dB; 0 where nothing was found. */
  readonly gainDb: number;
}

/** Where {@link align} searches. */
export interface AlignmentOptions {
  /** Earliest lag searched in milliseconds; default -20. */
  readonly minLagMs?: number;
  /** Latest lag searched in milliseconds; default 2,000. */
  readonly maxLagMs?: number;
}

const NOTHING: Alignment = { lagMs: 0, correlation: 0, snrDb: -99, gainDb: 0 };

/**
 * Finds `sent` in `heard` (8 kHz both) by normalised cross-correlation over an FFT, then refines the lag to a
 * fraction of a sample. Works for speech and tones (the lag of a tone is known up to its period); silence and
 * noise give a low correlation. 10 s take about a quarter of a second.
 */
export function align(sent: Int16Array, heard: Int16Array, options: AlignmentOptions = {}): Alignment {
  const min = Math.max(-sent.length + 1, Math.round(((options.minLagMs ?? -20) * PHONE_RATE) / 1000));
  const max = Math.min(heard.length - 1, Math.round(((options.maxLagMs ?? 2000) * PHONE_RATE) / 1000));
  if (max < min) return NOTHING;
  const lag = bestLag(sent, heard, min, max);
  if (lag === undefined) return NOTHING;
  let best = compare(sent, heard, lag, 0);
  // Correlation is smooth around its peak: halving steps find the fraction to 1/64 sample.
  for (let step = 0.5; step >= 1 / 64; step /= 2) {
    for (const fraction of [best.fraction - step, best.fraction + step]) {
      const other = compare(sent, heard, lag, fraction);
      if (other.correlation > best.correlation) best = other;
    }
  }
  const power = best.correlation ** 2;
  return {
    lagMs: ((lag + best.fraction) * 1000) / PHONE_RATE,
    correlation: best.correlation,
    snrDb: clampDb(10 * Math.log10(power / (1 - Math.min(power, 1)))),
    gainDb: best.gain === 0 ? 0 : clampDb(20 * Math.log10(Math.abs(best.gain))),
  };
}

/**
 * Finds the sound of `heard` (8 kHz both) in `sent` piece by piece, each where it belongs: pauses between may have been left out
 * or become longer, and words have been shortened. A piece is sound between two silences, of 250 ms at most, or 20 ms
 * of one that is not found whole. Told is how well half of the sound is found at least, and with which lag usually.
 * A second takes about 50 ms.
 */
export function alignPieces(sent: Int16Array, heard: Int16Array): Alignment {
  const found: { alignment: Alignment; length: number }[] = [];
  let lag = 0;
  for (const [from, to] of piecesOf(heard)) {
    const piece = heard.subarray(from, to);
    const near = find(sent, piece, from, lag, NEAR_SAMPLES);
    const whole = near.correlation >= FOUND ? near : find(sent, piece, from, lag, sent.length);
    if (whole.correlation >= FOUND) {
      lag = samplesOf(whole);
      found.push({ alignment: whole, length: piece.length });
      continue;
    }
    const likely = samplesOf(near.correlation >= LIKELY ? near : whole);
    for (let at = from; at < to; at += SHORTENED_PIECE) {
      const part = heard.subarray(at, Math.min(at + SHORTENED_PIECE, to));
      // Next to the part before it, or where most of its piece seems to be.
      let alignment = find(sent, part, at, lag, SHORTENED_SAMPLES);
      if (alignment.correlation < FOUND) {
        const other = find(sent, part, at, likely, SHORTENED_SAMPLES);
        if (other.correlation > alignment.correlation) alignment = other;
      }
      if (alignment.correlation >= FOUND) lag = samplesOf(alignment);
      found.push({ alignment, length: part.length });
    }
  }
  const { lagMs } = middleOf(found, 'lagMs');
  return { ...middleOf(found, 'correlation'), lagMs };
}

function samplesOf({ lagMs }: Alignment): number {
  return Math.round((lagMs * PHONE_RATE) / 1000);
}

/** That with the median value, of half of the sound. */
function middleOf(found: { alignment: Alignment; length: number }[], by: 'lagMs' | 'correlation'): Alignment {
  const sorted = [...found].sort((a, b) => a.alignment[by] - b.alignment[by]);
  let left = found.reduce((sum, { length }) => sum + length, 0) / 2;
  for (const { alignment, length } of sorted) {
    left -= length;
    if (left <= 0) return alignment;
  }
  return NOTHING;
}

/** A piece of `heard` that begins at `at`, with a lag that is at most `reach` samples away from the usual one. */
function find(sent: Int16Array, piece: Int16Array, at: number, usual: number, reach: number): Alignment {
  const first = Math.max(0, at - usual - reach);
  const part = sent.subarray(first, Math.max(first, at - usual + reach + piece.length));
  if (part.length < piece.length) return NOTHING;
  const begin = peakOf(scoresOf(piece, part));
  const { lagMs, ...rest } = align(part.subarray(begin, begin + piece.length), piece, {
    minLagMs: -1,
    maxLagMs: 1,
  });
  return { ...rest, lagMs: lagMs + ((at - first - begin) * 1000) / PHONE_RATE };
}

/** Sound between silences, first sample and the one after the last. */
function piecesOf(pcm: Int16Array): [number, number][] {
  const pieces: [number, number][] = [];
  let begin: number | undefined;
  for (let at = 0; at <= pcm.length; at += PIECE_STEP) {
    const isSound =
      at + PIECE_STEP <= pcm.length && energyOf(pcm.subarray(at, at + PIECE_STEP)) > SILENCE_ENERGY;
    if (isSound) begin ??= at;
    if (begin === undefined || (isSound && at - begin < LONGEST_PIECE)) continue;
    if (at - begin >= SHORTEST_PIECE) pieces.push([begin, at]);
    begin = isSound ? at : undefined;
  }
  return pieces;
}

/** Sum of the squares of all samples. */
export function energyOf(pcm: Int16Array): number {
  let energy = 0;
  for (const sample of pcm) energy += sample * sample;
  return energy;
}

function clampDb(db: number): number {
  return Number.isNaN(db) ? -99 : Math.max(-99, Math.min(99, db));
}

function bestLag(sent: Int16Array, heard: Int16Array, min: number, max: number): number | undefined {
  const products = crossCorrelation(sent, heard);
  const sentEnergy = runningEnergy(sent);
  const heardEnergy = runningEnergy(heard);
  const sentTotal = sentEnergy[sent.length] as number;
  const heardTotal = heardEnergy[heard.length] as number;
  if (sentTotal === 0 || heardTotal === 0) return undefined;
  const scores = new Float64Array(max - min + 1);
  let best = 0;
  for (let lag = min; lag <= max; lag++) {
    const from = Math.max(0, -lag);
    const to = Math.min(sent.length, heard.length - lag);
    if (to <= from) continue;
    const a = (sentEnergy[to] as number) - (sentEnergy[from] as number);
    const b = (heardEnergy[to + lag] as number) - (heardEnergy[from + lag] as number);
    if (a < ENERGY_SHARE * sentTotal || b < ENERGY_SHARE * heardTotal) continue;
    const product = products[(lag + products.length) % products.length] as number;
    const score = product / Math.sqrt(a * b);
    scores[lag - min] = score;
    best = Math.max(best, score);
  }
  if (best === 0) return undefined;
  let nearest: number | undefined;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] as number;
    const isPeak = score >= (scores[i - 1] ?? 0) && score >= (scores[i + 1] ?? 0);
    if (!isPeak || score < best - EQUAL_PEAKS) continue;
    if (nearest === undefined || Math.abs(i + min) < Math.abs(nearest)) nearest = i + min;
  }
  return nearest;
}

/** Normalised correlation of a passage with each place of `within` where it lies whole; 0 for silence. */
export function scoresOf(passage: Int16Array, within: Int16Array): Float64Array {
  const products = crossCorrelation(passage, within);
  const energies = runningEnergy(within);
  const energy = energyOf(passage);
  return new Float64Array(within.length - passage.length + 1).map((_, at) => {
    const power = (energies[at + passage.length] as number) - (energies[at] as number);
    return power === 0 ? 0 : (products[at] as number) / Math.sqrt(power * energy);
  });
}

/** Where the highest score is. */
export function peakOf(scores: Float64Array): number {
  return scores.reduce((best, score, at) => (score > (scores[best] as number) ? at : best), 0);
}

/** Energy of the first n samples, for every n. */
function runningEnergy(pcm: Int16Array): Float64Array {
  const sums = new Float64Array(pcm.length + 1);
  for (let i = 0; i < pcm.length; i++) {
    const sample = pcm[i] as number;
    sums[i + 1] = (sums[i] as number) + sample * sample;
  }
  return sums;
}

/** Correlation and gain with `sent` delayed by `lag + fraction` samples. */
function compare(sent: Int16Array, heard: Int16Array, lag: number, fraction: number) {
  const taps = delayTaps(fraction);
  const from = Math.max(SINC_HALF, SINC_HALF - lag);
  const to = Math.min(sent.length, heard.length - lag) - SINC_HALF;
  let product = 0;
  let sentPower = 0;
  let heardPower = 0;
  for (let i = from; i < to; i++) {
    let delayed = sent[i] as number;
    if (fraction !== 0) {
      delayed = 0;
      for (let k = 0; k <= 2 * SINC_HALF; k++) {
        delayed += (taps[k] as number) * (sent[i + k - SINC_HALF] as number);
      }
    }
    const sample = heard[i + lag] as number;
    product += delayed * sample;
    sentPower += delayed * delayed;
    heardPower += sample * sample;
  }
  const scale = Math.sqrt(sentPower * heardPower);
  return {
    fraction,
    correlation: scale === 0 ? 0 : product / scale,
    gain: sentPower === 0 ? 0 : product / sentPower,
  };
}

/** Hann-windowed sinc that delays by a fraction of a sample. */
function delayTaps(fraction: number): Float64Array {
  return new Float64Array(2 * SINC_HALF + 1).map((_, k) => {
    const x = k - SINC_HALF + fraction;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
    return sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / (SINC_HALF + 1)));
  });
}

/** Sum over i of sent[i]·heard[i + lag] for every lag, negative ones at the end of the array. */
function crossCorrelation(sent: Int16Array, heard: Int16Array): Float64Array {
  const size = 2 ** Math.ceil(Math.log2(sent.length + heard.length));
  const fourier = new Fourier(size);
  // Both real signals in one complex transform: z = heard + i·sent, taken apart by symmetry afterwards.
  const re = new Float64Array(size);
  const im = new Float64Array(size);
  re.set(heard);
  im.set(sent);
  fourier.transform(re, im);
  const outRe = new Float64Array(size);
  const outIm = new Float64Array(size);
  for (let k = 0; k < size; k++) {
    const mirror = (size - k) % size;
    const a = re[k] as number;
    const b = im[k] as number;
    const c = re[mirror] as number;
    const d = im[mirror] as number;
    const heardRe = (a + c) / 2;
    const heardIm = (b - d) / 2;
    const sentRe = (b + d) / 2;
    const sentIm = (c - a) / 2;
    // heard × conj(sent), conjugated once more so that the forward transform inverts it.
    outRe[k] = heardRe * sentRe + heardIm * sentIm;
    outIm[k] = -(heardIm * sentRe - heardRe * sentIm);
  }
  fourier.transform(outRe, outIm);
  for (let k = 0; k < size; k++) outRe[k] = (outRe[k] as number) / size;
  return outRe;
}
