import type { BridgeUser } from '../bridge/bridge.js';
import { maskNumber } from '../telemetry/log.js';
import type { PhoneCall } from './decision.js';

/**
 * As whom a phone appears in a bridge, where the hook does not say: an id of its own that tells nothing of the number,
 * and what the webhook said that is no secret. Everybody in the call may read it.
 */
export function phoneUser(call: PhoneCall): BridgeUser {
  const { callId, callSid, direction, webhookData } = call;
  const number = maskNumber(direction === 'outbound-api' ? call.to : call.from);
  const custom = Object.fromEntries(
    Object.entries({
      call_id: callId,
      call_sid: callSid,
      direction,
      city: webhookData?.fromCity,
      state: webhookData?.fromState,
      country: webhookData?.fromCountry,
      verified: webhookData?.stirVerstat,
    }).filter(([, value]) => value !== undefined && value !== ''),
  );
  return {
    id: `phone-${callId}`,
    name: webhookData?.callerName || (number ? `Phone ${number}` : 'Phone'),
    custom,
  };
}

/** As whom a phone appears: as was decided, all of it or added to the default. */
export function userOf(call: PhoneCall, decided: Partial<BridgeUser> = {}): BridgeUser {
  const { id } = decided;
  // A user with an id of its own is known elsewhere: nothing of the phone's is written over it.
  return id === undefined ? { ...phoneUser(call), ...decided, id: phoneUser(call).id } : { ...decided, id };
}
