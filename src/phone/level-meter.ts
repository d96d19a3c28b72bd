/** Samples one frame in this many: a voice changes little within 160 ms. */
const EVERY = 8;
/** Samples one value in this many: a level needs no bandwidth. */
const STRIDE = 4;
/** Level of silence in dBFS: the quietest that 16 bits can represent. */
export const SILENCE_DB = -90;
const FULL_SCALE = 32_768;

/** Level of one direction: the loudest frame sampled since the last read. */
export class LevelMeter {
  private seen = 0;
  private loudest = -1;

  /** Samples a frame of any length; most frames cost one addition. */
  sampleLevel(samples: Int16Array): void {
    this.seen += 1;
    if ((this.seen & (EVERY - 1)) !== 1) return;
    let sum = 0;
    let count = 0;
    for (let i = 0; i < samples.length; i += STRIDE) {
      const sample = samples[i] as number;
      sum += sample * sample;
      count += 1;
    }
    if (count > 0 && sum / count > this.loudest) this.loudest = sum / count;
  }

  /**
   * Returns the RMS level in dBFS, from {@link SILENCE_DB} to 0, and resets; `undefined` if nothing was
   * sampled since the last read.
   */
  readLevel(): number | undefined {
    const { loudest } = this;
    this.loudest = -1;
    if (loudest < 0) return undefined;
    return Math.max(SILENCE_DB, 20 * Math.log10(Math.sqrt(loudest) / FULL_SCALE));
  }
}

/** The levels of a call in both directions. */
export class CallLevels {
  /** The caller's audio. */
  readonly in = new LevelMeter();
  /** The audio sent to the caller. */
  readonly out = new LevelMeter();
}
