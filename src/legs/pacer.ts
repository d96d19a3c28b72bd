import type { Clock } from '../clock.js';
import { FRAME_MS } from '../media/frame.js';
import type { FrameClock, Ticking } from '../media/frame-clock.js';

/** How long an incomplete frame waits for more audio before it is padded with silence. */
const REST_MS = 40;
/**
 * A program counts as live if it has sent this much, never had more than this waiting, and was not pausing
 * before a stall of this process.
 */
const LIVE_MS = 500;
/**
 * A program speaks in real time, as a person or another call does, while its audio has come for so long without a gap of this
 * length, and never this much ahead.
 */
const REAL_TIME_MS = 3_000;
const GAP_MS = 200;
const REAL_TIME_AHEAD_MS = 300;
/** Audio of such a program that is heard later than this is late. More than the second waits only while nothing can be sent. */
const LATE_MS = 40;
const LATEST_MS = 500;
/** Audio that arrives this long after a stall no longer belongs to it. */
const BACKLOG_MS = 1_000;

/** Where paced audio goes. */
export interface PacerSink {
  /**
   * How far ahead of the listener audio may be sent, in milliseconds; less than a frame counts as one frame.
   */
  readonly aheadMs: number;
  /** Audio queued at the listener as measured, in milliseconds; Infinity while it receives nothing. */
  readonly leadMs: number;
  /**
   * Sends 20 ms at the pacer's rate. The memory is only lent.
   * @param isBehind the program speaks in real time and is heard late: a pause may be dropped
   * @returns false if it was dropped
   */
  sendFrame(frame: Int16Array, isBehind: boolean): boolean;
  /** Whether the sink has tones to send, which come before the waiting audio. */
  readonly hasTone: boolean;
  /** Sends 20 ms of tones. */
  sendTone(): void;
  /** Called when nothing is left to send. */
  idle(): void;
}

/** A callback at a position in the audio. */
export interface Waypoint {
  /** All audio before it was sent. */
  passed(): void;
  /** The audio before it was dropped. */
  cleared(): void;
}

/**
 * Buffers bursty audio and sends it at the pace of speech, in frames of 20 ms, no further ahead of the
 * listener than the sink allows. Audio that exceeds the buffer is rejected, so the beginning of a long speech
 * is heard, not its end. If a program is live, audio from a stall of this process is rejected too; otherwise
 * everything after it would stay late.
 */
export class Pacer implements Ticking {
  /** Milliseconds rejected so far. */
  droppedMs = 0;
  private readonly capacity: number;
  private readonly frame: Int16Array;
  /** Grows by doubling and is freed with the last sample; most programs never have much waiting. */
  private ring: Int16Array;
  private first = 0;
  private count = 0;
  /** Samples accepted since the beginning. */
  private written = 0;
  private waypoints: { readonly waypoint: Waypoint; readonly at: number; readonly until: number }[] = [];
  /** Monotonic milliseconds at which the listener will have heard everything sent. */
  private endsAt = 0;
  private pushedAt = Number.NEGATIVE_INFINITY;
  /** When the audio that has arrived would end if it were played as it arrives, and since when it has come in real time. */
  private arrivesUntil = 0;
  private inRealTimeSince = 0;
  private mostWaitingMs = 0;
  private lostMs: number;
  /** Milliseconds of a stall still to be rejected, and until when. */
  private staleMs = 0;
  private staleUntil = 0;
  private isTicking = false;
  private closed = false;

  /**
   * @param rate samples per second, a multiple of 50
   * @param limitMs maximum waiting audio in milliseconds, at least one frame
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

  /** Waiting audio in milliseconds. */
  get waitingMs(): number {
    return this.msOf(this.count);
  }

  get waitingWaypoints(): number {
    return this.waypoints.length;
  }

  /**
   * Accepts audio of any length.
   * @returns milliseconds rejected
   */
  push(samples: Int16Array): number {
    if (this.closed) return 0;
    const now = this.clock.now();
    const fresh = this.freshOf(samples, now);
    const fits = Math.min(fresh.length, this.capacity - this.count);
    this.reserve(this.count + fits);
    this.append(fits === fresh.length ? fresh : fresh.subarray(0, fits));
    this.notePace(this.msOf(samples.length), now);
    const late = this.isInRealTime(now) ? this.dropOldest() : 0;
    this.wake();
    this.mostWaitingMs = Math.max(this.mostWaitingMs, this.waitingMs);
    const dropped = this.msOf(samples.length - fits + late);
    this.droppedMs += dropped;
    return dropped;
  }

  /**
   * Places a waypoint after all audio so far, including tones.
   * @param patienceMs how much longer than that audio it waits for a listener who receives nothing; then it
   *   counts as passed
   */
  place(waypoint: Waypoint, patienceMs = Number.POSITIVE_INFINITY): void {
    if (this.count === 0 && !this.sink.hasTone) {
      waypoint.passed();
      return;
    }
    const until = Math.max(this.endsAt, this.clock.now()) + this.waitingMs + patienceMs;
    // In running time: during a stall of this process nothing can be received.
    this.waypoints.push({ waypoint, at: this.written, until: until - this.clock.stalledMs() });
  }

  /**
   * Drops waiting audio and clears its waypoints. New audio starts at once.
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

  /** Starts ticking: there is audio or tones to send. */
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

  /** Returns the samples without the part that belongs to a stall. */
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

  /** Sends the frames that are due. */
  private send(): void {
    const { sink, frame } = this;
    const now = this.clock.now();
    const ahead = Math.max(FRAME_MS, sink.aheadMs) - FRAME_MS;
    if (this.waypoints.length > 0 && sink.leadMs === Number.POSITIVE_INFINITY)
      this.giveUp(this.clock.runningMs(now));
    // The measured lead counts as much as the calculated one; after a stall it is larger.
    while (!this.closed && Math.max(this.endsAt - now, sink.leadMs) <= ahead) {
      if (!this.isDue(now)) break;
      if (sink.hasTone) sink.sendTone();
      else if (!this.takeFrame(now)) {
        this.passWaypoints();
        continue;
      }
      this.endsAt = Math.max(this.endsAt, now) + FRAME_MS;
      this.passWaypoints();
    }
    if (this.closed || sink.hasTone || this.count >= frame.length) return;
    sink.idle();
    if (this.count === 0) this.settle();
  }

  /** Sends the next 20 ms, padded with silence if necessary. @returns false if they were dropped */
  private takeFrame(now: number): boolean {
    const { frame, ring } = this;
    const isBehind = this.isInRealTime(now) && this.waitingMs - FRAME_MS + this.sink.leadMs > LATE_MS;
    const taken = Math.min(this.count, frame.length);
    let from = this.first;
    // Sample by sample: a view per frame would be an allocation per frame.
    for (let i = 0; i < taken; i++) {
      frame[i] = ring[from] as number;
      from = from + 1 === ring.length ? 0 : from + 1;
    }
    if (taken < frame.length) frame.fill(0, taken);
    this.first = from;
    this.count -= taken;
    return this.sink.sendFrame(frame, isBehind);
  }

  private notePace(ms: number, now: number): void {
    if (now - this.pushedAt > GAP_MS) this.inRealTimeSince = now;
    this.pushedAt = now;
    this.arrivesUntil = Math.max(this.arrivesUntil, now) + ms;
    if (this.arrivesUntil - now > REAL_TIME_AHEAD_MS) this.inRealTimeSince = now;
  }

  /** Whether the program speaks in real time: what waits of it is late, not said ahead. */
  private isInRealTime(now: number): boolean {
    return now - this.pushedAt <= GAP_MS && now - this.inRealTimeSince >= REAL_TIME_MS;
  }

  /** Drops what is too late. @returns samples dropped */
  private dropOldest(): number {
    const dropped = Math.max(0, this.count - (LATEST_MS * this.rate) / 1_000);
    this.first = (this.first + dropped) % this.ring.length;
    this.count -= dropped;
    return dropped;
  }

  /** Whether there is something to send. */
  private isDue(now: number): boolean {
    const { count } = this;
    if (count >= this.frame.length || this.sink.hasTone) return true;
    return count > 0 && now - this.pushedAt >= REST_MS;
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

  /** Resets when nothing is waiting. */
  private settle(): void {
    if (this.ring.length > this.rate) this.ring = this.small();
    this.first = 0;
    if (!this.isTicking) return;
    this.isTicking = false;
    this.frameClock.leave(this);
  }

  /** Memory for one second, or for the limit if that is less. */
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
