import { RESAMPLER_RATES } from '../media/rate-converter.js';
import { levelOf, soundIn } from './sound.js';

/** Samples a second of a loudness curve, and how alike two curves of the same words are. */
const CURVE_RATE = 100;
const ALIKE = 0.92;

/**
 * The rate at which sound was made, if it is an echo of a question, told by its speed.
 * @param question what was said, at `questionRate`
 * @param rate at which the echo is played
 */
export function rateOfEcho(
  echo: Int16Array,
  rate: number,
  question: Int16Array,
  questionRate: number,
): number | undefined {
  const heard = loudness(echo, rate);
  const said = loudness(question, questionRate);
  const rated = RESAMPLER_RATES.map((made) => ({ made, fit: bestFit(stretched(said, made / rate), heard) }));
  const best = rated.reduce((a, b) => (b.fit > a.fit ? b : a));
  return best.fit < ALIKE ? undefined : best.made;
}

/** Whether two pieces are the same sound, whatever their beginning. */
export function isSameSound(...sounds: readonly [Sound, Sound]): boolean {
  const [a, b] = sounds.map(({ pcm, rate }) => loudness(pcm, rate)) as [Float64Array, Float64Array];
  return bestFit(a, b) > ALIKE;
}

/** Samples, and how many of them are a second. */
export interface Sound {
  readonly pcm: Int16Array;
  readonly rate: number;
}

/** Loudness over time, {@link CURVE_RATE} a second, from its first sound to its last. */
function loudness(pcm: Int16Array, rate: number): Float64Array {
  const { from, to } = soundIn(pcm, rate) ?? { from: 0, to: 0 };
  const window = rate / CURVE_RATE;
  return Float64Array.from({ length: Math.floor((to - from) / window) }, (_, i) =>
    Math.log2(1 + levelOf(pcm.subarray(from + i * window, from + (i + 1) * window)) / 100),
  );
}

/** A curve played slower by a factor: a recording at a higher rate than it is played at lasts longer. */
function stretched(curve: Float64Array, factor: number): Float64Array {
  return Float64Array.from({ length: Math.floor(curve.length * factor) }, (_, i) => {
    const at = Math.min(curve.length - 1, i / factor);
    const [low, high] = [Math.floor(at), Math.min(curve.length - 1, Math.floor(at) + 1)];
    return (curve[low] as number) * (1 - at + low) + (curve[high] as number) * (at - low);
  });
}

/** Fewest points that two curves must share. */
const LEAST_OVERLAP = 50;

/** The best correlation of two curves over all shifts in which most of the shorter one overlaps. */
function bestFit(a: Float64Array, b: Float64Array): number {
  const least = Math.max(LEAST_OVERLAP, 0.8 * Math.min(a.length, b.length));
  let best = 0;
  for (let shift = -b.length; shift < a.length; shift++) {
    const from = Math.max(0, shift);
    const to = Math.min(a.length, b.length + shift);
    if (to - from >= least) best = Math.max(best, correlation(a, b, from, to, shift));
  }
  return best;
}

function correlation(a: Float64Array, b: Float64Array, from: number, to: number, shift: number): number {
  const count = to - from;
  let [sumA, sumB, squareA, squareB, product] = [0, 0, 0, 0, 0];
  for (let i = from; i < to; i++) {
    const [x, y] = [a[i] as number, b[i - shift] as number];
    sumA += x;
    sumB += y;
    squareA += x * x;
    squareB += y * y;
    product += x * y;
  }
  const spread = (count * squareA - sumA * sumA) * (count * squareB - sumB * sumB);
  return spread <= 0 ? 0 : (count * product - sumA * sumB) / Math.sqrt(spread);
}
