import { SAMPLE_RATE } from './frame.js';
import { core } from './thread-core.js';

/**
 * Keys of a telephone as in-band tones at 48 kHz, in the order pushed: by default 100 ms of tone and 100 ms of silence, the
 * lower frequency at -9 dBm0 and the higher one at -7 dBm0. `w` is 500 ms of silence, `W` 1 s.
 * Sources: ITU-T Q.23 and Q.24, ETSI ES 201 235, Twilio's SendDigits.
 */
export class DtmfTones {
  private readonly generator = new core.DtmfGenerator();
  /** Samples left to read: without any, no call into the core is made. */
  private left = 0;

  /** Milliseconds left to read. */
  get leftMs(): number {
    return Math.ceil((this.left * 1_000) / SAMPLE_RATE);
  }

  /** Whether anything is left to read, including the last key's silence. */
  get isActive(): boolean {
    return this.left > 0;
  }

  /**
   * Appends digits, all of them or none.
   * @param digits any of 0-9 * # A-D a-d w W
   * @param toneMs milliseconds of each tone, 40 to 2,000; receivers notice 40 ms by ITU-T Q.24
   * @param pauseMs milliseconds of silence after each tone, 40 to 2,000
   * @throws TypeError if `digits` is not a string, RangeError for another character or time, and RangeError with code
   * `GW_DTMF_QUEUE_FULL` if more than 64 digits would wait, including the one that sounds
   */
  push(digits: string, toneMs?: number, pauseMs?: number): void {
    this.left = this.generator.push(digits, toneMs, pauseMs);
  }

  /**
   * Fills a frame of any length, with silence after the last digit. The audio does not depend on the length of the frames.
   * @returns false, with the frame unchanged, if nothing was left
   */
  read(frame: Int16Array): boolean {
    if (this.left === 0) return false;
    this.left = this.generator.read(frame);
    return true;
  }

  /** Drops all digits, even in the middle of a tone. */
  clear(): void {
    this.generator.clear();
    this.left = 0;
  }
}
