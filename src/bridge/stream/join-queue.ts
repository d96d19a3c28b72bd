import type { Clock, Timeout } from '../../clock.js';

/** A join that takes this many times the shortest means too many at a time, a faster one too few; */
const SLOW = 3;
const FAST = 2;
/** but a shorter one than this is never slow. */
const NEVER_SLOW_MS = 500;
/** The limit changes by this much after each join; */
const LESS = 0.7;
const MORE = 0.25;
/** and the shortest duration is forgotten at this rate. */
const FORGOTTEN = 1.02;
/** A join that takes longer no longer blocks others. */
const LONGEST_MS = 5_000;
/** Assumed duration of a join before any was measured. */
const USUAL_MS = 300;
/** Weight of the latest join in the mean. */
const WEIGHT = 0.3;
/** Older measurements are ignored. */
const RECENT_MS = 5_000;

/** A join, queued or under way. */
export interface Join {
  readonly worker: object;
  readonly begin: () => void;
  begunAt: number | undefined;
  patience: Timeout | undefined;
}

/**
 * Limits concurrent joins of Stream calls. A join costs as much CPU as seconds of a running call: many at once would hurt the
 * running calls and would all be late. The oldest goes first. The limit adapts to how long joins take: joins that wait for the
 * network can overlap more than joins that wait for each other.
 */
export class JoinQueue {
  private meanMs = 0;
  private learntAt = Number.NEGATIVE_INFINITY;
  private readonly waiting: Join[] = [];
  private readonly underWay = new Set<Join>();
  private width: number;
  private shortestMs = Number.POSITIVE_INFINITY;

  /**
   * @param most concurrent joins; half of that initially
   * @param mostPerWorker concurrent joins in one worker
   */
  constructor(
    private readonly clock: Clock,
    private readonly most: number,
    private readonly mostPerWorker: number,
  ) {
    this.width = Math.max(1, most / 2);
  }

  /** Expected wait behind this many joins, in milliseconds. */
  waitFor(before: number): number {
    const { recentMs } = this;
    return (before * (recentMs === 0 ? USUAL_MS : recentMs)) / Math.max(1, Math.floor(this.width));
  }

  /** Recent duration of joins in milliseconds; 0 without any. */
  get recentMs(): number {
    return this.clock.runningMs() - this.learntAt > RECENT_MS ? 0 : this.meanMs;
  }

  /** Queues a join; `begin` is called when it may start, perhaps at once. */
  enqueue(worker: object, begin: () => void): Join {
    const join: Join = { worker, begin, begunAt: undefined, patience: undefined };
    this.waiting.push(join);
    this.beginNext();
    return join;
  }

  /** The join has succeeded or failed; idempotent. */
  end(join: Join, isIn: boolean): void {
    const at = this.waiting.indexOf(join);
    if (at >= 0) this.waiting.splice(at, 1);
    if (!this.underWay.delete(join)) return;
    join.patience?.cancel();
    if (isIn) this.learn(this.clock.runningMs() - (join.begunAt as number));
    this.beginNext();
  }

  private learn(ms: number): void {
    const { recentMs } = this;
    this.meanMs = recentMs + (ms - recentMs) * (recentMs === 0 ? 1 : WEIGHT);
    this.learntAt = this.clock.runningMs();
    this.shortestMs = Math.min(ms, this.shortestMs * FORGOTTEN);
    if (ms > Math.max(NEVER_SLOW_MS, this.shortestMs * SLOW)) this.width = Math.max(1, this.width * LESS);
    else if (ms < this.shortestMs * FAST) this.width = Math.min(this.most, this.width + MORE);
  }

  private beginNext(): void {
    for (let i = 0; i < this.waiting.length && this.underWay.size < Math.floor(this.width); ) {
      const join = this.waiting[i] as Join;
      if (this.busyIn(join.worker) >= this.mostPerWorker) {
        i += 1;
        continue;
      }
      this.waiting.splice(i, 1);
      this.underWay.add(join);
      join.begunAt = this.clock.runningMs();
      join.patience = this.clock.timeout(LONGEST_MS, () => this.end(join, true));
      join.begin();
    }
  }

  private busyIn(worker: object): number {
    let count = 0;
    for (const join of this.underWay) if (join.worker === worker) count += 1;
    return count;
  }
}
