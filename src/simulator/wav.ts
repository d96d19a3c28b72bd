import { readFileSync, writeFileSync } from 'node:fs';
import { GatewayError } from '../errors.js';
import { openWav, wavHeader } from '../media/wav.js';
import { decodeMulaw } from './mulaw.js';

/** The telephone network's sample rate. */
export const PHONE_RATE = 8000;

/** Taps per unit of decimation: enough for 70 dB of stop band with the Blackman window below. */
const TAPS_PER_FACTOR = 32;
/** Pass band edge in Hz: telephone speech ends at 3.4 kHz. */
const CUTOFF = 3600;

/**
 * Reads a WAV file as 8 kHz mono 16-bit PCM: 8, 11.025, 16, 22.05, 24, 32, 44.1, 48 or 96 kHz, mono or stereo (mixed down), 8,
 * 16, 24 or 32-bit PCM, 32 or 64-bit float or µ-law. Higher rates go through a linear-phase low-pass (Blackman-windowed sinc,
 * 3.6 kHz) on the way down.
 * @throws GatewayError `GW_SIM_WAV` for anything else
 */
export function readWav(path: string): Int16Array {
  try {
    const { rate, frames, mono } = openWav(readFileSync(path), {
      mulaw: () => decodeMulaw(ALL_CODES),
    });
    return resampled(mono(0, frames), rate / PHONE_RATE);
  } catch (cause) {
    const why = cause instanceof GatewayError ? `: ${cause.message}` : '';
    throw new GatewayError('GW_SIM_WAV', `Expected a readable WAV file for ${path} but received none${why}`, {
      cause,
    });
  }
}

const ALL_CODES = new Uint8Array(256).map((_, code) => code);

/** Writes 8 kHz mono 16-bit PCM as a WAV file. */
export function writeWav(path: string, pcm: Int16Array): void {
  const samples = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  writeFileSync(path, Buffer.concat([wavHeader(1, PHONE_RATE, samples.length), samples]));
}

/** @param factor how many samples make one, 1 or more */
function resampled(pcm: Int16Array, factor: number): Int16Array {
  if (factor === 1) return pcm;
  const half = Math.ceil((TAPS_PER_FACTOR / 2) * factor);
  const out = new Int16Array(Math.floor(pcm.length / factor));
  /** Filters by how far between two samples the one that is made lies: as many as the rates have of such places. */
  const filters = new Map<number, Float64Array>();
  for (let i = 0; i < out.length; i++) {
    const middle = Math.floor(i * factor + 1e-6);
    const place = Math.round((i * factor - middle) * PHONE_RATE);
    const taps = filters.get(place) ?? lowPass(factor, half, place / PHONE_RATE);
    filters.set(place, taps);
    const first = middle - half;
    let sum = 0;
    for (let k = Math.max(0, -first); k < taps.length && first + k < pcm.length; k++) {
      sum += (taps[k] as number) * (pcm[first + k] as number);
    }
    out[i] = Math.max(-32_768, Math.min(32_767, Math.round(sum)));
  }
  return out;
}

/** @param behind by how many samples, less than one, the filter lies behind its middle tap */
function lowPass(factor: number, half: number, behind: number): Float64Array {
  const taps = new Float64Array(2 * half + 1);
  const width = (2 * CUTOFF) / (PHONE_RATE * factor);
  let gain = 0;
  for (let k = -half; k <= half; k++) {
    const at = k - behind;
    const sinc = at === 0 ? width : Math.sin(Math.PI * width * at) / (Math.PI * at);
    const phase = (Math.PI * (at + half)) / half;
    const tap = sinc * (0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
    taps[k + half] = tap;
    gain += tap;
  }
  return taps.map((tap) => tap / gain);
}
