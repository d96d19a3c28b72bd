import type { Clock, Timeout } from '../clock.js';

/** Calls under way at a time: at first, when whoever takes them may be cold yet, and at most. */
const FIRST = 2;
const MOST = 16;
/** A call that is elsewhere within this leaves room for one more at a time; one that takes longer than this, for one less. */
const EASY_MS = 250;
const HARD_MS = 500;

/**
 * Lets so many calls leave at a time that whoever takes them has time for each: a call that comes back together with a
 * hundred others is silent until the last of them is connected. How many that is, those that came back tell.
 */
export class HandoverLimiter {
  /** Fulfilled when nobody is waited for any more. */
  readonly opened: Promise<void>;
  private isOpen = false;
  private noteOpened: () => void = () => {};
  private size = FIRST;
  private readonly under = new Map<string, { readonly since: number; readonly patience: Timeout }>();
  private readonly queue: (() => void)[] = [];

  /** @param patienceMs after so long nobody waits for a call any more */
  constructor(
    private readonly patienceMs: number,
    private readonly clock: Clock,
  ) {
    this.opened = new Promise((resolve) => {
      this.noteOpened = resolve;
    });
  }

  /**
   * Fulfilled when the call may leave.
   * @param least at a time, however long each takes: more than these would not be gone in time
   */
  async enter(callId: string, least = 1): Promise<void> {
    while (!this.isOpen && this.under.size >= Math.max(this.size, least)) {
      await new Promise<void>((resolve) => this.queue.push(resolve));
    }
    if (this.isOpen) return;
    const patience = this.clock.timeout(this.patienceMs, () => this.callSettled(callId));
    this.under.set(callId, { since: this.clock.runningMs(), patience });
  }

  /** The call goes on elsewhere, or is not waited for. */
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

  /** Lets everybody leave at once from now on: there is no time left. */
  open(): void {
    this.isOpen = true;
    for (const callId of [...this.under.keys()]) this.callSettled(callId);
    for (const resolve of this.queue.splice(0)) resolve();
    this.noteOpened();
  }

  /** Fulfilled when no call is under way. */
  async empty(): Promise<void> {
    while (this.under.size > 0) await new Promise<void>((resolve) => this.queue.push(resolve));
  }
}
