import type { Clock } from '../clock.js';

/** Milliseconds that this work may take in one turn of the event loop. */
const BUDGET_MS = 2;

/**
 * Work for HTTP clients, limited in each turn of the event loop so that audio goes first. Nothing runs in the turn in which it
 * was added.
 */
export class TurnQueue {
  private waiting: (() => void)[] = [];
  private isDue = false;
  /** Whether work is running now. */
  isRunning = false;

  constructor(private readonly clock: Clock) {}

  /** Queues work for one of the next turns, in order. It must not throw: nobody would catch the error. */
  add(work: () => void): void {
    this.waiting.push(work);
    if (this.isDue) return;
    this.isDue = true;
    setImmediate(this.run);
  }

  private readonly run = () => {
    const until = this.clock.now() + BUDGET_MS;
    const batch = this.waiting;
    this.waiting = [];
    let done = 0;
    this.isRunning = true;
    try {
      while (done < batch.length && (done === 0 || this.clock.now() < until)) batch[done++]?.();
    } finally {
      // The process reports the error; the remaining work must still run.
      this.isRunning = false;
      this.waiting = [...batch.slice(done), ...this.waiting];
      this.isDue = this.waiting.length > 0;
      if (this.isDue) setImmediate(this.run);
    }
  };
}
