import { createGateway, type GatewayOptions, type GatewayStats } from '../src/index.js';

/** The report of the gateway process. */
export interface GatewayReport {
  readonly stats: GatewayStats;
  /** CPU time used so far, user and system, in milliseconds. */
  readonly cpuMs: number;
  readonly rssMb: number;
  /** Marks by which leads are measured, so far; where they are counted. */
  readonly probes?: number;
}

// The gateway in its own process: options in the first argument, a report for every message.
const gateway = createGateway({
  // Above the gateway's own limits, because the bench looks for the point of failure.
  maxLoopDelayMs: 0,
  maxCpuPercent: 0,
  ...(JSON.parse(process.argv[2] ?? '{}') as GatewayOptions),
});
const { url } = await gateway.listen();
process.send?.({ url });

process.on('message', (message) => {
  if (message === 'reset') gateway.resetLatency();
  const { user, system } = process.cpuUsage();
  const report: GatewayReport = {
    stats: gateway.stats(),
    cpuMs: (user + system) / 1e3,
    rssMb: process.memoryUsage.rss() / 2 ** 20,
  };
  process.send?.(report);
});
process.on('disconnect', () => process.exit());
