import type { StreamBridgeOptions, StreamBridgeStats } from '../src/index.js';
import { createGateway, type GatewayStats, type MediaWorkerState, StreamBridge } from '../src/index.js';
import { createLog } from '../src/telemetry/log.js';

/** The report of the gateway process. */
export interface StreamGatewayReport {
  readonly stats: GatewayStats;
  readonly bridge: StreamBridgeStats;
  readonly workers: readonly MediaWorkerState[];
}

// The gateway in its own process: options of its bridge in the first argument, a report for every message.
// Phones that call from the same number meet.
const options = JSON.parse(process.argv[2] ?? '{}') as StreamBridgeOptions;
const log = createLog('warn', process.stderr);
const bridge = new StreamBridge({ maxWorkerDelayMs: 0, ...options, log });
const gateway = createGateway({
  maxLoopDelayMs: 0,
  maxCpuPercent: 0,
  port: 0,
  publicUrl: 'https://voice.example.com/edge',
  twilio: { authTokens: ['test-auth-token'] },
  bridge,
  log,
  prepareCall: (call) => ({ room: `from-${call.from?.replace(/\D/g, '')}` }),
});
const { url } = await gateway.listen();
process.send?.({ url });

process.on('message', (message) => {
  if (message === 'close') {
    void gateway.close().then(() => process.exit());
    return;
  }
  if (message === 'reset') gateway.resetLatency();
  const report: StreamGatewayReport = {
    stats: gateway.stats(),
    bridge: bridge.stats(),
    workers: bridge.workers(),
  };
  process.send?.(report);
});
process.on('disconnect', () => process.exit());
