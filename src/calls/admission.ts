import type { Clock, Timer } from '../clock.js';
import { Overload } from '../telemetry/overload.js';

/** Why a new call is turned away. */
export type BusyReason = 'draining' | 'full' | 'media' | 'descriptors' | 'loop_delay' | 'cpu';

/** Why a call was turned away: also because the nodes of a fleet could not be told of it. */
export type RefusalReason = BusyReason | 'registry';

export interface AdmissionLimits {
  /** Calls at a time, ringing ones included. */
  readonly maxCalls: number;
  /** Milliseconds that nine tenths of a second's timers may be late; 0 for no limit. */
  readonly maxLoopDelayMs: number;
  /** Share of one core that the process may take over a second, in percent; 0 for no limit. */
  readonly maxCpuPercent: number;
}

/** What admission looks at. */
export interface AdmissionGauges {
  activeCalls(): number;
  isDraining(): boolean;
  /** Whether the bridge can carry no more. */
  isBridgeOverloaded(): boolean;
  /** Whether the process can open hardly anything more. */
  isShortOfDescriptors(): boolean;
  loopDelayMs(): number;
  /** CPU time of the process so far, in milliseconds. */
  cpuMs(): number;
}

const SAMPLE_MS = 1_000;

/**
 * Decides whether a new call is taken, so that those who already talk are not hurt by it. Load closes at once and opens
 * late: at a limit, calls would otherwise be taken and refused in turns.
 */
export class AdmissionControl {
  /** Calls turned away so far, by reason. */
  readonly refused = new Map<RefusalReason, number>();
  /** When the latest was, in milliseconds since 1970, by reason. */
  readonly refusedAt = new Map<RefusalReason, number>();
  private readonly overload = new Overload();
  private overloadedBy: 'loop_delay' | 'cpu' = 'cpu';
  private timer: Timer | undefined;
  private sampledAt: number;
  private sampledCpu: number;

  constructor(
    readonly limits: AdmissionLimits,
    private readonly gauges: AdmissionGauges,
    private readonly clock: Clock,
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

  /** Why no new call is taken; `undefined` while they are. */
  get busyReason(): BusyReason | undefined {
    if (this.gauges.isDraining()) return 'draining';
    if (this.gauges.activeCalls() >= this.limits.maxCalls) return 'full';
    if (this.gauges.isBridgeOverloaded()) return 'media';
    if (this.gauges.isShortOfDescriptors()) return 'descriptors';
    return this.overload.isOn ? this.overloadedBy : undefined;
  }

  /** As {@link busyReason}, for a call that is there: one that is turned away counts. */
  refuse(): BusyReason | undefined {
    const { busyReason } = this;
    if (busyReason !== undefined) this.noteRefused(busyReason);
    return busyReason;
  }

  noteRefused(reason: RefusalReason): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
    this.refusedAt.set(reason, this.clock.date().getTime());
  }

  /** Looks at the load since the last look; {@link start} does so every second. */
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
