import type { BridgeUser } from '../bridge/bridge.js';
import { maskNumber } from '../telemetry/log.js';
import type { PhoneCall } from './decision.js';

/**
 * The default bridge user of a phone: an opaque id that does not reveal the number, plus what the webhook
 * says that is not secret. Everybody in the call can read it.
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

/** The bridge user of a phone: as decided, completely or merged into the default. */
export function userOf(call: PhoneCall, decided: Partial<BridgeUser> = {}): BridgeUser {
  const { id } = decided;
  // A user with their own id exists elsewhere: do not overwrite their profile with the phone's.
  return id === undefined ? { ...phoneUser(call), ...decided, id: phoneUser(call).id } : { ...decided, id };
}
