import { randomBytes } from 'node:crypto';
import { FRAME_MS } from '../media/frame.js';
import type { Playout } from './playout.js';

/** A probe's mark is sent so often while audio flows. */
const INTERVAL_MS = 1_000;
/** An echo that is late by less says nothing, whatever the bound of the lead. */
const LEAST_PATIENCE_MS = 120;
const MOST_PATIENCE_MS = 400;
/** An echo that is late by so much is of a stall: the phone is told to drop what it has. What it has of less is worked off. */
const CLEAR_MS = 600;
/** An echo that comes so long after that was held up all the while. */
const STALE_MS = 300;
/** Ways through a network change: the shortest one of the latest so many seconds counts, and of as many before. */
const ROUND_TRIP_WINDOW_MS = 20_000;
/** The caller's way is silent as well: then both may be held up, or just that one. This long it is taken for that one. */
const SILENT_UPLINK_MS = 1_000;
/** Without an echo for so long there will be none: the carrier has no marks. Counted in ticks, so only while we ran. */
const GIVE_UP_TICKS = 20_000 / FRAME_MS;
/** A measured difference below this is noise. */
const NOISE_MS = 2;
/** An echo that is late by more may be late for good: from then on what is sent may have to be said again. */
const SUSPICIOUS_MS = 20;
/** A first way that is longer than this is none, but a stall: what came of it waits at the phone. */
const MAX_FIRST_ROUND_TRIP_MS = 500;
/**
 * Of a way that is longer than usual, so much may be audio that has waited since before it was first measured: enough for a
 * pause to be left out, and too little for words to be said faster. It is taken for that until pauses were left out so often
 * without the way having got shorter by about a frame.
 */
const USUAL_ROUND_TRIP_MS = 150;
const DOUBT_MS = 35;
const DOUBTS = 2;
const LESS_MS = 10;

/** A phone as its probe sees it. */
export interface ProbedPhone {
  sendMark(name: string): void;
  /**
   * Tells the far end to drop what it has.
   * @param unheardMs how much that is
   * @param sinceMs how long ago it began not to be heard
   */
  dropUnheard(unheardMs: number, sinceMs: number): void;
  /** Audio that came from the phone so far, in milliseconds, and how much its last message brought. */
  readonly heardMs: number;
  readonly pieceMs: number;
  /** Whether what is read of it now may be of the past, since this process stood still. */
  readonly isBehind: boolean;
  /** When it was last sent something that waits where it comes from, as a play does, in monotonic milliseconds. */
  readonly injectedAt: number;
}

/** A mark under way. */
interface Probe {
  readonly name: string;
  readonly at: number;
  /** Where it stands in the audio for the phone. */
  readonly positionMs: number;
  /** What the phone had sent by then; NaN where it sends nothing. */
  readonly heardMs: number;
  /** What it had waiting by then, as was believed, and as it would be on a perfect network. */
  readonly leadMs: number;
  readonly bookedMs: number;
}

/**
 * Measures what the listener really has waiting: bytes in a kernel's buffer or in TCP's retransmission are sent, not heard.
 * A mark a second goes with the audio; Twilio echoes it when playback reaches it. What its way takes beyond the shortest
 * one so far is audio that waits there. While an echo is overdue, audio is held back here, where the newest wins; the phone
 * is told to drop the rest, for it will be old when it gets there.
 *
 * How late an echo is, is counted on the phone's own time: by the audio that came from it meanwhile, which stands before or
 * behind the echo on the same connection. So a stall of the caller's way is not taken for one of the listener's. After one of this
 * very process nothing is measured until all that came meanwhile has been read.
 */
export class LeadProbe {
  /** Times the phone was told to drop what it had, to begin anew with the newest. */
  clears = 0;
  /** No user's mark is called so. */
  private readonly prefix = `trunkline-lead-${randomBytes(9).toString('base64url')}-`;
  private readonly patienceMs: number;
  private serial = 0;
  private probe: Probe | undefined;
  /** Sent while that one is long overdue: its echo may have been lost. */
  private retry: Probe | undefined;
  private ticks = 0;
  private nextAt = 0;
  private probedMs = 0;
  private lastHeardMs = 0;
  private last: { readonly name: string; readonly done: () => void } | undefined;
  /** The shortest way there and back, without what waited: of late, and before. */
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

  /** Another 20 ms have passed. */
  tick(now: number): void {
    if (this.phone.isBehind) {
      this.wasBehind = true;
      this.forget();
      return;
    }
    // Whether the far end plays again is told by the next one.
    if (this.wasBehind && this.isHolding) this.startProbe(now);
    this.wasBehind = false;
    const { probe } = this;
    if (probe !== undefined) this.awaitEcho(probe, now);
    else if (now >= this.nextAt && !this.isBlind && this.playout.positionMs() !== this.probedMs) {
      this.startProbe(now);
    }
  }

  /** Whether a mark that came back is a probe's. */
  reached(name: string, now: number): boolean {
    if (!name.startsWith(this.prefix)) return false;
    const { last } = this;
    this.isBlind = false;
    if (last?.name === name) last.done();
    const probe = [this.probe, this.retry].find((each) => each?.name === name);
    // Those that a clear gave back tell nothing.
    if (probe === undefined) return true;
    this.forget();
    if (this.phone.isBehind) return true;
    this.measure(probe, now);
    this.playout.forget();
    this.hasCleared = false;
    this.release(now);
    return true;
  }

  /** The far end was told to drop what it has: what is under way comes back at once, and is no measure. */
  cleared(now: number): void {
    if (this.probe === undefined) return;
    this.forget();
    // Whether the far end plays again is told by the next one.
    if (this.isHolding) this.startProbe(now);
  }

  /** Tells, once, when the phone has heard all that was sent so far. */
  whenReached(done: () => void): void {
    this.last = { name: this.nextName(), done };
    this.phone.sendMark(this.last.name);
  }

  private startProbe(now: number): void {
    this.ticks = 0;
    this.probe = this.sendProbe(now);
  }

  private forget(): void {
    this.probe = undefined;
    this.retry = undefined;
  }

  private sendProbe(now: number): Probe {
    const { phone, playout } = this;
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

  /** How long it is under way, on the phone's own time where that is less. */
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
        // Then nothing is in its way.
        this.nextAt = heardAt;
      }
      return;
    }
    const beforeMs = this.roundTripMs;
    this.recordRoundTrip(wayMs, now);
    const endsAt = probe.at + tookMs - this.roundTripMs + sinceMs + this.doubtMs(beforeMs);
    playout.correct(endsAt, NOISE_MS);
    // Whether that much is still there is worth another look.
    if (endsAt - now > this.patienceMs) this.nextAt = now;
  }

  /** What of the way may be audio that waits. @param beforeMs the way as it was known before */
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
    else if (now >= this.nextAt) this.retry = this.sendProbe(now);
  }

  /** What is paced by whoever sends it is not old when it comes late; it waits with them. */
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
    this.startProbe(now);
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
