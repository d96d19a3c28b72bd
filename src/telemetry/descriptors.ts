import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { Clock, Timer } from '../clock.js';
import type { Logger } from './log.js';
import { Overload } from './overload.js';

const LOOK_MS = 1_000;
/** So many are kept for files, for connections of ours, and for whoever asks how we are; an eighth where there are few. */
const MOST_RESERVED = 256;

/** Where descriptors are counted. */
export interface DescriptorTable {
  /** Most that the process may have open; `undefined` where that is not known. */
  readonly limit: number | undefined;
  /** How many it has. */
  count(): number;
}

/** This process's own. Known on Linux. */
export const processDescriptors: DescriptorTable = {
  get limit() {
    try {
      const limits = readFileSync('/proc/self/limits', 'utf8');
      const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
      return Number.isNaN(soft) ? undefined : soft;
    } catch {
      return undefined;
    }
  },
  count() {
    // Linux tells the number as the folder's size since 6.2.
    return statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length;
  },
};

/** Watches how many descriptors are left: without one no connection can be accepted, and none be refused. */
export class Descriptors {
  /** Most that may be open; `undefined` where that is not known, and then they are never short. */
  readonly limit: number | undefined;
  /** How many are never left to connections. */
  readonly reserve: number;
  /** Told when they become short, and when there are enough again. */
  onChange: (isShort: boolean) => void = () => {};
  private readonly overload = new Overload();
  /** By the last count. */
  private open = 0;
  /** Connections accepted since. */
  private came = 0;
  private timer: Timer | undefined;

  constructor(
    private readonly log: Logger,
    private readonly clock: Clock,
    private readonly table: DescriptorTable = processDescriptors,
  ) {
    this.limit = table.limit;
    this.reserve = Math.min(MOST_RESERVED, Math.floor((this.limit ?? 0) / 8));
  }

  get isShort(): boolean {
    return this.overload.isOn;
  }

  start(): void {
    if (this.limit === undefined) return;
    this.sample();
    this.timer = this.clock.every(LOOK_MS, () => this.sample());
    this.timer.unref();
  }

  stop(): void {
    this.clock.cancel(this.timer);
  }

  /** A connection was accepted. */
  opened(): void {
    this.came += 1;
    if (this.limit === undefined || this.isShort) return;
    if (this.limit - this.open - this.came < this.reserve) this.sample();
  }

  /** Counts; {@link start} does so every second. */
  sample(): void {
    const { limit = Number.POSITIVE_INFINITY, reserve, isShort: wasShort } = this;
    this.open = this.table.count();
    const left = limit - this.open;
    // Whoever was made to go and comes again at once would take them all again.
    const crowd = wasShort ? this.came / Math.max(1, left - reserve) : 0;
    this.came = 0;
    this.overload.sample(Math.max(reserve / Math.max(1, left), crowd));
    if (this.isShort === wasShort) return;
    const { open } = this;
    if (this.isShort) {
      this.log.error({ open, limit }, 'too few descriptors are left: new calls are refused (see ulimit -n)');
    } else this.log.info({ open, limit }, 'there are enough descriptors again');
    this.onChange(this.isShort);
  }
}
