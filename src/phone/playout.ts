import type { Clock } from '../clock.js';
import { FRAME_MS, FRAME_SAMPLES, type FrameSink } from '../media/frame.js';
import { FrameRing } from '../media/frame-ring.js';
import { audioWaited, NO_INGRESS_TIME, presentOf } from '../telemetry/ingress-time.js';
import { CatchUp } from './catch-up.js';
import { Framer } from './framer.js';
import { type AtTurnEnd, atTurnEnd } from './turn-end.js';

/**
 * Delay to which live audio is brought back, in milliseconds: by shorter pauses, and by faster words. The
 * measurement may be a few milliseconds too high, which is harmless for pauses but not for words, so those
 * start later.
 */
const TARGET_MS = 20;
const TARGET_OF_WORDS_MS = 25;
const TOO_LATE_MS = 45;
/**
 * A delay that lasts this long will not go away by itself. A small one may absorb network jitter and gets
 * more time.
 */
const LASTING_MS = 300;
const SMALL_LASTING_MS = 1_000;
const SMALL_MS = 60;
/** A longer gap may be followed by everything it held back; only the end of the turn shows. */
const GAP_MS = 60;
/** A longer silence is a pause between words, not an underrun. */
const PAUSE_MS = 1_000;
/** Audio kept while the phone is not playing, in milliseconds; it may resume with all it has. */
const HELD_MS = 600;
/** Larger rings are only needed at the start or after a stall. */
const USUAL_FRAMES = 32;
/** An empty ring is given back after this many ticks, a second: while a call is late it needs one for every frame. */
const EMPTY_TICKS = 1_000 / FRAME_MS;
/** The ring holds this many times the limit until silence in it has been found. */
const ROOM_FACTOR = 2;

/** Where frames go: the listener's connection. */
export interface PlayoutLine {
  /**
   * Sends a frame.
   * @param waitedUs microseconds it waited
   * @param leadUs microseconds of audio queued at the listener before it
   */
  write(frame: Int16Array, stamp: number, waitedUs: number, leadUs: number): void;
  /** False until somebody listens; frames evicted before that do not count as dropped. */
  readonly hasListener: boolean;
  /** False while the listener cannot receive: not started yet, or the socket is full. */
  isWritable(): boolean;
}

export interface PlayoutOptions {
  /** Maximum lead in milliseconds, at least one frame. */
  readonly limitMs: number;
  /**
   * How much is kept for a listener who is not connected yet, the newest, in milliseconds; default `limitMs`.
   */
  readonly keepMs?: number;
  /**
   * Whether frames leave at the pace of speech, for a listener whose jitter buffer would grow with every
   * burst. Default false: frames leave immediately.
   */
  readonly isPaced?: boolean;
}

/** A callback to run when `at` frames have left the ring. */
interface PlayoutPoint {
  at: number;
  readonly done: () => void;
}

/**
 * Bounds the listener's delay and reduces it. The phone plays at 1× whatever it is sent, so everything sent
 * early is heard late for the rest of the call. The playout tracks how much audio is queued at the listener
 * (the lead), by a monotonic clock and by measurements (see {@link correct}).
 *
 * A frame passes immediately while the lead is small, or has just become larger. Otherwise it waits for the
 * end of the event-loop turn, because only then is a burst (our own stall, a retransmitted window) known
 * completely. Then:
 * - beyond the limit the newest frames win: silence is dropped first, then the oldest words;
 * - a lead of live audio that stays above its target is worked off: pauses are dropped, words are played
 *   slightly faster.
 *
 * A listener who connects late catches up with `keepMs` of audio in the same way, without losing words.
 * Frames with `NO_INGRESS_TIME` are not live: their sender paces them and decides how far ahead they may be.
 */
export class Playout implements FrameSink, AtTurnEnd {
  /** Frames dropped because the lead would have exceeded its limit. */
  droppedLead = 0;
  /** Frames dropped because the line did not accept them in time. */
  droppedBackpressure = 0;
  /** Frames dropped because they were too old when the listener connected. */
  droppedEarly = 0;
  /** Times the listener ran dry for more than a frame during speech. */
  underruns = 0;
  /** Milliseconds of silence dropped, and by which words were shortened, while catching up. */
  silenceDroppedMs = 0;
  shortenedMs = 0;
  /** When live audio was last sent, in monotonic milliseconds. */
  lastLiveAt = Number.NEGATIVE_INFINITY;

  private readonly limitMs: number;
  private readonly keepMs: number;
  private readonly isPaced: boolean;
  private readonly targetMs: number;
  private readonly nearMs: number;
  /** Borrowed while frames wait, and for a second afterwards. */
  private ring: FrameRing | undefined;
  private emptyTicks = 0;
  private catchUp: CatchUp | undefined;
  private framer: Framer | undefined;
  /** Recently sent frames, kept while they may have to be replayed. */
  private recent: FrameRing | undefined;
  private isRemembering = false;
  /** Monotonic milliseconds at which the listener will have played everything sent. */
  private endsAt = Number.NEGATIVE_INFINITY;
  /** The same assuming a perfect network; never later. */
  private bookedUntil = Number.NEGATIVE_INFINITY;
  /** When the lead was last at or below its target. */
  private currentAt = Number.NaN;
  private sentMs = 0;
  private discardedMs = 0;
  /** Whether a frame can pass immediately: none waits, none was cut, nothing is held. */
  private isClear = true;
  private isOnHold = false;
  private isCatchingUp = false;
  private isFast = false;
  private flushAsked = false;
  /** Frames that left the ring, sent or dropped. */
  private gone = 0;
  private waypoints: PlayoutPoint[] = [];
  private closed = false;
  /** When the frame being sent began to wait. */
  private since = 0;
  private now = 0;

  /** @param line where frames go */
  constructor(
    private readonly line: PlayoutLine,
    options: PlayoutOptions,
    readonly clock: Clock,
  ) {
    this.limitMs = options.limitMs;
    this.keepMs = options.keepMs ?? options.limitMs;
    this.isPaced = options.isPaced === true;
    this.currentAt = clock.now();
    this.nearMs = this.limitMs / 2 - FRAME_MS;
    this.targetMs = Math.min(TARGET_MS, this.nearMs);
  }

  /** Audio sent and not yet played, in milliseconds. */
  leadMs(): number {
    return Math.max(0, this.endsAt - this.clock.now());
  }

  /** How long the listener has had no audio, in milliseconds; negative while it has some. */
  dryMs(): number {
    return this.clock.now() - this.endsAt;
  }

  /** {@link leadMs} assuming a perfect network. */
  bookedMs(): number {
    return Math.max(0, this.bookedUntil - this.clock.now());
  }

  /** Audio waiting here, in milliseconds. */
  get waitingMs(): number {
    return this.ring === undefined ? 0 : this.ring.length * FRAME_MS;
  }

  /** Audio the listener has heard since the start, in milliseconds, by the clock. */
  playedMs(): number {
    return this.sentMs - this.discardedMs - this.leadMs();
  }

  /** Position in heard audio of the next frame sent, in milliseconds. */
  positionMs(): number {
    return this.sentMs - this.discardedMs;
  }

  write(frame: Int16Array, stamp: number): void {
    if (this.closed) return;
    const now = presentOf(stamp, this.clock);
    const leadMs = this.endsAt - now;
    const isNear = leadMs <= this.nearMs && leadMs >= -GAP_MS;
    if (!(isNear && this.isClear && this.line.isWritable())) {
      this.enqueue(frame, stamp, now);
      return;
    }
    if (leadMs <= this.targetMs || stamp === NO_INGRESS_TIME) this.currentAt = now;
    else if (this.isPaced || (this.isFast && leadMs > TARGET_OF_WORDS_MS)) {
      this.enqueue(frame, stamp, now);
      return;
    } else if (now - this.currentAt >= LASTING_MS) {
      this.isFast = false;
      this.catchUp ??= new CatchUp();
      if (this.catchUp.skipsFrame(frame)) {
        this.silenceDroppedMs += FRAME_MS;
        return;
      }
    }
    this.now = now;
    this.since = now;
    this.send(frame, stamp);
  }

  /**
   * Corrects the lead by a measurement.
   * @param endsAt when the listener will have played everything sent, in monotonic milliseconds
   * @param noiseMs differences below this are ignored
   */
  correct(endsAt: number, noiseMs: number): void {
    // Frames that only wait for the end of this turn belong to the old estimate.
    if (this.flushAsked) this.flush();
    const measured = Math.max(endsAt, this.bookedUntil);
    if (!(Math.abs(measured - this.endsAt) < noiseMs)) this.endsAt = measured;
  }

  /** Holds audio back because the phone is not playing; the newest waits here. */
  hold(): void {
    this.isOnHold = true;
    this.isClear = false;
    this.refill(this.ring);
  }

  get isHolding(): boolean {
    return this.isOnHold;
  }

  /**
   * Resumes after {@link hold}: waiting audio is sent at the pace of speech, and the listener catches up.
   * @param isStale whether the phone stopped for so long that only `limitMs` of it is still wanted
   */
  release(isStale: boolean): void {
    const { ring } = this;
    this.isOnHold = false;
    if (ring !== undefined && ring.length > 0) {
      const most = isStale ? Math.max(1, Math.floor(this.limitMs / FRAME_MS)) : ring.length;
      for (; ring.length > most; this.droppedLead += 1) this.drop(ring);
      this.isCatchingUp = true;
    }
    this.flush();
  }

  /** Called every 20 ms. */
  tick(): void {
    if (this.isClear) {
      if (this.ring === undefined) return;
      this.emptyTicks += 1;
      if (this.emptyTicks >= EMPTY_TICKS) this.giveBackRing();
      return;
    }
    this.emptyTicks = 0;
    this.flush();
    // Nothing arrives to complete the frame that was cut.
    if (this.waitingMs === 0 && this.dryMs() > FRAME_MS) this.fillUp();
  }

  /** Whether audio has been missing for longer than jitter explains; false before the first frame. */
  hasGap(now: number): boolean {
    if (now - this.endsAt <= GAP_MS || this.sentMs === 0 || this.closed) return false;
    return this.waitingMs === 0 && !this.isOnHold && this.line.isWritable();
  }

  /**
   * Fills a gap by the clock.
   * @param frame 20 ms that replace the missing audio
   */
  fill(frame: Int16Array): void {
    const now = this.clock.now();
    // The next frame may bring everything that was held back, so it waits for the end of its turn.
    this.isClear = false;
    // One frame per tick: a stall of this process is not a gap.
    this.endsAt = Math.max(this.endsAt + FRAME_MS, now - GAP_MS);
    this.sentMs += FRAME_MS;
    this.line.write(frame, NO_INGRESS_TIME, 0, 0);
  }

  turnEnded(): void {
    this.flushAsked = false;
    this.flush();
  }

  /** Sends waiting frames as far as lead and line allow. Called when the line becomes writable. */
  flush(): void {
    if (this.line.isWritable()) this.settle();
  }

  /**
   * Runs `done` when all audio so far has been sent, even if the line is full, so that a mark follows the
   * audio before it. Runs at once if nothing waits.
   */
  after(done: () => void): void {
    this.settle();
    if (this.waitingMs > 0) {
      this.waypoints.push({ at: this.gone + (this.ring as FrameRing).length, done });
      return;
    }
    this.fillUp();
    done();
  }

  /** Pending callbacks of {@link after}. */
  get waypointCount(): number {
    return this.waypoints.length;
  }

  /** Sends everything queued, regardless of the lead: nothing follows it. */
  finish(): void {
    const { ring } = this;
    if (this.closed) return;
    this.isOnHold = false;
    this.now = this.clock.now();
    while (ring !== undefined && this.ring === ring && ring.length > 0) {
      this.pass(ring.oldest as Int16Array, ring);
    }
    this.fillUp();
    this.passWaypoints();
  }

  /**
   * Clears the buffer here; the phone is told to clear its own.
   * @returns what the listener actually heard so far, and how much was discarded, in milliseconds
   */
  clear(): { playedMs: number; discardedMs: number } {
    const unheard = this.leadMs();
    const waiting = this.waitingMs;
    this.gone += this.ring?.length ?? 0;
    this.ring?.clear();
    this.framer?.clear();
    this.passWaypoints();
    this.discardUnheard(unheard);
    return { playedMs: this.playedMs(), discardedMs: unheard + waiting };
  }

  /** Starts keeping a copy of the newest sent frames, which may have to be replayed. */
  remember(): void {
    this.recent ??= FrameRing.borrow(Math.max(1, Math.floor(Math.min(this.limitMs, HELD_MS) / FRAME_MS)));
    this.isRemembering = true;
  }

  /** The remembered frames were heard. */
  forget(): void {
    this.isRemembering = false;
    if (this.recent === undefined) return;
    FrameRing.giveBack(this.recent);
    this.recent = undefined;
  }

  /** Queues the remembered frames before the waiting ones, as many of both as the limit allows. */
  replayRecent(): void {
    const { recent, ring } = this;
    this.isRemembering = false;
    this.recent = undefined;
    if (recent === undefined || recent.length === 0) return;
    // Marks follow the waiting frames, which are more now.
    for (const waypoint of this.waypoints) waypoint.at += recent.length;
    this.refill(recent, ring);
    this.isClear = false;
  }

  /** Moves frames into another ring, with room for what waits while the phone is not playing. */
  private refill(...from: readonly (FrameRing | undefined)[]): void {
    const ms = Math.max(ROOM_FACTOR * this.limitMs, HELD_MS);
    const ring = FrameRing.borrow(Math.floor(ms / FRAME_MS));
    for (const each of from) {
      if (each === undefined) continue;
      for (; each.length > 0; each.drop()) {
        if (!ring.push(each.oldest as Int16Array, each.oldestStamp, each.oldestTime)) continue;
        this.gone += 1;
        this.droppedLead += 1;
      }
      FrameRing.giveBack(each);
    }
    this.ring = ring;
    this.catchUp ??= new CatchUp();
  }

  /** The phone was told to discard this many milliseconds. Audio waiting here will still be heard. */
  discardUnheard(unheardMs: number): void {
    this.discardedMs += unheardMs;
    // The next frame starts afresh: the pause before it is not an underrun.
    this.endsAt = Number.NEGATIVE_INFINITY;
    this.bookedUntil = Number.NEGATIVE_INFINITY;
  }

  close(): void {
    this.closed = true;
    this.ring = undefined;
    this.recent = undefined;
    this.waypoints = [];
  }

  /** Sends waiting frames as far as the lead allows. */
  private settle(): void {
    const { ring } = this;
    if (this.closed || this.isOnHold) return;
    this.now = this.clock.now();
    audioWaited();
    if (ring !== undefined) {
      if (!this.isCatchingUp) this.trim(ring);
      // A frame may lead to a command that empties the ring, or replaces it.
      while (this.ring === ring && ring.length > 0 && this.canSend()) this.deliver(ring);
      this.passWaypoints();
      if (this.ring !== undefined) {
        if (this.ring.length > 0) return;
        if (this.isCatchingUp || this.ring.capacity > USUAL_FRAMES) this.giveBackRing();
      }
    }
    this.isCatchingUp = false;
    this.isClear = this.framer?.isEmpty !== false;
  }

  private giveBackRing(): void {
    if (this.ring !== undefined) FrameRing.giveBack(this.ring);
    this.ring = undefined;
  }

  private passWaypoints(): void {
    while (this.waypoints[0] !== undefined && this.waypoints[0].at <= this.gone) {
      (this.waypoints.shift() as PlayoutPoint).done();
    }
  }

  /** Sends the remainder of frames that were cut. */
  private fillUp(): void {
    this.framer?.fill();
    if (this.waitingMs === 0 && !this.isOnHold) this.isClear = true;
  }

  private enqueue(frame: Int16Array, stamp: number, now: number): void {
    const isHeard = this.line.hasListener;
    this.catchUp ??= new CatchUp();
    // Nothing to keep before the first word.
    if (!isHeard && this.waitingMs === 0 && this.catchUp.isQuiet(frame)) return;
    this.ring ??= this.newRing(isHeard);
    this.emptyTicks = 0;
    this.isClear = false;
    const isWritable = this.line.isWritable();
    if (this.ring.push(frame, stamp, now)) {
      this.gone += 1;
      if (!isHeard) this.droppedEarly += 1;
      else if (isWritable) this.droppedLead += 1;
      else this.droppedBackpressure += 1;
    }
    if (this.flushAsked || !isWritable || this.isOnHold) return;
    this.flushAsked = true;
    atTurnEnd(this);
  }

  private newRing(isHeard: boolean): FrameRing {
    this.isCatchingUp = !isHeard;
    const ms = isHeard ? ROOM_FACTOR * this.limitMs : this.keepMs;
    return FrameRing.borrow(Math.max(1, Math.floor(ms / FRAME_MS)));
  }

  /** A listener who catches up hears everything in order. */
  private canSend(): boolean {
    return !(this.isCatchingUp || this.isPaced) || this.endsAt - this.now <= this.targetMs;
  }

  /** Drops frames until the rest fits the limit. */
  private trim(ring: FrameRing): void {
    // Network delay is not the speaker's fault: speed up the words instead of dropping them.
    const bookedMs = Math.max(0, this.bookedUntil - this.now);
    const room = Math.max(0, Math.floor((this.limitMs - bookedMs) / FRAME_MS));
    if (ring.length <= room) return;
    const quiet = (this.catchUp as CatchUp).thin(ring, ring.length - room);
    this.silenceDroppedMs += FRAME_MS * quiet;
    this.gone += quiet;
    while (ring.length > room) {
      this.drop(ring);
      this.droppedLead += 1;
    }
  }

  /** Sends the oldest frame, or drops it while catching up. */
  private deliver(ring: FrameRing): void {
    const frame = ring.oldest as Int16Array;
    const leadMs = Math.max(0, this.endsAt - this.now);
    const behindMs = leadMs + (ring.length - 1) * FRAME_MS + (this.framer?.waitingMs ?? 0);
    const stays = this.isPaced ? behindMs : leadMs;
    if (stays <= this.targetMs && !this.isCatchingUp) this.currentAt = this.now;
    const isLive = ring.oldestStamp !== NO_INGRESS_TIME;
    const lastsMs = this.isCatchingUp ? Number.POSITIVE_INFINITY : this.now - this.currentAt;
    if (!isLive || lastsMs < LASTING_MS || behindMs <= this.targetMs) {
      if (isLive) this.alignFrames(frame);
      this.pass(frame, ring);
      return;
    }
    const catchUp = this.catchUp as CatchUp;
    if (catchUp.skipsFrame(frame)) {
      this.drop(ring);
      // The remainder of a cut frame belongs to the same silence.
      this.framer?.clear();
      this.silenceDroppedMs += FRAME_MS;
      return;
    }
    const isSmall = behindMs <= SMALL_MS && lastsMs < SMALL_LASTING_MS;
    this.isFast = !isSmall && behindMs > (this.isFast ? TARGET_OF_WORDS_MS : TOO_LATE_MS);
    const kept = this.isFast ? catchUp.shorten(frame, behindMs > this.limitMs) : frame.length;
    this.shortenedMs += FRAME_MS * (1 - kept / frame.length);
    this.pass(kept === frame.length ? frame : frame.subarray(0, kept), ring);
  }

  /** Drops the remainder of a cut frame in a pause, so that frames pass whole again, without a copy. */
  private alignFrames(frame: Int16Array): void {
    const { framer, catchUp } = this;
    if (framer?.isEmpty !== false || catchUp?.skipsFrame(frame) !== true) return;
    this.silenceDroppedMs += framer.waitingMs;
    framer.clear();
  }

  /** Sends the oldest frame, or its remainder. */
  private pass(audio: Int16Array, ring: FrameRing): void {
    const { oldestStamp: stamp, oldestTime } = ring;
    this.since = oldestTime;
    this.drop(ring);
    if (audio.length === FRAME_SAMPLES && this.framer?.isEmpty !== false) this.send(audio, stamp);
    else {
      this.framer ??= new Framer({ write: (frame, stamp) => this.send(frame, stamp) });
      this.framer.push(audio, stamp);
    }
  }

  private drop(ring: FrameRing): void {
    ring.drop();
    this.gone += 1;
  }

  private send(frame: Int16Array, stamp: number): void {
    const { now, since } = this;
    const dryMs = now - this.endsAt;
    if (dryMs > 0) {
      if (dryMs > FRAME_MS && dryMs < PAUSE_MS && this.sentMs > 0) this.underruns += 1;
      this.endsAt = now;
    }
    if (this.bookedUntil < now) this.bookedUntil = now;
    const leadMs = this.endsAt - now;
    this.endsAt += FRAME_MS;
    this.bookedUntil += FRAME_MS;
    this.sentMs += FRAME_MS;
    if (stamp !== NO_INGRESS_TIME) this.lastLiveAt = now;
    if (this.isRemembering) this.recent?.push(frame, stamp, now);
    // Integers, which V8 does not box.
    this.line.write(frame, stamp, ((now - since) * 1_000) | 0, (leadMs * 1_000) | 0);
  }
}
