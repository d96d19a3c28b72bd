/** Sample rate inside the gateway, in Hz. Only the edges know another. */
export const SAMPLE_RATE = 48_000;
/** Length of a frame in milliseconds. */
export const FRAME_MS = 20;
/** Samples of a frame: mono, signed 16 bit. */
export const FRAME_SAMPLES = 960;
/** Default for the most audio that is sent ahead of a listener, in milliseconds. */
export const DEFAULT_LEAD_MS = 120;

/**
 * Takes frames of {@link FRAME_SAMPLES} samples one after another.
 * `stamp` is when the audio reached the gateway, see telemetry's `Stamp`. The frame's memory is only lent:
 * whoever needs it after returning copies it.
 */
export interface FrameSink {
  write(frame: Int16Array, stamp: number): void;
}
