import type { Clock } from '../clock.js';
import { createHangupTwiml } from '../twilio/twiml.js';
import { createVerbsTwiml } from '../twilio/verbs.js';
import type { EndCause } from './call.js';
import type { CallDecision } from './decision.js';

/** Twilio asks as soon as a stream closes; this is generous. */
const KEPT_MS = 60_000;

/**
 * The TwiML for callers whose media stream has ended. It is kept for a while because the call has already
 * ended here when Twilio asks.
 */
export class Continuations {
  private readonly verbs = new Map<string, { readonly twiml: string; readonly until: number }>();

  /** @param capacity maximum entries; the oldest are evicted */
  constructor(
    private readonly capacity: number,
    private readonly clock: Clock,
  ) {}

  set(callSid: string, twiml: string): void {
    const now = this.clock.runningMs();
    this.verbs.delete(callSid);
    for (const [sid, { until }] of this.verbs) {
      if (until > now && this.verbs.size < this.capacity) break;
      this.verbs.delete(sid);
    }
    this.verbs.set(callSid, { twiml, until: now + KEPT_MS });
  }

  /** The TwiML set for this call, if any. */
  find(callSid: string): string | undefined {
    const next = this.verbs.get(callSid);
    return next === undefined || next.until < this.clock.runningMs() ? undefined : next.twiml;
  }

  /** Like {@link find}, but hangs up if no TwiML was set. Repeated requests get the same answer. */
  twimlFor(callSid: string): string {
    return this.find(callSid) ?? createHangupTwiml();
  }
}

/** After these causes the caller is still on the line and nothing else decides what comes next. */
const STILL_THERE: ReadonlySet<EndCause> = new Set(['bridge', 'drain', 'internal']);

/** TwiML of the decision's `after` verbs, if they apply after this end cause. */
export function continuationTwiml(decision: CallDecision | undefined, cause: EndCause): string | undefined {
  if (decision === undefined || 'refuse' in decision || decision.after === undefined) return undefined;
  // Your own code ends its stream by closing it.
  const isOver = STILL_THERE.has(cause) || (cause === 'hangup' && decision.bridge === false);
  return isOver ? createVerbsTwiml(decision.after) : undefined;
}
