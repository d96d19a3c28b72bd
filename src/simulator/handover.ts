import { Histogram, type Percentiles } from './histogram.js';

/** A hand-over of a call to another media stream. Times are milliseconds. */
export interface StreamHandover {
  /**
   * From the last audio of the old stream to the first of the new one; `undefined` if either never arrived.
   * The silence the caller hears is shorter by the audio still buffered.
   */
  readonly gapMs: number | undefined;
  /** From the end of the old stream to the `start` of the new one. */
  readonly reconnectMs: number;
  /** WebSocket close code of the old stream: 1001 for a node that drains, 1006 for one that died. */
  readonly code: number;
}

/** Hand-overs of many calls. */
export interface HandoverReport {
  readonly count: number;
  /** Number of hand-overs without audio before or after. */
  readonly unheard: number;
  readonly gap: Percentiles;
  readonly reconnect: Percentiles;
}

/** Times of a stream, in monotonic milliseconds. */
export interface StreamTimes {
  readonly startedAt: number;
  /** `undefined` while it runs. */
  readonly endedAt: number | undefined;
  readonly firstAudioAt: number | undefined;
  readonly lastAudioAt: number | undefined;
  /** As received; 1006 where there was none. */
  readonly closeCode: number | undefined;
}

/** The hand-overs between the streams of one call, in order. */
export function handoversOf(streams: readonly StreamTimes[]): StreamHandover[] {
  let heardAt: number | undefined;
  return streams.slice(1).map((stream, i) => {
    const before = streams[i] as StreamTimes;
    heardAt = before.lastAudioAt ?? heardAt;
    const { startedAt, firstAudioAt } = stream;
    return {
      gapMs: heardAt === undefined || firstAudioAt === undefined ? undefined : firstAudioAt - heardAt,
      reconnectMs: startedAt - (before.endedAt ?? startedAt),
      code: before.closeCode ?? 1006,
    };
  });
}

/** Adds hand-overs up, so that the calls need not be kept. */
export class HandoverTotals {
  private readonly gap = new Histogram();
  private readonly reconnect = new Histogram();
  private count = 0;
  private unheard = 0;

  /** Counts a hand-over. */
  add({ gapMs, reconnectMs }: StreamHandover): void {
    this.count += 1;
    if (gapMs === undefined) this.unheard += 1;
    else this.gap.record(gapMs * 1000);
    this.reconnect.record(reconnectMs * 1000);
  }

  /** What was counted so far. */
  report(): HandoverReport {
    const { count, unheard } = this;
    return { count, unheard, gap: this.gap.percentiles(), reconnect: this.reconnect.percentiles() };
  }
}
