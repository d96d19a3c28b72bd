/** Clock differences below this are ignored, because every correction is audible as a seam. */
const TOLERANCE_MS = 40;
/**
 * How long messages must be late before the clock is adjusted: any single one may be late, but hardly all.
 */
const WATCH_MS = 5_000;
/** Messages equally late for this long follow a pause that the timeline does not show. */
const PAUSE_WATCH_MS = 200;
/** A message later than this is dropped, unless all are for a second: then the timeline has restarted. */
const LOST_MS = 2_000;
const RESET_MS = 1_000;

/**
 * Maps the caller's stream timeline to our clock. Arrival times vary with the network, but nothing arrives
 * before it was spoken, so the earliest arrivals give the offset between the clocks.
 */
export class CallerClock {
  /** Our milliseconds minus the stream's. */
  private offset = Number.NaN;
  private leastLate = Number.POSITIVE_INFINITY;
  private watchedSince = 0;
  /** Since when all messages are late, and by how much. */
  private lateSince = Number.NaN;
  private leastOfLate = 0;
  private mostOfLate = 0;
  private lostSince = Number.NaN;
  /** Position of the next audio without a timestamp. */
  private next = Number.NaN;

  /**
   * @param mediaMs start of the audio on the stream's timeline, in milliseconds; NaN continues where the last
   *   audio ended
   * @param lengthMs its length in milliseconds
   * @param now when it arrived
   * @returns when it began, by our clock; NaN if it is too late
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

  /**
   * Whether the caller's timeline has paused. After network delay, by contrast, audio arrives all at once and
   * is soon on time.
   */
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

  /** Sets the offset from audio that was on time. */
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
