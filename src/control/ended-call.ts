import { GatewayError } from '../errors.js';

/** Whatever was asked of a call comes too late. */
export function endedCall(callId: string): GatewayError {
  const message = `Expected call ${callId} to last but received its end`;
  return new GatewayError('GW_CALL_ENDED', message);
}
