/**
 * Lets so many calls leave at a time, so that whoever takes them has time for each: a call that comes back together with
 * a hundred others is silent until the last of them is connected.
 */
export class HandoverWindow {
  /** Fulfilled when nobody is waited for any more. */
  readonly opened: Promise<void>;
  private isOpen = false;
  private noteOpened: () => void = () => {};
  private readonly under = new Map<string, NodeJS.Timeout>();
  private readonly queue: (() => void)[] = [];

  /**
   * @param size calls under way at a time
   * @param patienceMs after so long nobody waits for a call any more
   */
  constructor(
    private readonly size: number,
    private readonly patienceMs: number,
  ) {
    this.opened = new Promise((resolve) => {
      this.noteOpened = resolve;
    });
  }

  /** Fulfilled when the call may leave. */
  async enter(callId: string): Promise<void> {
    while (!this.isOpen && this.under.size >= this.size) {
      await new Promise<void>((resolve) => this.queue.push(resolve));
    }
    if (this.isOpen) return;
    this.under.set(
      callId,
      setTimeout(() => this.settled(callId), this.patienceMs),
    );
  }

  /** The call goes on elsewhere, or is not waited for. */
  settled(callId: string): void {
    clearTimeout(this.under.get(callId));
    this.under.delete(callId);
    this.queue.shift()?.();
  }

  /** Lets everybody leave at once from now on: there is no time left. */
  open(): void {
    this.isOpen = true;
    for (const callId of [...this.under.keys()]) this.settled(callId);
    for (const resolve of this.queue.splice(0)) resolve();
    this.noteOpened();
  }

  /** Fulfilled when no call is under way. */
  async empty(): Promise<void> {
    while (this.under.size > 0) await new Promise<void>((resolve) => this.queue.push(resolve));
  }
}
