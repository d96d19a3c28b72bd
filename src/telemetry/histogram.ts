import { INGRESS_TICKS_PER_MICROSECOND } from './ingress-time.js';

/** Buckets a power of two, as the power: 32 are at most 3.2 % wide. */
const FINE = 5;
/** 214 s: longer values count as this. */
const LARGEST = 2 ** 31 - 1;

/** Percentiles of a histogram in microseconds; all 0 while it is empty. */
export interface LatencySummary {
  readonly count: number;
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

/**
 * Latency histogram with log-linear buckets (32 a power of two, so at most 3.2 % wide). Values are stamp
 * differences, i.e. units of 100 ns. Recording is a few integer operations and allocates nothing, which is
 * why it may stay on for every frame. One may be part of another, which then gets every value too.
 */
export class LatencyHistogram {
  private readonly buckets: Float64Array;
  private total = 0;
  private sum = 0;
  private largest = 0;

  /** @param whole what this one is a part of */
  constructor(
    private readonly whole?: LatencyHistogram,
    readonly subBits = FINE,
  ) {
    this.buckets = new Float64Array(sizeOf(subBits));
  }

  /**
   * One of values that were counted elsewhere.
   * @param counts of each bucket as {@link bucketOf} numbers them
   */
  static of(counts: ArrayLike<number>, sum: number, largest: number, subBits: number): LatencyHistogram {
    const histogram = new LatencyHistogram(undefined, subBits);
    histogram.buckets.set(counts);
    histogram.total = histogram.buckets.reduce((total, count) => total + count, 0);
    histogram.sum = sum;
    histogram.largest = largest;
    return histogram;
  }

  /** Adds one value; negative ones (the clock wrapped under a stall of minutes) count as 0. */
  record(stamps: number): void {
    const value = stamps > 0 ? Math.min(stamps, LARGEST) | 0 : 0;
    const index = bucketOf(value, this.subBits);
    this.buckets[index] = (this.buckets[index] as number) + 1;
    this.total += 1;
    this.sum += value;
    if (value > this.largest) this.largest = value;
    if (this.whole !== undefined) this.whole.record(value);
  }

  /** Adds the first `count` of `values`: less work than one by one, for the histogram is looked up once. */
  recordAll(values: Int32Array, count: number): void {
    const { buckets, subBits } = this;
    let { sum, largest } = this;
    for (let i = 0; i < count; i++) {
      const stamps = values[i] as number;
      const value = stamps > 0 ? stamps : 0;
      const index = bucketOf(value, subBits);
      buckets[index] = (buckets[index] as number) + 1;
      sum += value;
      if (value > largest) largest = value;
    }
    this.total += count;
    this.sum = sum;
    this.largest = largest;
    if (this.whole !== undefined) this.whole.recordAll(values, count);
  }

  /** Number of values in each bucket; borrowed, and keeps counting. */
  get counts(): ArrayLike<number> {
    return this.buckets;
  }

  get count(): number {
    return this.total;
  }

  /** Adds every value of `other`, which has the same buckets. */
  merge(other: LatencyHistogram): void {
    for (let i = 0; i < this.buckets.length; i++) {
      this.buckets[i] = (this.buckets[i] as number) + (other.buckets[i] as number);
    }
    this.total += other.total;
    this.sum += other.sum;
    this.largest = Math.max(this.largest, other.largest);
  }

  reset(): void {
    this.buckets.fill(0);
    this.total = this.sum = this.largest = 0;
  }

  /** Value in microseconds below which the fraction `q` (0…1) of all values lies: its bucket's upper edge. */
  quantileUs(q: number): number {
    if (this.total === 0) return 0;
    const edge = quantileStamps(this.buckets, this.total, q, this.subBits);
    return Math.min(edge, this.largest) / INGRESS_TICKS_PER_MICROSECOND;
  }

  /** Sum of all values in seconds (for Prometheus). */
  get sumSeconds(): number {
    return this.sum / INGRESS_TICKS_PER_MICROSECOND / 1e6;
  }

  /** Values of at most `us` microseconds (for Prometheus), less the bucket (3.2 %) that the limit cuts. */
  countUpTo(us: number): number {
    const limit = us * INGRESS_TICKS_PER_MICROSECOND;
    if (limit >= LARGEST) return this.total;
    // The first bucket that has longer values.
    const end = bucketOf(Math.floor(limit) + 1, this.subBits);
    let seen = 0;
    for (let i = 0; i < end; i++) seen += this.buckets[i] as number;
    return seen;
  }

  summary(): LatencySummary {
    return {
      count: this.total,
      meanUs: this.total === 0 ? 0 : this.sum / this.total / INGRESS_TICKS_PER_MICROSECOND,
      p50Us: this.quantileUs(0.5),
      p90Us: this.quantileUs(0.9),
      p99Us: this.quantileUs(0.99),
      p999Us: this.quantileUs(0.999),
      maxUs: this.largest / INGRESS_TICKS_PER_MICROSECOND,
    };
  }
}

/** How many buckets there are. */
export function sizeOf(subBits: number): number {
  return (32 - subBits) << subBits;
}

/**
 * Which bucket a value is in, a whole number from 0 to 2^31 - 1.
 * @param subBits values below 2^subBits have a bucket each; every further power of two up to 2^31 has so many of them
 */
export function bucketOf(value: number, subBits: number): number {
  if (value < 1 << subBits) return value;
  const exponent = 31 - Math.clz32(value);
  return ((exponent - subBits + 1) << subBits) + ((value >>> (exponent - subBits)) & ((1 << subBits) - 1));
}

/**
 * Value below which the fraction `q` (0…1) of all values lies: its bucket's upper edge.
 * @param counts of each bucket as {@link bucketOf} numbers them, `total` in all, at least one
 */
export function quantileStamps(counts: ArrayLike<number>, total: number, q: number, subBits: number): number {
  const rank = Math.max(1, Math.ceil(q * total));
  let seen = 0;
  for (let i = 0; i < counts.length; i++) {
    seen += counts[i] as number;
    if (seen >= rank) return upperEdge(i, subBits);
  }
  return LARGEST;
}

/** Largest value that falls into bucket `index`. */
export function upperEdge(index: number, subBits: number): number {
  const subBuckets = 1 << subBits;
  if (index < subBuckets) return index;
  const shift = (index >> subBits) - 1;
  return (subBuckets + (index % subBuckets) + 1) * 2 ** shift - 1;
}
