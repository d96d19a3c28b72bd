/**
 * Bounds a rate: a number of tokens that refill steadily. What came while this process stood still and is read all at once is no
 * burst: so much may be taken beyond what is saved up, for as long as it stood still.
 */
export class TokenBucket {
  private tokens: number;
  private filledAt: number;
  private lostMs: number;

  /**
   * @param perSecond tokens added each second
   * @param capacity most tokens saved up, i.e. the largest burst
   * @param now monotonic milliseconds
   * @param lostMs milliseconds so far in which this process stood still, see `Clock.lost`
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

  /** Takes tokens; false where there are not enough. `now` and `lostMs` as in the constructor. */
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

  /** Puts tokens back that were taken for nothing. */
  refund(count: number): void {
    this.tokens = Math.max(this.tokens, Math.min(this.capacity, this.tokens + count));
  }
}
