import type { Resampler } from '../media/core.js';
import { FRAME_SAMPLES, SAMPLE_RATE } from '../media/frame.js';
import { TWILIO_SAMPLE_RATE } from '../media/g711.js';
import type { ConverterMaker, RateConverter } from '../media/rate-converter.js';
import { core } from '../media/thread-core.js';

/** Converts a leg's frames of 20 ms. What `process` returns is valid until the next call. */
export type LegConverter = Pick<RateConverter, 'process' | 'close'> & { flush(): unknown };
export type LegConverterMaker = (from: number, to: number) => LegConverter;

/** As `make`, but between 8 and 48 kHz by the core, which is many times faster and has less delay. */
export function legConverters(make: ConverterMaker): LegConverterMaker {
  return (from, to) =>
    from + to === TWILIO_SAMPLE_RATE + SAMPLE_RATE ? new CoreConverter(from < to) : make(from, to);
}

class CoreConverter implements LegConverter {
  private readonly out: Int16Array;
  private resampler: Resampler;

  constructor(private readonly isUp: boolean) {
    this.resampler = this.fresh();
    this.out = new Int16Array(isUp ? FRAME_SAMPLES : (FRAME_SAMPLES * TWILIO_SAMPLE_RATE) / SAMPLE_RATE);
  }

  process(frame: Int16Array): Int16Array {
    this.resampler.process(frame, this.out);
    return this.out;
  }

  flush(): void {
    this.resampler = this.fresh();
  }

  close(): void {}

  private fresh(): Resampler {
    return this.isUp ? new core.Upsampler() : new core.Downsampler();
  }
}
