import type { Session } from '../calls/session.js';
import type { Switchboard } from '../calls/switchboard.js';
import type { Clock, Timer } from '../clock.js';
import type { Fleet } from '../fleet/fleet.js';
import { RecentLatency } from '../telemetry/recent-latency.js';
import type { CallJournal, EndedFigures } from './call-journal.js';
import { CALL_ROW_FIELDS, CallRow } from './call-row.js';
import { ALERT_LIMITS } from './limits.js';

/** Every call is sampled once a round. */
export const ROUND_MS = 1_000;
/** A round is spread over turns of the event loop, so that no frame waits for all calls. */
const TURNS = 20;
/** Upper edges of the histogram's bins in microseconds, two a power of two: 8 µs to 131 ms. */
const EDGES_US = Array.from({ length: 29 }, (_, i) => Math.round(8 * 2 ** (i / 2)));

/** What `/v1/live` says besides its rows. */
export interface LiveHead {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly version: string;
  readonly bridge: string;
  readonly node: string;
  readonly calls: number;
  readonly maxCalls: number;
  /** Why no new calls are accepted. */
  readonly closure: string | null;
  /** Rejected calls by reason, and when the latest was, in milliseconds since 1970. */
  readonly refused: Readonly<Record<string, number>>;
  readonly refusedAt: Readonly<Record<string, number>>;
  readonly ended: EndedFigures;
  readonly limits: Readonly<Record<string, number>>;
  readonly loopDelayMs: number;
  /** Of one core. */
  readonly cpuPercent: number;
  /** Latency in the last second; `counts` has a bin for each of `edgesUs` and one for all longer ones. */
  readonly gateway: {
    readonly p50Us: number | null;
    readonly p99Us: number | null;
    readonly edgesUs: readonly number[];
    readonly counts: readonly number[];
  };
  readonly registry: 'up' | 'down' | undefined;
  /** Nodes of the fleet. */
  readonly nodes: readonly {
    readonly node: string;
    readonly calls: number;
    readonly draining: boolean;
    readonly open: boolean;
  }[];
  readonly deaf: string | null;
  readonly fields: readonly string[];
}

/** What `/v1/live` shows: once a second while it is started. */
export interface LiveFeed {
  start(): void;
  stop(): void;
  /** Gets each round: the head, and a row of JSON for each call. */
  onRound: (head: LiveHead, rows: readonly string[]) => void;
}

export interface DashboardFeedOptions {
  readonly switchboard: Switchboard;
  readonly journal: CallJournal;
  readonly fleet: Fleet | undefined;
  readonly facts: { readonly version: string; readonly bridge: string };
  /** Name of this node outside a fleet. */
  readonly node: string;
  /** Why calls here cannot be listened to; `undefined` if they can. */
  readonly deaf: string | undefined;
  readonly clock: Clock;
}

/** Samples calls and gateway once a second, for all viewers together, and only while there are any. */
export class DashboardFeed implements LiveFeed {
  onRound: (head: LiveHead, rows: readonly string[]) => void = () => {};
  /** Gets the rows of each of a round's turns, as they are written. */
  onRows: (rows: readonly string[]) => void = () => {};
  private readonly calls = new Map<Session, CallRow>();
  private gateway: RecentLatency | undefined;
  private readonly bins = { edgesUs: EDGES_US, counts: new Array<number>(EDGES_US.length + 1).fill(0) };
  private timer: Timer | undefined;
  private turn = 0;
  /** The calls of this round, and the rows written so far. */
  private round: readonly CallRow[] = [];
  private rows: string[] = [];
  private cpu = process.cpuUsage();
  private lookedAt = 0;

  constructor(private readonly options: DashboardFeedOptions) {}

  start(): void {
    if (this.timer !== undefined) return;
    this.gateway = new RecentLatency(this.options.switchboard.countedLatencies.gateway);
    this.cpu = process.cpuUsage();
    this.lookedAt = this.options.clock.now();
    this.turn = 0;
    this.timer = this.options.clock.every(ROUND_MS / TURNS, () => this.look());
    this.timer.unref();
  }

  stop(): void {
    this.options.clock.cancel(this.timer);
    this.timer = undefined;
    for (const call of this.calls.values()) call.release();
    this.calls.clear();
    this.gateway = undefined;
    this.round = [];
    this.rows = [];
  }

  /** One of a round's turns. */
  private look(): void {
    if (this.turn === 0) this.begin();
    const { round, turn } = this;
    const rows: string[] = [];
    const end = Math.ceil((round.length * (turn + 1)) / TURNS);
    for (let i = Math.ceil((round.length * turn) / TURNS); i < end; i++) {
      const call = round[i] as CallRow;
      if (!call.isOver) rows.push(call.row());
    }
    this.rows.push(...rows);
    if (rows.length > 0) this.onRows(rows);
    this.turn = (turn + 1) % TURNS;
    if (this.turn === 0) this.onRound(this.head(), this.rows);
  }

  /** Adds new calls and removes ended ones. */
  private begin(): void {
    const { calls } = this;
    for (const session of this.options.switchboard.all) {
      if (!calls.has(session)) calls.set(session, new CallRow(session));
    }
    for (const [session, call] of calls) {
      if (!call.isOver) continue;
      call.release();
      calls.delete(session);
    }
    this.round = [...calls.values()];
    this.rows = [];
  }

  private head(): LiveHead {
    const { switchboard, journal, fleet, facts, node, deaf, clock } = this.options;
    const { admission, activeCalls, eventLoopDelay } = switchboard;
    const { maxLoopDelayMs, maxCpuPercent } = admission.limits;
    const { bins, gateway } = this;
    gateway?.sample(bins);
    const states = [...(fleet?.states ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      at: clock.date().getTime(),
      ...facts,
      node: fleet?.node ?? node,
      calls: activeCalls,
      maxCalls: admission.maxCalls,
      closure: admission.busyReason ?? null,
      refused: Object.fromEntries(admission.refused),
      refusedAt: Object.fromEntries(admission.refusedAt),
      ended: journal.figures(),
      limits: { ...ALERT_LIMITS, maxLoopDelayMs, maxCpuPercent },
      loopDelayMs: eventLoopDelay.recentMs,
      cpuPercent: this.cpuPercent(),
      gateway: { p50Us: gateway?.p50Us ?? null, p99Us: gateway?.p99Us ?? null, ...bins },
      registry: fleet && (fleet.isUp ? 'up' : 'down'),
      nodes: states.map(([name, { calls, draining, open }]) => ({ node: name, calls, draining, open })),
      deaf: deaf ?? null,
      fields: CALL_ROW_FIELDS,
    };
  }

  /** Share of one core since the last sample. */
  private cpuPercent(): number {
    const [before, lookedAt] = [this.cpu, this.lookedAt];
    this.cpu = process.cpuUsage();
    this.lookedAt = this.options.clock.now();
    const usedMs = (this.cpu.user - before.user + this.cpu.system - before.system) / 1_000;
    return (100 * usedMs) / Math.max(1, this.lookedAt - lookedAt);
  }
}
