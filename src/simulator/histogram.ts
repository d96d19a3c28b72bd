import { LatencyHistogram } from '../telemetry/histogram.js';
import { INGRESS_TICKS_PER_MICROSECOND } from '../telemetry/ingress-time.js';

/** Percentiles in milliseconds; all 0 while there is nothing to tell of. */
export interface Percentiles {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** So many values lie above the bin before and at or below `upToMs`. */
export interface Bin {
  readonly upToMs: number;
  readonly count: number;
}

/** Bins are half a power of two wide, the first ends here. */
const FIRST_BIN_US = 62.5;

/** The gateway's histogram in a phone's units: recorded in microseconds up to 214 s, told in milliseconds. */
export class Histogram {
  private readonly latencies: LatencyHistogram;

  /** @param whole what this one is a part of: it gets every value, too */
  constructor(whole?: Histogram) {
    this.latencies = new LatencyHistogram(whole?.latencies);
  }

  /** Adds a value. @param microseconds negative ones count as 0 */
  record(microseconds: number): void {
    this.latencies.record(microseconds * INGRESS_TICKS_PER_MICROSECOND);
  }

  /** Adds all values of another histogram. */
  merge(other: Histogram): void {
    this.latencies.merge(other.latencies);
  }

  /** Forgets all values. */
  reset(): void {
    this.latencies.reset();
  }

  /** All values in bins, from the first that holds one to the last. */
  bins(): Bin[] {
    const { count } = this.latencies;
    const bins: Bin[] = [];
    let seen = 0;
    for (let i = 0; seen < count; i++) {
      const edge = FIRST_BIN_US * 2 ** (i / 2);
      const upTo = this.latencies.countUpTo(edge);
      if (upTo > 0) bins.push({ upToMs: Number((edge / 1000).toPrecision(3)), count: upTo - seen });
      seen = upTo;
    }
    return bins;
  }

  /** Percentiles of the values so far, in milliseconds. */
  percentiles(): Percentiles {
    const { count, meanUs, p50Us, p99Us, p999Us, maxUs } = this.latencies.summary();
    const ms = (us: number) => us / 1000;
    return {
      count,
      meanMs: ms(meanUs),
      p50Ms: ms(p50Us),
      p99Ms: ms(p99Us),
      p999Ms: ms(p999Us),
      maxMs: ms(maxUs),
    };
  }
}

/** The middle one of so many values; `undefined` of none. */
export function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
