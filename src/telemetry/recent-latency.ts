import { quantileStamps, upperEdge } from './histogram.js';
import { INGRESS_TICKS_PER_MICROSECOND } from './ingress-time.js';

/** Counts of values by bucket. They only grow, unless they are reset. */
export interface LatencyCounts {
  readonly counts: ArrayLike<number>;
  /** As `bucketOf` numbers the buckets. */
  readonly subBits: number;
}

/** Scratch memory, shared: counts since the previous sample. */
let latest = new Float64Array(0);

/** Percentiles since the previous sample, of a histogram that only accumulates. */
export class RecentLatency {
  /** In microseconds, between the last two samples; `undefined` if there were no values. */
  p50Us: number | undefined;
  p99Us: number | undefined;
  private readonly before: Float64Array;

  constructor(private readonly of: LatencyCounts) {
    this.before = Float64Array.from(of.counts);
  }

  /** @param bins counts the values by upper edges in microseconds; the last bin has all longer ones */
  sample(bins?: { readonly edgesUs: readonly number[]; readonly counts: number[] }): void {
    const { before } = this;
    const { counts, subBits } = this.of;
    if (latest.length < counts.length) latest = new Float64Array(counts.length);
    let total = 0;
    let bin = 0;
    bins?.counts.fill(0);
    for (let i = 0; i < counts.length; i++) {
      // Fewer than before: they were reset.
      const count = Math.max(0, (counts[i] as number) - (before[i] as number));
      before[i] = counts[i] as number;
      latest[i] = count;
      total += count;
      if (bins === undefined || count === 0) continue;
      const { edgesUs } = bins;
      while (
        bin < edgesUs.length &&
        upperEdge(i, subBits) > (edgesUs[bin] as number) * INGRESS_TICKS_PER_MICROSECOND
      )
        bin += 1;
      bins.counts[bin] = (bins.counts[bin] as number) + count;
    }
    this.p50Us =
      total === 0 ? undefined : quantileStamps(latest, total, 0.5, subBits) / INGRESS_TICKS_PER_MICROSECOND;
    this.p99Us =
      total === 0 ? undefined : quantileStamps(latest, total, 0.99, subBits) / INGRESS_TICKS_PER_MICROSECOND;
  }
}
