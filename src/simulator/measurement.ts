import type { Alignment } from './alignment.js';
import { FRAME_BYTES } from './audio.js';
import { Histogram, type Percentiles } from './histogram.js';
import type { WarningCounts } from './inbox.js';
import type { PlayoutCounts } from './playout.js';

/** Send times kept for pairing: about 20 s of frames, far more than any echo is late. */
const KEPT_SENDS = 1024;
/** Twice the frame time: a longer silence between two messages is a gap. */
const GAP_MS = 40;
/** Frames younger than this at the end of a call may still have been on their way. */
const IN_FLIGHT_MS = 300;

/**
 * Whether the k-th frame that came back really was the k-th sent: `valid` where the audio proves it and
 * nothing is missing, `invalid` where it disproves it, `unverified` where nothing was recorded.
 */
export type Pairing = 'valid' | 'invalid' | 'unverified';

/** What one stream measured. Times are milliseconds. */
export interface StreamReport {
  readonly framesSent: number;
  /** Frames that came back, in units of 160 bytes. */
  readonly framesReceived: number;
  readonly messagesReceived: number;
  /** Frames lost by the line profile, i.e. on purpose. */
  readonly framesLost: number;
  /** Frames discarded because the server did not read (Twilio warning 31930). */
  readonly framesDiscarded: number;
  /** Frames sent early enough to be back, and not back. */
  readonly framesMissing: number;
  /** From the sending of a frame to the arrival of its echo. */
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
  /** Frames one after the other as they came, so that its lag is a matter of frames, not of time. */
  readonly received: Alignment;
  /** On the caller's timeline: its lag is the delay from mouth to ear. */
  readonly heard: Alignment;
}

/** Counts and times the frames of one stream; a few arithmetic operations a frame, no allocation. */
export class Measurement {
  readonly roundTrip: Histogram;
  private readonly sentAt = new Float64Array(KEPT_SENDS);
  private sent = 0;
  private messages = 0;
  private bytes = 0;
  private lastArrival = 0;
  private gapCount = 0;
  private maxGap = 0;
  private firstArrival = 0;

  /** @param roundTrips gets every round trip, too */
  constructor(roundTrips?: Histogram) {
    this.roundTrip = new Histogram(roundTrips);
  }

  get framesSent(): number {
    return this.sent;
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

  frameSent(now: number): void {
    this.sentAt[this.sent % KEPT_SENDS] = now;
    this.sent += 1;
  }

  mediaReceived(now: number, bytes: number): void {
    if (this.messages === 0) this.firstArrival = now;
    else {
      const gap = now - this.lastArrival;
      if (gap > GAP_MS) this.gapCount += 1;
      if (gap > this.maxGap) this.maxGap = gap;
    }
    this.lastArrival = now;
    this.messages += 1;
    const before = this.framesReceived;
    this.bytes += bytes;
    // Messages of another size than a frame's: every frame that is complete now has arrived now.
    const complete = Math.min(this.framesReceived, this.sent);
    for (let k = Math.max(before, this.sent - KEPT_SENDS); k < complete; k++) {
      this.roundTrip.record((now - (this.sentAt[k % KEPT_SENDS] as number)) * 1000);
    }
  }

  /** Forgets times and gaps so far, e.g. of the ramp before a load test's steady state; counts stay. */
  restart(): void {
    this.roundTrip.reset();
    this.gapCount = 0;
    this.maxGap = 0;
  }

  /** Frames sent at least 300 ms before `end` that have not come back. */
  missing(end: number): number {
    let due = this.sent;
    const oldest = Math.max(0, this.sent - KEPT_SENDS);
    while (due > oldest && (this.sentAt[(due - 1) % KEPT_SENDS] as number) > end - IN_FLIGHT_MS) due -= 1;
    return Math.max(0, due - this.framesReceived);
  }
}

/** Many streams as one. */
export interface MergedReport {
  readonly streams: number;
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly framesLost: number;
  readonly framesDiscarded: number;
  readonly framesMissing: number;
  readonly roundTrip: Percentiles;
  /** `valid` where at least one stream proved it and none disproved it or missed a frame. */
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
      pairing: this.pairing,
      warnings: { ...this.warnings, first: this.firstWarning },
      proof: this.worst,
    };
  }

  private get pairing(): Pairing {
    if (this.pairings.has('invalid') || this.counted.framesMissing > 0) return 'invalid';
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
