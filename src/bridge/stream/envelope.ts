/** Length of a slot. */
export const SLOT_MS = 10;
/** How far sound may be behind or ahead of the clock before there is a gap, or a jump back. */
const TOLERANCE_MS = 40;
/** 2.56 s; a power of two. */
const SLOTS = 256;
/** Slots that are compared to find a lag, 800 ms, and the least correlation that counts as found. */
const WINDOW = 80;
const LEAST = 0.8;
/** A jitter buffer changes its depth in a moment: the latest 300 ms are enough to find a lag near the last one, within 150 ms. */
const LATEST = 30;
const LEAST_OF_LATEST = 0.9;
const NEAR = 15;
/** Longest lag that is found: 500 ms. */
const MAX_LAG = 50;
/** Least standard deviation of loudness that says anything: steady sound looks the same at every lag. */
const MIN_DEVIATION = 48;

/**
 * Loudness over the last 2.5 s, in slots of 10 ms; see {@link loudnessOf}. Two envelopes of the same sound at two places show
 * how long it is under way between them.
 */
export class Envelope {
  private readonly levels = new Uint16Array(SLOTS);
  private next = 0;
  private takenTo = 0;

  /** The slot after the latest one. Slots count in step with the clock. */
  get end(): number {
    return this.next;
  }

  /** The slot of a moment: the next one unless there was a gap. */
  slotAt(now: number): number {
    const present = Math.floor(now / SLOT_MS);
    return Math.abs(present - this.next) * SLOT_MS <= TOLERANCE_MS ? this.next : present;
  }

  /** Appends 20 ms by the loudness of their halves: right after the latest ones, or now after a gap. */
  push(first: number, second: number, now: number): void {
    this.goTo(this.slotAt(now));
    this.append(first);
    this.append(second);
  }

  /** The loudness of a slot; 0 if nothing is known of it. */
  at(slot: number): number {
    return slot >= this.next || slot < this.next - SLOTS ? 0 : (this.levels[slot & (SLOTS - 1)] as number);
  }

  /** Milliseconds of sound, silence included, from a slot on. None of it counts again. */
  takeFrom(slot: number): number {
    let count = 0;
    for (let i = Math.max(slot, this.takenTo, this.next - SLOTS); i < this.next; i++)
      if (this.at(i) !== 0) count += 1;
    this.takenTo = this.next;
    return count * SLOT_MS;
  }

  /**
   * By how many slots the latest part of this envelope is behind the same sound in another.
   * @param before what it was before, if known
   * @returns `undefined` if it cannot be told: after silence or steady sound, or if the sounds differ
   */
  lagBehind(source: Envelope, before?: number): number | undefined {
    const from = this.next - WINDOW;
    this.copyInto(here, from);
    source.copyInto(there, from - MAX_LAG);
    const latest =
      before === undefined
        ? undefined
        : best(LATEST, LEAST_OF_LATEST, Math.max(0, before - NEAR), Math.min(MAX_LAG, before + NEAR));
    return latest ?? best(WINDOW, LEAST, 0, MAX_LAG);
  }

  private copyInto(levels: Int32Array, from: number): void {
    for (let i = 0; i < levels.length; i++) levels[i] = this.at(from + i);
  }

  private goTo(slot: number): void {
    if (slot - this.next > SLOTS) {
      this.levels.fill(0);
      this.next = slot;
    }
    while (this.next < slot) this.append(0);
    this.next = slot;
    this.takenTo = Math.min(this.takenTo, slot);
  }

  private append(level: number): void {
    this.levels[this.next & (SLOTS - 1)] = level;
    this.next += 1;
  }
}

/** Memory of {@link Envelope.lagBehind}, which is called often. */
const here = new Int32Array(WINDOW);
const there = new Int32Array(WINDOW + MAX_LAG);

/** The lag from `first` to `last` that fits the latest slots best; `undefined` if none fits well enough. */
function best(window: number, least: number, first: number, last: number): number | undefined {
  let found: number | undefined;
  let highest = least;
  for (let lag = first; lag <= last; lag++) {
    const fit = correlation(WINDOW - window, MAX_LAG - lag);
    if (fit <= highest) continue;
    highest = fit;
    found = lag;
  }
  return found;
}

/** Correlation of `here` from an index on with `there`, shifted; 0 where one of them is too steady to tell. */
function correlation(begin: number, shift: number): number {
  let sumA = 0;
  let sumB = 0;
  let squaresA = 0;
  let squaresB = 0;
  let products = 0;
  for (let i = begin; i < WINDOW; i++) {
    const x = here[i] as number;
    const y = there[shift + i] as number;
    sumA += x;
    sumB += y;
    squaresA += x * x;
    squaresB += y * y;
    products += x * y;
  }
  const n = WINDOW - begin;
  const varianceA = squaresA - (sumA * sumA) / n;
  const varianceB = squaresB - (sumB * sumB) / n;
  if (Math.min(varianceA, varianceB) < MIN_DEVIATION * MIN_DEVIATION * n) return 0;
  return (products - (sumA * sumB) / n) / Math.sqrt(varianceA * varianceB);
}
