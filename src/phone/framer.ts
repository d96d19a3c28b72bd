import { FRAME_MS, FRAME_SAMPLES, type FrameSink } from '../media/frame.js';

/** Cuts audio of any length into frames; what is left over waits for more. A frame is as old as its first part. */
export class Framer {
  private readonly partial = new Int16Array(FRAME_SAMPLES);
  private filled = 0;
  private oldestStamp = 0;

  constructor(private readonly sink: FrameSink) {}

  /** Whether nothing is left over, so that a whole frame may pass by without being copied. */
  get isEmpty(): boolean {
    return this.filled === 0;
  }

  /** What is left over, in milliseconds. */
  get waitingMs(): number {
    return (this.filled * FRAME_MS) / FRAME_SAMPLES;
  }

  push(samples: Int16Array, stamp: number): void {
    let offset = 0;
    if (this.filled > 0) {
      offset = Math.min(samples.length, FRAME_SAMPLES - this.filled);
      this.partial.set(samples.subarray(0, offset), this.filled);
      this.filled += offset;
      if (this.filled < FRAME_SAMPLES) return;
      this.filled = 0;
      this.sink.write(this.partial, this.oldestStamp);
    }
    for (; offset + FRAME_SAMPLES <= samples.length; offset += FRAME_SAMPLES) {
      this.sink.write(samples.subarray(offset, offset + FRAME_SAMPLES), stamp);
    }
    this.partial.set(samples.subarray(offset));
    this.filled = samples.length - offset;
    this.oldestStamp = stamp;
  }

  /** What is left over goes as a frame, filled up with silence. */
  fill(): void {
    if (this.filled === 0) return;
    this.partial.fill(0, this.filled);
    this.filled = 0;
    this.sink.write(this.partial, this.oldestStamp);
  }

  /** Forgets what is left over. */
  clear(): void {
    this.filled = 0;
  }
}
