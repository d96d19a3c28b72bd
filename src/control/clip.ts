import { FRAME_MS, FRAME_SAMPLES } from '../media/frame.js';
import { TWILIO_SAMPLE_RATE } from '../media/g711.js';
import { core } from '../media/thread-core.js';

/** Samples of a frame at the rate of clips. */
const CLIP_FRAME_SAMPLES = 160;
const SAMPLES_PER_MS = 8;
/** Rounds of a player that never ends. An integer: storing Infinity would allocate. */
const ENDLESS = -1;

/** A sound that phones can play: 8 kHz, mono. It never changes, so many calls may share one. */
export class Clip {
  /** @param pcm 8 kHz mono, at least one sample */
  constructor(readonly pcm: Int16Array) {}

  get durationMs(): number {
    return (this.pcm.length * 1_000) / TWILIO_SAMPLE_RATE;
  }
}

/** Reads a clip for one listener, one 48 kHz frame at a time. */
export class ClipPlayer {
  private readonly upsampler = new core.Upsampler();
  private readonly narrow = new Int16Array(CLIP_FRAME_SAMPLES);
  private readonly gain: number;
  private at = 0;
  private rounds: number;
  private frames = 0;

  /**
   * @param loop how often the clip is played; Infinity never ends
   * @param gainDb gain in decibels
   */
  constructor(
    readonly clip: Clip,
    loop = 1,
    gainDb = 0,
  ) {
    this.rounds = loop === Number.POSITIVE_INFINITY ? ENDLESS : loop;
    this.gain = 10 ** (gainDb / 20);
  }

  /** Whether anything is left to read. */
  get isActive(): boolean {
    return this.rounds !== 0;
  }

  /** Milliseconds read so far. */
  get playedMs(): number {
    return this.frames * FRAME_MS;
  }

  /** Milliseconds in total; Infinity if it never ends. */
  get durationMs(): number {
    if (this.rounds === ENDLESS) return Number.POSITIVE_INFINITY;
    const left = this.rounds === 0 ? 0 : this.rounds * this.clip.pcm.length - this.at;
    return Math.ceil((this.frames * CLIP_FRAME_SAMPLES + left) / SAMPLES_PER_MS);
  }

  /** Fills a frame; silence follows the end of the clip. */
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
        if (this.rounds !== ENDLESS) this.rounds -= 1;
      }
    }
    this.at = at;
    this.frames += 1;
    this.upsampler.process(narrow, frame);
  }
}
