/** Arrivals are judged by the latest packet in each slot of this length. */
const SLOT_MS = 200;
/** Slots that are remembered, and how many of them in full: older ones count less and less. */
const SLOTS = 40;
const FRESH_SLOTS = 20;
/** Packets that come closer together than this come in one burst. */
const BURST_MS = 5;
/** Until there are this many slots, all of them count. */
const FEW_SLOTS = 5;
/** What is waited for, of what was seen: the next may be later. */
const CAUTION = 1.05;
/** No more delay than this for jitter. */
const MOST_MS = 400;

/**
 * How late the packets of a stream are, from which follows when to play them. A packet's transit is the time of its arrival
 * less that of its timestamp: only differences mean something. Of the last 8 s the latest packet of each 200 ms counts, and
 * of those the second latest decides: whatever holds up packets once, for however long, is an accident; twice, and it is
 * expected again. A burst is never split, so that a hold-up counts once. Silence does not age what is remembered.
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
    this.filledMs += Math.min(Math.max(gapMs, 0), SLOT_MS);
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
    this.highMs = this.lowMs + Math.min(Math.max(0, second - this.lowMs) * CAUTION, MOST_MS);
  }

  /** Forgets everything: another timeline begins. */
  clear(): void {
    this.count = 0;
  }

  private open(transitMs: number): void {
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
