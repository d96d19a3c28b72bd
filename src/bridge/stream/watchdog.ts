import type { Clock, Timer } from '../../clock.js';
import { type Measured, readTransport } from './transport.js';

const INTERVAL_MS = 1_000;

/**
 * Notices media that died without a word. WebRTC itself needs some fifteen seconds for that; connectivity checks are
 * answered every 2.5 s even where nobody speaks, so three seconds without a sign of life from either connection tell.
 */
export class Watchdog {
  private readonly timer: Timer;
  private lastSigns = -1;
  private lastSignAt: number;
  private isLooking = false;
  private isClosed = false;

  /**
   * @param connections those open now, in any number
   * @param onDead called once
   */
  constructor(
    private readonly connections: () => readonly Measured[],
    private readonly patienceMs: number,
    private readonly onDead: () => void,
    private readonly clock: Clock,
  ) {
    this.lastSignAt = clock.now();
    this.timer = clock.every(INTERVAL_MS, () => void this.look());
  }

  close(): void {
    this.isClosed = true;
    this.clock.cancel(this.timer);
  }

  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    // A connection that was closed meanwhile has no statistics; the others tell all the same.
    const states = await Promise.allSettled(this.connections().map(readTransport));
    this.isLooking = false;
    const signs = states.reduce(
      (sum, state) => sum + (state.status === 'fulfilled' ? state.value.signsOfLife : 0),
      0,
    );
    const now = this.clock.now();
    // A new connection counts from nothing: fewer signs than before are a sign as well.
    if (signs !== this.lastSigns || states.length === 0) this.lastSignAt = now;
    this.lastSigns = signs;
    if (this.isClosed || now - this.lastSignAt < this.patienceMs) return;
    this.close();
    this.onDead();
  }
}
