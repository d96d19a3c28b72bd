/** A caller's clock that differs from ours by less is left alone, for every correction is a seam in the audio. */
const TOLERANCE_MS = 40;
/** So long it is watched before it is set slower: any of its messages may be late, but hardly all of them. */
const WATCH_MS = 5_000;
/** Messages that are equally late for so long come in their own time again: behind a pause that their timeline does not tell of. */
const PAUSE_WATCH_MS = 200;
/** A message later than this is lost to its timeline, unless they all are for a second: then the timeline was begun anew. */
const LOST_MS = 2_000;
const RESET_MS = 1_000;

/**
 * Places a caller's audio on our clock, by its own timeline rather than by its arrival: the network brings it late, now and
 * then, and all at once after a stall. Nothing arrives before it was said, so the earliest arrivals tell how the two
 * clocks stand.
 */
export class CallerClock {
  /** Our milliseconds less the stream's. */
  private offset = Number.NaN;
  private leastLate = Number.POSITIVE_INFINITY;
  private watchedSince = 0;
  /** Since when messages are late, all of them, and by how much. */
  private lateSince = Number.NaN;
  private leastOfLate = 0;
  private mostOfLate = 0;
  private lostSince = Number.NaN;
  /** Where audio goes on whose place the stream does not tell. */
  private next = Number.NaN;

  /**
   * @param mediaMs where the audio begins on the stream's timeline; NaN goes on where the last ended
   * @param lengthMs how long it is
   * @param now when it arrived
   * @returns when it began to be said, by our clock; NaN where it is too late to matter
   */
  place(mediaMs: number, lengthMs: number, now: number): number {
    const begin = Number.isNaN(mediaMs) ? this.next : mediaMs;
    if (Number.isNaN(begin) || Number.isNaN(this.offset)) return this.set(begin, lengthMs, now);
    const late = now - (begin + lengthMs + this.offset);
    if (late > LOST_MS) {
      if (Number.isNaN(this.lostSince)) this.lostSince = now;
      return now - this.lostSince < RESET_MS ? Number.NaN : this.set(begin, lengthMs, now);
    }
    this.lostSince = Number.NaN;
    if (late < -TOLERANCE_MS) return this.set(begin, lengthMs, now);
    if (this.hasPaused(late, now)) {
      this.offset += this.leastOfLate;
      this.watch(now);
    }
    this.leastLate = Math.min(this.leastLate, late);
    if (now - this.watchedSince >= WATCH_MS) {
      if (this.leastLate > TOLERANCE_MS) this.offset += this.leastLate;
      this.watch(now);
    }
    this.next = begin + lengthMs;
    return begin + this.offset;
  }

  /** Whether the caller's timeline stood still for a while: what a network held back comes all at once, and is soon on time. */
  private hasPaused(late: number, now: number): boolean {
    if (late <= TOLERANCE_MS) {
      this.lateSince = Number.NaN;
      return false;
    }
    if (Number.isNaN(this.lateSince) || Math.abs(late - this.leastOfLate) > TOLERANCE_MS) {
      this.lateSince = now;
      this.leastOfLate = late;
      this.mostOfLate = late;
      return false;
    }
    this.leastOfLate = Math.min(this.leastOfLate, late);
    this.mostOfLate = Math.max(this.mostOfLate, late);
    return now - this.lateSince >= PAUSE_WATCH_MS && this.mostOfLate - this.leastOfLate <= TOLERANCE_MS;
  }

  /** This audio was on time. */
  private set(mediaMs: number, lengthMs: number, now: number): number {
    const begin = Number.isNaN(mediaMs) ? 0 : mediaMs;
    this.offset = now - lengthMs - begin;
    this.next = begin + lengthMs;
    this.lostSince = Number.NaN;
    this.watch(now);
    return now - lengthMs;
  }

  private watch(now: number): void {
    this.watchedSince = now;
    this.lateSince = Number.NaN;
    this.leastLate = Number.POSITIVE_INFINITY;
  }
}
