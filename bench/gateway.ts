import { table } from '../src/cli/table.js';
import type { GatewayOptions } from '../src/index.js';
import type { LoadOptions, LoadReport } from '../src/simulator/index.js';
import { answerOf, startChild } from './child.js';
import type { GatewayReport } from './gateway-process.js';
import { machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const STEPS = [1, 100, 200, 300];
const HOLD_MS = 10_000;
const PUBLIC_URL = 'https://gateway.invalid';
const ACCOUNT_SID = `AC${'0'.repeat(32)}`;
const AUTH_TOKEN = 'bench';

interface Row {
  readonly calls: number;
  readonly gateway: GatewayReport['stats']['latency']['gateway'];
  readonly roundTrip: LoadReport['roundTrip'];
  readonly dropped: number;
  readonly missing: number;
  /** Shares of one core while all calls were up. */
  readonly gatewayCpu: number;
  readonly generatorCpu: number;
  readonly rssMb: number;
  /** False where the generator was the limit, or a call failed: the row then says nothing of the gateway. */
  readonly valid: boolean;
}

/** The whole gateway with echo calls over real sockets; generator and gateway each in a process of their own. */
export async function benchGateway(): Promise<void> {
  const at = machine();
  console.log(`\nThe gateway with simulated echo calls, ${HOLD_MS / 1000} s each step (${machineLine(at)})`);
  console.log('loopback, no TLS; generator in its own process on the same machine\n');
  const rows: Row[] = [];
  for (const calls of STEPS) rows.push(await step(calls));
  const us = (value: number) => value.toFixed(0);
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  console.log(
    table(
      [
        'calls',
        'socket→socket µs p50',
        'p99',
        'p99.9',
        'round trip ms p50',
        'p99',
        'p99.9',
        'dropped',
        'missing',
        'gateway CPU',
        'generator CPU',
        'RSS MB',
        'valid',
      ],
      rows.map((row) => [
        row.calls,
        us(row.gateway.p50Us),
        us(row.gateway.p99Us),
        us(row.gateway.p999Us),
        row.roundTrip.p50Ms.toFixed(2),
        row.roundTrip.p99Ms.toFixed(2),
        row.roundTrip.p999Ms.toFixed(2),
        row.dropped,
        row.missing,
        percent(row.gatewayCpu),
        percent(row.generatorCpu),
        row.rssMb.toFixed(0),
        row.valid ? 'yes' : 'no',
      ]),
    ),
  );
  const failed = rows.filter((row) => row.valid && !meetsBar(row));
  for (const { calls } of failed)
    console.log(`FAILED: ${calls} calls miss the bar (p99 under 5 ms, nothing dropped)`);
  if (failed.length > 0) process.exitCode = 1;
  writeResult('gateway', { machine: at, holdMs: HOLD_MS, rows });
}

/** What the gateway promises up to 300 calls on two cores, measured where it hurts: at the phones. */
function meetsBar({ gateway, roundTrip, dropped, missing }: Row): boolean {
  return gateway.p99Us < 5_000 && roundTrip.p99Ms < 5 && dropped === 0 && missing === 0;
}

async function step(calls: number): Promise<Row> {
  const gatewayOptions: GatewayOptions = {
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN] },
    logLevel: 'silent',
  };
  const gateway = startChild('gateway-process.ts', gatewayOptions);
  try {
    const { url } = await answerOf<{ url: string }>(gateway);
    const load: LoadOptions = {
      accountSid: ACCOUNT_SID,
      authToken: AUTH_TOKEN,
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      dial: { publicUrl: PUBLIC_URL, target: url },
      calls,
      rate: 100,
      durationMs: HOLD_MS,
      proofCalls: 0,
    };
    const generator = startChild('generator-process.ts', load);
    try {
      await answerOf<'hold'>(generator);
      gateway.send('reset');
      const before = await answerOf<GatewayReport>(gateway);
      const begun = performance.now();
      const finished = answerOf<LoadReport>(generator);
      // A little less than the hold, so that no hang-up falls into it.
      await new Promise((resolve) => setTimeout(resolve, HOLD_MS - 1_000));
      gateway.send('report');
      const after = await answerOf<GatewayReport>(gateway);
      const elapsed = performance.now() - begun;
      const report = await finished;
      const { droppedLead, droppedIntake, droppedBackpressure } = after.stats.traffic;
      return {
        calls,
        gateway: after.stats.latency.gateway,
        roundTrip: report.roundTrip,
        dropped: droppedLead + droppedIntake + droppedBackpressure,
        missing: report.framesMissing,
        gatewayCpu: (after.cpuMs - before.cpuMs) / elapsed,
        generatorCpu: report.generator.cpu,
        rssMb: after.rssMb,
        valid: !report.generatorLimited && report.failed === 0 && report.lostCalls === 0,
      };
    } finally {
      generator.kill();
    }
  } finally {
    gateway.kill();
  }
}
