import { GatewayError } from '../errors.js';
import { Clip } from './clip.js';
import { TWILIO_SAMPLE_RATE } from './g711.js';
import { createResampler, RESAMPLER_RATES } from './rate-converter.js';
import { core } from './thread-core.js';

/** Longest clip, in seconds: 9.6 MB. */
export const MAX_CLIP_SECONDS = 600;
/** Audio that is converted at once, in milliseconds: other calls go on in between. */
const PIECE_MS = 300;
const WIDE_RATE = 48_000;

/** Format tags of RFC 2361. */
const PCM = 1;
const FLOAT = 3;
const ALAW = 6;
const MULAW = 7;
const EXTENSIBLE = 0xfffe;

interface WavFormat {
  readonly tag: number;
  readonly channels: number;
  readonly rate: number;
  readonly bits: number;
}

/** Takes frames of all channels as 16-bit mono. */
type Decoder = (bytes: Buffer, from: number, count: number) => Int16Array;

/**
 * Reads a WAV file: 16-bit PCM, 32-bit float, µ-law or A-law, mono or stereo (mixed down), 8, 16, 22.05, 24, 32, 44.1 or
 * 48 kHz. Long ones are converted in pieces, so that calls do not wait for it.
 * @throws GatewayError `GW_WAV_INVALID` (400), `GW_WAV_TOO_LONG` (413)
 */
export async function clipOfWav(bytes: Uint8Array): Promise<Clip> {
  const wav = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { format, from, length } = chunksOf(wav);
  const decode = decoderOf(format);
  const frameBytes = (format.bits / 8) * format.channels;
  const frames = Math.floor(length / frameBytes);
  if (frames === 0) throw invalid('at least one sample', 'none');
  if (frames / format.rate > MAX_CLIP_SECONDS) {
    const message = `Expected at most ${MAX_CLIP_SECONDS} seconds for a WAV file but received more`;
    throw new GatewayError('GW_WAV_TOO_LONG', message, { status: 413 });
  }
  const out = new Int16Array(Math.ceil((frames * TWILIO_SAMPLE_RATE) / format.rate));
  const convert = await converterTo(out, format.rate);
  const piece = (format.rate * PIECE_MS) / 1_000;
  for (let at = 0; at < frames; at += piece) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    convert.take(decode(wav, from + at * frameBytes, Math.min(piece, frames - at)));
  }
  convert.end();
  return new Clip(out);
}

function chunksOf(wav: Buffer): { format: WavFormat; from: number; length: number } {
  if (
    wav.length < 12 ||
    wav.toString('latin1', 0, 4) !== 'RIFF' ||
    wav.toString('latin1', 8, 12) !== 'WAVE'
  ) {
    throw invalid('RIFF and WAVE', 'another beginning');
  }
  let format: WavFormat | undefined;
  for (let at = 12; at + 8 <= wav.length; ) {
    const name = wav.toString('latin1', at, at + 4);
    const size = wav.readUInt32LE(at + 4);
    const from = at + 8;
    if (name === 'fmt ') format = formatOf(wav.subarray(from, from + size));
    if (name === 'data') {
      if (format === undefined) throw invalid('a format before the data', 'none');
      // Programs that write to a pipe leave the length open.
      return { format, from, length: Math.min(size === 0 ? wav.length : size, wav.length - from) };
    }
    at = from + size + (size % 2);
  }
  throw invalid('data', 'none');
}

function formatOf(chunk: Buffer): WavFormat {
  if (chunk.length < 16) throw invalid('a whole format', 'a part');
  const tag = chunk.readUInt16LE(0);
  const isExtended = tag === EXTENSIBLE && chunk.length >= 26;
  const format = {
    tag: isExtended ? chunk.readUInt16LE(24) : tag,
    channels: chunk.readUInt16LE(2),
    rate: chunk.readUInt32LE(4),
    bits: chunk.readUInt16LE(14),
  };
  if (format.channels !== 1 && format.channels !== 2)
    throw invalid('one or two channels', String(format.channels));
  if (!(RESAMPLER_RATES as readonly number[]).includes(format.rate)) {
    throw invalid(`one of ${RESAMPLER_RATES.join(', ')} Hz`, String(format.rate));
  }
  return format;
}

function decoderOf({ tag, channels, bits }: WavFormat): Decoder {
  const sampleOf = sampleReader(tag, bits);
  const width = bits / 8;
  return (bytes, from, count) => {
    const mono = new Int16Array(count);
    for (let i = 0; i < count; i++) {
      const at = from + i * channels * width;
      mono[i] =
        channels === 1 ? sampleOf(bytes, at) : (sampleOf(bytes, at) + sampleOf(bytes, at + width)) >> 1;
    }
    return mono;
  };
}

function sampleReader(tag: number, bits: number): (bytes: Buffer, at: number) => number {
  if (tag === PCM && bits === 16) return (bytes, at) => bytes.readInt16LE(at);
  if (tag === FLOAT && bits === 32) {
    // What is no number is no sound either.
    return (bytes, at) =>
      Math.max(-32_768, Math.min(32_767, Math.round((bytes.readFloatLE(at) || 0) * 32_768)));
  }
  if ((tag === MULAW || tag === ALAW) && bits === 8) {
    const table = new Int16Array(256);
    const codes = Uint8Array.from(table, (_, code) => code);
    if (tag === MULAW) core.decodeMulaw(codes, table);
    else core.decodeAlaw(codes, table);
    return (bytes, at) => table[bytes[at] as number] as number;
  }
  throw invalid('16-bit PCM, 32-bit float, µ-law or A-law', `format ${tag} of ${bits} bits`);
}

/** Writes what it takes to `out`, at 8 kHz, from its beginning. */
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
    // The core's own filter, many times faster; pieces are whole multiples of six but for the last.
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
  const converter = await createResampler(rate, TWILIO_SAMPLE_RATE);
  // What the filter delays is not to be heard as a gap, nor is the end to be missing.
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

function invalid(what: string, received: string): GatewayError {
  return new GatewayError('GW_WAV_INVALID', `Expected ${what} for a WAV file but received ${received}`, {
    status: 400,
  });
}
