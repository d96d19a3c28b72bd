import { FRAME_MS, FRAME_SAMPLES, type FrameSink } from './frame.js';
import { FrameRing } from './frame-ring.js';
import { Framer } from './framer.js';

/** Most audio that waits for the bridge leg, in milliseconds. */
export const INTAKE_LIMIT_MS = 200;

/**
 * The caller's audio on its way to the bridge leg. Until there is a leg it keeps the newest 200 ms, so that
 * the first word is heard and no latency is stored; then frames pass at once.
 */
export class Intake implements FrameSink {
  /** Frames that were too old when the leg came up. */
  dropped = 0;
  private readonly framer = new Framer(this);
  private held: FrameRing | undefined;
  private leg: FrameSink | undefined;
  private closed = false;

  /** Takes decoded audio of any length. */
  push(samples: Int16Array, stamp: number): void {
    if (samples.length === FRAME_SAMPLES && this.framer.isEmpty) this.write(samples, stamp);
    else this.framer.push(samples, stamp);
  }

  write(frame: Int16Array, stamp: number): void {
    if (this.leg !== undefined) this.leg.write(frame, stamp);
    else if (!this.closed) {
      this.held ??= new FrameRing(INTAKE_LIMIT_MS / FRAME_MS);
      if (this.held.push(frame, stamp)) this.dropped += 1;
    }
  }

  /** The leg is up: it gets what waited, then everything as it comes. */
  connect(leg: FrameSink): void {
    if (this.closed) return;
    this.leg = leg;
    this.held?.drainInto(leg);
    this.held = undefined;
  }

  /** Whether somebody takes the audio. */
  get isConnected(): boolean {
    return this.leg !== undefined;
  }

  /** Lets go of the leg; audio that still comes is dropped. */
  close(): void {
    this.closed = true;
    this.leg = undefined;
    this.held = undefined;
  }
}
