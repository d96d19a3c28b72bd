import { FRAME_SAMPLES } from '../media/frame.js';
import type { FrameRing } from '../media/frame-ring.js';
import { core } from '../media/thread-core.js';
import { QuietDetector } from './quiet-detector.js';

/** Frames of each pause that are kept, so that words do not run together. */
const KEPT_OF_PAUSE = 2;
/** Maximum speed-up of words: far behind, and slightly behind. */
const FAST = 1 - 1 / 1.15;
const GENTLE = 1 - 1 / 1.08;
/** Longest cut out of 20 ms, in samples: 15 ms, one period of the lowest voice. */
const LONGEST_CUT = 720;

/** Lets a listener who is behind catch up: drops pauses and plays words slightly faster. */
export class CatchUp {
  private readonly quiet = new QuietDetector();
  private quietRun = 0;
  /** Samples that may be cut now. */
  private allowance = 0;

  /** Whether this frame is silence. */
  isQuiet(frame: Int16Array): boolean {
    return this.quiet.isQuiet(frame);
  }

  /** Whether this frame continues a pause and can be dropped. */
  skipsFrame(frame: Int16Array): boolean {
    this.quietRun = this.isQuiet(frame) ? this.quietRun + 1 : 0;
    return this.quietRun > KEPT_OF_PAUSE;
  }

  /**
   * Shortens a 20 ms frame in place.
   * @param isFar whether the listener is far behind
   * @returns samples left; over time the speed-up is at most 15 %
   */
  shorten(frame: Int16Array, isFar: boolean): number {
    this.allowance = Math.min(this.allowance + FRAME_SAMPLES * (isFar ? FAST : GENTLE), LONGEST_CUT);
    if (this.allowance < LONGEST_CUT / 2) return frame.length;
    const kept = core.shorten(frame, LONGEST_CUT);
    this.allowance -= frame.length - kept;
    return kept;
  }

  /**
   * Drops up to `most` silent frames, the oldest first.
   * @returns how many were dropped
   */
  thin(ring: FrameRing, most: number): number {
    let dropped = 0;
    let run = 0;
    for (let i = 0; i < ring.length && dropped < most; ) {
      run = this.isQuiet(ring.at(i)) ? run + 1 : 0;
      if (run > KEPT_OF_PAUSE) {
        ring.remove(i);
        dropped += 1;
      } else i += 1;
    }
    return dropped;
  }
}
