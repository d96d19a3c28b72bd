import type { CallView } from '../calls/call-view.js';
import type { CallDecision, PhoneCall } from '../calls/decision.js';
import type { CallFacts } from './redis-call-registry.js';

/** What another node needs to take over a call. */
export function factsOf(call: PhoneCall, decision: CallDecision): CallFacts {
  return {
    callId: call.callId,
    callSid: call.callSid,
    direction: call.direction,
    from: call.from,
    to: call.to,
    startedAt: call.startedAt.getTime(),
    webhook: call.webhookData?.parameters,
    decision,
  };
}

/** View of a call that is between two nodes. */
export function detachedView(facts: CallFacts): CallView {
  return {
    callId: facts.callId,
    callSid: facts.callSid,
    direction: facts.direction,
    from: facts.from,
    to: facts.to,
    state: 'detached',
    startedAt: new Date(facts.startedAt).toISOString(),
    durationSeconds: null,
  };
}
