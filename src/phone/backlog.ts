/** All of it has been read when no more than this comes in 20 ms, for so many ticks. */
const PACE_MS = 100;
const AT_PACE_TICKS = 10;
/** What comes at the pace of speech is not old, at the latest by so many. */
const FRESH_TICKS = 2;
/** So much of it is still wanted: the newest, and what a phone itself may have thrown away. */
const WANTED_MS = 1_000;

/** What a phone sent while this process stood still, as long as it is being read: audio of the past, all at once. */
export class Backlog {
  /** Whether all of it has been read: what comes now is of now. */
  isRead = true;
  private lostMs = Number.NaN;
  private oldMs = 0;
  private tickHeardMs = 0;
  private ticksAtPace = 0;

  /** @param lostMs milliseconds so far in which this process stood still, see `Clock.lost` */
  note(lostMs: number): void {
    if (lostMs > this.lostMs) {
      this.oldMs += lostMs - this.lostMs;
      this.isRead = false;
      this.ticksAtPace = 0;
    }
    this.lostMs = lostMs;
  }

  /**
   * Another 20 ms have passed.
   * @param heardMs audio that came from the phone so far, in milliseconds
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

  /** Takes the next so many milliseconds of it: whether they are too old for anybody to hear. */
  isTooOld(ms: number): boolean {
    if (this.oldMs <= WANTED_MS) return false;
    this.oldMs -= ms;
    return true;
  }
}
