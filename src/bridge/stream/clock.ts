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
class BlockClock {
  private readonly members = new Set<Ticking>();
  private timer: NodeJS.Timeout | undefined;
  private nextAt = 0;

  add(member: Ticking): void {
    this.members.add(member);
    if (this.timer !== undefined) return;
    this.nextAt = performance.now() + BLOCK_MS;
    this.timer = setInterval(() => this.wake(), BLOCK_MS);
  }

  remove(member: Ticking): void {
    this.members.delete(member);
    if (this.members.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private wake(): void {
    const now = performance.now();
    if (now - this.nextAt > MAX_CATCH_UP_MS) this.nextAt = now;
    for (; this.nextAt <= now; this.nextAt += BLOCK_MS) {
      for (const member of this.members) member.tick();
    }
  }
}

export const blockClock = new BlockClock();
