/** Looks at one frame in so many: a voice is no different 160 ms later. */
const EVERY = 8;
/** and at one of its samples in so many: a level needs no bandwidth. */
const STRIDE = 4;
/** What silence counts as, in dBFS: the quietest that 16 bits can say. */
export const SILENCE_DB = -90;
const FULL_SCALE = 32_768;

/** How loud a way is: the loudest of the frames it looked at since it was last read. */
export class LevelMeter {
  private seen = 0;
  private loudest = -1;

  /** Takes a frame, any length; nearly all of them cost one addition. */
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

  /** RMS in dBFS, from {@link SILENCE_DB} to 0, and begins anew; `undefined` where nothing was looked at since. */
  readLevel(): number | undefined {
    const { loudest } = this;
    this.loudest = -1;
    if (loudest < 0) return undefined;
    return Math.max(SILENCE_DB, 20 * Math.log10(Math.sqrt(loudest) / FULL_SCALE));
  }
}

/** Both ways of a call. */
export class CallLevels {
  /** What the caller says. */
  readonly in = new LevelMeter();
  /** What the caller is sent. */
  readonly out = new LevelMeter();
}
