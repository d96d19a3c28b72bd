/** Sample rate inside the gateway, in Hz. Only its edges use other rates. */
export const SAMPLE_RATE = 48_000;
/** Length of a frame in milliseconds. */
export const FRAME_MS = 20;
/** Samples of a frame: mono, signed 16 bit. */
export const FRAME_SAMPLES = 960;
/** Default for the most audio that is sent ahead of a listener, in milliseconds. */
export const DEFAULT_LEAD_MS = 120;

/**
 * Takes frames of {@link FRAME_SAMPLES} samples in order. The frame's memory is only valid during the call: copy it to keep it.
 */
export interface FrameSink {
  /** Takes one frame. @param stamp when its audio reached the gateway, in steps of 100 ns that wrap at 32 bits */
  write(frame: Int16Array, stamp: number): void;
}
