import type { Switchboard } from '../calls/switchboard.js';
import { counter, gauge, type Metric } from '../telemetry/metric.js';
import type { Fleet } from './fleet.js';

const NONE = new Map([
  ['drain', 0],
  ['lost', 0],
]);

/** What operators watch of a fleet; a gateway that stands alone is a fleet of one whose registry never fails. */
export function fleetMetrics(switchboard: Switchboard, fleet: Fleet | undefined): Metric[] {
  return [
    gauge('fleet_nodes', 'Nodes that live, as this one sees it', () => fleet?.size ?? 1),
    gauge(
      'fleet_calls',
      'Calls of all nodes that live, as this one sees it',
      () => fleet?.calls ?? switchboard.activeCalls,
    ),
    gauge('registry_up', '1 while the registry answers; always where it is the memory of this process', () =>
      (fleet?.isUp ?? true) ? 1 : 0,
    ),
    counter(
      'handovers_total',
      'Calls taken over from other nodes, by reason',
      () => fleet?.handovers ?? NONE,
      'why',
    ),
  ];
}
