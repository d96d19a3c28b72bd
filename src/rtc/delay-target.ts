/** Arrivals are judged by the latest packet in each slot of this length. */
const SLOT_MS = 200;
/** Slots that are remembered, and how many of them in full: older ones count less and less. */
const SLOTS = 40;
const FRESH_SLOTS = 20;
/** Packets that come closer together than this come in one burst. */
const BURST_MS = 5;
/** Until there are this many slots, all of them count. */
const FEW_SLOTS = 5;
/** A slot this much later than what is usual is a peak; two of them, so far apart and no farther, and a third is expected. */
const PEAK_MS = 20;
const PEAK_FACTOR = 1.3;
const LEAST_PEAK_GAP_MS = 1_000;
const MOST_PEAK_GAP_MS = 16_000;
/** What is waited for, of what was seen: the next may be later. */
const CAUTION = 1.05;
/** No more delay than this for jitter. */
const MOST_MS = 400;
/** So many slots in a row that are later by more than that have another way, or another timeline. */
const PROOF_SLOTS = 2;

/**
 * How late the packets of a stream are, from which follows when to play them. A packet's transit is the time of its arrival
 * less that of its timestamp: only differences mean something. Of the last 8 s the latest packet of each 200 ms counts, and
 * of those the second latest decides: whatever holds up packets once, for however long, is an accident; twice, and it is
 * expected again. So it is if it happens less often, but again within 16 s. A burst is never split, so that a hold-up counts
 * once. Silence does not age what is remembered.
 */
export class DelayTarget {
  /** Transit of the fastest packets, in milliseconds. */
  lowMs = 0;
  /** Transit of the latest packets that are waited for, in milliseconds: at most 400 more than {@link lowMs}. */
  highMs = 0;
  private readonly lows = new Float64Array(SLOTS);
  private readonly highs = new Float64Array(SLOTS);
  private slot = 0;
  private count = 0;
  private filledMs = 0;
  private lastAt = 0;
  /** Time in which packets came, at most {@link SLOT_MS} for each. */
  private activeMs = 0;
  /** The last peak and the one before: when, and how much later than the fastest packets. */
  private peakAt = Number.NEGATIVE_INFINITY;
  private peakMs = 0;
  private earlierPeakAt = Number.NEGATIVE_INFINITY;
  private earlierPeakMs = 0;
  /** Of all slots but the current one. */
  private pastLow = Number.POSITIVE_INFINITY;
  private pastHigh = Number.NEGATIVE_INFINITY;
  private pastSecond = Number.NEGATIVE_INFINITY;

  /** Whether nothing has arrived yet. */
  get isEmpty(): boolean {
    return this.count === 0;
  }

  /**
   * Takes note of a packet.
   * @param transitMs its arrival less its timestamp
   * @param atMs its arrival
   */
  arrived(transitMs: number, atMs: number): void {
    const gapMs = atMs - this.lastAt;
    this.lastAt = atMs;
    const activeMs = Math.min(Math.max(gapMs, 0), SLOT_MS);
    this.filledMs += activeMs;
    this.activeMs += activeMs;
    if (this.count === 0 || (this.filledMs >= SLOT_MS && gapMs >= BURST_MS)) this.open(transitMs);
    const { slot, lows, highs } = this;
    if (transitMs < (lows[slot] as number)) lows[slot] = transitMs;
    if (transitMs > (highs[slot] as number)) highs[slot] = transitMs;
    this.lowMs = Math.min(this.pastLow, lows[slot] as number);
    const high = highs[slot] as number;
    const isAccident = high > this.pastHigh && this.count >= FEW_SLOTS;
    const second = isAccident
      ? this.pastHigh
      : Math.max(high, this.count < FEW_SLOTS ? this.pastHigh : this.pastSecond);
    const usualMs = Math.max(0, second - this.lowMs, this.peaksMs());
    this.highMs = this.lowMs + Math.min(usualMs * CAUTION, MOST_MS);
  }

  /** Forgets everything: another timeline begins. */
  clear(): void {
    this.count = 0;
    this.peakAt = Number.NEGATIVE_INFINITY;
    this.earlierPeakAt = Number.NEGATIVE_INFINITY;
  }

  /** What two peaks have in common, as long as the next may come. */
  private peaksMs(): number {
    const isOver = this.activeMs - this.peakAt > MOST_PEAK_GAP_MS;
    const isChance = this.peakAt - this.earlierPeakAt > MOST_PEAK_GAP_MS;
    return isOver || isChance ? 0 : Math.min(this.peakMs, this.earlierPeakMs);
  }

  private notePeak(): void {
    const lateMs = (this.highs[this.slot] as number) - this.lowMs;
    const usualMs = Math.max(0, this.pastSecond - this.pastLow);
    if (this.count < FEW_SLOTS || lateMs < PEAK_MS + PEAK_FACTOR * usualMs) return;
    if (this.activeMs - this.peakAt < LEAST_PEAK_GAP_MS) {
      this.peakMs = Math.max(this.peakMs, lateMs);
      return;
    }
    this.earlierPeakAt = this.peakAt;
    this.earlierPeakMs = this.peakMs;
    this.peakAt = this.activeMs;
    this.peakMs = lateMs;
  }

  /** Forgets what was before a delay that has grown for good. */
  private forgetOutdated(): void {
    const { lows, slot } = this;
    if (this.count <= PROOF_SLOTS) return;
    for (let age = 0; age < PROOF_SLOTS; age++) {
      if ((lows[(slot - age + SLOTS) % SLOTS] as number) <= this.pastLow + MOST_MS) return;
    }
    this.clear();
    this.count = PROOF_SLOTS;
  }

  private open(transitMs: number): void {
    this.notePeak();
    this.forgetOutdated();
    this.filledMs = 0;
    this.slot = this.count === 0 ? 0 : (this.slot + 1) % SLOTS;
    const past = Math.min(this.count, SLOTS - 1);
    this.count = past + 1;
    this.lows[this.slot] = transitMs;
    this.highs[this.slot] = transitMs;
    let low = Number.POSITIVE_INFINITY;
    for (let age = 1; age <= past; age++)
      low = Math.min(low, this.lows[(this.slot - age + SLOTS) % SLOTS] as number);
    let high = Number.NEGATIVE_INFINITY;
    let second = high;
    for (let age = 1; age <= past; age++) {
      const weight = Math.min(1, (SLOTS - age) / (SLOTS - FRESH_SLOTS));
      const value = low + ((this.highs[(this.slot - age + SLOTS) % SLOTS] as number) - low) * weight;
      if (value > high) {
        second = high;
        high = value;
      } else if (value > second) second = value;
    }
    this.pastLow = low;
    this.pastHigh = high;
    this.pastSecond = second;
  }
}
