import type { Clock, Timer } from '../clock.js';
import { type Peers, SUPERVISOR } from './peers.js';

/** Shortest time between two letters with counts, from a worker to the supervisor and from there to a worker. */
export const TELL_MS = 20;

/** How many calls each worker of a machine has: `MAX_CALLS` is the limit of all together. */
export class CallCounts {
  private counts = new Map<number, number>();
  private told = 0;
  private timer: Timer | undefined;

  /** @param own number of calls of this worker */
  constructor(
    private readonly peers: Peers,
    private readonly own: () => number,
    private readonly clock: Clock,
  ) {
    peers.handle('calls', (counts) => {
      if (Array.isArray(counts)) this.counts = new Map(counts.filter(isCount));
    });
    peers.onChange((worker, isServing) => {
      if (!isServing) this.counts.delete(worker);
      else if (worker === peers.self) peers.notify(SUPERVISOR, 'calls', this.told);
    });
  }

  /** Calls of the other workers, at most twice {@link TELL_MS} milliseconds old. */
  get others(): number {
    let sum = 0;
    for (const [worker, count] of this.counts) if (worker !== this.peers.self) sum += count;
    return sum;
  }

  open(): void {
    this.timer = this.clock.every(TELL_MS, () => this.tell());
    this.timer.unref();
  }

  close(): void {
    this.clock.cancel(this.timer);
  }

  private tell(): void {
    const count = this.own();
    if (count === this.told) return;
    this.told = count;
    this.peers.notify(SUPERVISOR, 'calls', count);
  }
}

function isCount(value: unknown): value is [worker: number, count: number] {
  return Array.isArray(value) && value.length === 2 && value.every(Number.isSafeInteger);
}
