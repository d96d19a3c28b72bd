import { GatewayError } from '../errors.js';
import { TWILIO_SAMPLE_RATE } from '../media/g711.js';
import type { Clip } from './clip.js';
import { clipOfWav, MAX_CLIP_SECONDS } from './wav-clip.js';

/** Memory of sounds that came with requests and are being read or played, in bytes. */
const MAX_BYTES = 128 * 1024 * 1024;
const SAMPLE_BYTES = Int16Array.BYTES_PER_ELEMENT;
const MAX_CLIP_BYTES = MAX_CLIP_SECONDS * TWILIO_SAMPLE_RATE * SAMPLE_BYTES;

/** Sounds that came with requests: kept as long as they are played. */
export class Uploads {
  private bytes = 0;
  private readonly played = new Map<string, Clip>();

  /**
   * Reads one. Whoever asked for it says {@link play} or {@link drop} then.
   * @throws GatewayError `GW_PLAYS_FULL` (503), as of {@link clipOfWav}
   */
  async read(wav: Uint8Array): Promise<Clip> {
    // No format has a sample in less than a byte. Counted before it is read: many come at once.
    const most = Math.min(SAMPLE_BYTES * wav.byteLength, MAX_CLIP_BYTES);
    if (this.bytes + most > MAX_BYTES) {
      const message = `Expected at most ${MAX_BYTES} bytes of sounds being played but received more`;
      throw new GatewayError('GW_PLAYS_FULL', message);
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

  /** It is played, until {@link over}. */
  play(playId: string, clip: Clip): void {
    this.played.set(playId, clip);
  }

  /** A play is over, of whatever sound. */
  over(playId: string): void {
    const clip = this.played.get(playId);
    if (clip === undefined) return;
    this.played.delete(playId);
    this.drop(clip);
  }

  /** Nobody hears it any more. */
  drop(clip: Clip): void {
    this.bytes -= clip.pcm.byteLength;
  }
}
