import { isRegistryDown } from './redis.js';

/** Not more than the calls of a long outage: what is oldest is soon forgotten by Redis itself. */
const MAX_UNSAID = 10_000;
const BATCH = 100;

type Work = () => Promise<unknown>;

/** What the registry is told of calls: of each call one thing after the other, and later what it could not be told. */
export class WriteQueue {
  /** The latest of each call that the registry does not know. */
  private readonly unsaid = new Map<string, Work>();
  /** The last that is under way, of each call. */
  private readonly under = new Map<string, Promise<void>>();

  /** @param onFault told of what the registry will not take however often it is told */
  constructor(private readonly onFault: (callId: string, error: unknown) => void) {}

  /** Calls of which the registry does not know the latest. */
  get size(): number {
    return this.unsaid.size;
  }

  /** Tells it at once, or when it is there again. */
  write(callId: string, work: Work): void {
    const before = this.under.get(callId);
    const said = before === undefined ? this.say(callId, work) : before.then(() => this.say(callId, work));
    const writing = said.finally(() => {
      if (this.under.get(callId) === writing) this.under.delete(callId);
    });
    this.under.set(callId, writing);
  }

  /** Tells it what it could not be told. */
  async catchUp(): Promise<void> {
    for (const [callId, work] of [...this.unsaid]) {
      // Somebody else may have said something newer meanwhile.
      if (this.unsaid.get(callId) !== work) continue;
      this.write(callId, work);
      if (this.under.size >= BATCH) await this.settled();
    }
    await this.settled();
  }

  /** Fulfilled when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.under.values());
  }

  /** Forgets what was not said. */
  clear(): void {
    this.unsaid.clear();
  }

  private async say(callId: string, work: Work): Promise<void> {
    this.unsaid.delete(callId);
    try {
      await work();
    } catch (error) {
      if (!isRegistryDown(error)) {
        this.onFault(callId, error);
        return;
      }
      this.unsaid.set(callId, work);
      if (this.unsaid.size > MAX_UNSAID) this.unsaid.delete(this.unsaid.keys().next().value as string);
    }
  }
}
