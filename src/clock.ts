/** A wait under way, as {@link Clock.after} and {@link Clock.every} hand it out. */
export interface Timer {
  /** Lets the process end without it. */
  unref(): unknown;
}

/** So often the machine's clock looks whether the event loop goes round. */
const LOOK_MS = 100;
/** A turn of the event loop that takes longer, in all, is time in which this process did not run. */
export const LONGEST_TURN_MS = 250;

/** As they were when this was loaded: whoever fakes them later, as tests do, makes no stall. */
const machine = { now: performance.now.bind(performance), setInterval: globalThis.setInterval };

/**
 * The time of a gateway: everything in it that waits or measures asks this clock, which is given down from its options.
 * {@link systemClock} is the machine's; a test turns another one by hand.
 *
 * There are two times. {@link now} goes on whatever happens, and measures. {@link runningMs} stands still while this process does:
 * stopped, moved to another machine, or with its event loop blocked. Whoever waits for somebody else counts that one, since
 * what they sent meanwhile has not been read.
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

  /**
   * Milliseconds so far in which this process stood still: of each stall what is beyond a quarter of a second.
   * A clock that does not know says 0.
   * @param now as {@link now} says it, where that is known
   */
  stalledMs(_now?: number): number {
    return 0;
  }

  /** Milliseconds in which this process ran, since a moment of its own. @param now as {@link now} says it */
  runningMs(now = this.now()): number {
    return now - this.stalledMs(now);
  }

  /**
   * Runs `callback` once, when this process has run for so many milliseconds, and has then read what came: a limit on
   * others. {@link after} is for pauses, and for what happens here.
   */
  timeout(ms: number, callback: () => void): Timeout {
    return new Timeout(this, ms, callback);
  }

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

  /**
   * The work's result, or `undefined` where it takes more than so many milliseconds of {@link runningMs}; rejects as the work does.
   */
  async within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
    let timeout: Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timeout = this.timeout(ms, () => resolve(undefined));
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      timeout?.cancel();
    }
  }

  /**
   * Hands the work a signal, which is aborted where it takes more than so many milliseconds of {@link runningMs}; ends as the work
   * does.
   */
  async limited<T>(ms: number, work: (late: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const timeout = this.timeout(ms, () => late.abort());
    try {
      return await work(late.signal);
    } finally {
      timeout.cancel();
    }
  }
}

/** A limit on others that is under way, see {@link Clock.timeout}. */
export class Timeout implements Timer {
  private readonly until: number;
  private timer: Timer | undefined;
  private keepsProcess = true;
  private lostMs: number;
  private isLastTurn = false;

  constructor(
    private readonly clock: Clock,
    ms: number,
    private readonly callback: () => void,
  ) {
    const now = clock.now();
    this.lostMs = clock.stalledMs(now);
    this.until = now - this.lostMs + ms;
    this.wait(ms);
  }

  /** Takes it back; one that is over is left as it is. */
  cancel(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
  }

  unref(): this {
    this.keepsProcess = false;
    this.timer?.unref();
    return this;
  }

  private wait(ms: number): void {
    this.timer = this.clock.after(ms, () => this.look());
    if (!this.keepsProcess) this.timer.unref();
  }

  private look(): void {
    const now = this.clock.now();
    const lost = this.clock.stalledMs(now);
    const leftMs = this.until - (now - lost);
    if (leftMs <= 0 && (lost === this.lostMs || this.isLastTurn)) {
      this.timer = undefined;
      this.callback();
      return;
    }
    // After a stall timers may come before sockets: what waits there is read first, and one turn is enough for that.
    this.isLastTurn = leftMs <= 0;
    this.lostMs = lost;
    this.wait(Math.max(1, Math.ceil(leftMs)));
  }
}

class SystemClock extends Clock {
  private lostMs = 0;
  private lookedAt = 0;
  private looks: NodeJS.Timeout | undefined;

  now(): number {
    return performance.now();
  }

  override stalledMs(now = this.now()): number {
    if (this.looks === undefined) {
      this.lookedAt = machine.now();
      this.looks = machine.setInterval(() => this.look(), LOOK_MS);
      this.looks.unref();
    }
    const ms = now - this.lookedAt;
    if (ms >= 0 && ms <= LONGEST_TURN_MS) return this.lostMs;
    // Counted as soon as it is there: sockets may be read before the next look.
    return this.lostMs + Math.max(0, machine.now() - this.lookedAt - LONGEST_TURN_MS);
  }

  private look(): void {
    const now = machine.now();
    this.lostMs += Math.max(0, now - this.lookedAt - LONGEST_TURN_MS);
    this.lookedAt = now;
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
