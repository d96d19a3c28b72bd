import { readFileSync, writeFileSync } from 'node:fs';
import wavefile from 'wavefile';
import { GatewayError } from '../errors.js';

/** The telephone network's sample rate. */
export const PHONE_RATE = 8000;

/** Decimation factors by the rates a WAV file may have. */
const FACTORS: Readonly<Record<number, number>> = { 8000: 1, 16000: 2, 48000: 6 };
/** Taps per unit of decimation: enough for 70 dB of stop band with the Blackman window below. */
const TAPS_PER_FACTOR = 32;
/** Pass band edge in Hz: telephone speech ends at 3.4 kHz. */
const CUTOFF = 3600;

/**
 * Reads a WAV file as 8 kHz mono 16-bit PCM: 8, 16 or 48 kHz, mono or stereo (mixed down), 16-bit PCM or
 * µ-law. Higher rates go through a linear-phase low-pass (Blackman-windowed sinc, 3.6 kHz) before decimation.
 * @throws GatewayError `GW_SIM_WAV` for anything else
 */
export function readWav(path: string): Int16Array {
  const wav = new wavefile.WaveFile();
  try {
    wav.fromBuffer(readFileSync(path));
  } catch (cause) {
    throw new GatewayError('GW_SIM_WAV', `Expected a readable WAV file for ${path} but received none`, {
      cause,
    });
  }
  if (wav.bitDepth === '8m') wav.fromMuLaw();
  const { sampleRate, numChannels } = wav.fmt as { sampleRate: number; numChannels: number };
  const factor = FACTORS[sampleRate];
  if (factor === undefined || wav.bitDepth !== '16' || (numChannels !== 1 && numChannels !== 2)) {
    throw new GatewayError(
      'GW_SIM_WAV',
      `Expected 16-bit mono or stereo at 8, 16 or 48 kHz for ${path} but received ${wav.bitDepth}-bit, ` +
        `${numChannels} channels at ${sampleRate} Hz`,
    );
  }
  const interleaved = wav.getSamples(true, Int16Array) as unknown as Int16Array;
  return decimate(numChannels === 2 ? mixedDown(interleaved) : interleaved, factor);
}

/** Writes 8 kHz mono 16-bit PCM as a WAV file. */
export function writeWav(path: string, pcm: Int16Array): void {
  const wav = new wavefile.WaveFile();
  wav.fromScratch(1, PHONE_RATE, '16', pcm as unknown as number[]);
  writeFileSync(path, wav.toBuffer());
}

function mixedDown(interleaved: Int16Array): Int16Array {
  const mono = new Int16Array(interleaved.length / 2);
  for (let i = 0; i < mono.length; i++) {
    mono[i] = ((interleaved[2 * i] as number) + (interleaved[2 * i + 1] as number)) >> 1;
  }
  return mono;
}

function decimate(pcm: Int16Array, factor: number): Int16Array {
  if (factor === 1) return pcm;
  const taps = lowPass(factor);
  const half = (taps.length - 1) / 2;
  const out = new Int16Array(Math.floor(pcm.length / factor));
  for (let i = 0; i < out.length; i++) {
    const first = i * factor - half;
    let sum = 0;
    for (let k = Math.max(0, -first); k < taps.length && first + k < pcm.length; k++) {
      sum += (taps[k] as number) * (pcm[first + k] as number);
    }
    out[i] = Math.max(-32_768, Math.min(32_767, Math.round(sum)));
  }
  return out;
}

function lowPass(factor: number): Float64Array {
  const half = (TAPS_PER_FACTOR / 2) * factor;
  const taps = new Float64Array(2 * half + 1);
  const width = (2 * CUTOFF) / (PHONE_RATE * factor);
  let gain = 0;
  for (let k = -half; k <= half; k++) {
    const sinc = k === 0 ? width : Math.sin(Math.PI * width * k) / (Math.PI * k);
    const phase = (Math.PI * (k + half)) / half;
    const tap = sinc * (0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
    taps[k + half] = tap;
    gain += tap;
  }
  return taps.map((tap) => tap / gain);
}
