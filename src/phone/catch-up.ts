import { FRAME_SAMPLES } from '../media/frame.js';
import type { FrameRing } from '../media/frame-ring.js';
import { core } from '../media/thread-core.js';
import { QuietDetector } from './quiet-detector.js';

/** A pause keeps its first frames, so that words do not run into each other. */
const KEPT_OF_PAUSE = 2;
/** How much faster words are said, at most: far behind, and not so far. */
const FAST = 1 - 1 / 1.15;
const GENTLE = 1 - 1 / 1.08;
/** Longest piece that is cut out of 20 ms, in samples: 15 ms, one period of the lowest voice. */
const LONGEST_CUT = 720;

/** Ways back to the present for a listener who is behind: pauses are left out, words are said a little faster. */
export class CatchUp {
  private readonly quiet = new QuietDetector();
  private quietRun = 0;
  /** Samples that may be cut out by now. */
  private allowance = 0;

  /** Whether nobody talks in this frame. */
  isQuiet(frame: Int16Array): boolean {
    return this.quiet.isQuiet(frame);
  }

  /** Whether the next frame is one more of a pause, and need not be heard. */
  leavesOut(frame: Int16Array): boolean {
    this.quietRun = this.isQuiet(frame) ? this.quietRun + 1 : 0;
    return this.quietRun > KEPT_OF_PAUSE;
  }

  /**
   * Says 20 ms faster, in place.
   * @param isFar whether the listener is far behind
   * @returns samples that are left; over time they are said 15 % faster, at most
   */
  shorten(frame: Int16Array, isFar: boolean): number {
    this.allowance = Math.min(this.allowance + FRAME_SAMPLES * (isFar ? FAST : GENTLE), LONGEST_CUT);
    if (this.allowance < LONGEST_CUT / 2) return frame.length;
    const kept = core.shorten(frame, LONGEST_CUT);
    this.allowance -= frame.length - kept;
    return kept;
  }

  /**
   * Leaves out so many frames of pauses, if there are as many, the oldest first.
   * @returns how many it found
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
