import { randomBytes } from 'node:crypto';
import { FRAME_MS } from '../media/frame.js';
import type { Playout } from './playout.js';

/** Interval between probe marks while audio flows. */
const INTERVAL_MS = 1_000;
/** Bounds of the delay at which an echo is significant, independent of the lead's limit. */
const LEAST_PATIENCE_MS = 120;
const MOST_PATIENCE_MS = 400;
/** An echo this late means a stall: the phone is told to clear its buffer. Less is worked off. */
const CLEAR_MS = 600;
/** An echo this long after a clear means that the path was blocked all along. */
const STALE_MS = 300;
/** Network paths change: the round trip is the shortest of this window and the previous one. */
const ROUND_TRIP_WINDOW_MS = 20_000;
/** When the uplink is silent too, either direction may be stalled. For this long, assume the uplink. */
const SILENT_UPLINK_MS = 1_000;
/**
 * Without an echo for this long, the carrier has no marks. Counted in ticks, so that stalls of this process
 * do not count.
 */
const GIVE_UP_TICKS = 20_000 / FRAME_MS;
/** Measured differences below this are noise. */
const NOISE_MS = 2;
/** An echo this late may never arrive; from here on, sent audio may have to be replayed. */
const SUSPICIOUS_MS = 20;
/** A first round trip longer than this is a stall: the audio sent meanwhile is queued at the phone. */
const MAX_FIRST_ROUND_TRIP_MS = 500;
/**
 * If the first measured round trip is longer than usual, up to `DOUBT_MS` of it may be audio that was already
 * queued: enough to drop a pause for, too little to speed up words. This is assumed until `DOUBTS` dropped
 * pauses have not shortened the round trip by about half a frame.
 */
const USUAL_ROUND_TRIP_MS = 150;
const DOUBT_MS = 35;
const DOUBTS = 2;
const LESS_MS = 10;

/** The phone as its lead probe sees it. */
export interface ProbedPhone {
  sendMark(name: string): void;
  /**
   * Tells the phone to clear its buffer.
   * @param unheardMs how much is in it, in milliseconds
   * @param sinceMs milliseconds since that audio was due
   */
  dropUnheard(unheardMs: number, sinceMs: number): void;
  /** Audio received from the phone so far, and in its last message, in milliseconds. */
  readonly heardMs: number;
  readonly pieceMs: number;
  /** Whether input may be outdated because this process was stalled. */
  readonly isBehind: boolean;
  /** When audio that waits at its source, such as a play, was last sent, in monotonic milliseconds. */
  readonly injectedAt: number;
}

/** A mark in flight. */
interface Probe {
  readonly name: string;
  readonly at: number;
  /** Its position in the audio sent to the phone. */
  readonly positionMs: number;
  /** Audio received from the phone when it was sent; NaN if the phone sends nothing. */
  readonly heardMs: number;
  /** Estimated audio queued at the phone when it was sent: measured, and assuming a perfect network. */
  readonly leadMs: number;
  readonly bookedMs: number;
}

/**
 * Measures how much audio is really queued at the listener: bytes in a kernel buffer or in TCP retransmission
 * are sent, but not heard. One mark per second travels with the audio, and Twilio echoes it when playback
 * reaches it. Any round trip beyond the shortest so far is queued audio. While an echo is overdue, audio is
 * held back here, where the newest wins; the phone is told to drop the rest, which would arrive too late.
 *
 * The delay of an echo is measured in the phone's time, by the audio received from it meanwhile, because that
 * shares a connection with the echo. So a stalled uplink is not mistaken for a stalled downlink. After a
 * stall of this process, nothing is measured until all input has been read.
 */
export class LeadProbe {
  /** Times the phone was told to clear its buffer. */
  clears = 0;
  /** No user's mark has this prefix. */
  private readonly prefix = `trunkline-lead-${randomBytes(9).toString('base64url')}-`;
  private readonly patienceMs: number;
  private serial = 0;
  private probe: Probe | undefined;
  /** Second probe, sent when the first is long overdue: its echo may be lost. */
  private retry: Probe | undefined;
  private ticks = 0;
  private nextAt = 0;
  private probedMs = 0;
  private lastHeardMs = 0;
  private last: { readonly name: string; readonly done: () => void } | undefined;
  /** Shortest round trip without queued audio: in the current window, and in the previous one. */
  private shortestMs = Number.POSITIVE_INFINITY;
  private shortestBeforeMs = Number.POSITIVE_INFINITY;
  private shortestSince = 0;
  private remainingDoubts = DOUBTS;
  private leftOutMs = 0;
  private wasSurprised = false;
  private isHolding = false;
  private hasCleared = false;
  private clearedAt = Number.POSITIVE_INFINITY;
  private isBlind = false;
  private wasBehind = false;

  constructor(
    private readonly phone: ProbedPhone,
    private readonly playout: Playout,
    leadMs: number,
  ) {
    this.patienceMs = Math.max(LEAST_PATIENCE_MS, Math.min(leadMs, MOST_PATIENCE_MS));
  }

  /** Called every 20 ms. */
  tick(now: number): void {
    if (this.phone.isBehind) {
      this.wasBehind = true;
      this.forget();
      return;
    }
    // The next echo shows whether the phone plays again.
    if (this.wasBehind && this.isHolding) this.startProbe();
    this.wasBehind = false;
    const { probe } = this;
    if (probe !== undefined) this.awaitEcho(probe, now);
    else if (now >= this.nextAt && !this.isBlind && this.playout.positionMs() !== this.probedMs) {
      this.startProbe();
    }
  }

  /** Handles a mark's echo; true if the mark is a probe's. */
  reached(name: string, now: number): boolean {
    if (!name.startsWith(this.prefix)) return false;
    const { last } = this;
    this.isBlind = false;
    if (last?.name === name) last.done();
    const probe = [this.probe, this.retry].find((each) => each?.name === name);
    // Echoes caused by a clear measure nothing.
    if (probe === undefined) return true;
    this.forget();
    if (this.phone.isBehind) return true;
    this.measure(probe, now);
    this.playout.forget();
    this.hasCleared = false;
    this.release(now);
    return true;
  }

  /** The phone was told to clear its buffer: pending marks echo at once and measure nothing. */
  cleared(): void {
    if (this.probe === undefined) return;
    this.forget();
    // The next echo shows whether the phone plays again.
    if (this.isHolding) this.startProbe();
  }

  /** Calls `done` once when the phone has played everything sent so far. */
  whenReached(done: () => void): void {
    this.last = { name: this.nextName(), done };
    this.phone.sendMark(this.last.name);
  }

  private startProbe(): void {
    this.ticks = 0;
    this.probe = this.sendProbe();
  }

  private forget(): void {
    this.probe = undefined;
    this.retry = undefined;
  }

  private sendProbe(): Probe {
    const { phone, playout } = this;
    // Exactly: the time of a tick was read for many calls at once.
    const now = playout.clock.now();
    const name = this.nextName();
    const { heardMs } = phone;
    this.nextAt = now + INTERVAL_MS;
    this.probedMs = playout.positionMs();
    const probe = {
      name,
      at: now,
      positionMs: this.probedMs,
      heardMs: heardMs > this.lastHeardMs ? heardMs : Number.NaN,
      leadMs: playout.leadMs(),
      bookedMs: playout.bookedMs(),
    };
    this.lastHeardMs = heardMs;
    phone.sendMark(name);
    return probe;
  }

  private nextName(): string {
    this.serial += 1;
    return this.prefix + this.serial;
  }

  /** Time since the probe was sent, in the phone's time if that is shorter. */
  private elapsed({ at, heardMs }: Probe, now: number): number {
    const byPhone = this.phone.heardMs - heardMs;
    return Number.isNaN(byPhone) ? now - at : Math.min(now - at, byPhone + this.phone.pieceMs);
  }

  private measure(probe: Probe, now: number): void {
    const { playout } = this;
    const tookMs = this.elapsed(probe, now);
    const wayMs = Math.max(0, tookMs - probe.bookedMs);
    const sinceMs = playout.positionMs() - probe.positionMs;
    const isFirst = this.roundTripMs === Number.POSITIVE_INFINITY;
    if (isFirst && wayMs > MAX_FIRST_ROUND_TRIP_MS && !this.wasSurprised) {
      this.wasSurprised = true;
      if (this.isLive(probe)) this.dropUnheard(probe, now);
      else {
        const heardAt = probe.at + tookMs - USUAL_ROUND_TRIP_MS + sinceMs;
        playout.correct(heardAt, NOISE_MS);
        // By then its queue is empty.
        this.nextAt = heardAt;
      }
      return;
    }
    const beforeMs = this.roundTripMs;
    this.recordRoundTrip(wayMs, now);
    const endsAt = probe.at + tookMs - this.roundTripMs + sinceMs + this.doubtMs(beforeMs);
    playout.correct(endsAt, NOISE_MS);
    // Check soon whether that much is still queued.
    if (endsAt - now > this.patienceMs) this.nextAt = now;
  }

  /**
   * The part of the round trip that may be queued audio, in milliseconds.
   * @param beforeMs the round trip known before this measurement
   */
  private doubtMs(beforeMs: number): number {
    if (this.remainingDoubts === 0) return 0;
    const { silenceDroppedMs } = this.playout;
    if (silenceDroppedMs > this.leftOutMs) {
      this.remainingDoubts = this.roundTripMs > beforeMs - LESS_MS ? this.remainingDoubts - 1 : DOUBTS;
      this.leftOutMs = silenceDroppedMs;
    }
    return Math.max(0, Math.min(DOUBT_MS, this.roundTripMs - USUAL_ROUND_TRIP_MS));
  }

  private get roundTripMs(): number {
    return Math.min(this.shortestMs, this.shortestBeforeMs);
  }

  private recordRoundTrip(ms: number, now: number): void {
    if (now - this.shortestSince > ROUND_TRIP_WINDOW_MS) {
      this.shortestBeforeMs = this.shortestMs;
      this.shortestMs = ms;
      this.shortestSince = now;
    } else this.shortestMs = Math.min(this.shortestMs, ms);
  }

  private awaitEcho(probe: Probe, now: number): void {
    this.ticks += 1;
    if (this.ticks > GIVE_UP_TICKS) {
      this.forget();
      this.isBlind = true;
      this.release(now);
      return;
    }
    if (this.roundTripMs === Number.POSITIVE_INFINITY) return;
    const dueMs = probe.leadMs + this.roundTripMs + 2 * this.phone.pieceMs;
    const lateMs = this.elapsed(probe, now) - dueMs;
    if (lateMs > SUSPICIOUS_MS && !this.hasCleared) this.playout.remember();
    if (lateMs > this.patienceMs || now - probe.at - dueMs > SILENT_UPLINK_MS) this.hold();
    if (lateMs <= Math.max(CLEAR_MS, this.patienceMs)) return;
    if (!this.hasCleared && this.isLive(probe)) this.dropUnheard(probe, now);
    else if (now >= this.nextAt) this.retry = this.sendProbe();
  }

  /** Audio that its sender paces does not go stale when it is delayed; it waits at the sender. */
  private isLive(probe: Probe): boolean {
    const since = probe.at - INTERVAL_MS;
    return this.playout.lastLiveAt >= since && this.phone.injectedAt < since;
  }

  private dropUnheard(probe: Probe, now: number): void {
    this.hasCleared = true;
    this.clearedAt = now;
    this.clears += 1;
    this.forget();
    const unheardMs = Math.max(this.playout.leadMs(), this.playout.positionMs() - probe.positionMs);
    this.phone.dropUnheard(unheardMs, now - probe.at);
    this.playout.replayRecent();
    this.startProbe();
  }

  private hold(): void {
    if (this.isHolding) return;
    this.isHolding = true;
    this.playout.hold();
  }

  private release(now: number): void {
    if (!this.isHolding) return;
    this.isHolding = false;
    this.playout.release(now - this.clearedAt > STALE_MS);
    this.clearedAt = Number.POSITIVE_INFINITY;
  }
}
