import { randomNumbers } from '../../src/simulator/random.js';

const HZ = 1_000;
const PIECE_MS = 10;
/** Root mean square of sound, of 32767: -42 dBFS. The quietest of {@link restless} is 20 dB louder. */
const LOUD = 250;

/**
 * A tone of 1 kHz that is never silent and never the same for long: how much of it was heard can be counted, and its loudness
 * shows where it is.
 */
export function restless(ms: number, rate: number, seed = 1): Int16Array {
  const random = randomNumbers(seed);
  const samples = new Int16Array((ms * rate) / 1_000);
  for (let begin = 0; begin < samples.length; ) {
    const length = Math.round((0.04 + random() * 0.12) * rate);
    const level = 3_500 * 8 ** random();
    for (let i = begin; i < Math.min(begin + length, samples.length); i++) {
      samples[i] = Math.round(level * Math.sin((2 * Math.PI * HZ * i) / rate));
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
