import type { Clock, Timer } from '../../clock.js';
import { BLOCK_MS } from './rtc-stack.js';

/** After a longer stall the clock starts anew instead of making good for it. */
const MAX_CATCH_UP_MS = 500;

/** Something that lives in steps of 10 ms. */
export interface Ticking {
  tick(): void;
}

/**
 * The one clock of a process: calls everybody once for each 10 ms that really passed. The timer only wakes it; how
 * much time has passed is read from the monotonic clock, so that a late timer loses nothing.
 */
export class BlockClock {
  private readonly members = new Set<Ticking>();
  private timer: Timer | undefined;
  private nextAt = 0;

  constructor(readonly clock: Clock) {}

  add(member: Ticking): void {
    this.members.add(member);
    if (this.timer !== undefined) return;
    this.nextAt = this.clock.now() + BLOCK_MS;
    this.timer = this.clock.every(BLOCK_MS, () => this.wake());
  }

  remove(member: Ticking): void {
    this.members.delete(member);
    if (this.members.size > 0) return;
    this.clock.cancel(this.timer);
    this.timer = undefined;
  }

  private wake(): void {
    const now = this.clock.now();
    if (now - this.nextAt > MAX_CATCH_UP_MS) this.nextAt = now;
    for (; this.nextAt <= now; this.nextAt += BLOCK_MS) {
      for (const member of this.members) member.tick();
    }
  }
}
