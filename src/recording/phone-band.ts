import { FRAME_SAMPLES, SAMPLE_RATE } from '../media/frame.js';
import { core } from '../media/thread-core.js';

/** The telephone sample rate. */
const PHONE_RATE = 8_000;
/** Longer than both filters' ringing, in samples at 48 kHz. */
const TAIL = new Int16Array(FRAME_SAMPLES);

/**
 * Converts 48 kHz audio to 8 or 16 kHz, limited to the telephone band (up to 4 kHz), with the core's filters,
 * which cost a hundredth of a general resampler. They are minimum-phase; their small delay is not
 * compensated.
 */
export class PhoneBand {
  private readonly downsampler = new core.Downsampler();
  /** For 16 kHz: upsamples the 8 kHz signal to 48 kHz and decimates it. */
  private readonly upsampler = new core.Upsampler();
  private readonly stride: number;
  private length = 0;
  private narrow = new Int16Array();
  private wide = new Int16Array();
  private out = new Int16Array();

  /** @param rate output samples per second */
  constructor(private readonly rate: 8_000 | 16_000) {
    this.stride = SAMPLE_RATE / rate;
  }

  /**
   * @param pcm a multiple of 6 samples, like all audio of phones and rooms
   * @returns memory valid until the next call
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
   * Ends a segment of audio, so that it does not ring into the next one.
   * @returns its last 20 ms, valid until the next call
   */
  flush(): Int16Array {
    return this.process(TAIL);
  }

  /** Audio almost always comes in one length; buffers are sized for it. */
  private resize(length: number): void {
    this.length = length;
    this.narrow = new Int16Array((length * PHONE_RATE) / SAMPLE_RATE);
    if (this.rate === PHONE_RATE) return;
    this.wide = new Int16Array(length);
    this.out = new Int16Array(length / this.stride);
  }
}
