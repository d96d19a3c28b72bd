import type { Clock } from '../clock.js';
import { createHangupTwiml } from '../twilio/twiml.js';
import { createVerbsTwiml } from '../twilio/verbs.js';
import type { EndCause } from './call.js';
import type { CallDecision } from './decision.js';

/** Twilio comes back as soon as a stream is closed; this is generous. */
const KEPT_MS = 60_000;

/**
 * What Twilio is told to do with a caller whose stream is over, when it comes back to ask: kept by call for a while,
 * for by then the call has ended here.
 */
export class Continuations {
  private readonly verbs = new Map<string, { readonly twiml: string; readonly until: number }>();

  /** @param capacity most calls to remember; the oldest make room */
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

  /** What was said to do, if anything was. */
  find(callSid: string): string | undefined {
    const next = this.verbs.get(callSid);
    return next === undefined || next.until < this.clock.runningMs() ? undefined : next.twiml;
  }

  /** What was said to do, the same for a question that Twilio repeats; a call of which nothing was said is hung up. */
  twimlFor(callSid: string): string {
    return this.find(callSid) ?? createHangupTwiml();
  }
}

/** After these the caller is still there and nobody said what comes next. */
const STILL_THERE: ReadonlySet<EndCause> = new Set(['bridge', 'drain', 'internal']);

/** TwiML of what was decided to come after the stream, where it comes by asking: `undefined` where nothing does. */
export function continuationTwiml(decision: CallDecision | undefined, cause: EndCause): string | undefined {
  if (decision === undefined || 'refuse' in decision || decision.after === undefined) return undefined;
  // A stream of the user's own code is over when that code closes it.
  const isOver = STILL_THERE.has(cause) || (cause === 'hangup' && decision.bridge === false);
  return isOver ? createVerbsTwiml(decision.after) : undefined;
}
