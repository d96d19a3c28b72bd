import { FRAME_MS, FRAME_SAMPLES } from '../media/frame.js';
import { core } from '../media/thread-core.js';
import type { Clip } from './clip.js';

/** Samples of a frame at the rate of clips. */
const CLIP_FRAME_SAMPLES = 160;
const SAMPLES_PER_MS = 8;
/** A whole number, as all counts of rounds: an infinite one would be an allocation. */
const WITHOUT_END = -1;

/** A clip on its way to a listener, a frame of 48 kHz at a time. */
export class ClipPlayer {
  private readonly upsampler = new core.Upsampler();
  private readonly narrow = new Int16Array(CLIP_FRAME_SAMPLES);
  private readonly gain: number;
  private at = 0;
  private rounds: number;
  private frames = 0;

  /**
   * @param loop how often it is played; Infinity for without end
   * @param gainDb how much louder it gets, in decibels
   */
  constructor(
    readonly clip: Clip,
    loop = 1,
    gainDb = 0,
  ) {
    this.rounds = loop === Number.POSITIVE_INFINITY ? WITHOUT_END : loop;
    this.gain = 10 ** (gainDb / 20);
  }

  /** Whether there is something left to read. */
  get isActive(): boolean {
    return this.rounds !== 0;
  }

  /** Milliseconds read so far. */
  get playedMs(): number {
    return this.frames * FRAME_MS;
  }

  /** Milliseconds in all, Infinity where it has no end. */
  get durationMs(): number {
    if (this.rounds === WITHOUT_END) return Number.POSITIVE_INFINITY;
    const left = this.rounds === 0 ? 0 : this.rounds * this.clip.pcm.length - this.at;
    return Math.ceil((this.frames * CLIP_FRAME_SAMPLES + left) / SAMPLES_PER_MS);
  }

  /** Fills a frame, with silence where the clip ends in it. */
  read(frame: Int16Array): void {
    if (frame.length !== FRAME_SAMPLES) throw new RangeError(`Expected ${FRAME_SAMPLES} samples for frame`);
    const { narrow, gain } = this;
    const { pcm } = this.clip;
    let at = this.at;
    for (let i = 0; i < narrow.length; i++) {
      if (this.rounds === 0) {
        narrow[i] = 0;
        continue;
      }
      const sample = pcm[at] as number;
      narrow[i] = gain === 1 ? sample : Math.max(-32_768, Math.min(32_767, Math.round(sample * gain)));
      at += 1;
      if (at === pcm.length) {
        at = 0;
        if (this.rounds !== WITHOUT_END) this.rounds -= 1;
      }
    }
    this.at = at;
    this.frames += 1;
    this.upsampler.process(narrow, frame);
  }
}
