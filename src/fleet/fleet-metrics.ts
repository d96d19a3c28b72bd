import type { Switchboard } from '../calls/switchboard.js';
import type { Metric } from '../telemetry/metrics.js';
import type { Fleet } from './fleet.js';

const NONE = new Map([
  ['drain', 0],
  ['lost', 0],
]);

/** What operators watch of a fleet; a gateway that stands alone is a fleet of one whose registry never fails. */
export function fleetMetrics(switchboard: Switchboard, fleet: Fleet | undefined): Metric[] {
  return [
    {
      name: 'fleet_nodes',
      help: 'Nodes that live, as this one sees it',
      kind: 'gauge',
      read: () => fleet?.size ?? 1,
    },
    {
      name: 'fleet_calls',
      help: 'Calls of all nodes that live, as this one sees it',
      kind: 'gauge',
      read: () => fleet?.calls ?? switchboard.activeCalls,
    },
    {
      name: 'registry_up',
      help: '1 while the registry answers; always where it is the memory of this process',
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
