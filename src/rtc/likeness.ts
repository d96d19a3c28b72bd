/** Periods are sought at this rate first. */
const COARSE_RATE = 8_000;
/** The shortest and the longest period of a voice, in milliseconds. */
const SHORTEST_MS = 2.5;
export const LONGEST_MS = 15;
/** A mean square below this is silence: -60 dBFS. */
const SILENT_SQUARE = 32 * 32;

/** Twice the longest period and what is compared, at the coarse rate. */
const coarse = new Int32Array(((2 * LONGEST_MS + 20) * COARSE_RATE) / 1_000);

/** What {@link findPeriod} found, shared by the thread: how alike the two pieces are, -1 to 1; silence is like silence. */
export const found = { likeness: 0 };

/**
 * Finds how far from a piece of sound the most similar one lies, in whole samples.
 * @param at where the piece begins
 * @param length samples of it, 5 to 20 ms
 * @param direction 1: the other lies later; -1: earlier
 * @param longest samples that it may be away; there must be sound that far
 * @returns 2.5 to 15 ms in samples, at most `longest`; 0 if `longest` is less than that
 */
export function findPeriod(
  samples: Int16Array,
  at: number,
  length: number,
  direction: 1 | -1,
  longest: number,
  rate: number,
): number {
  const step = rate / COARSE_RATE;
  const shortestCoarse = (SHORTEST_MS * COARSE_RATE) / 1_000;
  const longestCoarse = Math.floor(Math.min(longest, (LONGEST_MS * rate) / 1_000) / step);
  if (longestCoarse < shortestCoarse) return 0;
  const coarseLength = Math.floor(length / step);
  const from = direction === 1 ? 0 : longestCoarse;
  for (let i = 0, next = at - from * step; i < coarseLength + longestCoarse; i++) {
    let sum = 0;
    for (let j = 0; j < step; j++, next++) sum += samples[next] as number;
    coarse[i] = sum;
  }
  const about = step * best(coarse, from, coarseLength, direction, shortestCoarse, longestCoarse, 1);
  if (step === 1) return about;
  const shortest = Math.max(shortestCoarse * step, about - step + 1);
  return best(
    samples,
    at,
    length,
    direction,
    shortest,
    Math.min(longestCoarse * step, about + step - 1),
    step,
  );
}

/** Of equally good distances the longest wins. Looks at every `stride`th sample. */
function best(
  samples: Int16Array | Int32Array,
  at: number,
  length: number,
  direction: 1 | -1,
  shortest: number,
  longest: number,
  stride: number,
): number {
  let distance = longest;
  found.likeness = -2;
  for (let tried = longest; tried >= shortest; tried--) {
    const value = likeness(samples, at, samples, at + direction * tried, length, stride);
    if (value > found.likeness) {
      found.likeness = value;
      distance = tried;
    }
  }
  return distance;
}

/** The normalised correlation of two pieces. */
export function likeness(
  one: Int16Array | Int32Array,
  oneAt: number,
  other: Int16Array | Int32Array,
  otherAt: number,
  length: number,
  stride: number,
): number {
  let product = 0;
  let energy = 0;
  let otherEnergy = 0;
  for (let i = 0; i < length; i += stride) {
    const a = one[oneAt + i] as number;
    const b = other[otherAt + i] as number;
    product += a * b;
    energy += a * a;
    otherEnergy += b * b;
  }
  const silent = (SILENT_SQUARE * length) / stride;
  if (energy < silent && otherEnergy < silent) return 1;
  return energy === 0 || otherEnergy === 0 ? 0 : product / Math.sqrt(energy * otherEnergy);
}
