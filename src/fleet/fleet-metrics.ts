import type { Switchboard } from '../calls/switchboard.js';
import type { Metric } from '../telemetry/metrics.js';
import type { Fleet } from './fleet.js';

const NONE = new Map([
  ['drain', 0],
  ['lost', 0],
]);

/** Metrics of a fleet. A standalone gateway is a fleet of one whose registry never fails. */
export function fleetMetrics(switchboard: Switchboard, fleet: Fleet | undefined): Metric[] {
  return [
    {
      name: 'fleet_nodes',
      help: 'Live nodes, as seen by this node',
      kind: 'gauge',
      read: () => fleet?.size ?? 1,
    },
    {
      name: 'fleet_calls',
      help: 'Calls on all live nodes, as seen by this node',
      kind: 'gauge',
      read: () => fleet?.calls ?? switchboard.activeCalls,
    },
    {
      name: 'registry_up',
      help: '1 while the registry answers; always 1 without Redis',
      kind: 'gauge',
      read: () => ((fleet?.isUp ?? true) ? 1 : 0),
    },
    {
      name: 'handovers_total',
      help: 'Calls taken over from other nodes, by reason',
      label: 'why',
      read: () => fleet?.handovers ?? NONE,
    },
  ];
}
