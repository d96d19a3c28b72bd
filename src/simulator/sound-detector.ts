import { FRAME_BYTES, FRAME_MS } from './audio.js';
import { decodeMulaw } from './mulaw.js';

/** Root mean square of 20 ms beyond which they are a sound: -45 dBFS, above the noise of a line. */
const SOUND = 32_768 * 10 ** (-45 / 20);
const ENERGY = Float64Array.from(decodeMulaw(Uint8Array.from({ length: 256 }, (_, byte) => byte))).map(
  (sample) => sample * sample,
);

/**
 * Tells sound from silence in what a caller hears, at the time it is heard: a server may send seconds of speech at
 * once. Times are monotonic milliseconds.
 */
export class SoundDetector {
  private until = Number.NEGATIVE_INFINITY;

  /** When the last sound ends that is known of; in the future while one is still buffered. */
  get soundUntil(): number {
    return this.until;
  }

  /** @param mulaw audio that is heard from `at` on */
  addFrames(mulaw: Uint8Array, at: number): void {
    for (let begin = 0; begin < mulaw.length; begin += FRAME_BYTES) {
      const end = Math.min(begin + FRAME_BYTES, mulaw.length);
      let energy = 0;
      for (let i = begin; i < end; i++) energy += ENERGY[mulaw[i] as number] as number;
      if (energy > SOUND * SOUND * (end - begin)) this.until = at + (end * FRAME_MS) / FRAME_BYTES;
    }
  }

  /** What was buffered is dropped. */
  clear(now: number): void {
    this.until = Math.min(this.until, now);
  }
}
