import type { Clock } from '../clock.js';
import { counter, type Metric } from '../telemetry/metric.js';
import type { CallWebhookInput } from '../twilio/webhook.js';

const KEPT_MS = 3_600_000;
/** Some ten megabytes at most. */
const CAPACITY = 50_000;

interface PastCall {
  readonly until: number;
  /** Whether Twilio said that the call is over: a caller whose stream has ended may be on the phone still. */
  readonly isOver: boolean;
  replays: number;
}

/**
 * Calls that have ended, by Twilio's id, for an hour: whoever has got hold of a signed webhook may send it again, and it
 * must not make a call of one that is over.
 */
export class PastCalls {
  readonly metrics: readonly Metric[];
  private readonly calls = new Map<string, PastCall>();
  private replayed = 0;

  /** @param capacity most calls to remember; the oldest are forgotten */
  constructor(
    private readonly clock: Clock,
    private readonly capacity = CAPACITY,
  ) {
    this.metrics = [
      counter(
        'webhooks_replayed_total',
        'Signed webhooks of calls that had ended, sent again',
        () => this.replayed,
      ),
    ];
  }

  /** @param isOver whether Twilio said so */
  add(callSid: string, isOver: boolean): void {
    const now = this.clock.now();
    const before = this.calls.get(callSid);
    this.calls.delete(callSid);
    for (const [sid, { until }] of this.calls) {
      if (until > now && this.calls.size < this.capacity) break;
      this.calls.delete(sid);
    }
    const past = { isOver: isOver || before?.isOver === true, replays: before?.replays ?? 0 };
    this.calls.set(callSid, { until: now + KEPT_MS, ...past });
  }

  /**
   * Which replay of a call's webhook this is, from 1, and counts it; 0 where it is none. What has once been answered never
   * rings again; but TwiML may send a caller here anew when a stream is over.
   */
  replayOf({ callSid, callStatus }: CallWebhookInput): number {
    const past = this.calls.get(callSid);
    if (past === undefined || past.until < this.clock.now()) return 0;
    if (!past.isOver && callStatus === 'in-progress') return 0;
    this.replayed += 1;
    past.replays += 1;
    return past.replays;
  }
}
