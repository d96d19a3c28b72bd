import type { Clock } from '../clock.js';
import { DEFAULT_LEAD_MS, FRAME_SAMPLES, type FrameSink } from '../media/frame.js';
import { Framer } from './framer.js';
import { Playout, type PlayoutLine } from './playout.js';

/** How much of the caller's speech is kept until the bridge leg joins, in milliseconds. */
const INTAKE_KEEP_MS = 3_000;

/**
 * The caller's audio on its way to the bridge leg. Until there is a leg, it buffers the caller's first words
 * and then lets the leg catch up; after that, frames pass immediately. A {@link Playout} handles network
 * bursts and gaps: the room hears the newest audio, without holes.
 */
export class Intake implements PlayoutLine {
  private readonly playout: Playout;
  private readonly framer: Framer;
  private leg: FrameSink | undefined;

  /** @param limitMs how much of a burst is played, in milliseconds */
  constructor(clock: Clock, limitMs = DEFAULT_LEAD_MS) {
    this.playout = new Playout(this, { limitMs, keepMs: INTAKE_KEEP_MS }, clock);
    this.framer = new Framer(this.playout);
  }

  /** Frames of speech dropped in favour of newer ones. */
  get dropped(): number {
    const { droppedEarly, droppedLead, droppedBackpressure } = this.playout;
    return droppedEarly + droppedLead + droppedBackpressure;
  }

  /** Milliseconds of silence dropped while catching up. */
  get silenceDroppedMs(): number {
    return this.playout.silenceDroppedMs;
  }

  get shortenedMs(): number {
    return this.playout.shortenedMs;
  }

  /** Accepts decoded audio of any length. */
  push(samples: Int16Array, stamp: number): void {
    if (samples.length === FRAME_SAMPLES && this.framer.isEmpty) this.playout.write(samples, stamp);
    else this.framer.push(samples, stamp);
  }

  /** Connects the leg, which receives the buffered audio first. Replaces a previous leg. */
  connect(leg: FrameSink): void {
    this.leg = leg;
    this.playout.flush();
  }

  /** Whether a leg is connected. */
  get isConnected(): boolean {
    return this.leg !== undefined;
  }

  /** Called every 20 ms. */
  tick(): void {
    this.playout.tick();
  }

  /** Whether audio has been missing for long enough to need concealment. */
  hasGap(now: number): boolean {
    return this.playout.hasGap(now);
  }

  /** Inserts 20 ms in place of missing audio. */
  fill(frame: Int16Array): void {
    this.playout.fill(frame);
  }

  /** Discards the buffered audio. */
  discardWaiting(): void {
    this.framer.clear();
    this.playout.clear();
  }

  /** Disconnects the leg; later audio is dropped. */
  close(): void {
    this.playout.close();
    this.leg = undefined;
  }

  // Called by the playout:

  get hasListener(): boolean {
    return this.leg !== undefined;
  }

  isWritable(): boolean {
    return this.leg !== undefined;
  }

  write(frame: Int16Array, stamp: number): void {
    this.leg?.write(frame, stamp);
  }
}
