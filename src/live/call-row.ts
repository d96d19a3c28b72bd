import type { PhoneCall } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import { CallLevels } from '../phone/level-meter.js';
import { STAGE } from '../telemetry/call-latencies.js';
import { maskNumber } from '../telemetry/log.js';
import { RecentLatency } from '../telemetry/recent-latency.js';
import type { TrafficCounts } from '../telemetry/traffic.js';

/**
 * The columns of a row of `/v1/live`, in order. Levels are dBFS, latencies microseconds, both of the last second; null
 * without audio. The number of the person on the phone is masked.
 */
export const CALL_ROW_FIELDS = [
  'callId',
  'direction',
  'caller',
  'called',
  'room',
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

/** A watched call, and its meters while somebody watches. */
export class CallRow {
  private readonly levels = new CallLevels();
  private readonly latency: RecentLatency;
  /** The part of its row that never changes, as JSON. */
  private readonly parties: string;
  /** Its room, and that as JSON: it seldom changes. */
  private room = '';
  private roomJson = '""';

  constructor(private readonly session: Session) {
    const { call, stream } = session;
    const { direction, caller, called } = partiesOf(call);
    this.latency = new RecentLatency(stream.latencies.countsOf(STAGE.gateway));
    this.parties = [call.callId, direction, caller, called].map((text) => JSON.stringify(text)).join();
    stream.levels = this.levels;
  }

  get isOver(): boolean {
    return this.session.call.state === 'ended';
  }

  /** Its row as JSON, with everything since the last one. */
  row(): string {
    const { call, stream, decision, room } = this.session;
    const isPlaced = decision !== undefined && !('refuse' in decision) && decision.bridge !== false;
    const place = isPlaced ? room : '';
    if (place !== this.room) {
      this.room = place;
      this.roomJson = JSON.stringify(shownRoom(place, call));
    }
    stream.latencies.settle();
    this.latency.sample();
    const counts = stream.counts();
    const { underruns, silenceDroppedMs, shortenedMs } = counts;
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
      droppedMs(counts),
    ];
    return `[${this.parties},${this.roomJson},"${call.state}",${numbers.join()}]`;
  }

  /** Stops its meters. */
  release(): void {
    if (this.session.stream.levels === this.levels) this.session.stream.levels = undefined;
  }
}

/** Who calls whom: the number of the person on the phone is masked, the other one is ours. */
export interface CallParties {
  readonly direction: 'in' | 'out';
  readonly caller: string;
  readonly called: string;
}

export function partiesOf(call: PhoneCall): CallParties {
  const [from = '', to = ''] = [call.from, call.to];
  return call.direction?.startsWith('outbound') === true
    ? { direction: 'out', caller: from, called: maskNumber(to) as string }
    : { direction: 'in', caller: maskNumber(from) as string, called: to };
}

/** A room's name, in which numbers are masked, except our own number of this call. */
export function shownRoom(room: string, call: PhoneCall): string {
  const { direction, caller, called } = partiesOf(call);
  const ours = direction === 'in' ? called : caller;
  return room.replace(/\+\d+/g, (number) => (number === ours ? number : (maskNumber(number) as string)));
}

/** Milliseconds of audio dropped in both directions. */
export function droppedMs({ droppedIntake, droppedLead, droppedBackpressure }: TrafficCounts): number {
  return FRAME_MS * (droppedIntake + droppedLead + droppedBackpressure);
}

function rounded(value: number | undefined): string {
  return value === undefined ? 'null' : String(Math.round(value * 10) / 10);
}
