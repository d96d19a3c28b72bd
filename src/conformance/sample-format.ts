import { decodeMulaw } from '../simulator/mulaw.js';
import { isSound, levelOf, SOUND_LEVEL } from './sound.js';

/** Formats that are taken for 16-bit samples by mistake, and how to read them. */
const FORMATS: Readonly<Record<string, (bytes: Buffer) => Int16Array>> = {
  'big endian': (bytes) => Int16Array.from({ length: bytes.length >> 1 }, (_, i) => bytes.readInt16BE(2 * i)),
  'one byte late': (bytes) =>
    Int16Array.from({ length: (bytes.length - 1) >> 1 }, (_, i) => bytes.readInt16LE(2 * i + 1)),
  'float of 32 bits': (bytes) =>
    Int16Array.from({ length: bytes.length >> 2 }, (_, i) => {
      const value = bytes.readFloatLE(4 * i);
      return Math.abs(value) <= 1.5 ? 32_767 * value : Number.NaN;
    }),
  'µ-law of 8 bits': decodeMulaw,
};

/** Rougher than this is noise, smoother than that a voice: see {@link roughnessOf}. */
const ROUGH = 0.85;
const SMOOTH = 0.6;

/**
 * The format in which sound is a voice, if as signed 16 bit, little endian, it is noise.
 * @param bytes as sent
 */
export function otherFormat(bytes: Buffer): string | undefined {
  const own = Int16Array.from({ length: bytes.length >> 1 }, (_, i) => bytes.readInt16LE(2 * i));
  if (!isSound(own) || roughnessOf(own) < ROUGH) return undefined;
  return Object.entries(FORMATS).find(([, read]) => roughnessOf(read(bytes)) < SMOOTH)?.[0];
}

/** Mean step from sample to sample, by the level: about 1.1 to 1.4 for noise, less for any voice. Infinity for silence. */
function roughnessOf(pcm: Int16Array): number {
  let steps = 0;
  for (let i = 1; i < pcm.length; i++) steps += Math.abs((pcm[i] as number) - (pcm[i - 1] as number));
  const level = levelOf(pcm);
  return level < SOUND_LEVEL ? Number.POSITIVE_INFINITY : steps / pcm.length / level;
}
