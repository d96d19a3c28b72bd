import type { EndCause } from './call.js';

/**
 * Whose doing the end of a call was:
 * - `success`: it was answered and somebody ended it
 * - `client`: the caller, the callee or whoever asked for the call made nothing of it
 * - `server`: a fault of ours
 * - `upstream`: a fault of whom we depend on, i.e. the bridge or Twilio
 * - `indeterminate`: the way to Twilio broke, so nobody knows
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
  // Its part here went well; how the call went is known where it ends.
  'handed-over': 'success',
  moved: 'success',
};

/** @param wasLive whether audio ever flowed */
export function resultOf(cause: EndCause, wasLive: boolean): CallResult {
  // The status callback of a call that was answered may come before its stop.
  return cause === 'status' && wasLive ? 'success' : RESULTS[cause];
}
