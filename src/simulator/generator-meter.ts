import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from '../clock.js';
import { LATE_MS, type PhoneClock } from './clock.js';
import type { Percentiles } from './histogram.js';

/** Beyond this share of a core the generator measures itself. */
const CPU_LIMIT = 0.7;
/** Nor may its clock lag: a frame that leaves late looks like a slow server. A hiccup in a short run does not count. */
const LATE_SHARE = 0.01;
const FEW_TICKS = 20;
/** Nor may calls be placed later than asked for. */
const BEHIND_LIMIT_MS = 2000;

/** The generator's own cost during the measured time. */
export interface GeneratorReport {
  /** Share of one core, 0…(number of cores). */
  readonly cpu: number;
  readonly eventLoopDelay: Percentiles;
  /** How late frames left. */
  readonly lateness: Percentiles;
  /** How late the latest call was placed, in milliseconds. */
  readonly behindMs: number;
  /** Why the generator, not the server, set the figures; empty where it did not. */
  readonly limits: readonly string[];
}

/** CPU share of this process, of one core, in real time whatever the phones' clock is. */
export class CpuShare {
  private usage = process.cpuUsage();
  private begunAt = systemClock.now();

  restart(): void {
    this.usage = process.cpuUsage();
    this.begunAt = systemClock.now();
  }

  /** Since the beginning, or the latest restart. */
  get value(): number {
    const { user, system } = process.cpuUsage(this.usage);
    return (user + system) / 1000 / Math.max(1, systemClock.now() - this.begunAt);
  }
}

/** Measures the load generator, so that its own slowness is not blamed on the server. */
export class GeneratorMeter {
  private readonly delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 10 });
  private readonly cpu = new CpuShare();
  private behindMs = 0;
  private isOutOfFiles = false;

  constructor(private readonly clock: PhoneClock) {
    this.delay.enable();
  }

  /** Starts the measured time: a ramp costs more than the calls. Late calls of the ramp still count. */
  restart(): void {
    this.clock.forgetLateness();
    this.delay.reset();
    this.cpu.restart();
  }

  /** A call was placed so late. */
  noteBehind(milliseconds: number): void {
    this.behindMs = Math.max(this.behindMs, milliseconds);
  }

  /** No file descriptors or ports were left. */
  noteOutOfFiles(): void {
    this.isOutOfFiles = true;
  }

  report(): GeneratorReport {
    const { delay, behindMs } = this;
    const cpu = this.cpu.value;
    const { lateTicks } = this.clock;
    const lateness = this.clock.lateness.percentiles();
    const milliseconds = (nanoseconds: number) => (Number.isFinite(nanoseconds) ? nanoseconds / 1e6 : 0);
    const limits = [
      ...(cpu > CPU_LIMIT ? [`it used ${percent(cpu)} of a core, more than ${percent(CPU_LIMIT)}`] : []),
      ...(lateTicks > FEW_TICKS && lateTicks > LATE_SHARE * lateness.count
        ? [`${percent(lateTicks / lateness.count)} of its frames left more than ${LATE_MS} ms late`]
        : []),
      ...(behindMs > BEHIND_LIMIT_MS
        ? [`it placed calls ${(behindMs / 1000).toFixed(1)} s late, more than ${BEHIND_LIMIT_MS / 1000} s`]
        : []),
      ...(this.isOutOfFiles ? ['it had no file descriptors or ports left (see ulimit -n)'] : []),
    ];
    return {
      cpu,
      eventLoopDelay: {
        count: delay.count,
        meanMs: milliseconds(delay.mean),
        p50Ms: milliseconds(delay.percentile(50)),
        p99Ms: milliseconds(delay.percentile(99)),
        p999Ms: milliseconds(delay.percentile(99.9)),
        maxMs: delay.count === 0 ? 0 : milliseconds(delay.max),
      },
      lateness,
      behindMs,
      limits,
    };
  }

  close(): void {
    this.delay.disable();
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
