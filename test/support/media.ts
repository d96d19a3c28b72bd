import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Resampler } from '../../src/media/core.js';

/** The stream of Twilio's own examples. */
export const STREAM_SID = 'MZ18ad3ab5a668481ce02b83e7395059f0';

export interface MediaFields {
  readonly sequenceNumber?: number | string;
  readonly chunk?: number | string;
  readonly timestamp?: number | string;
  readonly payload?: Uint8Array | string;
  readonly streamSid?: string;
  readonly track?: string;
}

/** A `media` message as Twilio writes it. A string payload goes in as it is, bytes as base64. */
export function mediaText(fields: MediaFields = {}): string {
  const { sequenceNumber = 4, chunk = 2, timestamp = 5, payload = '', track = 'inbound' } = fields;
  const base64 = typeof payload === 'string' ? payload : Buffer.from(payload).toString('base64');
  return JSON.stringify({
    event: 'media',
    sequenceNumber: `${sequenceNumber}`,
    media: { track, chunk: `${chunk}`, timestamp: `${timestamp}`, payload: base64 },
    streamSid: fields.streamSid ?? STREAM_SID,
  });
}

export function media(fields: MediaFields = {}): Uint8Array {
  return new TextEncoder().encode(mediaText(fields));
}

/** A repeatable stream of numbers 0 to 2^32 - 1 (xorshift32). */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

export function randomBytes(count: number, seed: number): Uint8Array {
  const next = randomNumbers(seed);
  return Uint8Array.from({ length: count }, () => next() >>> 24);
}

/** Full-scale noise: the worst that can come in. */
export function noise(count: number, seed: number): Int16Array {
  const next = randomNumbers(seed);
  return Int16Array.from({ length: count }, () => next() >> 16);
}

export function tone(frequency: number, rate: number, count: number, amplitude = 16_000): Int16Array {
  return Int16Array.from({ length: count }, (_, n) =>
    Math.round(amplitude * Math.sin((2 * Math.PI * frequency * n) / rate)),
  );
}

/** Amplitude of one frequency by a direct DFT; exact if the samples hold whole periods of all their tones. */
export function amplitudeAt(frequency: number, rate: number, samples: Int16Array): number {
  let re = 0;
  let im = 0;
  for (const [n, sample] of samples.entries()) {
    const angle = (2 * Math.PI * frequency * n) / rate;
    re += sample * Math.cos(angle);
    im -= sample * Math.sin(angle);
  }
  return (2 * Math.hypot(re, im)) / samples.length;
}

/**
 * Amplitude of one frequency, a multiple of 10 Hz, in the median of all tenths of a second: a hole that a busy machine makes
 * spoils but a few of them.
 */
export function usualAmplitude(frequency: number, rate: number, samples: Int16Array): number {
  const length = rate / 10;
  const amplitudes = Array.from({ length: Math.floor(samples.length / length) }, (_, i) =>
    amplitudeAt(frequency, rate, samples.subarray(i * length, (i + 1) * length)),
  ).sort((a, b) => a - b);
  return amplitudes[amplitudes.length >> 1] as number;
}

export function decibels(ratio: number): number {
  return 20 * Math.log10(ratio);
}

/** Feeds `pcm` through a resampler, in chunks of `sizes` if given (the last size repeats), and returns all output. */
export function resample(
  resampler: Resampler,
  factor: number,
  pcm: Int16Array,
  sizes: number[] = [],
): Int16Array {
  const out = new Int16Array(Math.round(pcm.length * factor));
  let read = 0;
  let written = 0;
  for (let piece = 0; read < pcm.length; piece++) {
    const size = sizes[Math.min(piece, sizes.length - 1)] ?? pcm.length;
    written += resampler.process(pcm.subarray(read, read + size), out.subarray(written));
    read += size;
  }
  return out.subarray(0, written);
}

export function sha256(data: ArrayBufferView): string {
  return createHash('sha256')
    .update(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
}

/** A filter as the C++ core holds it: integer taps in the order of the impulse response, and each tap's scale. */
export interface FilterTable {
  readonly taps: readonly number[];
  readonly scales: readonly number[];
}

/** Reads a table out of the C++ source, so that the tests measure the numbers that were compiled. */
export function filterTable(name: 'kUpTaps' | 'kDownTaps'): FilterTable {
  const source = readFileSync(fileURLToPath(new URL('../../native/coefficients.h', import.meta.url)), 'utf8');
  const body = source.slice(source.indexOf(`int16_t ${name}`)).split('};')[0] ?? '';
  const taps: number[] = [];
  const scales: number[] = [];
  let scale = Number.NaN;
  for (const line of body.split('\n').slice(1)) {
    const group = /rows \d+ to \d+: Q(\d+)/.exec(line);
    if (group) {
      scale = Number(group[1]);
      continue;
    }
    for (const tap of line.match(/-?\d+/g) ?? []) {
      taps.push(Number(tap));
      scales.push(scale);
    }
  }
  return { taps, scales };
}

/** Up to -3 dBFS a mix of several voices is their sum as it is. */
export const KNEE = 23_199;

/** One voice as it is; of several the sum, whose excess x above the knee is x * h / (x + h) of the headroom h. */
export function limited(sum: number, voices: number): number {
  const excess = Math.abs(sum) - KNEE;
  if (voices < 2 || excess <= 0) return sum;
  const headroom = 32_767 - KNEE;
  // Divided as 32-bit floats.
  const missing = Math.trunc(Math.fround(headroom ** 2 / Math.fround(excess + headroom)));
  return Math.sign(sum) * (32_767 - missing);
}

/** The recording that comes with the simulator: seconds of speech, 8 kHz. */
export function speech(): Int16Array {
  const wav = readFileSync(
    fileURLToPath(new URL('../../src/simulator/fixtures/speech.wav', import.meta.url)),
  );
  const from = wav.indexOf('data') + 8;
  return new Int16Array(wav.buffer.slice(wav.byteOffset + from, wav.byteOffset + wav.length));
}
