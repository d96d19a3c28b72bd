import { reportOf } from '../calls/call-report.js';
import { type CallView, viewOf } from '../calls/call-view.js';
import type { CallResult } from '../calls/result.js';
import type { Session } from '../calls/session.js';
import type { Switchboard } from '../calls/switchboard.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import { maskNumbersIn } from '../telemetry/log.js';
import { type CallParties, droppedMs, partiesOf, shownRoom } from './call-row.js';
import { ALERT_LIMITS } from './limits.js';

/** How long an ended call is shown. */
const KEPT_MS = 3_600_000;
/** Ended calls kept, about 3 kB each; beyond that the oldest are dropped. */
const CAPACITY = 2_000;
/** Events kept of one call; of more, the first and the last are kept. */
const MAX_EVENTS = 32;
/** Event data that is long, shown elsewhere or confidential: pressed keys may be a PIN. */
const LEFT_OUT = new Set(['traffic', 'latency', 'streamSid', 'digit', 'file']);

/** An event as the journal receives it: see `src/events/event.ts`. */
interface JournalEvent {
  readonly type: string;
  readonly timestamp: string;
  readonly call: { readonly callId: string };
  readonly data: object;
}

/** An event of a call, numbers masked. */
interface CallEvent {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A call as its page shows it. */
export interface CallDetails extends Omit<CallView, 'from' | 'to' | 'direction'>, CallParties {
  /** Who caused its end; absent while it lasts. */
  readonly result?: CallResult;
  readonly events: readonly CallEvent[];
}

/** A line in the list of ended calls. */
export interface EndedCall
  extends Pick<
    CallDetails,
    | 'callId'
    | 'direction'
    | 'caller'
    | 'called'
    | 'room'
    | 'endedAt'
    | 'endCause'
    | 'durationSeconds'
    | 'result'
  > {
  /** p99 of a frame's time in the gateway; 0 without frames. */
  readonly p99Us: number;
  readonly underruns: number;
  readonly droppedMs: number;
}

/** How recent calls ended. */
export interface EndedFigures {
  /** All that ended since the gateway started. */
  readonly total: number;
  /** Calls that ended within the span of {@link ALERT_LIMITS}, and how many of them failed by our fault. */
  readonly recent: number;
  readonly serverFailures: number;
  /** Calls that were found silent and ended, within their own span. */
  readonly stuck: number;
}

interface Ended {
  readonly at: number;
  readonly details: CallDetails;
}

/** An ended call as another process takes it over. */
export interface PassedCall {
  readonly agoMs: number;
  readonly details: CallDetails;
}

/** What happened in each running call, and every call of the last hour: at most 2,000 of them, in memory. */
export class CallJournal {
  private readonly running = new Map<string, CallEvent[]>();
  /** By id, the earliest end first. */
  private readonly ended = new Map<string, Ended>();
  private total = 0;

  /**
   * @param subscribe registers a listener for every event
   * @param capacity ended calls to keep at most
   */
  constructor(
    private readonly switchboard: Switchboard,
    subscribe: (listener: (event: JournalEvent) => void) => void,
    private readonly clock: Clock,
    private readonly capacity = CAPACITY,
  ) {
    subscribe((event) => this.note(event));
    switchboard.on('over', (session, cause) => {
      // If a call was only announced here, the node that has its socket reports it.
      if (cause === 'moved' || session.isDormant) this.running.delete(session.call.callId);
      else this.end(session, cause);
    });
  }

  /**
   * A call of this node that is running, or has ended within the hour.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404)
   */
  inspect(callId: string): CallDetails {
    const session = this.switchboard.session(callId);
    if (session !== undefined) return detailsOf(session, this.running.get(callId) ?? []);
    this.prune();
    const ended = this.ended.get(callId);
    if (ended !== undefined) return ended.details;
    throw new GatewayError(
      'GW_CALL_UNKNOWN',
      `No call ${JSON.stringify(callId)} lasts or ended within the hour`,
    );
  }

  /** Calls that ended within the hour, the latest first. */
  list(): EndedCall[] {
    this.prune();
    return [...this.ended.values()].reverse().map(({ details }) => {
      const { callId, direction, caller, called, room, endedAt, endCause, durationSeconds, result } = details;
      const { traffic, latency } = details;
      return {
        callId,
        direction,
        caller,
        called,
        room,
        endedAt,
        endCause,
        durationSeconds,
        result: result as CallResult,
        p99Us: latency?.gateway.p99Us ?? 0,
        underruns: traffic?.underruns ?? 0,
        droppedMs: traffic === undefined ? 0 : droppedMs(traffic),
      };
    });
  }

  /** Ended calls for another journal, the earliest first. */
  passed(): PassedCall[] {
    this.prune();
    const now = this.clock.now();
    return [...this.ended.values()].map(({ at, details }) => ({ agoMs: now - at, details }));
  }

  /** Takes over calls of another journal, and counts those that are new here. */
  adopt(calls: readonly PassedCall[]): void {
    const now = this.clock.now();
    const adopted = calls.map(({ agoMs, details }) => ({ at: now - agoMs, details }));
    const all = [...this.ended.values(), ...adopted].sort((a, b) => a.at - b.at);
    const known = this.ended.size;
    this.ended.clear();
    for (const each of all) this.put(each);
    this.total += this.ended.size - known;
    this.prune();
  }

  /** Counts all kept calls. */
  figures(): EndedFigures {
    const now = this.clock.now();
    let [recent, serverFailures, stuck] = [0, 0, 0];
    for (const { at, details } of this.ended.values()) {
      const age = now - at;
      if (age <= ALERT_LIMITS.stuckMs && details.endCause === 'silent') stuck += 1;
      if (age > ALERT_LIMITS.serverFailureMs || details.endCause === 'handed-over') continue;
      recent += 1;
      if (details.result === 'server') serverFailures += 1;
    }
    return { total: this.total, recent, serverFailures, stuck };
  }

  private note({ type, timestamp, call: { callId }, data }: JournalEvent): void {
    const events = this.eventsOf(callId);
    if (events === undefined) return;
    const told = Object.fromEntries(Object.entries(data).filter(([name]) => !LEFT_OUT.has(name)));
    events.push({ at: timestamp, type, data: masked(told) });
    if (events.length > MAX_EVENTS) events.splice(MAX_EVENTS / 2, 1);
  }

  /** A recording, and the end itself, are reported after the call has ended. */
  private eventsOf(callId: string): CallEvent[] | undefined {
    const known = this.running.get(callId);
    if (known !== undefined) return known;
    if (this.switchboard.session(callId) === undefined) {
      return this.ended.get(callId)?.details.events as CallEvent[] | undefined;
    }
    const events: CallEvent[] = [];
    this.running.set(callId, events);
    return events;
  }

  private end(session: Session, cause: Parameters<typeof reportOf>[1]): void {
    const { callId } = session.call;
    const details = {
      ...detailsOf(session, this.running.get(callId) ?? []),
      result: reportOf(session, cause).result,
    };
    this.running.delete(callId);
    this.put({ at: this.clock.now(), details });
    this.total += 1;
    this.prune();
  }

  /** Puts the call last: a map keeps the place of a key that it has. */
  private put(ended: Ended): void {
    this.ended.delete(ended.details.callId);
    this.ended.set(ended.details.callId, ended);
  }

  private prune(): void {
    const oldest = this.clock.now() - KEPT_MS;
    for (const [callId, { at }] of this.ended) {
      if (at >= oldest && this.ended.size <= this.capacity) return;
      this.ended.delete(callId);
    }
  }
}

function detailsOf(session: Session, events: readonly CallEvent[]): CallDetails {
  const { from: _, to: __, history = [], room, ...view } = viewOf(session.call, session);
  return {
    ...view,
    ...partiesOf(session.call),
    ...(room === undefined ? {} : { room: shownRoom(room, session.call) }),
    history: masked(history),
    events,
  };
}

function masked<T>(value: T): T {
  return JSON.parse(maskNumbersIn(JSON.stringify(value))) as T;
}
