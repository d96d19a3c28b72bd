import type { Clock, Timer } from '../clock.js';
import { LatencyHistogram, type LatencySummary } from './histogram.js';
import { INGRESS_TICKS_PER_MICROSECOND } from './ingress-time.js';

const TICK_MS = 10;
const WINDOW_MS = 1_000;
/** Fewest windows in {@link EventLoopDelay.summary}. */
const WINDOWS = 60;

/**
 * Measures how late the event loop is, by a separate timer. Node's `monitorEventLoopDelay` includes its interval and has no
 * windows.
 */
export class EventLoopDelay {
  /** 90th percentile of the last second, in milliseconds. */
  recentMs = 0;
  private readonly window = new LatencyHistogram();
  private present = new LatencyHistogram();
  private past = new LatencyHistogram();
  private windows = 0;
  private timer: Timer | undefined;
  private due = 0;
  private windowEndsAt = 0;

  constructor(private readonly clock: Clock) {}

  start(): void {
    if (this.timer !== undefined) return;
    const now = this.clock.now();
    this.due = now + TICK_MS;
    this.windowEndsAt = now + WINDOW_MS;
    this.timer = this.clock.every(TICK_MS, () => this.tick(this.clock.now()));
    this.timer.unref();
  }

  stop(): void {
    this.clock.cancel(this.timer);
    this.timer = undefined;
  }

  /** Of the last one to two minutes. */
  summary(): LatencySummary {
    const all = new LatencyHistogram();
    all.merge(this.past);
    all.merge(this.present);
    return all.summary();
  }

  private tick(now: number): void {
    const late = (now - this.due) * 1_000 * INGRESS_TICKS_PER_MICROSECOND;
    // Ticks missed during a stall are not made up.
    this.due = now + TICK_MS;
    this.window.record(late);
    this.present.record(late);
    if (now < this.windowEndsAt) return;
    this.windowEndsAt = now + WINDOW_MS;
    this.recentMs = this.window.quantileUs(0.9) / 1_000;
    this.window.reset();
    this.windows += 1;
    if (this.windows < WINDOWS) return;
    this.windows = 0;
    [this.past, this.present] = [this.present, this.past];
    this.present.reset();
  }
}
