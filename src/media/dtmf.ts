import { SAMPLE_RATE } from './frame.js';
import { core } from './thread-core.js';

/**
 * Keys of a telephone as in-band tones at 48 kHz, in the order pushed. A key sounds for 100 ms with 100 ms of silence after
 * it unless told otherwise, its lower frequency at -9 dBm0 and its higher one at -7 dBm0; `w` is silence of 500 ms, `W` of 1 s.
 * Sources: ITU-T Q.23 and Q.24, ETSI ES 201 235, Twilio's SendDigits.
 */
export class DtmfTones {
  private readonly generator = new core.DtmfGenerator();
  /** Samples left to read: whoever has no tones pays for no call into the core. */
  private left = 0;

  /** Milliseconds left to read. */
  get leftMs(): number {
    return Math.ceil((this.left * 1_000) / SAMPLE_RATE);
  }

  /** Whether there is something left to read, be it the last key's silence. */
  get isActive(): boolean {
    return this.left > 0;
  }

  /**
   * Appends digits, all of them or none.
   * @param digits any of 0-9 * # A-D a-d w W
   * @param toneMs how long each key sounds, 40 to 2,000; ITU-T Q.24 has receivers notice 40 ms
   * @param pauseMs how long the silence after it is, likewise
   * @throws TypeError if it is no string, RangeError for another character in it or another time, and RangeError with code
   * `GW_DTMF_QUEUE_FULL` if more than 64 digits would wait, with the one that sounds
   */
  push(digits: string, toneMs?: number, pauseMs?: number): void {
    this.left = this.generator.push(digits, toneMs, pauseMs);
  }

  /**
   * Fills a frame of any length, with silence where the digits end in it. Any cut into frames gives the same audio.
   * @returns false, and the frame as it was, if nothing was left
   */
  read(frame: Int16Array): boolean {
    if (this.left === 0) return false;
    this.left = this.generator.read(frame);
    return true;
  }

  /** Drops everything at once. */
  clear(): void {
    this.generator.clear();
    this.left = 0;
  }
}
