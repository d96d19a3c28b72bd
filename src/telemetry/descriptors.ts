import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { Clock, Timer } from '../clock.js';
import type { Logger } from './log.js';
import { Overload } from './overload.js';

const LOOK_MS = 1_000;
/** Descriptors reserved for files, outgoing connections and health checks; at most an eighth of all. */
const MOST_RESERVED = 256;

/** Counts file descriptors. */
export interface DescriptorTable {
  /** Most that the process may have open; `undefined` if unknown. */
  readonly limit: number | undefined;
  /** How many it has open. */
  count(): number;
}

/** Those of this process. Known on Linux only. */
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
    // Since 6.2, Linux gives the number as the size of the directory.
    return statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length;
  },
};

/** Watches the free file descriptors: without one, connections can be neither accepted nor refused. */
export class Descriptors {
  /** Most that may be open; `undefined` if unknown: they are never short then. */
  readonly limit: number | undefined;
  /** How many are reserved. */
  readonly reserve: number;
  /** Called when they become short, and when there are enough again. */
  onChange: (isShort: boolean) => void = () => {};
  private readonly overload = new Overload();
  /** As of the last count. */
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
    // Clients that were disconnected and return at once would use them all again.
    const crowd = wasShort ? this.came / Math.max(1, left - reserve) : 0;
    this.came = 0;
    this.overload.sample(Math.max(reserve / Math.max(1, left), crowd));
    if (this.isShort === wasShort) return;
    const { open } = this;
    if (this.isShort) {
      this.log.error(
        { open, limit },
        'too few file descriptors are left: new calls are rejected (see ulimit -n)',
      );
    } else this.log.info({ open, limit }, 'there are enough file descriptors again');
    this.onChange(this.isShort);
  }
}
