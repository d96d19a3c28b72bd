import type { EndCause } from './call.js';

/**
 * Outcome of a call by responsibility:
 * - `success`: it was answered and somebody ended it
 * - `client`: the caller, the callee or the API client ended or refused it before it was answered
 * - `server`: our own fault
 * - `upstream`: a fault of the bridge or of Twilio
 * - `indeterminate`: the connection to Twilio broke, so nobody knows
 */
export type CallResult = 'success' | 'client' | 'server' | 'upstream' | 'indeterminate';

export const CALL_RESULTS = ['success', 'client', 'server', 'upstream', 'indeterminate'] as const;

const RESULTS: Readonly<Record<EndCause, CallResult>> = {
  stop: 'success',
  bridge: 'success',
  transferred: 'success',
  hangup: 'success',
  status: 'client',
  refused: 'client',
  expired: 'client',
  protocol: 'client',
  failed: 'upstream',
  silent: 'upstream',
  'socket-closed': 'indeterminate',
  drain: 'server',
  internal: 'server',
  // This node's part succeeded; the node where the call ends reports its outcome.
  'handed-over': 'success',
  moved: 'success',
};

/** @param wasLive whether audio ever flowed */
export function resultOf(cause: EndCause, wasLive: boolean): CallResult {
  // The final status callback of an answered call may arrive before its stop message.
  return cause === 'status' && wasLive ? 'success' : RESULTS[cause];
}
