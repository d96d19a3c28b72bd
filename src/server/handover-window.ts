/**
 * Lets so many calls leave at a time, so that whoever takes them has time for each: a call that comes back together with
 * a hundred others is silent until the last of them is connected.
 */
export class HandoverWindow {
  private readonly under = new Map<string, NodeJS.Timeout>();
  private readonly queue: (() => void)[] = [];

  /**
   * @param size calls under way at a time
   * @param patienceMs after so long nobody waits for a call any more
   */
  constructor(
    private readonly size: number,
    private readonly patienceMs: number,
  ) {}

  /** Fulfilled when the call may leave. */
  async enter(callId: string): Promise<void> {
    while (this.under.size >= this.size) await new Promise<void>((resolve) => this.queue.push(resolve));
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

  /** Fulfilled when no call is under way. */
  async empty(): Promise<void> {
    while (this.under.size > 0) await new Promise<void>((resolve) => this.queue.push(resolve));
  }
}
