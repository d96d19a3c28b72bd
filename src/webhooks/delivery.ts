import type { Clock } from '../clock.js';
import { Permits } from './permits.js';
import type { WebhookMessage, WebhookSender } from './sender.js';

export interface DeliveryOptions {
  readonly sender: WebhookSender;
  readonly clock: Clock;
  /** Longest wait for one answer, in milliseconds. */
  readonly timeoutMs: number;
  /**
   * Most tries at a time; no more than the sender has connections, or their time runs while they wait for one. Default: no
   * limit but the sender's.
   */
  readonly atOnce?: number;
  /** Most tries of one message, from 1. */
  readonly tries: number;
  /** Pause before the second try; doubled for each one after, up to the longest; each is cut by chance to half at most. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** Most messages that wait, in all and of one call. */
  readonly capacity: number;
  readonly perCall: number;
  /** A message was given up. Told once of each, `why` being a code or a status. */
  readonly onDead: (dead: DeadMessage) => void;
}

export interface DeadMessage {
  readonly message: WebhookMessage;
  readonly why: string;
  readonly tries: number;
}

/** One call's messages: the first is under way, the others wait behind it. */
interface Lane {
  readonly waiting: WebhookMessage[];
  /** Ends a pause early. */
  hurry: () => void;
}

/**
 * Delivers messages at least once: those of one call one after the other and in order, those of several calls side by
 * side. Whoever adds one never waits; what does not fit is given up at once.
 */
export class Delivery {
  /** Answered with 2xx, tried again, given up. */
  readonly counts = { delivered: 0, retried: 0, dead: 0 };
  private readonly lanes = new Map<string, Lane>();
  private readonly working = new Set<Promise<void>>();
  private readonly permits: Permits;
  private isClosing = false;
  private isStopped = false;
  private size = 0;

  constructor(private readonly options: DeliveryOptions) {
    this.permits = new Permits(options.atOnce ?? Number.POSITIVE_INFINITY);
  }

  /** Messages that were added and are neither delivered nor given up. */
  get pending(): number {
    return this.size;
  }

  /** @param callId messages of the same call keep their order */
  add(callId: string, message: WebhookMessage): void {
    const lane = this.lanes.get(callId);
    const { capacity, perCall } = this.options;
    if (this.isClosing) this.giveUp(message, 'closed', 0);
    else if (this.size >= capacity || (lane?.waiting.length ?? 0) >= perCall) {
      this.giveUp(message, 'queue full', 0);
    } else {
      this.size += 1;
      if (lane === undefined) this.open(callId, message);
      else lane.waiting.push(message);
    }
  }

  /** Delivers what it can within the time, without pauses between tries; gives up the rest. */
  async close(withinMs: number): Promise<void> {
    this.isClosing = true;
    for (const lane of this.lanes.values()) lane.hurry();
    const { clock } = this.options;
    const timer = clock.after(withinMs, () => {
      this.isStopped = true;
      this.options.sender.close();
    });
    await Promise.all(this.working);
    clock.cancel(timer);
    this.options.sender.close();
  }

  private open(callId: string, message: WebhookMessage): void {
    const lane: Lane = { waiting: [message], hurry: () => {} };
    this.lanes.set(callId, lane);
    const working = this.work(lane).finally(() => {
      this.lanes.delete(callId);
      this.working.delete(working);
    });
    this.working.add(working);
  }

  private async work(lane: Lane): Promise<void> {
    for (let message = lane.waiting[0]; message !== undefined; message = lane.waiting[0]) {
      await this.deliver(message, lane);
      lane.waiting.shift();
      this.size -= 1;
    }
  }

  private async deliver(message: WebhookMessage, lane: Lane): Promise<void> {
    let why = 'closed';
    let tries = 0;
    while (tries < this.options.tries && !this.isStopped) {
      if (tries > 0) {
        this.counts.retried += 1;
        await this.pause(tries, lane);
      }
      // The time of a try begins when there is a connection for it.
      await this.permits.take();
      if (this.isStopped) {
        this.permits.give();
        break;
      }
      tries += 1;
      const failure = await this.try(message).finally(() => this.permits.give());
      if (failure === undefined) {
        this.counts.delivered += 1;
        return;
      }
      why = failure;
      // One last try each, of those that the receiver did not want, would keep a closing gateway long enough.
      if (this.isClosing && tries > 1) break;
    }
    this.giveUp(message, why, tries);
  }

  /** What went wrong, if anything did. */
  private async try(message: WebhookMessage): Promise<string | undefined> {
    const { sender, timeoutMs } = this.options;
    try {
      const { status } = await sender.post(message, timeoutMs);
      return status >= 200 && status < 300 ? undefined : `status ${status}`;
    } catch (error) {
      return this.isStopped ? 'closed' : String((error as { code?: string }).code);
    }
  }

  private pause(tries: number, lane: Lane): Promise<void> {
    if (this.isClosing) return Promise.resolve();
    const { firstPauseMs, longestPauseMs, clock } = this.options;
    const longest = Math.min(firstPauseMs * 2 ** (tries - 1), longestPauseMs);
    const hurry = new AbortController();
    lane.hurry = () => hurry.abort();
    return clock.sleep(longest * (0.5 + Math.random() / 2), hurry.signal);
  }

  private giveUp(message: WebhookMessage, why: string, tries: number): void {
    this.counts.dead += 1;
    this.options.onDead({ message, why, tries });
  }
}
