import { GatewayError } from '../errors.js';
import { TWILIO_SAMPLE_RATE } from '../media/g711.js';
import { createConverter } from '../media/rate-converter.js';
import { core } from '../media/thread-core.js';
import { type G711Tables, openWav } from '../media/wav.js';
import { Clip } from './clip.js';

/** Longest clip, in seconds: 9.6 MB. */
export const MAX_CLIP_SECONDS = 600;
/** Milliseconds converted at a time; other calls get their turn in between. */
const PIECE_MS = 300;
const WIDE_RATE = 48_000;

/** Most samples converted at a time. */
const PIECE_SAMPLES = 14_400;

/** As the core decodes them. */
const G711_TABLES: G711Tables = {
  mulaw: () => tableOf((codes, table) => core.decodeMulaw(codes, table)),
  alaw: () => tableOf((codes, table) => core.decodeAlaw(codes, table)),
};

function tableOf(decode: (codes: Uint8Array, table: Int16Array) => void): Int16Array {
  const table = new Int16Array(256);
  decode(
    Uint8Array.from(table, (_, code) => code),
    table,
  );
  return table;
}

/**
 * Reads a WAV file: 8, 16, 24 or 32-bit PCM, 32 or 64-bit float, µ-law or A-law, mono or stereo (mixed down), 8, 11.025, 16,
 * 22.05, 24, 32, 44.1, 48 or 96 kHz. Long ones are converted in pieces, so that calls do not wait.
 * @throws GatewayError `GW_WAV_INVALID` (400), `GW_WAV_TOO_LONG` (413)
 */
export async function clipOfWav(bytes: Uint8Array): Promise<Clip> {
  const { rate, frames, mono } = openWav(bytes, G711_TABLES);
  if (frames / rate > MAX_CLIP_SECONDS) {
    const message = `Expected at most ${MAX_CLIP_SECONDS} seconds for a WAV file but received more`;
    throw new GatewayError('GW_WAV_TOO_LONG', message);
  }
  const out = new Int16Array(Math.ceil((frames * TWILIO_SAMPLE_RATE) / rate));
  const convert = await converterTo(out, rate);
  const piece = Math.min(PIECE_SAMPLES, Math.floor((rate * PIECE_MS) / 1_000));
  for (let at = 0; at < frames; at += piece) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    convert.take(mono(at, Math.min(piece, frames - at)));
  }
  convert.end();
  return new Clip(out);
}

/** Converts samples to 8 kHz and appends them to `out`. */
async function converterTo(
  out: Int16Array,
  rate: number,
): Promise<{ take(pcm: Int16Array): void; end(): void }> {
  let written = 0;
  const write = (pcm: Int16Array) => {
    const fits = pcm.subarray(0, out.length - written);
    out.set(fits, written);
    written += fits.length;
  };
  if (rate === TWILIO_SAMPLE_RATE) return { take: write, end: () => {} };
  if (rate === WIDE_RATE) {
    // The core's own filter is many times faster. All pieces but the last are multiples of six samples.
    const downsampler = new core.Downsampler();
    return {
      take: (pcm) => {
        const whole = new Int16Array(Math.ceil(pcm.length / 6) * 6);
        whole.set(pcm);
        const narrow = new Int16Array(whole.length / 6);
        downsampler.process(whole, narrow);
        write(narrow);
      },
      end: () => {},
    };
  }
  const converter = await createConverter(rate, TWILIO_SAMPLE_RATE);
  // Skip the filter's delay, so that the clip has no gap at the start and keeps its end.
  let early = Math.round((converter.delayMs * TWILIO_SAMPLE_RATE) / 1_000);
  const writeOnTime = (pcm: Int16Array) => {
    const skipped = Math.min(early, pcm.length);
    early -= skipped;
    write(pcm.subarray(skipped));
  };
  return {
    take: (pcm) => writeOnTime(converter.process(pcm)),
    end: () => {
      writeOnTime(converter.flush());
      converter.close();
    },
  };
}
