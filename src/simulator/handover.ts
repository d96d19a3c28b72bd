import { Histogram, type Percentiles } from './histogram.js';

/** A call that went on over another stream. Times are milliseconds. */
export interface StreamHandover {
  /**
   * From the last audio received before to the first over the new stream; `undefined` where either never came.
   * What the caller still had buffered makes the silence that is heard shorter.
   */
  readonly gapMs: number | undefined;
  /** From the end of the stream before to the `start` of the new one. */
  readonly reconnectMs: number;
  /** WebSocket close code of the stream before: 1001 for a node that drains, 1006 for one that died. */
  readonly code: number;
}

/** Hand-overs of many calls. */
export interface HandoverReport {
  readonly count: number;
  /** Those after which the caller never heard anything again, or that had heard nothing before. */
  readonly unheard: number;
  readonly gap: Percentiles;
  readonly reconnect: Percentiles;
}

/** When a stream lived and was heard, in monotonic milliseconds. */
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

  add({ gapMs, reconnectMs }: StreamHandover): void {
    this.count += 1;
    if (gapMs === undefined) this.unheard += 1;
    else this.gap.record(gapMs * 1000);
    this.reconnect.record(reconnectMs * 1000);
  }

  report(): HandoverReport {
    const { count, unheard } = this;
    return { count, unheard, gap: this.gap.percentiles(), reconnect: this.reconnect.percentiles() };
  }
}
