/**
 * Limits a rate: tokens refill steadily. Messages that arrived during a stall of this process and are read at
 * once are not a burst, so the stall's time refills tokens beyond the capacity, for as long as the stall
 * lasted.
 */
export class TokenBucket {
  // A field that begins as undefined boxes every number it gets.
  private tokens = Number.NaN;
  private filledAt = Number.NaN;
  private lostMs = Number.NaN;

  /**
   * @param perSecond tokens added per second
   * @param capacity maximum tokens saved, i.e. the largest burst
   * @param now monotonic milliseconds
   * @param lostMs total milliseconds this process was stalled, see `Clock.stalledMs`
   */
  constructor(
    private readonly perSecond: number,
    private readonly capacity: number,
    now: number,
    lostMs = 0,
  ) {
    this.tokens = capacity;
    this.filledAt = now;
    this.lostMs = lostMs;
  }

  /** Takes tokens; false if there are not enough. `now` and `lostMs` as in the constructor. */
  take(count: number, now: number, lostMs = 0): boolean {
    const refill = ((now - this.filledAt) / 1000) * this.perSecond;
    this.tokens =
      this.tokens > this.capacity
        ? Math.max(this.capacity, this.tokens - refill)
        : Math.min(this.capacity, this.tokens + refill);
    this.tokens += ((lostMs - this.lostMs) / 1000) * this.perSecond;
    this.filledAt = now;
    this.lostMs = lostMs;
    if (this.tokens < count) return false;
    this.tokens -= count;
    return true;
  }

  /** Returns tokens that were taken unnecessarily. */
  refund(count: number): void {
    this.tokens = Math.max(this.tokens, Math.min(this.capacity, this.tokens + count));
  }
}
