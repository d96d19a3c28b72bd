/** Every n-th sample is measured: enough to distinguish speech from a pause. */
const STRIDE = 4;
/** Below the first is a pause on any line, above the second on none: -60 and -40 dBFS, as mean squares. */
const ALWAYS_QUIET = (32_768 * 10 ** (-60 / 20)) ** 2;
const NEVER_QUIET = (32_768 * 10 ** (-40 / 20)) ** 2;
/** Louder than a line's own noise by this is talk: 6 dB. */
const ABOVE_NOISE = 4;
/** How fast the noise is believed to have grown, a frame: 1 dB in 100 ms. */
const NOISE_GROWTH = 1.047;

/** Tells pauses from talk, by what a line's own noise is. */
export class QuietDetector {
  /** -54 dBFS, until the line has shown its own. */
  private noise = ALWAYS_QUIET * 4;

  /** Whether this frame has no speech; pass all frames in order. */
  isQuiet(frame: Int16Array): boolean {
    let sum = 0;
    for (let i = 0; i < frame.length; i += STRIDE) {
      const sample = frame[i] as number;
      sum += sample * sample;
    }
    const power = (sum * STRIDE) / frame.length;
    this.noise = Math.max(ALWAYS_QUIET / ABOVE_NOISE, Math.min(this.noise * NOISE_GROWTH, power));
    return power < ALWAYS_QUIET || power < Math.min(NEVER_QUIET, this.noise * ABOVE_NOISE);
  }
}
