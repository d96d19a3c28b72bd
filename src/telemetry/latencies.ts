import { LatencyHistogram, type LatencySummary } from './histogram.js';

/** A call's histograms are coarser than the gateway's: 8 buckets a power of two, at most 12.5 % wide, 1.9 KB each. */
const CALL_SUB_BITS = 3;

/**
 * Every frame's way from socket to socket and its jitter are measured. What lies between, whose clock readings would cost
 * more than the rest of it, is taken from every eighth frame, and from those that had to wait.
 */
const SAMPLED = 8;

/** Whether the inner stages of the n-th frame are measured. */
export function isSampled(n: number): boolean {
  return (n & (SAMPLED - 1)) === 0;
}

/** Where a frame's time goes, in the order of its way. Of a whole gateway, or of one of its calls. */
export class Latencies {
  /** How far messages come from the pace their audio sets. */
  readonly intakeJitter: LatencyHistogram;
  /** Message bytes → 48 kHz samples. */
  readonly transcodeIn: LatencyHistogram;
  /** Samples → the bridge leg: nothing, or the wait until it is up. */
  readonly decodedLeg: LatencyHistogram;
  /** A frame from the bridge leg → message bytes, the wait for room in the lead included. */
  readonly legEncoded: LatencyHistogram;
  /** 48 kHz samples → message bytes. */
  readonly transcodeOut: LatencyHistogram;
  /** Message bytes → the return of the socket's send. */
  readonly encodedSocket: LatencyHistogram;
  /** From the start of the socket's message callback to the return of the send that its audio caused. */
  readonly gateway: LatencyHistogram;
  /** Audio the listener has waiting when a frame is sent. */
  readonly playoutLead: LatencyHistogram;

  /** @param whole the gateway's, where these are one call's: they get every value too */
  constructor(whole?: Latencies) {
    const part = (of: LatencyHistogram | undefined) =>
      of === undefined ? new LatencyHistogram() : new LatencyHistogram(of, CALL_SUB_BITS);
    this.intakeJitter = part(whole?.intakeJitter);
    this.transcodeIn = part(whole?.transcodeIn);
    this.decodedLeg = part(whole?.decodedLeg);
    this.legEncoded = part(whole?.legEncoded);
    this.transcodeOut = part(whole?.transcodeOut);
    this.encodedSocket = part(whole?.encodedSocket);
    this.gateway = part(whole?.gateway);
    this.playoutLead = part(whole?.playoutLead);
  }

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
