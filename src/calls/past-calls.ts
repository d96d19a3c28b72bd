import type { Clock } from '../clock.js';
import { counter, type Metric } from '../telemetry/metric.js';
import type { CallWebhookInput } from '../twilio/webhook.js';

const KEPT_MS = 3_600_000;
/** About ten megabytes at most. */
const CAPACITY = 50_000;

interface PastCall {
  readonly until: number;
  /**
   * Whether Twilio reported the call as completed. The caller may still be on the phone after the stream has
   * ended.
   */
  readonly isOver: boolean;
  replays: number;
}

/**
 * Calls that ended within the last hour, by CallSid. A captured signed webhook could be replayed; it must not
 * start an ended call again.
 */
export class PastCalls {
  readonly metrics: readonly Metric[];
  private readonly calls = new Map<string, PastCall>();
  private replayed = 0;

  /** @param capacity maximum entries; the oldest are evicted */
  constructor(
    private readonly clock: Clock,
    private readonly capacity = CAPACITY,
  ) {
    this.metrics = [
      counter(
        'webhooks_replayed_total',
        'Signed webhooks replayed after their call had ended',
        () => this.replayed,
      ),
    ];
  }

  /** @param isOver whether Twilio reported the call as completed */
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
   * Counts and returns how many times an ended call's webhook was replayed, from 1; 0 if it is no replay. An
   * answered call never rings again, but TwiML may send a caller back here after a stream.
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
