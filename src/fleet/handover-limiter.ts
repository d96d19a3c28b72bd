import type { Clock, Timeout } from '../clock.js';

/** Handovers in flight: at first, when the other nodes may still be cold, and at most. */
const FIRST = 2;
const MOST = 16;
/** A handover faster than this raises the limit by one; one slower than `SLOW_MS` lowers it. */
const EASY_MS = 250;
const HARD_MS = 500;

/**
 * Limits concurrent handovers to what the other nodes can take: a call that moves together with a hundred
 * others is silent until the last of them is connected. The time each handover takes adapts the limit.
 */
export class HandoverLimiter {
  /** Resolves when the limit is lifted. */
  readonly opened: Promise<void>;
  private isOpen = false;
  private noteOpened: () => void = () => {};
  private size = FIRST;
  private readonly under = new Map<string, { readonly since: number; readonly patience: Timeout }>();
  private readonly queue: (() => void)[] = [];

  /** @param patienceMs how long to wait for each call, in milliseconds */
  constructor(
    private readonly patienceMs: number,
    private readonly clock: Clock,
  ) {
    this.opened = new Promise((resolve) => {
      this.noteOpened = resolve;
    });
  }

  /**
   * Resolves when the call may leave.
   * @param least minimum concurrency, however long each takes, so that all calls leave in time
   */
  async enter(callId: string, least = 1): Promise<void> {
    while (!this.isOpen && this.under.size >= Math.max(this.size, least)) {
      await new Promise<void>((resolve) => this.queue.push(resolve));
    }
    if (this.isOpen) return;
    const patience = this.clock.timeout(this.patienceMs, () => this.callSettled(callId));
    this.under.set(callId, { since: this.clock.runningMs(), patience });
  }

  /** The call continues elsewhere, or is no longer waited for. */
  callSettled(callId: string): void {
    const leaving = this.under.get(callId);
    if (leaving !== undefined) {
      leaving.patience.cancel();
      this.under.delete(callId);
      const tookMs = this.clock.runningMs() - leaving.since;
      if (tookMs < EASY_MS) this.size = Math.min(MOST, this.size + 1);
      else if (tookMs > HARD_MS) this.size = Math.max(1, this.size - 1);
    }
    this.queue.shift()?.();
  }

  /** Lifts the limit: there is no time left. */
  open(): void {
    this.isOpen = true;
    for (const callId of [...this.under.keys()]) this.callSettled(callId);
    for (const resolve of this.queue.splice(0)) resolve();
    this.noteOpened();
  }

  /** Resolves when no handover is in flight. */
  async empty(): Promise<void> {
    while (this.under.size > 0) await new Promise<void>((resolve) => this.queue.push(resolve));
  }
}
