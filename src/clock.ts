/** A running timer, returned by {@link Clock.after} and {@link Clock.every}. */
export interface Timer {
  /** Lets the process exit although this timer is running. */
  unref(): unknown;
}

/** How often to check for a blocked event loop. */
const LOOK_MS = 100;
/** An event-loop turn longer than this counts as a stall. */
export const LONGEST_TURN_MS = 250;

/**
 * Bound when this module loads, so that fake timers installed later, as in tests, do not look like a stall.
 */
const machine = { now: performance.now.bind(performance), setInterval: globalThis.setInterval };

/**
 * The time of a gateway: everything that waits or measures uses this clock, which is passed down from the
 * options. {@link systemClock} is the machine's; tests use a virtual one.
 *
 * There are two kinds of time. {@link now} always advances; use it to measure. {@link runningMs} stops while
 * this process is stalled: suspended, migrated to another machine, or with a blocked event loop. Timeouts on
 * peers use it, because what they sent during a stall has not been read yet.
 */
export abstract class Clock {
  /** Monotonic time in milliseconds from an arbitrary origin; only differences are meaningful. */
  abstract now(): number;
  /** Wall-clock time, for people and other machines; it may jump. */
  abstract date(): Date;
  /** Runs `callback` once, after at least `ms` milliseconds. */
  abstract after(ms: number, callback: () => void): Timer;
  /** Runs `callback` repeatedly, at least `ms` milliseconds apart. */
  abstract every(ms: number, callback: () => void): Timer;
  /** Cancels a timer; ignores one that has fired, and `undefined`. */
  abstract cancel(timer: Timer | undefined): void;

  /**
   * Total time in milliseconds that this process was stalled: the part of each stall beyond
   * {@link LONGEST_TURN_MS}. A clock that does not detect stalls returns 0.
   * @param now the value of {@link now}, if already known
   */
  stalledMs(_now?: number): number {
    return 0;
  }

  /**
   * Time in milliseconds that this process was running, from an arbitrary origin.
   * @param now the value of {@link now}, if already known
   */
  runningMs(now = this.now()): number {
    return now - this.stalledMs(now);
  }

  /**
   * Runs `callback` once, after this process has been running for `ms` milliseconds and has read what arrived
   * meanwhile. Use it for timeouts on peers, and {@link after} for pauses and local work.
   */
  timeout(ms: number, callback: () => void): Timeout {
    return new Timeout(this, ms, callback);
  }

  /**
   * Resolves after `ms` milliseconds, or as soon as one of the signals aborts. Leaves no listeners behind.
   */
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
   * Resolves with the work's result, or `undefined` if it takes longer than `ms` milliseconds of
   * {@link runningMs}. Rejects as the work does.
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
   * Passes the work a signal that aborts after `ms` milliseconds of {@link runningMs}. Settles as the work
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

/** A running timeout on a peer, see {@link Clock.timeout}. */
export class Timeout implements Timer {
  private readonly until: number;
  private timer: Timer | undefined;
  private keepsProcess = true;
  private lostMs: number;
  private isLastTurn = false;

  /** @internal */
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

  /** Cancels the timeout; has no effect once it has fired. */
  cancel(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
  }

  /** Lets the process exit while the timeout runs. */
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
    // After a stall, timers may fire before sockets are read. One more turn lets the sockets go first.
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
    // Count a stall immediately: sockets may be read before the next check.
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

/** The clock of this machine. */
export const systemClock: Clock = new SystemClock();
