import type { Clock } from '../clock.js';
import { FRAME_MS } from '../media/frame.js';
import type { FrameClock, Ticking } from '../media/frame-clock.js';

/** A frame that is not full waits so long for the rest of it; then silence is. */
const REST_MS = 40;
/** Who said this much so far, never had more of it waiting, and did not pause before a stall of this process, speaks live. */
const LIVE_MS = 500;
/** What comes so long after a stall is no longer of it. */
const BACKLOG_MS = 1_000;

/** Where paced audio goes. */
export interface PacerSink {
  /** How far ahead of the listener audio may be sent, in milliseconds; less than a frame counts as one. */
  readonly aheadMs: number;
  /** What the listener is measured to have waiting, in milliseconds; Infinity while it takes nothing. */
  readonly leadMs: number;
  /** Takes 20 ms at the pacer's rate; its memory is only lent. */
  sendFrame(frame: Int16Array): void;
  /** Whether it has something of its own to send, in place of the audio that waits meanwhile. */
  readonly hasTone: boolean;
  /** Sends 20 ms of its own. */
  sendTone(): void;
  /** Nothing is left to send. */
  idle(): void;
}

/** What is to be done at a place in the audio. */
export interface Waypoint {
  /** All audio before it was taken. */
  passed(): void;
  /** That audio was dropped. */
  cleared(): void;
}

/**
 * Audio that comes in bursts, faster than it is spoken, on its way to listeners who want it at the pace of speech:
 * it waits here, up to a bound, and leaves in frames of 20 ms, no further ahead of the listener than the sink allows.
 * What does not fit is not taken: the beginning of a long speech is heard, not its end. Of who speaks live, what was said while
 * this process stood still is not taken either: all that comes later would be heard as late for ever.
 */
export class Pacer implements Ticking {
  /** Milliseconds that did not fit. */
  droppedMs = 0;
  private readonly capacity: number;
  private readonly frame: Int16Array;
  /** Grows by doubling, and is given back with the last sample: most programs never have much waiting. */
  private ring: Int16Array;
  private first = 0;
  private count = 0;
  /** Samples taken in since the beginning. */
  private written = 0;
  private waypoints: { readonly waypoint: Waypoint; readonly at: number; readonly until: number }[] = [];
  /** Monotonic milliseconds at which the listener will have heard all that left. */
  private endsAt = 0;
  private pushedAt = 0;
  private mostWaitingMs = 0;
  private lostMs: number;
  /** What is still to come of a stall, and until when. */
  private staleMs = 0;
  private staleUntil = 0;
  private isTicking = false;
  private closed = false;

  /**
   * @param rate samples a second, a multiple of 50
   * @param limitMs most audio that waits, at least a frame
   */
  constructor(
    private readonly sink: PacerSink,
    private readonly rate: number,
    limitMs: number,
    private readonly frameClock: Pick<FrameClock, 'join' | 'leave'>,
    private readonly clock: Clock,
  ) {
    this.capacity = Math.max(1, Math.round(limitMs / FRAME_MS)) * ((rate * FRAME_MS) / 1_000);
    this.frame = new Int16Array((rate * FRAME_MS) / 1_000);
    this.ring = this.small();
    this.lostMs = clock.stalledMs();
  }

  /** Audio that waits, in milliseconds. */
  get waitingMs(): number {
    return this.msOf(this.count);
  }

  get waitingWaypoints(): number {
    return this.waypoints.length;
  }

  /**
   * Takes audio of any length.
   * @returns milliseconds that did not fit
   */
  push(samples: Int16Array): number {
    if (this.closed) return 0;
    const now = this.clock.now();
    const fresh = this.freshOf(samples, now);
    const fits = Math.min(fresh.length, this.capacity - this.count);
    this.reserve(this.count + fits);
    this.append(fits === fresh.length ? fresh : fresh.subarray(0, fits));
    this.pushedAt = now;
    this.wake();
    this.mostWaitingMs = Math.max(this.mostWaitingMs, this.waitingMs);
    const dropped = this.msOf(samples.length - fits);
    this.droppedMs += dropped;
    return dropped;
  }

  /**
   * Places a waypoint behind all audio so far, and what the sink has of its own.
   * @param patienceMs how much longer than that audio it waits for a listener who takes nothing; then it counts as passed
   */
  place(waypoint: Waypoint, patienceMs = Number.POSITIVE_INFINITY): void {
    if (this.count === 0 && !this.sink.hasTone) {
      waypoint.passed();
      return;
    }
    const until = Math.max(this.endsAt, this.clock.now()) + this.waitingMs + patienceMs;
    // As `ran` counts: that nobody took anything while this process stood still says nothing of them.
    this.waypoints.push({ waypoint, at: this.written, until: until - this.clock.stalledMs() });
  }

  /**
   * Drops what waits, and tells the waypoints behind it. What comes next begins at once.
   * @returns milliseconds dropped
   */
  clear(): number {
    const discardedMs = this.waitingMs;
    const { waypoints } = this;
    this.count = 0;
    this.waypoints = [];
    this.endsAt = 0;
    this.settle();
    for (const { waypoint } of waypoints) waypoint.cleared();
    return discardedMs;
  }

  /** There is something to send: audio, or the sink has some of its own. */
  wake(): void {
    if (this.closed) return;
    this.send();
    if (this.isTicking || this.closed || (this.count === 0 && !this.sink.hasTone)) return;
    this.isTicking = true;
    this.frameClock.join(this);
  }

  tick(): void {
    this.send();
  }

  close(): void {
    this.closed = true;
    this.count = 0;
    this.waypoints = [];
    this.settle();
  }

  /** What is not of a stall of this process, where that is not to be heard. */
  private freshOf(samples: Int16Array, now: number): Int16Array {
    const lostMs = this.clock.stalledMs(now) - this.lostMs;
    if (lostMs > 0) {
      this.lostMs += lostMs;
      const isPaced = this.mostWaitingMs <= LIVE_MS && this.msOf(this.written) > LIVE_MS;
      const isLive = isPaced && now - lostMs - this.pushedAt <= LIVE_MS;
      // Nothing was due before.
      if (isLive) this.staleMs += Math.max(0, now - this.pushedAt - FRAME_MS);
      this.staleUntil = now + BACKLOG_MS;
    }
    if (this.staleMs === 0) return samples;
    if (now > this.staleUntil) this.staleMs = 0;
    const stale = Math.min(samples.length, Math.floor((this.staleMs * this.rate) / 1_000));
    this.staleMs = stale < samples.length ? 0 : this.staleMs - this.msOf(stale);
    return samples.subarray(stale);
  }

  /** Sends what the listener may have by now. */
  private send(): void {
    const { sink, frame } = this;
    const now = this.clock.now();
    const ahead = Math.max(FRAME_MS, sink.aheadMs) - FRAME_MS;
    if (this.waypoints.length > 0 && sink.leadMs === Number.POSITIVE_INFINITY)
      this.giveUp(this.clock.runningMs(now));
    // What is measured there counts as much as what was sent: after a stall it is more.
    while (!this.closed && Math.max(this.endsAt - now, sink.leadMs) <= ahead) {
      if (sink.hasTone) sink.sendTone();
      else if (this.count >= frame.length || (this.count > 0 && now - this.pushedAt >= REST_MS))
        this.takeFrame();
      else break;
      this.endsAt = Math.max(this.endsAt, now) + FRAME_MS;
      this.passWaypoints();
    }
    if (this.closed || sink.hasTone || this.count >= frame.length) return;
    sink.idle();
    if (this.count === 0) this.settle();
  }

  /** The next 20 ms go; silence fills up what is missing to them. */
  private takeFrame(): void {
    const { frame, ring } = this;
    const taken = Math.min(this.count, frame.length);
    let from = this.first;
    // Sample by sample: a view a frame would be an allocation a frame.
    for (let i = 0; i < taken; i++) {
      frame[i] = ring[from] as number;
      from = from + 1 === ring.length ? 0 : from + 1;
    }
    if (taken < frame.length) frame.fill(0, taken);
    this.first = from;
    this.count -= taken;
    this.sink.sendFrame(frame);
  }

  private giveUp(now: number): void {
    const { waypoints } = this;
    if (!waypoints.some(({ until }) => until <= now)) return;
    this.waypoints = waypoints.filter(({ until }) => until > now);
    for (const { waypoint, until } of waypoints) if (until <= now) waypoint.passed();
  }

  private passWaypoints(): void {
    if (this.sink.hasTone) return;
    const passed = this.written - this.count;
    while (this.waypoints[0] !== undefined && this.waypoints[0].at <= passed) {
      this.waypoints.shift()?.waypoint.passed();
    }
  }

  /** Nothing waits any more. */
  private settle(): void {
    if (this.ring.length > this.rate) this.ring = this.small();
    this.first = 0;
    if (!this.isTicking) return;
    this.isTicking = false;
    this.frameClock.leave(this);
  }

  /** Memory for a second, or all there may be. */
  private small(): Int16Array {
    return new Int16Array(Math.min(this.capacity, this.rate));
  }

  private append(samples: Int16Array): void {
    const { ring } = this;
    const begin = (this.first + this.count) % ring.length;
    const beforeWrap = Math.min(samples.length, ring.length - begin);
    ring.set(samples.subarray(0, beforeWrap), begin);
    ring.set(samples.subarray(beforeWrap), 0);
    this.count += samples.length;
    this.written += samples.length;
  }

  private reserve(samples: number): void {
    if (samples <= this.ring.length) return;
    const longer = new Int16Array(Math.min(this.capacity, Math.max(samples, 2 * this.ring.length)));
    const beforeWrap = Math.min(this.count, this.ring.length - this.first);
    longer.set(this.ring.subarray(this.first, this.first + beforeWrap));
    longer.set(this.ring.subarray(0, this.count - beforeWrap), beforeWrap);
    this.ring = longer;
    this.first = 0;
  }

  private msOf(samples: number): number {
    return (samples * 1_000) / this.rate;
  }
}
