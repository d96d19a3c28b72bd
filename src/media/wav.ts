import { GatewayError } from '../errors.js';

/** Format tags of RFC 2361. */
const PCM = 1;
const FLOAT = 3;
const ALAW = 6;
const MULAW = 7;
const EXTENSIBLE = 0xfffe;

/** Samples per second that a WAV file may have. */
export const WAV_RATES: readonly number[] = [
  8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
];

/** The data chunk's length is elsewhere, or unknown: programs that write to a pipe leave it open. */
const OPEN_LENGTH = 0xffff_ffff;
/** Recorders write about a dozen. */
const MAX_CHUNKS = 1_000;

/** Bytes of the header that {@link wavHeader} makes. */
export const WAV_HEADER_BYTES = 44;

/**
 * The header of a WAV file of 16-bit PCM: samples follow it, little endian, those of all channels in turn.
 * @param rate samples per second of each channel
 * @param dataBytes bytes of audio behind it
 */
export function wavHeader(channels: number, rate: number, dataBytes: number): Buffer {
  const header = Buffer.alloc(WAV_HEADER_BYTES);
  const frameBytes = 2 * channels;
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(WAV_HEADER_BYTES - 8 + dataBytes, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(PCM, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * frameBytes, 28);
  header.writeUInt16LE(frameBytes, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(dataBytes, 40);
  return header;
}

/** The samples of the 256 codes of G.711, made on demand. */
export interface G711Tables {
  mulaw(): Int16Array;
  alaw?(): Int16Array;
}

/** The audio of a WAV file, read in place. */
export interface WavAudio {
  /** Samples per second. */
  readonly rate: number;
  /** Samples of each channel that the file really has, whatever its header says. */
  readonly frames: number;
  /** `count` frames from frame `from` on as 16-bit mono, with the channels mixed. */
  mono(from: number, count: number): Int16Array;
}

interface Format {
  readonly tag: number;
  readonly channels: number;
  readonly rate: number;
  readonly bits: number;
}

type SampleReader = (bytes: Buffer, at: number) => number;

/**
 * Opens a WAV file of one of {@link WAV_RATES}: 8, 16, 24 or 32-bit PCM, 32 or 64-bit float, µ-law or A-law, mono or stereo;
 * RIFF, RF64 or BW64, also with `WAVE_FORMAT_EXTENSIBLE`.
 * @throws GatewayError `GW_WAV_INVALID` (400)
 */
export function openWav(bytes: Uint8Array, tables: G711Tables): WavAudio {
  const wav = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { format, from, length } = chunksOf(wav);
  const { channels, rate, bits } = format;
  if (!WAV_RATES.includes(rate)) throw invalid(`one of ${WAV_RATES.join(', ')} Hz`, String(rate));
  const sampleAt = sampleReader(format, tables);
  const width = bits / 8;
  const frames = Math.floor(length / (width * channels));
  if (frames === 0) throw invalid('at least one sample', 'none');
  return {
    rate,
    frames,
    mono(first, count) {
      const mono = new Int16Array(count);
      for (let i = 0, at = from + first * channels * width; i < count; i++, at += channels * width) {
        const left = sampleAt(wav, at);
        mono[i] = channels === 1 ? left : (left + sampleAt(wav, at + width)) >> 1;
      }
      return mono;
    },
  };
}

function chunksOf(wav: Buffer): { format: Format; from: number; length: number } {
  const text = (at: number) => wav.toString('latin1', at, at + 4);
  if (wav.length < 12 || !['RIFF', 'RF64', 'BW64'].includes(text(0)) || text(8) !== 'WAVE') {
    throw invalid('RIFF and WAVE', 'another beginning');
  }
  let format: Format | undefined;
  let longLength: number | undefined;
  for (let at = 12, chunks = 0; at + 8 <= wav.length; chunks++) {
    if (chunks === MAX_CHUNKS) throw invalid(`audio within ${MAX_CHUNKS} chunks`, 'more');
    const name = text(at);
    const size = wav.readUInt32LE(at + 4);
    const from = at + 8;
    if (name === 'fmt ') format = formatOf(wav.subarray(from, from + size));
    // Files of more than 4 GiB: EBU Tech 3306. The length of the file comes first.
    if (name === 'ds64' && size >= 16 && from + 16 <= wav.length)
      longLength = Number(wav.readBigUInt64LE(from + 8));
    if (name === 'data') {
      if (format === undefined) throw invalid('a format before the data', 'none');
      const said = size === OPEN_LENGTH ? longLength : size;
      return { format, from, length: Math.min(said || wav.length, wav.length - from) };
    }
    at = from + size + (size % 2);
  }
  throw invalid('data', 'none');
}

function formatOf(chunk: Buffer): Format {
  if (chunk.length < 16) throw invalid('a whole format', 'a part');
  const tag = chunk.readUInt16LE(0);
  if (tag === EXTENSIBLE && chunk.length < 26) throw invalid('a whole format', 'a part');
  const channels = chunk.readUInt16LE(2);
  const bits = chunk.readUInt16LE(14);
  const frameBytes = chunk.readUInt16LE(12);
  if (channels !== 1 && channels !== 2) throw invalid('one or two channels', String(channels));
  if (frameBytes !== 0 && frameBytes !== (bits / 8) * channels)
    throw invalid(`${(bits / 8) * channels} bytes for ${channels} times ${bits} bits`, String(frameBytes));
  // The first bytes of a format's GUID are its tag.
  const format = tag === EXTENSIBLE ? chunk.readUInt16LE(24) : tag;
  return { tag: format, channels, rate: chunk.readUInt32LE(4), bits };
}

function sampleReader({ tag, bits }: Format, tables: G711Tables): SampleReader {
  switch (tag) {
    case PCM: {
      const reader = PCM_READERS.get(bits);
      if (reader !== undefined) return reader;
      break;
    }
    case FLOAT:
      if (bits === 32) return (bytes, at) => ofFloat(bytes.readFloatLE(at));
      if (bits === 64) return (bytes, at) => ofFloat(bytes.readDoubleLE(at));
      break;
    case MULAW:
    case ALAW: {
      const table = bits !== 8 ? undefined : tag === MULAW ? tables.mulaw() : tables.alaw?.();
      if (table !== undefined) return (bytes, at) => table[bytes[at] as number] as number;
      break;
    }
  }
  const companded = tables.alaw === undefined ? 'or µ-law' : 'µ-law or A-law';
  throw invalid(`8, 16, 24 or 32-bit PCM, 32 or 64-bit float, ${companded}`, `format ${tag} of ${bits} bits`);
}

/** Wider samples are rounded; the loudest must not wrap around. */
const PCM_READERS: ReadonlyMap<number, SampleReader> = new Map<number, SampleReader>([
  [8, (bytes, at) => ((bytes[at] as number) - 128) << 8],
  [16, (bytes, at) => bytes.readInt16LE(at)],
  [24, (bytes, at) => Math.min(32_767, (bytes.readIntLE(at, 3) + 0x80) >> 8)],
  [32, (bytes, at) => Math.min(32_767, Math.round(bytes.readInt32LE(at) / 65_536))],
]);

/** NaN counts as silence. */
function ofFloat(sample: number): number {
  return Math.max(-32_768, Math.min(32_767, Math.round((sample || 0) * 32_768)));
}

function invalid(what: string, received: string): GatewayError {
  return new GatewayError('GW_WAV_INVALID', `Expected ${what} for a WAV file but received ${received}`);
}
