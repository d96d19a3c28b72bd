import type { Clock, Timer } from '../clock.js';
import { TELL_MS } from './call-counts.js';
import type { PostOffice } from './post-office.js';

/** The supervisor's side of `CallCounts`: collects the counts, and sends all of them to each worker in one letter. */
export class MachineCallCounts {
  private readonly counts = new Map<number, number>();
  private timer: Timer | undefined;

  constructor(
    private readonly office: PostOffice,
    private readonly clock: Clock,
  ) {
    office.handle('calls', (count, worker) => {
      if (!Number.isSafeInteger(count) || !office.serving.includes(worker)) return;
      this.counts.set(worker, count as number);
      this.timer ??= this.clock.after(TELL_MS, () => this.tell());
      this.timer.unref();
    });
    office.onChange((worker, isServing) => {
      // Each worker drops the count of one that is gone by itself.
      if (!isServing) this.counts.delete(worker);
      else office.notify(worker, 'calls', [...this.counts]);
    });
  }

  private tell(): void {
    this.timer = undefined;
    this.office.broadcast('calls', [...this.counts]);
  }
}
