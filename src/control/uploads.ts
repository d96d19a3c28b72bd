import { GatewayError } from '../errors.js';
import { TWILIO_SAMPLE_RATE } from '../media/g711.js';
import type { Clip } from './clip.js';
import { clipOfWav, MAX_CLIP_SECONDS } from './wav-clip.js';

/** Most memory of uploaded sounds that are being read or played, in bytes. */
const MAX_BYTES = 128 * 1024 * 1024;
const SAMPLE_BYTES = Int16Array.BYTES_PER_ELEMENT;
const MAX_CLIP_BYTES = MAX_CLIP_SECONDS * TWILIO_SAMPLE_RATE * SAMPLE_BYTES;

/** Sounds uploaded with requests, kept while they play. */
export class Uploads {
  private bytes = 0;
  private readonly played = new Map<string, Clip>();

  /**
   * Reads a sound. Call {@link play} or {@link drop} afterwards.
   * @throws GatewayError `GW_PLAYS_FULL` (503), as of {@link clipOfWav}
   */
  async read(wav: Uint8Array): Promise<Clip> {
    // Every format has at least a byte a sample. Counted before reading, since many may come at once.
    const most = Math.min(SAMPLE_BYTES * wav.byteLength, MAX_CLIP_BYTES);
    if (this.bytes + most > MAX_BYTES) {
      throw new GatewayError('GW_PLAYS_FULL', `Uploaded sounds fill their ${MAX_BYTES} bytes of memory`);
    }
    this.bytes += most;
    try {
      const clip = await clipOfWav(wav);
      this.bytes += clip.pcm.byteLength;
      return clip;
    } finally {
      this.bytes -= most;
    }
  }

  /** Keeps a clip until {@link over}. */
  play(playId: string, clip: Clip): void {
    this.played.set(playId, clip);
  }

  /** A play has ended, of an uploaded sound or another. */
  over(playId: string): void {
    const clip = this.played.get(playId);
    if (clip === undefined) return;
    this.played.delete(playId);
    this.drop(clip);
  }

  /** Frees a clip. */
  drop(clip: Clip): void {
    this.bytes -= clip.pcm.byteLength;
  }
}
