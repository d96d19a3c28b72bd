import { createVerbsTwiml } from '../twilio/verbs.js';
import type { EndCause } from './call.js';
import type { CallDecision } from './decision.js';

/** After these the caller is still there and nobody said what comes next. */
const STILL_THERE: ReadonlySet<EndCause> = new Set(['bridge', 'drain', 'internal']);

/** TwiML of what was decided to come after the stream, where it comes by asking: `undefined` where nothing does. */
export function afterTwiml(decision: CallDecision | undefined, cause: EndCause): string | undefined {
  if (decision === undefined || 'refuse' in decision || decision.after === undefined) return undefined;
  // A stream of the user's own code is over when that code closes it.
  const isOver = STILL_THERE.has(cause) || (cause === 'hangup' && decision.bridge === false);
  return isOver ? createVerbsTwiml(decision.after) : undefined;
}
