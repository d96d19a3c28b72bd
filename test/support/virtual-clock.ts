import { Clock, LONGEST_TURN_MS, type Timer } from '../../src/clock.js';

interface Wait extends Timer {
  due: number;
  readonly period: number | undefined;
  readonly callback: () => void;
}

/** Work of this process outside its event loop, whose results will return to it. */
const OUTSIDE = new Set([
  'FSReqCallback',
  'FSReqPromise',
  'FileHandleCloseReq',
  // What it is called in a list of resources.
  'CloseReq',
  'TCPConnectWrap',
  'GetAddrInfoReqWrap',
]);
/** Turns of the event loop after which everything that was sent over loopback has been read and answered. */
const QUIET_TURNS = 4;
/** Maximum speed relative to wall-clock time, because a busy machine may delay loopback traffic. */
const MOST_SPEED = 40;
/** How far time moves at once while sockets and files have their turn in between. */
const STEP_MS = 5;

/** A clock that a test turns by hand: hours pass in milliseconds, and a busy machine changes nothing. */
export class VirtualClock extends Clock {
  /** Added to when each wait is due, for timers that are late. */
  lateness: () => number = () => 0;
  /** Time that each reading of the clock takes, to simulate work. */
  readingMs = 0;
  private time = 1_000;
  private lostMs = 0;
  private readonly waits: Wait[] = [];
  private running: NodeJS.Immediate | undefined;

  /** @param born the time of day at the start; it may be changed, as an operator may do */
  constructor(public born = Date.now()) {
    super();
  }

  now(): number {
    this.time += this.readingMs;
    return this.time;
  }

  override stalledMs(): number {
    return this.lostMs;
  }

  date(): Date {
    return new Date(this.born + this.time - 1_000);
  }

  after(ms: number, callback: () => void): Timer {
    return this.add(ms, callback, undefined);
  }

  every(ms: number, callback: () => void): Timer {
    return this.add(ms, callback, Math.max(1, ms));
  }

  cancel(timer: Timer | undefined): void {
    const at = this.waits.indexOf(timer as Wait);
    if (at >= 0) this.waits.splice(at, 1);
  }

  /** Waits that are under way. */
  get pending(): number {
    return this.waits.length;
  }

  /** Advances time; each due timer runs at its own time. */
  advance(ms: number): void {
    const until = this.time + ms;
    for (let next = this.waits[0]; next !== undefined && next.due <= until; next = this.waits[0]) {
      this.time = Math.max(this.time, next.due);
      this.run(next);
    }
    this.time = until;
  }

  /** Advances time as if the process were stalled; overdue timers then run once. */
  stall(ms: number): void {
    this.time += ms;
    this.lostMs += Math.max(0, ms - LONGEST_TURN_MS);
    const overdue = this.waits.filter(({ due }) => due <= this.time);
    for (const wait of overdue) if (this.waits.includes(wait)) this.run(wait);
  }

  /** As {@link advance}, while sockets, files and promises have their turn. */
  async pass(ms: number): Promise<void> {
    const until = this.time + ms;
    while (this.time < until) {
      await settle();
      this.advance(Math.min(STEP_MS, until - this.time));
    }
    await settle();
  }

  /** Moves on by itself as long as the process has nothing else to do, until {@link halt}. */
  start(): void {
    let quiet = 0;
    let steppedAt = 0;
    const turn = () => {
      quiet = isBusyOutside() ? 0 : quiet + 1;
      if (quiet >= QUIET_TURNS && performance.now() - steppedAt >= STEP_MS / MOST_SPEED) {
        quiet = 0;
        steppedAt = performance.now();
        this.advance(STEP_MS);
      }
      this.running = setImmediate(turn);
    };
    this.running ??= setImmediate(turn);
  }

  halt(): void {
    clearImmediate(this.running);
    this.running = undefined;
  }

  /** Has a clock that moves on by itself turned by hand for a while, from a moment on at which nothing is under way. */
  async byHand(work: () => Promise<void>): Promise<void> {
    this.halt();
    await settle();
    try {
      await work();
    } finally {
      this.start();
    }
  }

  private add(ms: number, callback: () => void, period: number | undefined): Wait {
    const wait: Wait = { due: 0, period, callback, unref: () => wait };
    this.queue(wait, ms);
    return wait;
  }

  private queue(wait: Wait, ms: number): void {
    // The minimum delay of Node's timers.
    wait.due = this.time + Math.max(1, ms) + this.lateness();
    const at = this.waits.findLastIndex(({ due }) => due <= wait.due);
    this.waits.splice(at + 1, 0, wait);
  }

  private run(wait: Wait): void {
    this.cancel(wait);
    if (wait.period !== undefined) this.queue(wait, wait.period);
    wait.callback();
  }
}

/** Fulfilled when this process has nothing left to do but to wait. */
async function settle(): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet = isBusyOutside() ? 0 : quiet + 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function isBusyOutside(): boolean {
  return process.getActiveResourcesInfo().some((name) => OUTSIDE.has(name));
}
