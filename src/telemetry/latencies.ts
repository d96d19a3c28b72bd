import { LatencyHistogram, type LatencySummary } from './histogram.js';

/**
 * Every frame's way from socket to socket and its jitter are measured. What lies between, whose clock readings would cost
 * more than the rest of it, is taken from every eighth frame, and from those that had to wait.
 */
const SAMPLED = 8;

/** Whether the inner stages of the n-th frame are measured. */
export function isSampled(n: number): boolean {
  return (n & (SAMPLED - 1)) === 0;
}

/** Where the frames' time goes in a whole gateway, in the order of their way. */
export class Latencies {
  /** How far messages come from the pace their audio sets. */
  readonly intakeJitter = new LatencyHistogram();
  /** Message bytes → 48 kHz samples. */
  readonly transcodeIn = new LatencyHistogram();
  /** Samples → the bridge leg: nothing, or the wait until it is up. */
  readonly decodedLeg = new LatencyHistogram();
  /** A frame from the bridge leg → message bytes, the wait for room in the lead included. */
  readonly legEncoded = new LatencyHistogram();
  /** 48 kHz samples → message bytes. */
  readonly transcodeOut = new LatencyHistogram();
  /** Message bytes → the return of the socket's send. */
  readonly encodedSocket = new LatencyHistogram();
  /** From the start of the socket's message callback to the return of the send that its audio caused. */
  readonly gateway = new LatencyHistogram();
  /** Audio the listener has waiting when a frame is sent. */
  readonly playoutLead = new LatencyHistogram();

  // Every field is a stage, and nothing else is.

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

/** What {@link Latencies} hold, in percentiles. */
export type LatencySummaries = {
  readonly [K in keyof Latencies as Latencies[K] extends LatencyHistogram ? K : never]: LatencySummary;
};
