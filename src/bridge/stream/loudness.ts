/** Steps for each doubling. */
const STEPS = 64;
/** Every so many samples one is looked at: 12,000 a second are enough. */
const STRIDE = 4;

/**
 * How loud samples are: 64 steps for each doubling of their mean amplitude, from 1 (silence) to 961.
 * @param begin first sample, and `end` the one after the last, a multiple of four later; default all
 */
export function loudnessOf(samples: Int16Array, begin = 0, end = samples.length): number {
  let sum = 0;
  for (let i = begin; i < end; i += STRIDE) sum += Math.abs(samples[i] as number);
  return 1 + Math.round(STEPS * Math.log2(1 + (sum * STRIDE) / (end - begin)));
}

/** The loudness of both halves of a frame in one integer; 0 where nobody was there. */
export function packLoudness(first: number, second: number): number {
  return (first << 16) | second;
}

/** The loudness of the first half of a frame. */
export function firstLoudness(packed: number): number {
  return packed >> 16;
}

/** The loudness of the second half of a frame. */
export function secondLoudness(packed: number): number {
  return packed & 0xffff;
}
