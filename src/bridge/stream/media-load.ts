import { cpus } from 'node:os';
import type { Clock, Timer } from '../../clock.js';
import { Overload } from '../../telemetry/overload.js';

export interface MediaLoadLimits {
  /** Milliseconds that nine tenths of a second's timers of a media worker may be late; 0 for no limit. */
  readonly maxDelayMs: number;
  /** Percent of the machine's processors that are to be idle; 0 for no limit. */
  readonly minIdlePercent: number;
}

/** What is looked at. */
export interface MediaGauges {
  /** How late the latest media worker is, in milliseconds. */
  delayMs(): number;
  /** CPU time of all media workers so far, in milliseconds. */
  cpuMs(): number;
  /** Calls that were promised a place and are not in yet. */
  promised(): number;
  /** Calls that are in. */
  carried(): number;
  /** How long the oldest of those who want to join has been waiting, and how long joins took of late, in milliseconds. */
  joinWaitMs(): number;
  joinMs(): number;
  /** Time of all processors so far, idle and in all, in the same unit. */
  processors(): ProcessorTimes;
}

export interface ProcessorTimes {
  readonly idle: number;
  readonly total: number;
}

const SAMPLE_MS = 1_000;
/** A caller hears nothing for so long, on top of a join: there are too many others. */
const MAX_JOIN_WAIT_MS = 1_000;
const MAX_JOIN_MS = 3_000;
/**
 * What a call takes of a core, where too few are there to tell: of its media worker, and for everything else it brings along
 * (its join, the gateway, the kernel) as much again.
 */
const USUAL_CORE = 0.03;
const WITH_ALL = 2;
const ENOUGH_TO_TELL = 5;

/**
 * Whether this machine can carry another call of Stream's: what is scarce is the time of media workers and processors, and
 * the gateway's own load says nothing of it. A call that was promised a place counts before it takes any.
 */
export class MediaLoad {
  private readonly overload = new Overload();
  private readonly cores = Math.max(1, cpus().length);
  private timer: Timer | undefined;
  private times: ProcessorTimes;
  private cpuMs = 0;
  private sampledAt: number;
  private idlePercent = 100;
  private corePerCall = USUAL_CORE;

  constructor(
    private readonly limits: MediaLoadLimits,
    private readonly gauges: MediaGauges,
    private readonly clock: Clock,
  ) {
    this.times = gauges.processors();
    this.sampledAt = clock.now();
  }

  start(): void {
    if (this.timer !== undefined) return;
    this.timer = this.clock.every(SAMPLE_MS, () => this.sample());
    this.timer.unref();
  }

  stop(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
  }

  /** Whether another call would be paid for by those who talk. */
  get isTooMuch(): boolean {
    if (this.overload.isOn) return true;
    const { minIdlePercent } = this.limits;
    if (minIdlePercent === 0) return false;
    const wanted = (this.gauges.promised() + 1) * this.corePerCall * WITH_ALL;
    return this.idlePercent - (100 * wanted) / this.cores < minIdlePercent;
  }

  /** Looks at the load since the last look; {@link start} does so every second. */
  sample(): void {
    const { gauges, limits } = this;
    const now = this.clock.now();
    const times = gauges.processors();
    const total = times.total - this.times.total;
    if (total > 0) this.idlePercent = (100 * (times.idle - this.times.idle)) / total;
    this.times = times;
    const cpuMs = gauges.cpuMs();
    const carried = gauges.carried();
    if (carried >= ENOUGH_TO_TELL && now > this.sampledAt) {
      // A worker that died took its count with it.
      const core = Math.max(0, cpuMs - this.cpuMs) / (now - this.sampledAt);
      this.corePerCall = Math.max(USUAL_CORE, core / carried);
    }
    this.cpuMs = cpuMs;
    this.sampledAt = now;
    const delay = limits.maxDelayMs === 0 ? 0 : gauges.delayMs() / limits.maxDelayMs;
    const scarcity = limits.minIdlePercent / Math.max(0.1, this.idlePercent);
    const wait = Math.max(gauges.joinWaitMs() / MAX_JOIN_WAIT_MS, gauges.joinMs() / MAX_JOIN_MS);
    this.overload.note(Math.max(delay, scarcity, wait));
  }
}

/** Of this machine. */
export function processorTimes(): ProcessorTimes {
  let idle = 0;
  let total = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { idle, total };
}
