import type { Clock } from '../clock.js';
import { FRAME_MS, FRAME_SAMPLES, type FrameSink } from '../media/frame.js';
import { FrameRing } from '../media/frame-ring.js';
import { NO_INGRESS_TIME } from '../telemetry/ingress-time.js';
import { CatchUp } from './catch-up.js';
import { Framer } from './framer.js';
import { type AtTurnEnd, atTurnEnd } from './turn-end.js';

/**
 * Delay that live audio is brought back to by shorter pauses, and by faster words, in milliseconds. What is measured may be
 * some milliseconds too much, which costs nobody a pause, but would cost words: those begin later.
 */
const TARGET_MS = 20;
const TARGET_OF_WORDS_MS = 25;
const TOO_LATE_MS = 45;
/**
 * A delay that is there for so long is no burst that is heard in its own time, but one that would stay; a small one may
 * be what keeps a jittery network from being heard, and is given longer.
 */
const LASTING_MS = 300;
const SMALL_LASTING_MS = 1_000;
const SMALL_MS = 60;
/** Behind a longer hole there may come all at once what the hole held back: only the end of the turn tells. */
const GAP_MS = 60;
/** Silence longer than this is a pause between words, not an underrun. */
const PAUSE_MS = 1_000;
/** What is kept while the far end does not play: it may begin again with all it has. */
const HELD_MS = 600;
/** An empty ring of more is given back: 60 KB. */
const MOST_KEPT_FRAMES = 32;
/** As many times the limit may wait until it is known what of it is silence. */
const ROOM_FACTOR = 2;

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

export interface PlayoutOptions {
  /** Bound of the lead in milliseconds, at least one frame. */
  readonly limitMs: number;
  /** How much is kept for a listener who is not there yet, in milliseconds: the newest. Default `limitMs`. */
  readonly keepMs?: number;
  /**
   * Whether frames leave at the pace of speech: for a listener with a jitter buffer, which takes a burst for what its network
   * is like from now on, and waits for as much. Default false: what is there goes at once.
   */
  readonly isPaced?: boolean;
}

/** To be run when so many frames have left the ring. */
interface PlayoutPoint {
  at: number;
  readonly done: () => void;
}

/**
 * Keeps the listener's delay bounded, and brings it back. The far end plays at 1× whatever it is sent, so everything that
 * is sent early is heard late, for the rest of the call. The playout books how much the listener has waiting (the lead),
 * by a monotonic clock and by what is measured at the listener (see {@link correct}).
 *
 * A frame passes at once while the lead is small. Otherwise it waits for the end of the event-loop turn: only then is a
 * burst (our own stall, a resent window) known whole. Then:
 * - beyond the limit the newest frames win: silences go first, then the oldest words;
 * - a lead of live audio that stays above its target goes away: pauses are left out, words are said a little faster.
 *
 * What a listener who comes later has missed (`keepMs`) is caught up with in the same way, and none of its words dropped.
 * Frames with `NO_STAMP` are not live: whoever sends them paces them, and decides how far ahead they may be.
 */
export class Playout implements FrameSink, AtTurnEnd {
  /** Frames dropped because the lead would have passed its limit. */
  droppedLead = 0;
  /** Frames dropped because the line did not take them in time. */
  droppedBackpressure = 0;
  /** Frames that were too old when somebody began to listen. */
  droppedEarly = 0;
  /** Times the listener ran dry for more than a frame in the middle of speech. */
  underruns = 0;
  /** Milliseconds of silence left out, and by which words were shortened, on the way back. */
  silenceDroppedMs = 0;
  shortenedMs = 0;
  /** When live audio was sent last, in monotonic milliseconds. */
  lastLiveAt = Number.NEGATIVE_INFINITY;

  private readonly limitMs: number;
  private readonly keepMs: number;
  private readonly isPaced: boolean;
  private readonly targetMs: number;
  private readonly nearMs: number;
  /** Made when a frame first has to wait, which in most calls none does. */
  private ring: FrameRing | undefined;
  private catchUp: CatchUp | undefined;
  private framer: Framer | undefined;
  /** What was sent of late, while that may have to be said again. */
  private recent: FrameRing | undefined;
  private isRemembering = false;
  /** Monotonic milliseconds at which the listener will have played all that was sent. */
  private endsAt = Number.NEGATIVE_INFINITY;
  /** The same if no network held anything back, which is never later. */
  private bookedUntil = Number.NEGATIVE_INFINITY;
  /** When the lead was last no greater than its target. */
  private currentAt: number;
  private sentMs = 0;
  private discardedMs = 0;
  /** Nothing stands in a frame's way: none waits, none was cut, nothing is held. */
  private isClear = true;
  private isOnHold = false;
  private isCatchingUp = false;
  private isFast = false;
  private flushAsked = false;
  /** Frames that left the ring, whichever way. */
  private gone = 0;
  private waypoints: PlayoutPoint[] = [];
  private closed = false;
  /** When the frame that is sent began to wait. */
  private since = 0;
  private now = 0;

  /** @param line where frames go */
  constructor(
    private readonly line: PlayoutLine,
    options: PlayoutOptions,
    private readonly clock: Clock,
  ) {
    this.limitMs = options.limitMs;
    this.keepMs = options.keepMs ?? options.limitMs;
    this.isPaced = options.isPaced === true;
    this.currentAt = clock.now();
    this.nearMs = this.limitMs / 2 - FRAME_MS;
    this.targetMs = Math.min(TARGET_MS, this.nearMs);
  }

  /** Audio that was sent and not yet played, in milliseconds. */
  leadMs(): number {
    return Math.max(0, this.endsAt - this.clock.now());
  }

  /** For how long the listener has had nothing, in milliseconds; negative while there is something. */
  dryMs(): number {
    return this.clock.now() - this.endsAt;
  }

  /** {@link leadMs} if no network held anything back. */
  bookedMs(): number {
    return Math.max(0, this.bookedUntil - this.clock.now());
  }

  /** Audio that waits here, in milliseconds. */
  get waitingMs(): number {
    return this.ring === undefined ? 0 : this.ring.length * FRAME_MS;
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
    const leadMs = this.endsAt - now;
    const isNear = leadMs <= (stamp === NO_INGRESS_TIME ? this.nearMs : this.targetMs) && leadMs >= -GAP_MS;
    if (isNear && this.isClear && this.line.isWritable()) {
      this.currentAt = now;
      this.now = now;
      this.since = now;
      this.send(frame, stamp);
    } else this.enqueue(frame, stamp, now);
  }

  /**
   * It was measured when the listener will have played all that was sent.
   * @param endsAt monotonic milliseconds
   * @param noiseMs a difference that is none
   */
  correct(endsAt: number, noiseMs: number): void {
    // What waits for no more than the end of this turn was sent in good faith.
    if (this.flushAsked) this.flush();
    const measured = Math.max(endsAt, this.bookedUntil);
    if (!(Math.abs(measured - this.endsAt) < noiseMs)) this.endsAt = measured;
  }

  /** The far end does not play what it is sent: nothing more goes there, and the newest waits here. */
  hold(): void {
    this.isOnHold = true;
    this.isClear = false;
    this.refill(this.ring);
  }

  get isHolding(): boolean {
    return this.isOnHold;
  }

  /**
   * It plays again: what waits is said at the pace of speech, and caught up with.
   * @param isStale whether it has not played for so long that no more of it than the limit is wanted
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

  /** Another 20 ms have passed. */
  tick(): void {
    if (this.isClear) return;
    this.flush();
    // Nothing comes any more to fill up what was cut.
    if (this.waitingMs === 0 && this.dryMs() > FRAME_MS) this.fillUp();
  }

  /** Whether nothing has come for longer than what holds back a frame may take; not before anything has come. */
  hasGap(now: number): boolean {
    if (now - this.endsAt <= GAP_MS || this.sentMs === 0 || this.closed) return false;
    return this.waitingMs === 0 && !this.isOnHold && this.line.isWritable();
  }

  /**
   * Fills a hole by the clock.
   * @param frame 20 ms of what takes the place of what did not come
   */
  fill(frame: Int16Array): void {
    const now = this.clock.now();
    // What comes next may be all that was held back, so it waits for the end of its turn.
    this.isClear = false;
    // A frame a tick: what this very process missed is no hole.
    this.endsAt = Math.max(this.endsAt + FRAME_MS, now - GAP_MS);
    this.sentMs += FRAME_MS;
    this.line.write(frame, NO_INGRESS_TIME, 0, 0);
  }

  turnEnded(): void {
    this.flushAsked = false;
    this.flush();
  }

  /** Sends what waits, as far as lead and line allow. Called when the line becomes writable. */
  flush(): void {
    if (this.line.isWritable()) this.settle();
  }

  /**
   * Runs `done` when all audio so far was sent, even if the line is full: so a mark stands behind the audio before it.
   * At once where nothing holds that audio back.
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

  /** Those of {@link after} that are yet to run. */
  get waypointCount(): number {
    return this.waypoints.length;
  }

  /** Sends all that waits, however far ahead that is: nothing comes after it. */
  finish(): void {
    const { ring } = this;
    if (this.closed) return;
    this.isOnHold = false;
    this.now = this.clock.now();
    while (ring !== undefined && ring.length > 0) this.pass(ring.oldest as Int16Array, ring);
    this.fillUp();
    this.passWaypoints();
  }

  /**
   * The far end is told to drop what it has: so do we.
   * @returns what the listener really heard so far, and how much was taken back, in milliseconds
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

  /** Keeps a copy of what is sent from here on, the newest: it may have to be said again. */
  remember(): void {
    this.recent ??= new FrameRing(Math.max(1, Math.floor(Math.min(this.limitMs, HELD_MS) / FRAME_MS)));
    this.isRemembering = true;
  }

  /** It was heard. */
  forget(): void {
    this.recent?.clear();
    this.isRemembering = false;
  }

  /** What is remembered comes before what waits here, as much of both as the limit allows. */
  replayRecent(): void {
    const { recent, ring } = this;
    this.isRemembering = false;
    if (recent === undefined || recent.length === 0) return;
    // Marks stand behind what waits, and that is more now.
    for (const waypoint of this.waypoints) waypoint.at += recent.length;
    this.refill(recent, ring);
    this.isClear = false;
  }

  /** A ring of what these hold, with room for what waits while the far end does not play. */
  private refill(...from: readonly (FrameRing | undefined)[]): void {
    const ms = Math.max(ROOM_FACTOR * this.limitMs, HELD_MS);
    const ring = new FrameRing(Math.floor(ms / FRAME_MS));
    for (const each of from) {
      for (; each !== undefined && each.length > 0; each.drop()) {
        if (!ring.push(each.oldest as Int16Array, each.oldestStamp, each.oldestTime)) continue;
        this.gone += 1;
        this.droppedLead += 1;
      }
    }
    this.ring = ring;
    this.catchUp ??= new CatchUp();
  }

  /** The far end is told to drop what it has, so many milliseconds. What waits here is still to be heard. */
  discardUnheard(unheardMs: number): void {
    this.discardedMs += unheardMs;
    // What comes next begins anew: the pause before it is no underrun.
    this.endsAt = Number.NEGATIVE_INFINITY;
    this.bookedUntil = Number.NEGATIVE_INFINITY;
  }

  close(): void {
    this.closed = true;
    this.ring = undefined;
    this.recent = undefined;
    this.waypoints = [];
  }

  /** Sends what waits, as far as the lead allows. */
  private settle(): void {
    const { ring } = this;
    if (this.closed || this.isOnHold) return;
    this.now = this.clock.now();
    if (ring !== undefined) {
      if (!this.isCatchingUp) this.trim(ring);
      while (ring.length > 0 && this.canSend()) this.deliver(ring);
      this.passWaypoints();
      if (ring.length > 0) return;
      // Most of its memory was for the beginning, or for a stall.
      if (this.isCatchingUp || ring.capacity > MOST_KEPT_FRAMES) this.ring = undefined;
    }
    this.isCatchingUp = false;
    this.isClear = this.framer?.isEmpty !== false;
  }

  private passWaypoints(): void {
    while (this.waypoints[0] !== undefined && this.waypoints[0].at <= this.gone) {
      (this.waypoints.shift() as PlayoutPoint).done();
    }
  }

  /** What is left over of frames that were cut goes now. */
  private fillUp(): void {
    this.framer?.fill();
    if (this.waitingMs === 0 && !this.isOnHold) this.isClear = true;
  }

  private enqueue(frame: Int16Array, stamp: number, now: number): void {
    const isHeard = this.line.hasListener;
    this.catchUp ??= new CatchUp();
    // Before the first word there is nothing to keep.
    if (!isHeard && this.waitingMs === 0 && this.catchUp.isQuiet(frame)) return;
    this.ring ??= this.newRing(isHeard);
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
    return new FrameRing(Math.max(1, Math.floor(ms / FRAME_MS)));
  }

  /** Whoever catches up hears all of it, one after the other. */
  private canSend(): boolean {
    return !(this.isCatchingUp || this.isPaced) || this.endsAt - this.now <= this.targetMs;
  }

  /** Makes what waits fit into the limit. */
  private trim(ring: FrameRing): void {
    // What a network held back is no fault of those who talk now: they are said faster, not dropped.
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

  /** The oldest frame goes to the listener, or is left out on the way back. */
  private deliver(ring: FrameRing): void {
    const frame = ring.oldest as Int16Array;
    const leadMs = Math.max(0, this.endsAt - this.now);
    const behindMs = leadMs + (ring.length - 1) * FRAME_MS + (this.framer?.waitingMs ?? 0);
    const stays = this.isPaced ? behindMs : leadMs;
    if (stays <= this.targetMs && !this.isCatchingUp) this.currentAt = this.now;
    const isLive = ring.oldestStamp !== NO_INGRESS_TIME;
    const lastsMs = this.isCatchingUp ? Number.POSITIVE_INFINITY : this.now - this.currentAt;
    if (!isLive || lastsMs < LASTING_MS || behindMs <= this.targetMs) {
      this.pass(frame, ring);
      return;
    }
    const catchUp = this.catchUp as CatchUp;
    if (catchUp.skipsFrame(frame)) {
      this.drop(ring);
      // The rest of a frame that was cut is of the same silence.
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

  /** Sends the oldest frame, or what was left of it. */
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
    // Whole numbers, which V8 does not box.
    this.line.write(frame, stamp, ((now - since) * 1_000) | 0, (leadMs * 1_000) | 0);
  }
}
