import type { Clock, Timer } from '../clock.js';
import { Permits } from './permits.js';
import type { WebhookMessage, WebhookSender } from './sender.js';

export interface DeliveryOptions {
  readonly sender: WebhookSender;
  readonly clock: Clock;
  /** Timeout of one attempt, in milliseconds. */
  readonly timeoutMs: number;
  /**
   * Most concurrent attempts, besides a probe. Must be below the sender's connections: the timeout includes the wait for one.
   * Default: the sender's limit.
   */
  readonly atOnce?: number;
  /** Most attempts per message, from 1. Probes do not count. */
  readonly tries: number;
  /** Pause before the first retry, in milliseconds; doubled for each one after, up to the longest, and randomly shortened by up to half. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** Most queued messages, in total and per call. */
  readonly capacity: number;
  readonly perCall: number;
  /** A message was delivered. */
  readonly onDelivered?: (message: WebhookMessage) => void;
  /** A message was given up. Called once per message; `why` is a code or a status. */
  readonly onDead: (dead: DeadMessage) => void;
}

export interface DeadMessage {
  readonly message: WebhookMessage;
  readonly why: string;
  readonly tries: number;
  /** Whether it had attempts left when the gateway closed. */
  readonly isCut: boolean;
}

/** The messages of one call: the first is being delivered, the others wait. */
interface Lane {
  readonly waiting: WebhookMessage[];
  /** Ends a pause early. */
  hurry: (cause: Cause) => void;
}

/** Why an attempt is made: its pause is over, as a probe, the receiver has recovered, or the gateway closes. */
type Cause = 'turn' | 'probe' | 'back' | 'closing';

/** While the receiver fails, one message is sent as a probe this often, with this timeout. */
const PROBE_MS = 1_000;

/**
 * Delivers messages at least once: in order within a call, concurrently across calls. Adding a message never blocks; beyond
 * the capacity it is given up at once. A receiver that has recovered is noticed within two seconds, however long the pauses
 * have become, and gets all queued messages at once.
 */
export class Delivery {
  /** Messages answered with 2xx, retries, and messages given up. */
  readonly counts = { delivered: 0, retried: 0, dead: 0 };
  private readonly lanes = new Map<string, Lane>();
  private readonly working = new Set<Promise<void>>();
  /** Lanes in a pause, the longest first. */
  private readonly resting = new Set<Lane>();
  private readonly permits: Permits;
  /** When the receiver last accepted a message. */
  private takenAt: number;
  private probing: Timer | undefined;
  private isClosing = false;
  private isStopped = false;
  private size = 0;

  constructor(private readonly options: DeliveryOptions) {
    this.permits = new Permits(options.atOnce ?? Number.POSITIVE_INFINITY);
    this.takenAt = options.clock.now();
  }

  /** Messages that are neither delivered nor given up. */
  get pending(): number {
    return this.size;
  }

  /** @param callId messages of the same call keep their order */
  add(callId: string, message: WebhookMessage): void {
    const lane = this.lanes.get(callId);
    const { capacity, perCall } = this.options;
    if (this.isClosing) this.giveUp(message, 'closed', 0, true);
    else if (this.size >= capacity || (lane?.waiting.length ?? 0) >= perCall) {
      this.giveUp(message, 'queue full', 0, false);
    } else {
      this.size += 1;
      if (lane === undefined) this.open(callId, message);
      else lane.waiting.push(message);
    }
  }

  /** Delivers what it can within the time, without pauses between attempts; gives up the rest. A second call may shorten the time. */
  async close(withinMs: number): Promise<void> {
    this.isClosing = true;
    const { clock, sender } = this.options;
    clock.cancel(this.probing);
    for (const lane of this.lanes.values()) lane.hurry('closing');
    const timer = clock.after(withinMs, () => {
      this.isStopped = true;
      sender.close();
    });
    await Promise.all(this.working);
    clock.cancel(timer);
    sender.close();
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
    const { clock, tries: mostTries } = this.options;
    let why = 'closed';
    let tries = 0;
    let until = 0;
    while (tries < mostTries && !this.isStopped) {
      const cause = tries === 0 ? 'turn' : await this.pause(until, lane);
      // The timeout starts with a free connection; there is one more than permits.
      if (cause !== 'probe') await this.permits.acquire();
      const failure = await this.try(message, tries, cause);
      if (cause !== 'probe') this.permits.release();
      if (failure === 'stopped') break;
      if (failure === undefined) {
        this.recordDelivered(message);
        return;
      }
      if (cause === 'probe' || cause === 'back') continue;
      tries += 1;
      why = failure;
      until = clock.now() + this.pauseMs(tries);
      // For messages that have failed before, a closing gateway makes one last attempt only.
      if (this.isClosing && tries > 1) break;
    }
    this.giveUp(message, why, tries, tries < mostTries);
  }

  /** Resolves with the failure, if any; `stopped` if no attempt was made. */
  private async try(message: WebhookMessage, nth: number, cause: Cause): Promise<string | undefined> {
    const { sender, timeoutMs } = this.options;
    if (this.isStopped) return 'stopped';
    if (nth > 0) this.counts.retried += 1;
    try {
      const limitMs = cause === 'probe' ? Math.min(timeoutMs, PROBE_MS) : timeoutMs;
      const { status } = await sender.post(message, limitMs);
      return status >= 200 && status < 300 ? undefined : `status ${status}`;
    } catch (error) {
      return this.isStopped ? 'closed' : String((error as { code?: string }).code);
    }
  }

  /** Waits for the next attempt; resolves with its cause. */
  private async pause(until: number, lane: Lane): Promise<Cause> {
    if (this.isClosing) return 'closing';
    const { clock } = this.options;
    const hurry = new AbortController();
    let cause: Cause = 'turn';
    lane.hurry = (why) => {
      cause = why;
      hurry.abort();
    };
    this.resting.add(lane);
    this.probing ??= clock.after(PROBE_MS, () => this.probe());
    await clock.sleep(until - clock.now(), hurry.signal);
    this.resting.delete(lane);
    return cause;
  }

  private pauseMs(tries: number): number {
    const { firstPauseMs, longestPauseMs } = this.options;
    return Math.min(firstPauseMs * 2 ** (tries - 1), longestPauseMs) * (0.5 + Math.random() / 2);
  }

  private probe(): void {
    const { clock } = this.options;
    this.probing = undefined;
    const [lane] = this.resting;
    if (lane === undefined || this.isClosing) return;
    if (clock.now() - this.takenAt >= PROBE_MS) lane.hurry('probe');
    this.probing = clock.after(PROBE_MS, () => this.probe());
  }

  /** If the receiver has just recovered, all pauses end. */
  private recordDelivered(message: WebhookMessage): void {
    this.counts.delivered += 1;
    this.options.onDelivered?.(message);
    const now = this.options.clock.now();
    const isBack = now - this.takenAt >= PROBE_MS;
    this.takenAt = now;
    if (isBack) for (const lane of this.resting) lane.hurry('back');
  }

  private giveUp(message: WebhookMessage, why: string, tries: number, isCut: boolean): void {
    this.counts.dead += 1;
    this.options.onDead({ message, why, tries, isCut });
  }
}
