import { type Clock, systemClock } from '../clock.js';
import { bucketOf, LatencyHistogram, sizeOf } from './histogram.js';
import { type IngressTime, ingressNow } from './ingress-time.js';
import { Latencies, type LatencySummaries } from './latencies.js';
import type { LatencyCounts } from './recent-latency.js';

/** The stages of {@link Latencies} by number, as the way of a frame names them. */
export const STAGE = {
  intakeJitter: 0,
  transcodeIn: 1,
  decodedLeg: 2,
  legEncoded: 3,
  transcodeOut: 4,
  encodedSocket: 5,
  gateway: 6,
  playoutLead: 7,
} as const satisfies Record<keyof LatencySummaries, number>;
export type Stage = (typeof STAGE)[keyof typeof STAGE];

const NAMES = Object.keys(STAGE) as (keyof typeof STAGE)[];
/** A buffered value has its stage in these lowest bits, which limits it to 26.8 s; longer values count as this. */
const STAGE_BITS = 3;
const LARGEST = 2 ** (31 - STAGE_BITS) - 1;
/** Values buffered before they are counted: half a KB, about 45 frames. */
const KEPT = 128;

/** A call's histograms are coarser than the gateway's: 8 buckets a power of two, at most 12.5 % wide. */
const SUB_BITS = 3;
const BUCKETS = sizeOf(SUB_BITS);
/** Sum and largest of each stage, 8 bytes each, lie in front of the buckets. */
const FIGURES = 2 * NAMES.length;

/** Scratch memory: one call's buffered values by stage. */
const sorted = NAMES.map(() => new Int32Array(KEPT));
const counts = new Int32Array(NAMES.length);

/**
 * Latencies of one call, which also go into its gateway's. By a call's next frame its histograms have left the CPU caches, and
 * a cache miss costs more than counting. So values are buffered and counted by the hundred, or when read, in adjacent
 * histograms (7.5 KB).
 */
export class CallLatencies {
  private readonly kept = new Int32Array(KEPT);
  private keptCount = 0;
  private readonly figures: Float64Array;
  private readonly buckets: Uint32Array;
  private readonly stages: readonly LatencyHistogram[];

  /** @param whole the gateway's, where there is one */
  constructor(
    whole: Latencies = new Latencies(),
    private readonly clock: Clock = systemClock,
  ) {
    const memory = new ArrayBuffer(FIGURES * 8 + NAMES.length * BUCKETS * 4);
    this.figures = new Float64Array(memory, 0, FIGURES);
    this.buckets = new Uint32Array(memory, FIGURES * 8);
    this.stages = NAMES.map((name) => whole[name]);
  }

  /** The current time, to measure a duration. */
  now(): IngressTime {
    return ingressNow(this.clock);
  }

  /** Adds one value; negative ones (the clock wrapped under a stall of minutes) count as 0. */
  record(stage: Stage, stamps: number): void {
    const value = stamps < 0 ? 0 : stamps > LARGEST ? LARGEST : stamps;
    const { keptCount } = this;
    this.kept[keptCount] = (value << STAGE_BITS) | stage;
    this.keptCount = keptCount + 1;
    if (keptCount + 1 === KEPT) this.settle();
  }

  /** Counts the buffered values, here and at the gateway. */
  settle(): void {
    const { kept, keptCount } = this;
    if (keptCount === 0) return;
    this.keptCount = 0;
    counts.fill(0);
    for (let i = 0; i < keptCount; i++) {
      const each = kept[i] as number;
      const stage = each & ((1 << STAGE_BITS) - 1);
      const count = counts[stage] as number;
      (sorted[stage] as Int32Array)[count] = each >>> STAGE_BITS;
      counts[stage] = count + 1;
    }
    for (let stage = 0; stage < NAMES.length; stage++) this.count(stage, counts[stage] as number);
  }

  /** In percentiles, up to the latest value. */
  summaries(): LatencySummaries {
    this.settle();
    return Object.fromEntries(
      NAMES.map((name, stage) => {
        const buckets = this.buckets.subarray(stage * BUCKETS, (stage + 1) * BUCKETS);
        const [sum, largest] = this.figures.subarray(2 * stage, 2 * stage + 2) as unknown as [number, number];
        return [name, LatencyHistogram.of(buckets, sum, largest, SUB_BITS).summary()];
      }),
    ) as LatencySummaries;
  }

  /** How many values of a stage each bucket has, as of the latest {@link settle}; borrowed, and keeps counting. */
  countsOf(stage: Stage): LatencyCounts {
    return { counts: this.buckets.subarray(stage * BUCKETS, (stage + 1) * BUCKETS), subBits: SUB_BITS };
  }

  private count(stage: number, count: number): void {
    const { figures, buckets } = this;
    const values = sorted[stage] as Int32Array;
    let sum = 0;
    let largest = 0;
    for (let i = 0; i < count; i++) {
      const value = values[i] as number;
      const index = stage * BUCKETS + bucketOf(value, SUB_BITS);
      buckets[index] = (buckets[index] as number) + 1;
      sum += value;
      if (value > largest) largest = value;
    }
    figures[2 * stage] = (figures[2 * stage] as number) + sum;
    figures[2 * stage + 1] = Math.max(figures[2 * stage + 1] as number, largest);
    this.stages[stage]?.recordAll(values, count);
  }
}
