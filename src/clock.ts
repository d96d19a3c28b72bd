/** A wait under way, as {@link Clock.after} and {@link Clock.every} hand it out. */
export interface Timer {
  /** Lets the process end without it. */
  unref(): unknown;
}

/**
 * The time of a gateway: everything in it that waits or measures asks this clock, which is given down from its options.
 * {@link systemClock} is the machine's; a test turns another one by hand.
 */
export abstract class Clock {
  /** Monotonic time in milliseconds, since a moment of its own: only differences mean anything. */
  abstract now(): number;
  /** The time of day, for people and other machines; it may jump. */
  abstract date(): Date;
  /** Runs `callback` once, after so many milliseconds or later. */
  abstract after(ms: number, callback: () => void): Timer;
  /** Runs `callback` again and again, so many milliseconds or more after the time before. */
  abstract every(ms: number, callback: () => void): Timer;
  /** Takes a wait back; one that is over, or none, is ignored. */
  abstract cancel(timer: Timer | undefined): void;

  /** Fulfilled after so many milliseconds, or as soon as one of the signals is aborted. Nothing is left at them. */
  sleep(ms: number, ...signals: readonly (AbortSignal | undefined)[]): Promise<void> {
    if (signals.some((signal) => signal?.aborted)) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.cancel(timer);
        for (const signal of signals) signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.after(ms, done);
      for (const signal of signals) signal?.addEventListener('abort', done);
    });
  }

  /** The work's result, or `undefined` where it takes more than so many milliseconds; rejects as the work does. */
  async within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
    const isDone = new AbortController();
    try {
      return await Promise.race([work, this.sleep(ms, isDone.signal).then(() => undefined)]);
    } finally {
      isDone.abort();
    }
  }

  /** Hands the work a signal, which is aborted where it takes more than so many milliseconds; ends as the work does. */
  async limited<T>(ms: number, work: (late: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const timer = this.after(ms, () => late.abort());
    try {
      return await work(late.signal);
    } finally {
      this.cancel(timer);
    }
  }
}

class SystemClock extends Clock {
  now(): number {
    return performance.now();
  }

  date(): Date {
    return new Date();
  }

  after(ms: number, callback: () => void): NodeJS.Timeout {
    return setTimeout(callback, ms);
  }

  every(ms: number, callback: () => void): NodeJS.Timeout {
    return setInterval(callback, ms);
  }

  cancel(timer: Timer | undefined): void {
    clearTimeout(timer as NodeJS.Timeout | undefined);
  }
}

/** The machine's clock. */
export const systemClock: Clock = new SystemClock();
