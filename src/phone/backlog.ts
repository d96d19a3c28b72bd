/** The backlog has been read when at most this much arrives per tick, for `FRESH_TICKS` ticks. */
const PACE_MS = 100;
const AT_PACE_TICKS = 10;
/** Consecutive ticks at the pace of speech after which audio counts as current. */
const FRESH_TICKS = 2;
/** How much of the backlog is still played, the newest; the phone itself may have discarded the rest. */
const WANTED_MS = 1_000;

/** The audio a phone sent while this process was stalled, until it has all been read. */
export class Backlog {
  /** Whether all of it has been read and audio is current again. */
  isRead = true;
  private lostMs = Number.NaN;
  private oldMs = 0;
  private tickHeardMs = 0;
  private ticksAtPace = 0;

  /** @param lostMs total milliseconds this process was stalled, see `Clock.stalledMs` */
  note(lostMs: number): void {
    if (lostMs > this.lostMs) {
      this.oldMs += lostMs - this.lostMs;
      this.isRead = false;
      this.ticksAtPace = 0;
    }
    this.lostMs = lostMs;
  }

  /**
   * Called every 20 ms.
   * @param heardMs audio received from the phone so far, in milliseconds
   */
  tick(lostMs: number, heardMs: number): void {
    this.note(lostMs);
    const cameMs = heardMs - this.tickHeardMs;
    this.tickHeardMs = heardMs;
    if (this.isRead) return;
    this.ticksAtPace = cameMs <= PACE_MS ? this.ticksAtPace + 1 : 0;
    if (this.ticksAtPace >= FRESH_TICKS) this.oldMs = 0;
    if (this.ticksAtPace >= AT_PACE_TICKS) this.isRead = true;
  }

  /** Consumes `ms` milliseconds of the backlog; true if they are too old to play. */
  isTooOld(ms: number): boolean {
    if (this.oldMs <= WANTED_MS) return false;
    this.oldMs -= ms;
    return true;
  }
}
