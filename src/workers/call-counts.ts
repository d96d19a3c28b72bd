import type { Clock, Timer } from '../clock.js';
import type { Peers } from './peers.js';

/** How often a worker tells the others how many calls it has, if that has changed. */
export const TELL_MS = 100;

/** How many calls each worker of a machine has: `MAX_CALLS` is the limit of all together. */
export class CallCounts {
  private readonly counts = new Map<number, number>();
  private told = 0;
  private timer: Timer | undefined;

  /** @param own number of calls of this worker */
  constructor(
    private readonly peers: Peers,
    private readonly own: () => number,
    private readonly clock: Clock,
  ) {
    peers.handle('calls', (count, worker) => {
      if (peers.serving.includes(worker) && Number.isSafeInteger(count))
        this.counts.set(worker, count as number);
    });
    peers.onChange((worker, isServing) => {
      if (!isServing) this.counts.delete(worker);
      else if (worker === peers.self) peers.broadcast('calls', this.told);
      else peers.notify(worker, 'calls', this.told);
    });
  }

  /** Calls of the other workers, at most {@link TELL_MS} milliseconds old. */
  get others(): number {
    let sum = 0;
    for (const count of this.counts.values()) sum += count;
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
    this.peers.broadcast('calls', count);
  }
}
