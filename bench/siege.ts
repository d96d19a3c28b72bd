import { table } from '../src/cli/table.js';
import type { GatewayOptions } from '../src/index.js';
import type { LoadOptions, LoadReport } from '../src/simulator/index.js';
import { ATTACKS, type Attack, type AttackCounts, Attacker } from '../test/support/attacks.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { answerOf, startChild } from './child.js';
import type { GatewayReport } from './gateway-process.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const CALLS = 100;
const HOLD_MS = 1_000 * Number(process.env.SIEGE_SECONDS ?? 30);
const CONNECTIONS = [1, 200];
/** The bars: of the round trip while it lasts, and of memory. */
const MAX_P99_MS = 10;
const MAX_MORE_MB = 64;
const PUBLIC_URL = 'https://voice.example.com/edge';
const ACCOUNT_SID = `AC${'0'.repeat(32)}`;
const AUTH_TOKEN = 'bench';

interface Row {
  readonly name: string;
  readonly connections: number;
  readonly roundTrip: LoadReport['roundTrip'];
  /** Calls that ended, or never began. */
  readonly lost: number;
  readonly missing: number;
  /** Share of one core. */
  readonly gatewayCpu: number;
  readonly moreMb: number;
  readonly attack: AttackCounts | undefined;
}

export interface SiegeResult {
  readonly machine: Machine;
  readonly seconds: number;
  readonly rows: readonly Row[];
}

/** What strangers do to 100 calls that run. */
export async function benchSiege(): Promise<void> {
  const at = machine();
  console.log(`\nWhat strangers do to ${CALLS} calls, ${HOLD_MS / 1_000} s each (${machineLine(at)})`);
  console.log('gateway on one core, phones on the other, the attacker there as far as they leave it time\n');
  const cores = coresOf();
  if (cores !== undefined) pinSelf(cores.generator);
  const wanted = process.env.SIEGE_ATTACK;
  const attacks = ATTACKS.filter(({ name }) => wanted === undefined || name.includes(wanted));
  const rows = [await siege(undefined, 0)];
  for (const attack of attacks) {
    for (const connections of CONNECTIONS) {
      const row = await siege(attack, connections);
      console.log(
        `${row.name}, ${connections}: p99 ${row.roundTrip.p99Ms.toFixed(1)} ms, lost ${row.lost}, +${row.moreMb.toFixed(0)} MB`,
      );
      rows.push(row);
    }
  }
  console.log(
    `\n${table(
      [
        'attack',
        'from',
        'round trip ms p50',
        'p99',
        'p99.9',
        'lost',
        'missing',
        'CPU',
        'RSS +MB',
        'connections',
        'answers',
      ],
      rows.map((row) => [
        row.name,
        row.connections,
        row.roundTrip.p50Ms.toFixed(2),
        row.roundTrip.p99Ms.toFixed(2),
        row.roundTrip.p999Ms.toFixed(2),
        row.lost,
        row.missing,
        `${(100 * row.gatewayCpu).toFixed(0)} %`,
        row.moreMb.toFixed(0),
        row.attack?.connections ?? 0,
        row.attack?.answers ?? 0,
      ]),
    )}`,
  );
  for (const row of rows) {
    if (row.lost === 0 && row.roundTrip.p99Ms <= MAX_P99_MS && row.moreMb <= MAX_MORE_MB) continue;
    console.log(
      `FAILED: ${row.name} from ${row.connections} (p99 ${MAX_P99_MS} ms, ${MAX_MORE_MB} MB, none lost)`,
    );
    process.exitCode = 1;
  }
  if (wanted === undefined) {
    writeResult('siege', { machine: at, seconds: HOLD_MS / 1_000, rows } satisfies SiegeResult);
  }
}

/** 100 calls, and one attack while they run. */
async function siege(attack: Attack | undefined, connections: number): Promise<Row> {
  const cores = coresOf();
  const options: GatewayOptions = {
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN] },
    controlApiKey: 'a key for the bench of sieges',
    logLevel: 'silent',
  };
  const gateway = startChild('gateway-process.ts', options, cores?.gateway);
  try {
    const { url } = await answerOf<{ url: string }>(gateway);
    const load: LoadOptions = {
      accountSid: ACCOUNT_SID,
      authToken: AUTH_TOKEN,
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      dial: { publicUrl: PUBLIC_URL, target: url },
      calls: CALLS,
      rate: 100,
      durationMs: HOLD_MS,
      proofCalls: 0,
    };
    const generator = startChild('generator-process.ts', load, cores?.generator);
    try {
      await answerOf<'hold'>(generator);
      const reportOf = () => {
        gateway.send('report');
        return answerOf<GatewayReport>(gateway);
      };
      const before = await reportOf();
      const begun = performance.now();
      const finished = answerOf<LoadReport>(generator);
      const idle =
        cores === undefined ? [] : ['taskset', '-c', String(cores.generator), 'chrt', '--idle', '0'];
      const attacker = attack && (await Attacker.start(url, attack, connections, idle));
      let most = before.rssMb;
      let after = before;
      while (performance.now() - begun < HOLD_MS - 1_000) {
        await new Promise((resolve) => setTimeout(resolve, 500));
        after = await reportOf();
        most = Math.max(most, after.rssMb);
      }
      const elapsed = performance.now() - begun;
      const counts = await attacker?.counts();
      await attacker?.stop();
      const report = await finished;
      return {
        name: attack?.name ?? 'nobody',
        connections,
        roundTrip: report.roundTrip,
        lost: report.lostCalls + report.failed,
        missing: report.framesMissing,
        gatewayCpu: (after.cpuMs - before.cpuMs) / elapsed,
        moreMb: most - before.rssMb,
        attack: counts,
      };
    } finally {
      generator.kill();
    }
  } finally {
    gateway.kill();
  }
}
