import { bytesOf, pcmOf } from './arguments.js';
import { core } from './thread-core.js';

/** Samples per second of Twilio's audio: µ-law, one byte a sample, mono. */
export const TWILIO_SAMPLE_RATE = 8000;

/**
 * Decodes ITU-T G.711 µ-law, exactly.
 * @param bytes one byte a sample
 * @returns as many 16-bit linear samples, -32,124 to 32,124
 * @throws TypeError if `bytes` is not a Uint8Array
 */
export function mulawToPcm(bytes: Uint8Array): Int16Array {
  const pcm = new Int16Array(bytesOf(bytes, 'bytes').length);
  core.decodeMulaw(bytes, pcm);
  return pcm;
}

/**
 * Encodes to ITU-T G.711 µ-law, exactly; only the upper 14 bits of a sample count.
 * @param pcm 16-bit linear samples
 * @returns one byte a sample
 * @throws TypeError if `pcm` is not an Int16Array
 */
export function pcmToMulaw(pcm: Int16Array): Uint8Array {
  const bytes = new Uint8Array(pcmOf(pcm, 'pcm').length);
  core.encodeMulaw(pcm, bytes);
  return bytes;
}

/**
 * Decodes ITU-T G.711 A-law, exactly.
 * @param bytes one byte a sample
 * @returns as many 16-bit linear samples, -32,256 to 32,256
 * @throws TypeError if `bytes` is not a Uint8Array
 */
export function alawToPcm(bytes: Uint8Array): Int16Array {
  const pcm = new Int16Array(bytesOf(bytes, 'bytes').length);
  core.decodeAlaw(bytes, pcm);
  return pcm;
}

/**
 * Encodes to ITU-T G.711 A-law, exactly; only the upper 12 bits of a sample count.
 * @param pcm 16-bit linear samples
 * @returns one byte a sample
 * @throws TypeError if `pcm` is not an Int16Array
 */
export function pcmToAlaw(pcm: Int16Array): Uint8Array {
  const bytes = new Uint8Array(pcmOf(pcm, 'pcm').length);
  core.encodeAlaw(pcm, bytes);
  return bytes;
}
