import { cpus } from 'node:os';
import type { Clock, Timer } from '../../clock.js';
import { Overload } from '../../telemetry/overload.js';

export interface MediaLoadLimits {
  /** Milliseconds that nine tenths of a second's timers of a media worker may be late; 0 for no limit. */
  readonly maxDelayMs: number;
  /** Where less than so many percent of the processors are idle, a third of that delay is enough; 0 to ignore them. */
  readonly minIdlePercent: number;
}

/** What is looked at. */
export interface MediaGauges {
  /** How late the latest media worker is, in milliseconds. */
  delayMs(): number;
  /** How long a call that is taken now will wait to join, for all that were promised to do so before it, in milliseconds. */
  waitMs(): number;
  /** How long joins took of late, in milliseconds. */
  joinMs(): number;
  /** Time of all processors so far, idle and in all, in the same unit. */
  processors(): ProcessorTimes;
}

export interface ProcessorTimes {
  readonly idle: number;
  readonly total: number;
}

const SAMPLE_MS = 1_000;
/** A caller hears nothing for so long. */
const MAX_WAIT_MS = 2_000;
const MAX_JOIN_MS = 3_000;

/**
 * Whether another call of Stream's would be paid for by those who talk. What is scarce is the time of media workers, and the
 * gateway's own load says nothing of it. Processors that others keep busy are no reason by themselves: workers get their
 * share of them, or are late.
 */
export class MediaLoad {
  private readonly overload = new Overload();
  private timer: Timer | undefined;
  private times: ProcessorTimes;

  constructor(
    private readonly limits: MediaLoadLimits,
    private readonly gauges: MediaGauges,
    private readonly clock: Clock,
  ) {
    this.times = gauges.processors();
  }

  start(): void {
    if (this.timer !== undefined || this.limits.maxDelayMs === 0) return;
    this.timer = this.clock.every(SAMPLE_MS, () => this.sample());
    this.timer.unref();
  }

  stop(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
  }

  get isTooMuch(): boolean {
    if (this.limits.maxDelayMs === 0) return false;
    return this.overload.isOn || this.gauges.waitMs() > MAX_WAIT_MS;
  }

  /** Looks at the load since the last look; {@link start} does so every second. */
  sample(): void {
    const { gauges, limits } = this;
    const times = gauges.processors();
    const total = times.total - this.times.total;
    const idle = times.idle - this.times.idle;
    this.times = times;
    const isScarce = total > 0 && (100 * idle) / total < limits.minIdlePercent;
    const maxDelayMs = isScarce ? limits.maxDelayMs / 3 : limits.maxDelayMs;
    this.overload.sample(Math.max(gauges.delayMs() / maxDelayMs, gauges.joinMs() / MAX_JOIN_MS));
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
