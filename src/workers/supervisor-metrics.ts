import { counter, gauge, type Metric } from '../telemetry/metric.js';
import { processMetrics } from '../telemetry/metrics.js';
import type { PostOffice } from './post-office.js';

/** What a supervisor adds to its workers' metrics. */
export function supervisorMetrics(supervisor: {
  readonly office: Pick<PostOffice, 'serving'>;
  readonly restarts: number;
}): Metric[] {
  return [
    ...processMetrics,
    gauge('workers', 'Workers of this machine that serve', () => supervisor.office.serving.length),
    counter('worker_restarts_total', 'Workers replaced because they had died', () => supervisor.restarts),
  ];
}
