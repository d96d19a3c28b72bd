import type { Clock } from '../clock.js';

/** Milliseconds that all work of this kind may take in one turn of the event loop. */
const BUDGET_MS = 2;

/**
 * Work for whoever asks over HTTP, so much in a turn of the event loop: what is left waits for the next one, and audio goes
 * first. Nothing is done in the turn in which it is added.
 */
export class TurnQueue {
  private waiting: (() => void)[] = [];
  private isDue = false;
  /** Whether work is being done just now. */
  isRunning = false;

  constructor(private readonly clock: Clock) {}

  /** Does it in one of the next turns, in the order in which it was added. It should not throw: nobody would catch that. */
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
      // A fault of one is told by the process; the others, the last answers among them, do not wait for ever.
      this.isRunning = false;
      this.waiting = [...batch.slice(done), ...this.waiting];
      this.isDue = this.waiting.length > 0;
      if (this.isDue) setImmediate(this.run);
    }
  };
}
