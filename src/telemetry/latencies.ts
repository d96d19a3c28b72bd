import { LatencyHistogram, type LatencySummary } from './histogram.js';

/**
 * Socket to socket and jitter are measured for every frame. The stages between are measured for every eighth frame and for
 * those that had to wait: reading the clock would cost more than the stages themselves.
 */
const SAMPLED = 8;

/** Whether the inner stages of the n-th frame are measured. */
export function isSampled(n: number): boolean {
  return (n & (SAMPLED - 1)) === 0;
}

/** Latency of each stage in the whole gateway, in the order in which a frame passes them. */
export class Latencies {
  /** Deviation of message arrivals from the pace of their audio. */
  readonly intakeJitter = new LatencyHistogram();
  /** Message bytes → 48 kHz samples. */
  readonly transcodeIn = new LatencyHistogram();
  /** Samples → the bridge leg: zero, or the wait until it is up. */
  readonly decodedLeg = new LatencyHistogram();
  /** A frame from the bridge leg → message bytes, including the wait for room in the lead. */
  readonly legEncoded = new LatencyHistogram();
  /** 48 kHz samples → message bytes. */
  readonly transcodeOut = new LatencyHistogram();
  /** Message bytes → the return of the socket's send. */
  readonly encodedSocket = new LatencyHistogram();
  /** From the start of the socket's message callback to the return of the send that its audio caused. */
  readonly gateway = new LatencyHistogram();
  /** The lead when a frame is sent. */
  readonly playoutLead = new LatencyHistogram();

  // All fields are stages: the methods below rely on it.

  reset(): void {
    for (const histogram of Object.values(this) as LatencyHistogram[]) histogram.reset();
  }

  summaries(): LatencySummaries {
    const stages = Object.entries(this) as [string, LatencyHistogram][];
    return Object.fromEntries(
      stages.map(([stage, histogram]) => [stage, histogram.summary()]),
    ) as LatencySummaries;
  }
}

/** Percentiles of {@link Latencies}. */
export type LatencySummaries = {
  readonly [K in keyof Latencies as Latencies[K] extends LatencyHistogram ? K : never]: LatencySummary;
};
