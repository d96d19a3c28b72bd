/**
 * Above these the dashboard shows a figure as bad: the limits of the alerts in `deploy/prometheus/rules.yaml`, which a test
 * compares. Shares are of 1, spans are milliseconds.
 */
export const ALERT_LIMITS = {
  /** Calls of those that the node may carry: TrunklineCapacityHigh. */
  capacityShare: 0.8,
  /** p99 of a frame's time in the gateway: TrunklineLatencyHigh. */
  latencyP99Us: 10_000,
  /** Frames dropped, of all frames: TrunklineAudioDropped. */
  droppedShare: 0.001,
  /** How long a call rejected as busy counts: TrunklineCallsRefused. */
  refusedMs: 300_000,
  /** Calls that ended by our fault, of those that ended within the span: TrunklineServerFailures. */
  serverFailureShare: 0.01,
  serverFailureMs: 600_000,
  /** Calls that were found stuck within the span: TrunklineCallsStuck. */
  stuckCalls: 3,
  stuckMs: 900_000,
  /** In a fleet of this size no other node can take over calls: TrunklineFleetOfOne. */
  loneNodes: 1,
} as const;
