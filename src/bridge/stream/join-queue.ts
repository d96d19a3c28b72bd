import type { Clock, Timeout } from '../../clock.js';

/** A join that takes so many times the shortest is a sign of too many at a time, and one that takes less of too few; */
const SLOW = 3;
const FAST = 2;
/** but what is shorter than this is never slow. */
const NEVER_SLOW_MS = 500;
/** How many may be under way changes by so much at a join's end; */
const LESS = 0.7;
const MORE = 0.25;
/** and of the shortest so much is forgotten. */
const FORGOTTEN = 1.02;
/** One that takes longer keeps nobody waiting any more. */
const LONGEST_MS = 5_000;
/** What a join takes where none was measured. */
const USUAL_MS = 300;
/** Of the latest join's time, as much goes into the mean. */
const WEIGHT = 0.3;
/** What was longer ago than this says nothing any more. */
const RECENT_MS = 5_000;

/** A join, from when it was asked for. */
export interface Join {
  readonly worker: object;
  readonly begin: () => void;
  begunAt: number | undefined;
  patience: Timeout | undefined;
}

/**
 * Joins of Stream calls under way at a time. A join costs what seconds of a running call do: many at once would be paid by
 * those who talk, and would all be late. The oldest goes first; how long joins take says how many there may be: where they
 * wait for the network more may be under way than where they wait for each other.
 */
export class JoinQueue {
  private meanMs = 0;
  private learntAt = Number.NEGATIVE_INFINITY;
  private readonly waiting: Join[] = [];
  private readonly underWay = new Set<Join>();
  private width: number;
  private shortestMs = Number.POSITIVE_INFINITY;

  /**
   * @param most joins at a time; half of it to begin with
   * @param mostPerWorker of them in one worker
   */
  constructor(
    private readonly clock: Clock,
    private readonly most: number,
    private readonly mostPerWorker: number,
  ) {
    this.width = Math.max(1, most / 2);
  }

  /** How long the next one would wait if so many were before it, in milliseconds, by how long joins took of late. */
  waitFor(before: number): number {
    const { recentMs } = this;
    return (before * (recentMs === 0 ? USUAL_MS : recentMs)) / Math.max(1, Math.floor(this.width));
  }

  /** Milliseconds that joins took of late; 0 where nobody joined. */
  get recentMs(): number {
    return this.clock.runningMs() - this.learntAt > RECENT_MS ? 0 : this.meanMs;
  }

  /** Asks for a turn; `begin` is called when it comes, perhaps at once. */
  enqueue(worker: object, begin: () => void): Join {
    const join: Join = { worker, begin, begunAt: undefined, patience: undefined };
    this.waiting.push(join);
    this.beginNext();
    return join;
  }

  /** It is in, or will not be; idempotent. */
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
