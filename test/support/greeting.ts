import { amplitudeAt } from './media.js';

/** A greeting whose every instant can be identified: a tone that rises by 1 Hz per millisecond. */
const FROM_HZ = 500;
export const GREETING_MS = 2_000;
const PEAK = 8_000;
/** Length of the window for one instant, and the step between windows. */
const WINDOW = 160;
const STEP = 40;
const RATE = 8_000;

/** 10 ms of it at 48 kHz, by their number; silence after its end. */
export function greetingBlock(index: number, samples = 480): Int16Array {
  const block = new Int16Array(samples);
  for (let i = 0; i < samples; i++) {
    const ms = (index * samples + i) / 48;
    if (ms >= GREETING_MS) break;
    // The phase is the integral of the frequency.
    const cycles = (FROM_HZ * ms) / 1_000 + (ms * ms) / 2_000;
    block[i] = Math.round(PEAK * Math.sin(2 * Math.PI * cycles));
  }
  return block;
}

/** One instant of a greeting in what was heard. */
export interface HeardInstant {
  /** Milliseconds into what was heard. */
  readonly at: number;
  /** Milliseconds into the greeting. */
  readonly of: number;
}

/** Which instants of the greeting are in 8 kHz audio, in order. */
export function instantsOf(heard: Int16Array): HeardInstant[] {
  const instants: HeardInstant[] = [];
  for (let begin = 0; begin + WINDOW <= heard.length; begin += STEP) {
    const window = heard.subarray(begin, begin + WINDOW);
    const frequency = loudestHz(window);
    if (frequency === undefined) continue;
    const at = ((begin + WINDOW / 2) * 1_000) / RATE;
    instants.push({ at, of: frequency - FROM_HZ });
  }
  return instants;
}

/** The frequency of a window that holds hardly anything else. */
function loudestHz(window: Int16Array): number | undefined {
  const power = window.reduce((sum, sample) => sum + sample ** 2, 0) / window.length;
  if (power < (PEAK / 4) ** 2 / 2) return undefined;
  const level = (hz: number) => amplitudeAt(hz, RATE, window);
  let best = FROM_HZ;
  for (let hz = FROM_HZ - 50; hz <= FROM_HZ + GREETING_MS + 50; hz += 25)
    if (level(hz) > level(best)) best = hz;
  for (let step = 8; step >= 1; step /= 2) {
    while (level(best + step) > level(best)) best += step;
    while (level(best - step) > level(best)) best -= step;
  }
  return best;
}
