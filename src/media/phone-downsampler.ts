import { SAMPLE_RATE } from './frame.js';
import type { RateConverter } from './rate-converter.js';
import { core } from './thread-core.js';

/** The telephone's own rate. */
const PHONE_RATE = 8_000;
const STEP = SAMPLE_RATE / PHONE_RATE;
/** More than the filter is long, in steps. */
const TAIL_STEPS = 160;

/**
 * 48 kHz to 8 kHz by the core, as a {@link RateConverter}: a hundredth of what others cost, and the audio a phone would hear.
 * Its filter is of minimum phase: what little it delays is not made up for.
 */
export class PhoneDownsampler implements RateConverter {
  readonly from = SAMPLE_RATE;
  readonly to = PHONE_RATE;
  readonly delayMs = 0;
  readonly step = STEP;
  private readonly downsampler = new core.Downsampler();

  /** @param pcm a multiple of 6 samples, as all audio of phones and rooms is */
  process(pcm: Int16Array): Int16Array {
    const out = new Int16Array(pcm.length / STEP);
    this.downsampler.process(pcm, out);
    return out;
  }

  flush(): Int16Array {
    return this.process(new Int16Array(TAIL_STEPS * STEP));
  }

  /** Nothing to give back: the core's state goes with this object. */
  close(): void {}
}
