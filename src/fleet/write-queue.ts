import { isRegistryDown } from './redis.js';

/** At most the calls of a long outage: Redis itself soon forgets the oldest. */
const MAX_UNSAID = 10_000;
const BATCH = 100;

type Work = () => Promise<unknown>;

/** Queues the registry's writes: one at a time per call, and retries what failed while Redis was down. */
export class WriteQueue {
  /** The latest failed write of each call. */
  private readonly pending = new Map<string, Work>();
  /** The last write in flight of each call. */
  private readonly inFlight = new Map<string, Promise<void>>();

  /** @param onFault called for a write that cannot succeed */
  constructor(private readonly onFault: (callId: string, error: unknown) => void) {}

  /** Calls whose latest state is not in the registry. */
  get size(): number {
    return this.pending.size;
  }

  /** Writes now, or when the registry is back. */
  enqueue(callId: string, work: Work): void {
    const before = this.inFlight.get(callId);
    const said =
      before === undefined ? this.runWrite(callId, work) : before.then(() => this.runWrite(callId, work));
    const writing = said.finally(() => {
      if (this.inFlight.get(callId) === writing) this.inFlight.delete(callId);
    });
    this.inFlight.set(callId, writing);
  }

  /** Retries the failed writes. */
  async catchUp(): Promise<void> {
    for (const [callId, work] of [...this.pending]) {
      // A newer write may have replaced it.
      if (this.pending.get(callId) !== work) continue;
      this.enqueue(callId, work);
      if (this.inFlight.size >= BATCH) await this.settled();
    }
    await this.settled();
  }

  /** Resolves when no write is in flight. */
  async settled(): Promise<void> {
    await Promise.all(this.inFlight.values());
  }

  /** Forgets the failed writes. */
  clear(): void {
    this.pending.clear();
  }

  private async runWrite(callId: string, work: Work): Promise<void> {
    this.pending.delete(callId);
    try {
      await work();
    } catch (error) {
      if (!isRegistryDown(error)) {
        this.onFault(callId, error);
        return;
      }
      this.pending.set(callId, work);
      if (this.pending.size > MAX_UNSAID) this.pending.delete(this.pending.keys().next().value as string);
    }
  }
}
