import type { Clock, Timer } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import { Overload } from '../telemetry/overload.js';

/** Why a new call is rejected. */
export type BusyReason = 'draining' | 'full' | 'media' | 'descriptors' | 'loop_delay' | 'cpu';

/** Why a call was rejected, including when the fleet's registry could not be told about it. */
export type RefusalReason = BusyReason | 'registry';

export interface AdmissionLimits {
  /** Maximum concurrent calls, including ringing ones. */
  readonly maxCalls: number;
  /**
   * Event-loop delay limit in milliseconds: the 90th percentile of one second's timer delays; 0 for no limit.
   */
  readonly maxLoopDelayMs: number;
  /** CPU limit over one second, in percent of one core; 0 for no limit. */
  readonly maxCpuPercent: number;
}

/** The load that admission measures. */
export interface AdmissionGauges {
  activeCalls(): number;
  isDraining(): boolean;
  /** Whether the bridge has reached its capacity. */
  isBridgeOverloaded(): boolean;
  /** Whether the process has almost run out of file descriptors. */
  isShortOfDescriptors(): boolean;
  loopDelayMs(): number;
  /** CPU time the process has used so far, in milliseconds. */
  cpuMs(): number;
}

const SAMPLE_MS = 1_000;
/** One line of the log per reason and minute, however many calls are rejected. */
const LOG_MS = 60_000;

/**
 * Decides whether to accept a new call without hurting calls in progress. Overload closes admission at once
 * and reopens it late; otherwise calls at the limit would alternate between accepted and rejected.
 */
export class AdmissionControl {
  /** Calls rejected so far, by reason. */
  readonly refused = new Map<RefusalReason, number>();
  /** When the latest was, in milliseconds since 1970, by reason. */
  readonly refusedAt = new Map<RefusalReason, number>();
  private readonly loggedAt = new Map<RefusalReason, number>();
  private readonly overload = new Overload();
  private overloadedBy: 'loop_delay' | 'cpu' = 'cpu';
  private timer: Timer | undefined;
  private sampledAt: number;
  private sampledCpu: number;

  constructor(
    readonly limits: AdmissionLimits,
    private readonly gauges: AdmissionGauges,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {
    this.sampledAt = clock.now();
    this.sampledCpu = gauges.cpuMs();
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

  get maxCalls(): number {
    return this.limits.maxCalls;
  }

  /** Why new calls are rejected; `undefined` while they are accepted. */
  get busyReason(): BusyReason | undefined {
    if (this.gauges.isDraining()) return 'draining';
    if (this.gauges.activeCalls() >= this.limits.maxCalls) return 'full';
    if (this.gauges.isBridgeOverloaded()) return 'media';
    if (this.gauges.isShortOfDescriptors()) return 'descriptors';
    return this.overload.isOn ? this.overloadedBy : undefined;
  }

  /** Like {@link busyReason}, for an actual call: counts the rejection. */
  refuse(): BusyReason | undefined {
    const { busyReason } = this;
    if (busyReason !== undefined) this.noteRefused(busyReason);
    return busyReason;
  }

  noteRefused(reason: RefusalReason): void {
    const refused = (this.refused.get(reason) ?? 0) + 1;
    this.refused.set(reason, refused);
    this.refusedAt.set(reason, this.clock.date().getTime());
    const now = this.clock.now();
    if (now - (this.loggedAt.get(reason) ?? Number.NEGATIVE_INFINITY) < LOG_MS) return;
    this.loggedAt.set(reason, now);
    this.log.warn({ reason, refused }, 'rejecting new calls as busy');
  }

  /** Measures the load since the previous sample; {@link start} calls this every second. */
  sample(): void {
    const { maxLoopDelayMs, maxCpuPercent } = this.limits;
    const [now, cpuMs] = [this.clock.now(), this.gauges.cpuMs()];
    const cpu = (100 * (cpuMs - this.sampledCpu)) / Math.max(1, now - this.sampledAt);
    this.sampledAt = now;
    this.sampledCpu = cpuMs;
    const delay = maxLoopDelayMs === 0 ? 0 : this.gauges.loopDelayMs() / maxLoopDelayMs;
    const load = maxCpuPercent === 0 ? 0 : cpu / maxCpuPercent;
    if (delay > 1 || load > 1) this.overloadedBy = delay > 1 ? 'loop_delay' : 'cpu';
    this.overload.sample(Math.max(delay, load));
  }
}
