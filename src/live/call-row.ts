import type { Session } from '../calls/session.js';
import { CallLevels } from '../phone/level-meter.js';
import { STAGE } from '../telemetry/call-latencies.js';
import { maskNumber } from '../telemetry/log.js';
import { RecentLatency } from '../telemetry/recent-latency.js';

/** What a row of `/v1/live` says, in its order. Levels are dBFS, latencies microseconds, of the last second; null: nothing came. */
export const CALL_ROW_FIELDS = [
  'callId',
  'direction',
  'number',
  'state',
  'startedAt',
  'levelIn',
  'levelOut',
  'p50Us',
  'p99Us',
  'leadMs',
  'underruns',
  'caughtUpMs',
  'droppedMs',
] as const;

/** A frame of 20 ms. */
const FRAME_MS = 20;

/** A call that is watched: what it is measured by, for as long as it is. */
export class CallRow {
  private readonly levels = new CallLevels();
  private readonly latency: RecentLatency;
  /** What never changes of its row: JSON, once. */
  private readonly who: string;

  constructor(private readonly session: Session) {
    const { call, stream } = session;
    const isInbound = call.direction?.startsWith('outbound') !== true;
    this.latency = new RecentLatency(stream.latencies.countsOf(STAGE.gateway));
    this.who = [call.callId, isInbound ? 'in' : 'out', maskNumber(isInbound ? call.from : call.to) ?? '']
      .map((text) => JSON.stringify(text))
      .join();
    stream.levels = this.levels;
  }

  get isOver(): boolean {
    return this.session.call.state === 'ended';
  }

  /** Its row as JSON, of what happened since the last one. */
  row(): string {
    const { call, stream } = this.session;
    stream.latencies.settle();
    this.latency.sample();
    const { underruns, droppedIntake, droppedLead, droppedBackpressure, silenceDroppedMs, shortenedMs } =
      stream.counts();
    const dropped = FRAME_MS * (droppedIntake + droppedLead + droppedBackpressure);
    const { p50Us, p99Us } = this.latency;
    const [levelIn, levelOut] = [this.levels.in.readLevel(), this.levels.out.readLevel()];
    const numbers = [
      call.startedAt.getTime(),
      rounded(levelIn),
      rounded(levelOut),
      rounded(p50Us),
      rounded(p99Us),
      Math.round(stream.leadMs),
      underruns,
      Math.round(silenceDroppedMs + shortenedMs),
      Math.round(dropped),
    ];
    return `[${this.who},"${call.state}",${numbers.join()}]`;
  }

  /** Measures no more. */
  release(): void {
    if (this.session.stream.levels === this.levels) this.session.stream.levels = undefined;
  }
}

function rounded(value: number | undefined): string {
  return value === undefined ? 'null' : String(Math.round(value * 10) / 10);
}
