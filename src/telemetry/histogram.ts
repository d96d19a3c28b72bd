import { STAMPS_PER_MICROSECOND } from './stamp.js';

const SUB_BITS = 5;
const SUB_BUCKETS = 1 << SUB_BITS;
/** Values below 32 have a bucket each; every further power of two up to 2^31 has 32 of them. */
const BUCKETS = (32 - SUB_BITS) * SUB_BUCKETS;
/** 214 s: what is longer counts as this. */
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
 * why it may stay on for every frame.
 */
export class LatencyHistogram {
  private readonly buckets = new Float64Array(BUCKETS);
  private total = 0;
  private sum = 0;
  private largest = 0;

  /** Adds one value; negative ones (the clock wrapped under a stall of minutes) count as 0. */
  record(stamps: number): void {
    const value = stamps > 0 ? Math.min(stamps, LARGEST) | 0 : 0;
    const index = bucketOf(value);
    this.buckets[index] = (this.buckets[index] as number) + 1;
    this.total += 1;
    this.sum += value;
    if (value > this.largest) this.largest = value;
  }

  get count(): number {
    return this.total;
  }

  /** Adds every value of `other`. */
  merge(other: LatencyHistogram): void {
    for (let i = 0; i < BUCKETS; i++) {
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
    const rank = Math.max(1, Math.ceil(q * this.total));
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.buckets[i] as number;
      if (seen >= rank) return Math.min(upperEdge(i), this.largest) / STAMPS_PER_MICROSECOND;
    }
    return this.largest / STAMPS_PER_MICROSECOND;
  }

  /** Sum of all values in seconds (for Prometheus). */
  get sumSeconds(): number {
    return this.sum / STAMPS_PER_MICROSECOND / 1e6;
  }

  /** Values of at most `us` microseconds (for Prometheus), less the bucket (3.2 %) that the limit cuts. */
  countUpTo(us: number): number {
    const limit = us * STAMPS_PER_MICROSECOND;
    let seen = 0;
    for (let i = 0; i < BUCKETS && upperEdge(i) <= limit; i++) seen += this.buckets[i] as number;
    return seen;
  }

  summary(): LatencySummary {
    return {
      count: this.total,
      meanUs: this.total === 0 ? 0 : this.sum / this.total / STAMPS_PER_MICROSECOND,
      p50Us: this.quantileUs(0.5),
      p90Us: this.quantileUs(0.9),
      p99Us: this.quantileUs(0.99),
      p999Us: this.quantileUs(0.999),
      maxUs: this.largest / STAMPS_PER_MICROSECOND,
    };
  }
}

function bucketOf(value: number): number {
  if (value < SUB_BUCKETS) return value;
  const exponent = 31 - Math.clz32(value);
  return (exponent - SUB_BITS + 1) * SUB_BUCKETS + ((value >>> (exponent - SUB_BITS)) & (SUB_BUCKETS - 1));
}

/** Largest value that falls into bucket `index`. */
function upperEdge(index: number): number {
  if (index < SUB_BUCKETS) return index;
  const shift = Math.floor(index / SUB_BUCKETS) - 1;
  return (SUB_BUCKETS + (index % SUB_BUCKETS) + 1) * 2 ** shift - 1;
}
