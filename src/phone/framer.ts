import { FRAME_MS, FRAME_SAMPLES, type FrameSink } from '../media/frame.js';

/**
 * Cuts audio of any length into frames and keeps the remainder for the next push. A frame takes the timestamp
 * of its first part.
 */
export class Framer {
  /** Created for the first remainder: phones send whole frames. */
  private partial: Int16Array | undefined;
  private filled = 0;
  private oldestStamp = 0;

  constructor(private readonly sink: FrameSink) {}

  /** Whether there is no remainder, so that a whole frame can pass without a copy. */
  get isEmpty(): boolean {
    return this.filled === 0;
  }

  /** Length of the remainder in milliseconds. */
  get waitingMs(): number {
    return (this.filled * FRAME_MS) / FRAME_SAMPLES;
  }

  push(samples: Int16Array, stamp: number): void {
    let offset = 0;
    if (this.filled > 0) {
      offset = Math.min(samples.length, FRAME_SAMPLES - this.filled);
      const partial = this.partial as Int16Array;
      partial.set(samples.subarray(0, offset), this.filled);
      this.filled += offset;
      if (this.filled < FRAME_SAMPLES) return;
      this.filled = 0;
      this.sink.write(partial, this.oldestStamp);
    }
    for (; offset + FRAME_SAMPLES <= samples.length; offset += FRAME_SAMPLES) {
      this.sink.write(samples.subarray(offset, offset + FRAME_SAMPLES), stamp);
    }
    this.filled = samples.length - offset;
    if (this.filled === 0) return;
    this.partial ??= new Int16Array(FRAME_SAMPLES);
    this.partial.set(samples.subarray(offset));
    this.oldestStamp = stamp;
  }

  /** Sends the remainder as a frame, padded with silence. */
  fill(): void {
    if (this.partial === undefined || this.filled === 0) return;
    this.partial.fill(0, this.filled);
    this.filled = 0;
    this.sink.write(this.partial, this.oldestStamp);
  }

  /** Discards the remainder. */
  clear(): void {
    this.filled = 0;
  }
}
