import { z } from 'zod';
import type { Clock, Timer } from '../clock.js';
import { CALL_ROW_FIELDS } from '../live/call-row.js';
import type { DashboardFeed, LiveFeed, LiveHead } from '../live/dashboard-feed.js';
import type { Peers } from './peers.js';

/** How often a worker with viewers says so, and how long the others send it their rounds after that. */
const WATCH_MS = 2_000;
const WATCHED_MS = 6_000;
/** A worker whose round is older is left out. */
const FRESH_MS = 3_000;
/** Most rows of a worker, and characters of a row. */
const MAX_ROWS = 20_000;
const MAX_ROW = 4_000;

const count = z.number().min(0);
const counts = z.record(z.string(), count);

/** What is read of another worker's head, which may run another version. */
const OtherHead = z.object({
  calls: count,
  closure: z.string().max(40).nullable(),
  refused: counts,
  refusedAt: counts,
  ended: z.object({ total: count, recent: count, serverFailures: count, stuck: count }),
  loopDelayMs: count,
  cpuPercent: count,
  gateway: z.object({
    p50Us: count.nullable(),
    p99Us: count.nullable(),
    edgesUs: z.array(count),
    counts: z.array(count),
  }),
  fields: z.array(z.string()).refine((fields) => fields.join() === CALL_ROW_FIELDS.join()),
});

type OtherHead = z.infer<typeof OtherHead>;

interface Other {
  /** Of the round under way. */
  rows: string[];
  round: { readonly head: OtherHead; readonly rows: readonly string[]; readonly at: number } | undefined;
}

/** The calls of all workers once a second; the others sample theirs only while somebody watches. */
export class MachineFeed implements LiveFeed {
  onRound: (head: LiveHead, rows: readonly string[]) => void = () => {};
  /** Workers with viewers, and until when they get our rounds. */
  private readonly watchers = new Map<number, number>();
  private readonly others = new Map<number, Other>();
  private timer: Timer | undefined;

  /** @param feed of this worker, without viewers of its own */
  constructor(
    private readonly peers: Peers,
    private readonly feed: DashboardFeed,
    private readonly clock: Clock,
  ) {
    feed.onRows = (rows) => {
      for (const watcher of this.watchers.keys()) peers.notify(watcher, 'live.rows', rows);
    };
    feed.onRound = (head, rows) => this.show(head, rows);
    peers.handle('live.watch', (_, from) => {
      this.watchers.set(from, clock.now() + WATCHED_MS);
      feed.start();
    });
    peers.handle('live.rows', (about, from) => this.receiveRows(from, about));
    peers.handle('live.head', (about, from) => this.receiveHead(from, about));
    peers.onChange((worker, isServing) => {
      if (isServing) return;
      this.others.delete(worker);
      this.watchers.delete(worker);
    });
  }

  start(): void {
    if (this.timer !== undefined) return;
    this.feed.start();
    this.peers.broadcast('live.watch', {});
    this.timer = this.clock.every(WATCH_MS, () => this.peers.broadcast('live.watch', {}));
    this.timer.unref();
  }

  stop(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
    this.others.clear();
    if (this.watchers.size === 0) this.feed.stop();
  }

  /** A round of this worker is complete. */
  private show(head: LiveHead, rows: readonly string[]): void {
    const now = this.clock.now();
    for (const [watcher, until] of this.watchers) {
      if (now > until) this.watchers.delete(watcher);
      else this.peers.notify(watcher, 'live.head', head);
    }
    if (this.timer !== undefined) {
      const rounds = [...this.others.values()].flatMap(({ round }) =>
        round !== undefined && now - round.at <= FRESH_MS ? [round] : [],
      );
      const heads = rounds.map((round) => round.head);
      this.onRound(mergedHead(head, heads), [rows, ...rounds.map((round) => round.rows)].flat());
    } else if (this.watchers.size === 0) this.feed.stop();
  }

  private receiveRows(from: number, about: unknown): void {
    const other = this.otherOf(from);
    if (other === undefined || !Array.isArray(about) || other.rows.length + about.length > MAX_ROWS) return;
    other.rows.push(...about.filter(isRow));
  }

  private receiveHead(from: number, about: unknown): void {
    const other = this.otherOf(from);
    if (other === undefined) return;
    const { rows } = other;
    other.rows = [];
    const { data: head } = OtherHead.safeParse(about);
    if (head !== undefined) other.round = { head, rows, at: this.clock.now() };
  }

  /** What is known of a worker; `undefined` while nobody watches. */
  private otherOf(worker: number): Other | undefined {
    if (this.timer === undefined || !this.peers.serving.includes(worker)) return undefined;
    const known = this.others.get(worker) ?? { rows: [], round: undefined };
    this.others.set(worker, known);
    return known;
  }
}

/** The machine's head: sums, but the latest, slowest and busiest where a sum says nothing. */
function mergedHead(own: LiveHead, others: readonly OtherHead[]): LiveHead {
  const all = [own, ...others];
  const sum = (of: (head: LiveHead | OtherHead) => number) =>
    all.reduce((total, each) => total + of(each), 0);
  const most = (of: (head: LiveHead | OtherHead) => number) => Math.max(...all.map(of));
  return {
    ...own,
    calls: sum(({ calls }) => calls),
    closure: all.some(({ closure }) => closure === null) ? null : own.closure,
    refused: byReason(
      all.map(({ refused }) => refused),
      (a, b) => a + b,
    ),
    refusedAt: byReason(
      all.map(({ refusedAt }) => refusedAt),
      Math.max,
    ),
    ended: {
      total: sum(({ ended }) => ended.total),
      recent: sum(({ ended }) => ended.recent),
      serverFailures: sum(({ ended }) => ended.serverFailures),
      stuck: sum(({ ended }) => ended.stuck),
    },
    loopDelayMs: most(({ loopDelayMs }) => loopDelayMs),
    cpuPercent: most(({ cpuPercent }) => cpuPercent),
    gateway: mergedLatency(
      own.gateway,
      others.map(({ gateway }) => gateway),
    ),
  };
}

function byReason(
  maps: readonly Readonly<Record<string, number>>[],
  merge: (a: number, b: number) => number,
): Record<string, number> {
  const all = new Map<string, number>();
  for (const [reason, value] of maps.flatMap(Object.entries) as [string, number][]) {
    const other = all.get(reason);
    all.set(reason, other === undefined ? value : merge(other, value));
  }
  return Object.fromEntries(all);
}

function mergedLatency(
  own: LiveHead['gateway'],
  others: readonly LiveHead['gateway'][],
): LiveHead['gateway'] {
  const { edgesUs } = own;
  // Another version may have other bins.
  const all = [own, ...others.filter((each) => each.edgesUs.join() === edgesUs.join())];
  const counts = own.counts.map((_, bin) => all.reduce((total, each) => total + (each.counts[bin] ?? 0), 0));
  return {
    edgesUs,
    counts,
    p50Us: percentile(counts, edgesUs, 0.5, values(all.map(({ p50Us }) => p50Us))),
    p99Us: percentile(counts, edgesUs, 0.99, values(all.map(({ p99Us }) => p99Us))),
  };
}

/** A bin's upper edge, but no more than the largest and no less than the smallest of the workers' own percentiles. */
function percentile(
  counts: readonly number[],
  edgesUs: readonly number[],
  q: number,
  ofWorkers: readonly number[],
): number | null {
  if (ofWorkers.length === 0) return null;
  const rank = q * counts.reduce((total, each) => total + each, 0);
  let seen = 0;
  const bin = counts.findIndex((each) => {
    seen += each;
    return seen >= rank;
  });
  const edge = edgesUs[bin] ?? Number.POSITIVE_INFINITY;
  return Math.max(Math.min(...ofWorkers), Math.min(Math.max(...ofWorkers), edge));
}

function values(all: readonly (number | null)[]): number[] {
  return all.filter((each) => each !== null);
}

function isRow(text: unknown): text is string {
  if (typeof text !== 'string' || text.length > MAX_ROW || /[\r\n]/.test(text)) return false;
  try {
    const row: unknown = JSON.parse(text);
    return Array.isArray(row) && row.length === CALL_ROW_FIELDS.length;
  } catch {
    return false;
  }
}
