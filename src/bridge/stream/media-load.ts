import { cpus } from 'node:os';
import type { Clock, Timer } from '../../clock.js';
import { Overload } from '../../telemetry/overload.js';

export interface MediaLoadLimits {
  /** Limit of a media worker's timer delay in milliseconds (90th percentile of a second); 0 for none. */
  readonly maxDelayMs: number;
  /** Below this percentage of idle processor time, a third of that delay is enough; 0 to ignore it. */
  readonly minIdlePercent: number;
}

/** The load that is sampled. */
export interface MediaGauges {
  /** Timer delay of the slowest media worker, in milliseconds. */
  delayMs(): number;
  /** Expected wait of a new call before it joins, behind all that were accepted earlier, in milliseconds. */
  waitMs(): number;
  /** Recent duration of joins, in milliseconds. */
  joinMs(): number;
  /** Time of all processors so far, idle and total, in the same unit. */
  processors(): ProcessorTimes;
}

export interface ProcessorTimes {
  readonly idle: number;
  readonly total: number;
}

const SAMPLE_MS = 1_000;
/** Longest silence acceptable to a caller. */
const MAX_WAIT_MS = 2_000;
const MAX_JOIN_MS = 3_000;

/**
 * Decides whether another Stream call would hurt the running ones. The scarce resource is the time of media workers, which the
 * gateway's own load does not show. Processors that other programs keep busy are no reason by themselves: workers get their
 * share, or their delay shows it.
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

  /** Samples the load since the last sample; {@link start} does so every second. */
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

/** Processor times of this machine. */
export function processorTimes(): ProcessorTimes {
  let idle = 0;
  let total = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { idle, total };
}
