import type { Alignment } from './alignment.js';
import { FRAME_BYTES } from './audio.js';
import { EchoPairs, type LeftOut } from './echo-pairs.js';
import { type Bin, Histogram, type Percentiles } from './histogram.js';
import type { WarningCounts } from './inbox.js';
import type { PlayoutCounts } from './playout.js';

/** Twice the frame time: a longer silence between two messages is a gap. */
const GAP_MS = 40;
/** Frames younger than this and the latest round trip at the end of a call may still have been on their way. */
const IN_FLIGHT_MS = 300;

/**
 * Whether round trips belong to frames and their echoes: `valid` if the sound proves it, `invalid` if it disproves it,
 * `unverified` for a steady sound or without an echo: then the k-th received frame is paired with the k-th sent.
 */
export type Pairing = 'valid' | 'invalid' | 'unverified';

/** Measurements of one stream. Times are milliseconds. */
export interface StreamReport extends LeftOut {
  readonly framesSent: number;
  /** Frames received, in units of 160 bytes. */
  readonly framesReceived: number;
  readonly messagesReceived: number;
  /** Frames lost by the line profile, i.e. on purpose. */
  readonly framesLost: number;
  /** Frames discarded because the server did not read (Twilio warning 31930). */
  readonly framesDiscarded: number;
  /** From the sending of a frame to the arrival of its echo, of the frames whose echo is known. */
  readonly roundTrip: Percentiles;
  readonly pairing: Pairing;
  /** Silences of more than 40 ms between two media messages. */
  readonly gaps: number;
  readonly maxGapMs: number;
  /** From `start` to the first media message; `undefined` while there was none. */
  readonly firstAudioMs: number | undefined;
  readonly playout: PlayoutCounts;
  readonly warnings: WarningCounts;
  readonly proof: AudioProof | undefined;
}

/** That the audio came back: what was sent, found again in what was received and in what was heard. */
export interface AudioProof {
  /** Frames one after the other as they came, so that its lag is a matter of frames, not of time. Found by pieces where need be. */
  readonly received: Alignment;
  /** On the caller's timeline: its lag is the delay from mouth to ear. */
  readonly heard: Alignment;
}

/** Counts and times the frames of one stream; about half a microsecond a frame, no allocation. */
export class Measurement {
  readonly roundTrip: Histogram;
  private readonly pairs: EchoPairs;
  private measuredFrom = 0;
  private messages = 0;
  private bytes = 0;
  private lastArrival = 0;
  private gapCount = 0;
  private maxGap = 0;
  private firstArrival = 0;

  /**
   * @param roundTrips gets every round trip, too
   * @param isEcho whether an echo is expected; default true
   */
  constructor(roundTrips?: Histogram, isEcho = true) {
    this.roundTrip = new Histogram(roundTrips);
    this.pairs = new EchoPairs((sentAt, cameAt) => {
      if (cameAt >= this.measuredFrom) this.roundTrip.record((cameAt - sentAt) * 1000);
    }, isEcho);
  }

  get framesSent(): number {
    return this.pairs.framesSent;
  }

  get framesReceived(): number {
    return Math.floor(this.bytes / FRAME_BYTES);
  }

  get messagesReceived(): number {
    return this.messages;
  }

  get gaps(): number {
    return this.gapCount;
  }

  get maxGapMs(): number {
    return this.maxGap;
  }

  /** Monotonic milliseconds of the first arrival; 0 while there was none. */
  get firstArrivalAt(): number {
    return this.firstArrival;
  }

  /** Monotonic milliseconds of the last arrival; 0 while there was none. */
  get lastArrivalAt(): number {
    return this.lastArrival;
  }

  /** See {@link EchoPairs.isRight}. */
  get isPaired(): boolean | undefined {
    return this.pairs.isRight;
  }

  /** @param payload base64 of its 160 bytes */
  frameSent(payload: string, now: number): void {
    this.pairs.frameSent(payload, now);
  }

  /** @param payload base64 of any number of bytes */
  mediaReceived(payload: string, bytes: number, now: number): void {
    if (this.messages === 0) this.firstArrival = now;
    else {
      const gap = now - this.lastArrival;
      if (gap > GAP_MS) this.gapCount += 1;
      if (gap > this.maxGap) this.maxGap = gap;
    }
    this.lastArrival = now;
    this.messages += 1;
    this.bytes += bytes;
    this.pairs.mediaReceived(payload, bytes, now);
  }

  /** Forgets times and gaps so far, e.g. of the ramp before a load test's steady state; counts stay. */
  restart(now: number): void {
    this.roundTrip.reset();
    this.measuredFrom = now;
    this.gapCount = 0;
    this.maxGap = 0;
  }

  /** What of the frames sent before `end`, but for those that may still be on their way, did not come back. */
  leftOut(end: number): LeftOut {
    const { pairs } = this;
    pairs.conclude();
    return pairs.leftOut(pairs.sentUntil(end - IN_FLIGHT_MS - pairs.latestRoundTripMs));
  }
}

/** Many streams as one. */
export interface MergedReport extends LeftOut {
  readonly streams: number;
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly framesLost: number;
  readonly framesDiscarded: number;
  readonly roundTrip: Percentiles;
  /** The same round trips, as a histogram; empty while there are none. */
  readonly roundTripBins: readonly Bin[];
  /** `valid` where at least one stream proved it and none disproved it. */
  readonly pairing: Pairing;
  readonly gaps: number;
  readonly maxGapMs: number;
  readonly underruns: number;
  readonly maxLeadMs: number;
  readonly marks: number;
  readonly warnings: WarningCounts;
  /** The worst proof among those streams that recorded. */
  readonly proof: AudioProof | undefined;
}

/** Adds streams up, so that none need be kept once it is over. */
export class StreamTotals {
  private readonly roundTrip = new Histogram();
  private readonly counted = {
    streams: 0,
    framesSent: 0,
    framesReceived: 0,
    framesLost: 0,
    framesDiscarded: 0,
    framesMissing: 0,
    pausesLeftOut: 0,
    wordsShortenedMs: 0,
    gaps: 0,
    maxGapMs: 0,
    underruns: 0,
    maxLeadMs: 0,
    marks: 0,
  };
  private readonly warnings = { 31930: 0, 31950: 0, 31951: 0 };
  private firstWarning: WarningCounts['first'];
  private readonly pairings = new Set<Pairing>();
  private worst: AudioProof | undefined;

  add(report: StreamReport, roundTrip: Histogram): void {
    this.roundTrip.merge(roundTrip);
    const { counted, warnings } = this;
    counted.streams += 1;
    counted.framesSent += report.framesSent;
    counted.framesReceived += report.framesReceived;
    counted.framesLost += report.framesLost;
    counted.framesDiscarded += report.framesDiscarded;
    counted.framesMissing += report.framesMissing;
    counted.pausesLeftOut += report.pausesLeftOut;
    counted.wordsShortenedMs += report.wordsShortenedMs;
    counted.gaps += report.gaps;
    counted.maxGapMs = Math.max(counted.maxGapMs, report.maxGapMs);
    counted.underruns += report.playout.underruns;
    counted.maxLeadMs = Math.max(counted.maxLeadMs, report.playout.maxLeadMs);
    counted.marks += report.playout.marks;
    for (const code of [31930, 31950, 31951] as const) warnings[code] += report.warnings[code];
    this.firstWarning ??= report.warnings.first;
    this.pairings.add(report.pairing);
    const { proof } = report;
    if (
      proof !== undefined &&
      proof.received.correlation < (this.worst?.received.correlation ?? Number.POSITIVE_INFINITY)
    ) {
      this.worst = proof;
    }
  }

  /** Forgets round trips and gaps so far; counts stay. */
  restart(): void {
    this.roundTrip.reset();
    this.counted.gaps = 0;
    this.counted.maxGapMs = 0;
  }

  merged(): MergedReport {
    return {
      ...this.counted,
      roundTrip: this.roundTrip.percentiles(),
      roundTripBins: this.roundTrip.bins(),
      pairing: this.pairing,
      warnings: { ...this.warnings, first: this.firstWarning },
      proof: this.worst,
    };
  }

  private get pairing(): Pairing {
    if (this.pairings.has('invalid')) return 'invalid';
    return this.pairings.has('valid') ? 'valid' : 'unverified';
  }
}

/** Merges the reports of streams; round trips are merged from their histograms, not from percentiles. */
export function mergeReports(
  streams: readonly { readonly report: StreamReport; readonly roundTrip: Histogram }[],
): MergedReport {
  const totals = new StreamTotals();
  for (const { report, roundTrip } of streams) totals.add(report, roundTrip);
  return totals.merged();
}
