/** A sequence number this far ahead, or behind, is of another numbering, if the next one follows it. RFC 3550 appendix A.1. */
const MOST_DROPOUT = 3_000;
const MOST_MISORDER = 100;
/** Sequence numbers that are remembered to know duplicates by. */
const REMEMBERED = 256;

/** Counts the packets of one stream by their sequence numbers: RFC 3550 appendices A.1 and A.3. */
export class SequenceCount {
  /** The highest number so far with its cycles. */
  highest = 0;
  private base = 0;
  private received = 0;
  private lostBefore = 0;
  /** What would prove another numbering. */
  private awaited = -1;
  private readonly seen = new Float64Array(REMEMBERED).fill(Number.NaN);

  /** Packets expected less those received; duplicates count as received, so it may be negative. */
  get lost(): number {
    return this.received === 0 ? 0 : this.lostBefore + this.highest - this.base + 1 - this.received;
  }

  /**
   * Counts a packet.
   * @param sequence 16 bits
   * @returns the sequence number with its cycles; NaN for a duplicate of one of the last 256
   */
  receive(sequence: number): number {
    if (this.received === 0) this.begin(sequence);
    const step = ((sequence - this.highest) << 16) >> 16;
    if (step > MOST_DROPOUT || step < -MOST_MISORDER) {
      const isProved = sequence === this.awaited;
      this.awaited = (sequence + 1) & 0xffff;
      if (!isProved) return this.highest + step;
      this.lostBefore = this.lost;
      this.received = 0;
      return this.receive(sequence);
    }
    this.awaited = -1;
    this.received += 1;
    const extended = this.highest + step;
    if (step > 0) this.highest = extended;
    const slot = extended & (REMEMBERED - 1);
    if (this.seen[slot] === extended) return Number.NaN;
    this.seen[slot] = extended;
    return extended;
  }

  private begin(sequence: number): void {
    this.base = sequence;
    this.highest = sequence;
    this.seen.fill(Number.NaN);
  }
}
