/** Bounds a rate: a number of tokens that refill steadily. */
export class TokenBucket {
  private tokens: number;
  private filledAt: number;

  /**
   * @param perSecond tokens added each second
   * @param capacity most tokens saved up, i.e. the largest burst
   * @param now monotonic milliseconds
   */
  constructor(
    private readonly perSecond: number,
    private readonly capacity: number,
    now: number,
  ) {
    this.tokens = capacity;
    this.filledAt = now;
  }

  /** Takes tokens; false where there are not enough. `now` is monotonic, in milliseconds. */
  take(count: number, now: number): boolean {
    this.tokens = Math.min(this.capacity, this.tokens + ((now - this.filledAt) / 1000) * this.perSecond);
    this.filledAt = now;
    if (this.tokens < count) return false;
    this.tokens -= count;
    return true;
  }

  /** Puts tokens back that were taken for nothing. */
  giveBack(count: number): void {
    this.tokens = Math.min(this.capacity, this.tokens + count);
  }
}
