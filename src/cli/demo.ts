import { randomBytes } from 'node:crypto';
import { Command, Option } from 'commander';
import type { GatewayStats } from '../gateway.js';
import { type LoadReport, runLoad } from '../simulator/load.js';
import { createLog } from '../telemetry/log.js';
import type { DemoFlags } from './demo-flags.js';
import { loadTable } from './load-table.js';
import { prepareFolder } from './output-folder.js';
import { RunProgress } from './progress.js';
import { table } from './table.js';
import { faultsOf } from './verdict.js';
import { whole } from './whole.js';

/** Nobody can own this name (RFC 2606): what is signed is a public URL, what is dialled is loopback. */
const PUBLIC_URL = 'https://gateway.invalid/demo';
const CALLS_A_SECOND = 20;

/** `trunkline demo` */
export function demoCommand(): Command {
  return new Command('demo')
    .description('place simulated calls into a real gateway and prove that the audio comes back')
    .addOption(
      new Option('--bridge <bridge>', 'where the calls go; stream: to an agent in a Stream call')
        .choices(['local', 'stream'])
        .default('local'),
    )
    .option('--calls <n>', 'calls at the same time', whole(1, 1000), 1)
    .option('--seconds <n>', 'how long they talk', whole(1, 600), 8)
    .option('--record <dir>', 'write what the first callers hear as WAV files')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
With --bridge stream the Stream app of STREAM_API_KEY and STREAM_API_SECRET is used; without them, in a checkout of
the repository, a test double of Stream.
Exit code 1 when the audio did not come back.`,
    )
    .action(async (flags: DemoFlags) => {
      if (!(await run(flags))) process.exitCode = 1;
    });
}

async function run(flags: DemoFlags): Promise<boolean> {
  if (flags.bridge === 'local') return runDemo(flags);
  const { runStreamDemo } = await import('./demo-stream.js');
  return runStreamDemo(flags);
}

async function runDemo(flags: DemoFlags): Promise<boolean> {
  const accountSid = `AC${randomBytes(16).toString('hex')}`;
  const authToken = randomBytes(16).toString('hex');
  // Loaded here, so that help needs no native core.
  const { createGateway } = await import('../gateway.js');
  const gateway = createGateway({
    // The phones are in this process too: its load is not the gateway's.
    maxLoopDelayMs: 0,
    maxCpuPercent: 0,
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid, authTokens: [authToken] },
    log: createLog('warn', 2),
  });
  const { url } = await gateway.listen();
  const progress = new RunProgress(flags.calls, flags.seconds);
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
    if (flags.json) console.log(JSON.stringify({ gateway: stats, phones: report, faults }, null, 2));
    else print(stats, report, faults);
    return faults.length === 0;
  } finally {
    progress.stop();
    await gateway.close();
  }
}

function print({ traffic, latency }: GatewayStats, report: LoadReport, faults: readonly string[]): void {
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
