import type { Clock } from '../clock.js';
import { FRAME_MS, type FrameSink } from './frame.js';
import { FrameRing } from './frame-ring.js';
import { type AtTurnEnd, atTurnEnd } from './turn-end.js';

/** Default for the most audio the listener may have waiting, in milliseconds. */
export const DEFAULT_LEAD_MS = 120;

/** Silence longer than this is a pause between words, not an underrun. */
const PAUSE_MS = 1_000;

/** The way out to the listener. */
export interface PlayoutLine {
  /**
   * Takes a frame.
   * @param waitedUs microseconds it waited for room
   * @param leadUs microseconds of audio that the listener has before it
   */
  write(frame: Int16Array, stamp: number, waitedUs: number, leadUs: number): void;
  /** False until somebody listens: what is pushed out before is no loss to anybody. */
  readonly hasListener: boolean;
  /** False while the far end takes nothing: not started yet, or the socket is full. */
  isWritable(): boolean;
}

/**
 * Keeps the listener's delay bounded. The far end plays at 1× whatever it is sent, so everything that is sent
 * early is heard late, for the rest of the call. The playout knows from a monotonic clock how much the
 * listener has waiting (the lead) and drops the oldest audio beyond the limit.
 *
 * A frame passes at once while the lead is small. Beyond half the limit frames wait for the end of the
 * event-loop turn: only then is a burst (our own stall, a resent window) known whole, and of those that
 * wait the oldest are dropped and the newest heard.
 */
export class Playout implements FrameSink, AtTurnEnd {
  /** Frames dropped because the lead would have passed its limit. */
  droppedLead = 0;
  /** Frames dropped because the line did not take them in time. */
  droppedBackpressure = 0;
  /** Times the listener ran dry for more than a frame in the middle of speech. */
  underruns = 0;

  /** Made when a frame first has to wait, which in most calls none does. */
  private ring: FrameRing | undefined;
  /** Monotonic milliseconds at which the listener will have played all that was sent. */
  private endsAt = 0;
  private sentMs = 0;
  private discardedMs = 0;
  private flushAsked = false;
  private closed = false;

  /**
   * @param line where frames go
   * @param limitMs bound of the lead, at least one frame
   */
  constructor(
    private readonly line: PlayoutLine,
    private readonly limitMs: number,
    private readonly clock: Clock,
  ) {}

  /** Audio that was sent and not yet played, in milliseconds. */
  leadMs(): number {
    return Math.max(0, this.endsAt - this.clock.now());
  }

  /** Audio the listener has heard since the start, in milliseconds, by the clock. */
  playedMs(): number {
    return this.sentMs - this.discardedMs - this.leadMs();
  }

  /** Position in heard audio at which what is sent next will be, in milliseconds. */
  positionMs(): number {
    return this.sentMs - this.discardedMs;
  }

  write(frame: Int16Array, stamp: number): void {
    if (this.closed) return;
    const now = this.clock.now();
    const isWritable = this.line.isWritable();
    const isNear = this.endsAt - now + FRAME_MS <= this.limitMs / 2;
    if (isWritable && isNear && this.waitingCount === 0) this.send(frame, stamp, now, now);
    else this.wait(frame, stamp, isWritable, now);
  }

  private wait(frame: Int16Array, stamp: number, isWritable: boolean, now: number): void {
    this.ring ??= new FrameRing(Math.max(1, Math.floor(this.limitMs / FRAME_MS)));
    const pushedOut = this.ring.push(frame, stamp, now);
    if (pushedOut && this.line.hasListener) {
      if (isWritable) this.droppedLead += 1;
      else this.droppedBackpressure += 1;
    }
    if (this.flushAsked || !isWritable) return;
    this.flushAsked = true;
    atTurnEnd(this);
  }

  private get waitingCount(): number {
    return this.ring === undefined ? 0 : this.ring.length;
  }

  turnEnded(): void {
    this.flushAsked = false;
    this.flush();
  }

  /** Sends what waits, as far as lead and line allow. Called when the line becomes writable. */
  flush(): void {
    if (this.line.isWritable()) this.settle();
  }

  /** As {@link flush}, even if the line is full, so that a mark stands behind the audio before it. */
  settle(): void {
    const { ring } = this;
    if (this.closed || ring === undefined) return;
    const now = this.clock.now();
    const room = Math.floor((this.limitMs - Math.max(0, this.endsAt - now)) / FRAME_MS);
    while (ring.length > Math.max(0, room)) {
      ring.drop();
      this.droppedLead += 1;
    }
    while (ring.length > 0) {
      const frame = ring.oldest as Int16Array;
      const stamp = ring.oldestStamp;
      const since = ring.oldestTime;
      ring.drop();
      this.send(frame, stamp, now, since);
    }
  }

  /**
   * The far end is told to drop what it has: so do we.
   * @returns what the listener really heard so far, and how much was taken back, in milliseconds
   */
  clear(): { playedMs: number; discardedMs: number } {
    const unheard = this.leadMs();
    const waiting = this.waitingCount * FRAME_MS;
    this.ring?.clear();
    this.discardedMs += unheard;
    // What comes next begins anew: the pause before it is no underrun.
    this.endsAt = Number.NEGATIVE_INFINITY;
    return { playedMs: this.playedMs(), discardedMs: unheard + waiting };
  }

  close(): void {
    this.closed = true;
    this.ring = undefined;
  }

  private send(frame: Int16Array, stamp: number, now: number, since: number): void {
    const dryMs = now - this.endsAt;
    if (dryMs > 0) {
      if (dryMs > FRAME_MS && dryMs < PAUSE_MS && this.sentMs > 0) this.underruns += 1;
      this.endsAt = now;
    }
    const leadMs = this.endsAt - now;
    this.endsAt += FRAME_MS;
    this.sentMs += FRAME_MS;
    // Whole numbers, which V8 does not box.
    this.line.write(frame, stamp, ((now - since) * 1_000) | 0, (leadMs * 1_000) | 0);
  }
}
