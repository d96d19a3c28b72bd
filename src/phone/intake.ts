import type { Clock } from '../clock.js';
import { DEFAULT_LEAD_MS, FRAME_SAMPLES, type FrameSink } from '../media/frame.js';
import { Framer } from './framer.js';
import { Playout, type PlayoutLine } from './playout.js';

/** The caller's first words that are kept until the bridge leg is up, in milliseconds. */
const INTAKE_KEEP_MS = 3_000;

/**
 * The caller's audio on its way to the bridge leg. Until there is a leg it keeps the caller's first words, which the leg
 * then hears, and catches up with; from then on frames pass at once. What the network held back and brings all at once, and
 * what it does not bring, is seen to by a {@link Playout}: the far side hears the newest, and no hole.
 */
export class Intake implements PlayoutLine {
  private readonly playout: Playout;
  private readonly framer: Framer;
  private leg: FrameSink | undefined;

  /** @param limitMs most of what came all at once that is still heard */
  constructor(clock: Clock, limitMs = DEFAULT_LEAD_MS) {
    this.playout = new Playout(this, { limitMs, keepMs: INTAKE_KEEP_MS }, clock);
    this.framer = new Framer(this.playout);
  }

  /** Frames of words that were dropped, for the newest ones' sake. */
  get dropped(): number {
    const { droppedEarly, droppedLead, droppedBackpressure } = this.playout;
    return droppedEarly + droppedLead + droppedBackpressure;
  }

  /** Milliseconds of silence left out, and by which words were shortened, on the way back to the present. */
  get silenceDroppedMs(): number {
    return this.playout.silenceDroppedMs;
  }

  get shortenedMs(): number {
    return this.playout.shortenedMs;
  }

  /** Takes decoded audio of any length. */
  push(samples: Int16Array, stamp: number): void {
    if (samples.length === FRAME_SAMPLES && this.framer.isEmpty) this.playout.write(samples, stamp);
    else this.framer.push(samples, stamp);
  }

  /** The leg is up: it gets what waited, then everything as it comes. Another one takes the place of the first. */
  connect(leg: FrameSink): void {
    this.leg = leg;
    this.playout.flush();
  }

  /** Whether somebody takes the audio. */
  get isConnected(): boolean {
    return this.leg !== undefined;
  }

  /** Another 20 ms have passed. */
  tick(): void {
    this.playout.tick();
  }

  /** Whether nothing came for a while, so that the leg is to hear something in its place. */
  hasGap(now: number): boolean {
    return this.playout.hasGap(now);
  }

  /** Takes the place of 20 ms that did not come. */
  fill(frame: Int16Array): void {
    this.playout.fill(frame);
  }

  /** What waits is not to be heard. */
  discardWaiting(): void {
    this.framer.clear();
    this.playout.clear();
  }

  /** Lets go of the leg; audio that still comes is dropped. */
  close(): void {
    this.playout.close();
    this.leg = undefined;
  }

  // What the playout asks:

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
