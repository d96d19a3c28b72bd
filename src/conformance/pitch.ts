import { isSound } from './sound.js';

/** Pitch that an adult's voice has, in Hz. */
const LOWEST = 60;
const HIGHEST = 420;
/** Windows in which a pitch is looked for, in seconds, and how periodic they must be. */
const PITCH_WINDOW = 0.04;
const PERIODIC = 0.6;
const FEWEST_WINDOWS = 10;
/** Wider than any voice, so that a wrong rate shows. */
const RANGE = [20, 1_200] as const;

/** The median pitch of a voice in Hz; `undefined` where too little of it is voiced. */
export function pitchOf(pcm: Int16Array, rate: number): number | undefined {
  const found: number[] = [];
  const window = Math.round(PITCH_WINDOW * rate);
  const longest = Math.round(rate / RANGE[0]);
  for (let at = 0; at + window + longest <= pcm.length; at += window) {
    const lag = periodAt(pcm, at, window, Math.ceil(rate / RANGE[1]), longest);
    if (lag !== undefined) found.push(rate / lag);
  }
  found.sort((a, b) => a - b);
  return found.length < FEWEST_WINDOWS ? undefined : found[found.length >> 1];
}

export const isPitchOfVoice = (hz: number): boolean => hz >= LOWEST && hz <= HIGHEST;

/** The shortest lag at which a piece repeats about as well as at its best. */
function periodAt(
  pcm: Int16Array,
  at: number,
  window: number,
  shortest: number,
  longest: number,
): number | undefined {
  const here = pcm.subarray(at, at + window);
  if (!isSound(here)) return undefined;
  // Every second lag and every second sample will do for a median.
  const fits = new Float64Array(longest + 1);
  let best = 0;
  for (let lag = shortest; lag <= longest; lag++) {
    let [product, one, other] = [0, 0, 0];
    for (let i = 0; i < window; i += 2) {
      const [a, b] = [here[i] as number, pcm[at + i + lag] as number];
      product += a * b;
      one += a * a;
      other += b * b;
    }
    fits[lag] = product / Math.sqrt(one * other + 1);
    best = Math.max(best, fits[lag] as number);
  }
  if (best < PERIODIC) return undefined;
  for (let lag = shortest + 1; lag < longest; lag++) {
    const fit = fits[lag] as number;
    if (fit >= 0.9 * best && fit >= (fits[lag - 1] as number) && fit >= (fits[lag + 1] as number)) return lag;
  }
  return undefined;
}
