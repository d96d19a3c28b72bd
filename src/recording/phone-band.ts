import { FRAME_SAMPLES, SAMPLE_RATE } from '../media/frame.js';
import { core } from '../media/thread-core.js';

/** The telephone's own rate. */
const PHONE_RATE = 8_000;
/** Longer than both filters ring, in samples at 48 kHz. */
const TAIL = new Int16Array(FRAME_SAMPLES);

/**
 * 48 kHz audio at 8 or 16 kHz with what a phone carries of it, up to 4 kHz: by the core's own filters, at a hundredth of
 * what others cost. They are of minimum phase: what little they delay is not made up for.
 */
export class PhoneBand {
  private readonly downsampler = new core.Downsampler();
  /** Above 8 kHz: a phone's audio at 48 kHz again, of which every so many samples are enough. */
  private readonly upsampler = new core.Upsampler();
  private readonly stride: number;
  private length = 0;
  private narrow = new Int16Array();
  private wide = new Int16Array();
  private out = new Int16Array();

  /** @param rate samples a second that come out */
  constructor(private readonly rate: 8_000 | 16_000) {
    this.stride = SAMPLE_RATE / rate;
  }

  /**
   * @param pcm a multiple of 6 samples, as all audio of phones and rooms is
   * @returns memory that is only lent until the next call
   */
  process(pcm: Int16Array): Int16Array {
    if (pcm.length !== this.length) this.resize(pcm.length);
    const { narrow, wide, out, stride } = this;
    this.downsampler.process(pcm, narrow);
    if (this.rate === PHONE_RATE) return narrow;
    this.upsampler.process(narrow, wide);
    for (let i = 0, from = 0; i < out.length; i++, from += stride) out[i] = wide[from] as number;
    return out;
  }

  /**
   * Ends a stretch of sound: what comes next hears nothing of it.
   * @returns its last 20 ms, lent likewise
   */
  flush(): Int16Array {
    return this.process(TAIL);
  }

  /** Audio comes in pieces of nearly always one length: memory is made for that one. */
  private resize(length: number): void {
    this.length = length;
    this.narrow = new Int16Array((length * PHONE_RATE) / SAMPLE_RATE);
    if (this.rate === PHONE_RATE) return;
    this.wide = new Int16Array(length);
    this.out = new Int16Array(length / this.stride);
  }
}
