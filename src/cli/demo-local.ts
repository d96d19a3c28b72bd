import { randomBytes } from 'node:crypto';
import { createGateway, type GatewayStats } from '../gateway.js';
import { type LoadReport, runLoad } from '../simulator/load.js';
import { createLog } from '../telemetry/log.js';
import { prepareFolder } from './files.js';
import { RunProgress } from './progress.js';
import type { Shell } from './shell.js';
import { loadTable, table } from './table.js';
import { faultsOf } from './verdict.js';

/** What `trunkline demo` was asked for. */
export interface DemoFlags {
  readonly bridge: 'local' | 'stream';
  readonly agent?: boolean;
  readonly calls: number;
  readonly seconds: number;
  readonly record?: string;
  readonly json?: boolean;
}

/** A reserved name (RFC 2606): signatures cover a public URL, but connections go to loopback. */
const PUBLIC_URL = 'https://gateway.invalid/demo';
const CALLS_A_SECOND = 20;

/** Phones call a gateway whose rooms say again what they hear. */
export async function runLocalDemo(flags: DemoFlags, shell: Shell): Promise<boolean> {
  const accountSid = `AC${randomBytes(16).toString('hex')}`;
  const authToken = randomBytes(16).toString('hex');
  const gateway = createGateway({
    // The phones are in this process too: its load is not the gateway's, nor is audio late because of it.
    maxLoopDelayMs: 0,
    maxCpuPercent: 0,
    leadMs: 10_000,
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid, authTokens: [authToken] },
    log: createLog('warn', shell.stderr),
  });
  const { url } = await gateway.listen();
  const progress = new RunProgress(flags.calls, flags.seconds, shell);
  try {
    if (flags.record !== undefined) prepareFolder('--record', flags.record);
    const report = await runLoad({
      accountSid,
      authToken,
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      dial: { publicUrl: PUBLIC_URL, target: url },
      calls: flags.calls,
      rate: CALLS_A_SECOND,
      durationMs: flags.seconds * 1000,
      onProgress: progress.update,
      ...(flags.record !== undefined && { recordDirectory: flags.record }),
    });
    progress.stop();
    const stats = gateway.stats();
    const faults = faultsOf(report, { echo: true });
    if (flags.json) shell.console.log(JSON.stringify({ gateway: stats, phones: report, faults }, null, 2));
    else print(stats, report, faults, shell);
    return faults.length === 0;
  } finally {
    progress.stop();
    await gateway.close();
  }
}

function print(
  { traffic, latency }: GatewayStats,
  report: LoadReport,
  faults: readonly string[],
  { console }: Shell,
): void {
  const us = (value: number) => value.toFixed(1);
  const row = (name: string, of: GatewayStats['latency']['gateway']) => [
    name,
    us(of.p50Us),
    us(of.p99Us),
    us(of.p999Us),
    us(of.maxUs),
  ];
  const gateway = table(
    ['microseconds in the gateway, a frame', 'median', 'p99', 'p99.9', 'max'],
    [
      row('transcoding in (message → 48 kHz)', latency.transcodeIn),
      row('transcoding out (48 kHz → message)', latency.transcodeOut),
      row('socket in → socket out', latency.gateway),
    ],
  );
  const frames = table(
    ['frames of 20 ms in the gateway', 'count'],
    [
      ['in', Math.round(traffic.framesIn)],
      ['out', traffic.framesOut],
      ['dropped', traffic.droppedLead + traffic.droppedIntake + traffic.droppedBackpressure],
    ],
  );
  console.log(`${gateway}\n${frames}\n${loadTable(report)}`);
  console.log(faults.length === 0 ? 'The speech came back whole.' : `FAILED: ${faults.join('; ')}`);
}
