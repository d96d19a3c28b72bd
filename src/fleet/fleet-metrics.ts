import type { Switchboard } from '../calls/switchboard.js';
import { counter, gauge, type Metric } from '../telemetry/metric.js';
import type { Fleet } from './fleet.js';

const NONE = new Map([
  ['drain', 0],
  ['lost', 0],
]);

/** Metrics of a fleet. A standalone gateway is a fleet of one whose registry never fails. */
export function fleetMetrics(switchboard: Switchboard, fleet: Fleet | undefined): Metric[] {
  return [
    gauge('fleet_nodes', 'Live nodes, as seen by this node', () => fleet?.size ?? 1, { merge: 'max' }),
    gauge(
      'fleet_calls',
      'Calls on all live nodes, as seen by this node',
      () => fleet?.calls ?? switchboard.activeCalls,
      { merge: 'max' },
    ),
    gauge(
      'registry_up',
      '1 while the registry answers; always 1 without Redis',
      () => ((fleet?.isUp ?? true) ? 1 : 0),
      { merge: 'min' },
    ),
    counter(
      'handovers_total',
      'Calls taken over from other nodes, by reason',
      () => fleet?.handovers ?? NONE,
      'why',
    ),
  ];
}
