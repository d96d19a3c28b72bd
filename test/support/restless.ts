import { InstantReader } from '../../src/simulator/index.js';
import { randomNumbers } from '../../src/simulator/random.js';
import { sweepPcm } from '../../src/simulator/sweep.js';

const HZ = 1_000;
const PIECE_MS = 10;
/** Of a reading. */
const STEP_MS = 5;
/** Root mean square of sound, of 32767: -42 dBFS. The quietest of {@link restless} is 20 dB louder. */
const LOUD = 250;

/**
 * A tone of 1 kHz that is never silent and never the same for long: how much of it was heard can be counted, and its loudness
 * shows where it is.
 */
export function restless(ms: number, rate: number, seed = 1): Int16Array {
  return unsettled((i) => 28_000 * Math.sin((2 * Math.PI * HZ * i) / rate), ms, rate, seed);
}

/** The beginning of a sweep, 8 kHz, just as restless: what was heard of it last can be told, see {@link endInSweep}. */
export function restlessSweep(ms: number, seed = 1): Int16Array {
  const sweep = sweepPcm();
  return unsettled((i) => sweep[i] as number, ms, 8_000, seed);
}

/** Where in a sweep what was heard ends, in milliseconds; `undefined` if nothing can be read. */
export function endInSweep(heard: Int16Array): number | undefined {
  const instants = new InstantReader().read(heard, STEP_MS);
  const last = instants.findLastIndex((instant) => typeof instant === 'number');
  const end = instants.findLastIndex((instant) => instant !== 'silence');
  // The cut itself cannot be read.
  return last < 0 ? undefined : (instants[last] as number) + (end - last + 0.5) * STEP_MS;
}

/** Samples at a level that changes by up to 18 dB every 40 to 160 ms. */
function unsettled(sample: (index: number) => number, ms: number, rate: number, seed: number): Int16Array {
  const random = randomNumbers(seed);
  const samples = new Int16Array((ms * rate) / 1_000);
  for (let begin = 0; begin < samples.length; ) {
    const length = Math.round((0.04 + random() * 0.12) * rate);
    const level = 8 ** (random() - 1);
    for (let i = begin; i < Math.min(begin + length, samples.length); i++) {
      samples[i] = Math.round(level * sample(i));
    }
    begin += length;
  }
  return samples;
}

/** Milliseconds of sound, in pieces of 10 ms. */
export function soundMs(samples: Int16Array, rate = 8_000): number {
  const size = (PIECE_MS * rate) / 1_000;
  let ms = 0;
  for (let at = 0; at + size <= samples.length; at += size) {
    let sum = 0;
    for (let i = at; i < at + size; i++) sum += (samples[i] as number) ** 2;
    if (Math.sqrt(sum / size) > LOUD) ms += PIECE_MS;
  }
  return ms;
}
