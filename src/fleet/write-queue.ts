import { isRegistryDown } from './redis.js';

/** Not more than the calls of a long outage: what is oldest is soon forgotten by Redis itself. */
const MAX_UNSAID = 10_000;
const BATCH = 100;

type Work = () => Promise<unknown>;

/** What the registry is told of calls: of each call one thing after the other, and later what it could not be told. */
export class WriteQueue {
  /** The latest of each call that the registry does not know. */
  private readonly pending = new Map<string, Work>();
  /** The last that is under way, of each call. */
  private readonly inFlight = new Map<string, Promise<void>>();

  /** @param onFault told of what the registry will not take however often it is told */
  constructor(private readonly onFault: (callId: string, error: unknown) => void) {}

  /** Calls of which the registry does not know the latest. */
  get size(): number {
    return this.pending.size;
  }

  /** Tells it at once, or when it is there again. */
  enqueue(callId: string, work: Work): void {
    const before = this.inFlight.get(callId);
    const said =
      before === undefined ? this.runWrite(callId, work) : before.then(() => this.runWrite(callId, work));
    const writing = said.finally(() => {
      if (this.inFlight.get(callId) === writing) this.inFlight.delete(callId);
    });
    this.inFlight.set(callId, writing);
  }

  /** Tells it what it could not be told. */
  async catchUp(): Promise<void> {
    for (const [callId, work] of [...this.pending]) {
      // Somebody else may have said something newer meanwhile.
      if (this.pending.get(callId) !== work) continue;
      this.enqueue(callId, work);
      if (this.inFlight.size >= BATCH) await this.settled();
    }
    await this.settled();
  }

  /** Fulfilled when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.inFlight.values());
  }

  /** Forgets what was not said. */
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
