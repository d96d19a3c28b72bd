/** How samples are written. */
export type WavCoding = 'u8' | 's16' | 's24' | 's32' | 'f32' | 'f64';

const CODINGS: Readonly<
  Record<WavCoding, { tag: number; bytes: number; write(to: Buffer, value: number): void }>
> = {
  u8: { tag: 1, bytes: 1, write: (to, value) => to.writeUInt8(128 + clip(value, 2 ** 7)) },
  s16: { tag: 1, bytes: 2, write: (to, value) => to.writeInt16LE(clip(value, 2 ** 15)) },
  s24: { tag: 1, bytes: 3, write: (to, value) => to.writeIntLE(clip(value, 2 ** 23), 0, 3) },
  s32: { tag: 1, bytes: 4, write: (to, value) => to.writeInt32LE(clip(value, 2 ** 31)) },
  f32: { tag: 3, bytes: 4, write: (to, value) => to.writeFloatLE(value) },
  f64: { tag: 3, bytes: 8, write: (to, value) => to.writeDoubleLE(value) },
};
export const WAV_CODINGS = Object.keys(CODINGS) as WavCoding[];

function clip(value: number, full: number): number {
  return Math.max(-full, Math.min(full - 1, Math.round(value * full)));
}

export interface WavOptions {
  readonly rate?: number;
  readonly channels?: number;
  /** `WAVE_FORMAT_EXTENSIBLE`. */
  readonly isExtensible?: boolean;
  /** For more than 4 GiB: EBU Tech 3306. */
  readonly isRf64?: boolean;
}

/** A RIFF chunk; one of odd length is followed by a byte that its length does not count. */
export function chunk(id: string, body: Uint8Array, size = body.length): Buffer {
  const head = Buffer.alloc(8);
  head.write(id, 'latin1');
  head.writeUInt32LE(size, 4);
  return Buffer.concat([head, body, Buffer.alloc(body.length % 2)]);
}

/** The `fmt ` chunk, by the book. */
export function formatChunk(
  tag: number,
  bytes: number,
  { rate = 8_000, channels = 1, isExtensible }: WavOptions = {},
): Buffer {
  const format = Buffer.alloc(isExtensible ? 40 : 16);
  format.writeUInt16LE(isExtensible ? 0xfffe : tag, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt32LE(rate * bytes * channels, 8);
  format.writeUInt16LE(bytes * channels, 12);
  format.writeUInt16LE(bytes * 8, 14);
  if (isExtensible) {
    format.writeUInt16LE(22, 16);
    format.writeUInt16LE(bytes * 8, 18);
    format.writeUInt16LE(tag, 24);
    format.write('00000000-1000-8000-00aa00389b71'.replaceAll('-', ''), 26, 'hex');
  }
  return chunk('fmt ', format);
}

/** A WAV file of samples from -1 to 1; every channel has the same. */
export function wavFile(samples: ArrayLike<number>, coding: WavCoding, options: WavOptions = {}): Buffer {
  const { channels = 1, isRf64 } = options;
  const { tag, bytes, write } = CODINGS[coding];
  const data = Buffer.alloc(samples.length * channels * bytes);
  for (let i = 0; i < data.length / bytes; i++) {
    write(data.subarray(i * bytes), samples[Math.floor(i / channels)] as number);
  }
  const format = formatChunk(tag, bytes, options);
  if (!isRf64) return chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), format, chunk('data', data)]));
  const lengths = Buffer.alloc(28);
  lengths.writeBigUInt64LE(BigInt(data.length), 8);
  // What comes behind the audio is not to be heard.
  const behind = chunk('LIST', Buffer.alloc(400, 0x55));
  const body = [
    Buffer.from('WAVE'),
    chunk('ds64', lengths),
    format,
    chunk('data', data, 0xffff_ffff),
    behind,
  ];
  return chunk('RF64', Buffer.concat(body), 0xffff_ffff);
}

/** Decibels of a sine above everything else in 8 kHz audio, without its edges; and its level. */
export function sineIn(pcm: Int16Array, hz: number, rate = 8_000): { snrDb: number; amplitude: number } {
  const middle = pcm.subarray(400, pcm.length - 400);
  let [re, im] = [0, 0];
  for (let i = 0; i < middle.length; i++) {
    const phase = (2 * Math.PI * hz * i) / rate;
    re += (middle[i] as number) * Math.cos(phase);
    im += (middle[i] as number) * Math.sin(phase);
  }
  [re, im] = [(2 * re) / middle.length, (2 * im) / middle.length];
  let noise = 0;
  for (let i = 0; i < middle.length; i++) {
    const phase = (2 * Math.PI * hz * i) / rate;
    noise += ((middle[i] as number) - re * Math.cos(phase) - im * Math.sin(phase)) ** 2;
  }
  const power = (re ** 2 + im ** 2) / 2;
  return { snrDb: 10 * Math.log10(power / (noise / middle.length)), amplitude: Math.hypot(re, im) };
}
