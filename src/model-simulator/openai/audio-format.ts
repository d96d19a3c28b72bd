import { decodeMulaw, encodeMulaw } from '../../simulator/mulaw.js';
import { decodeAlaw, encodeAlaw } from '../alaw.js';
import { Narrower, toWide } from '../wideband.js';
import type { AudioFormat } from './client-event.js';

/** Bytes of a millisecond of audio. */
export function bytesPerMs({ type }: AudioFormat): number {
  return type === 'audio/pcm' ? 48 : 8;
}

/** 8 kHz audio as bytes of a format. */
export function encodeAudio(pcm: Int16Array, { type }: AudioFormat): Buffer {
  if (type === 'audio/pcmu') return Buffer.from(encodeMulaw(pcm).buffer);
  if (type === 'audio/pcma') return Buffer.from(encodeAlaw(pcm).buffer);
  const wide = toWide(pcm);
  return Buffer.from(wide.buffer, wide.byteOffset, wide.byteLength);
}

/** A stream of bytes of a format as 8 kHz audio. */
export class AudioDecoder {
  private readonly narrower = new Narrower();
  /** Half a sample, or nothing. */
  private rest = Buffer.alloc(0);

  constructor(readonly format: AudioFormat) {}

  push(bytes: Buffer): Int16Array {
    const { type } = this.format;
    if (type === 'audio/pcmu') return decodeMulaw(bytes);
    if (type === 'audio/pcma') return decodeAlaw(bytes);
    const all = Buffer.concat([this.rest, bytes]);
    const wide = new Int16Array(all.length >> 1);
    for (let i = 0; i < wide.length; i++) wide[i] = all.readInt16LE(2 * i);
    this.rest = all.subarray(2 * wide.length);
    return this.narrower.push(wide);
  }
}
