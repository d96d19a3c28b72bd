import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { table } from '../src/cli/table.js';
import { Account } from './capacity/account.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { type Machine, machine, machineLine } from './machine.js';
import { type Conditions, isValid, type Load, load } from './peers/load.js';
import type { Peer, RunningPeer } from './peers/peer.js';
import { trunkline } from './peers/trunkline.js';
import { coreTimes, processTree } from './processor.js';
import { writeResult } from './result.js';

const { WORKERS_ROUNDS = '5', WORKERS_HOLD = '10' } = process.env;
const ROUNDS = Number(WORKERS_ROUNDS);
const HOLD_MS = Number(WORKERS_HOLD) * 1_000;
/** Calls by which the cost is measured, and those that reach random workers. */
const CALLS = 300;
const RANDOM_CALLS = 400;
/** Calls of each simulator, and how many simulators call: half of the calls are at either worker. */
const CALLS_EACH = 100;
const SIMULATORS = 2;
/** How often all workers are replaced, one after the other. */
const ROLLS = 5;
const CLI = fileURLToPath(new URL('../dist/cli/trunkline.js', import.meta.url));

/** What a simulator tells in its report, as far as it is read here. */
interface Report {
  readonly calls: number;
  readonly failed: number;
  readonly lostCalls: number;
  readonly handovers: {
    readonly count: number;
    readonly unheard: number;
    readonly gap: { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number };
  };
}

/** What callers noticed while workers ended. */
interface Life {
  readonly what: string;
  readonly calls: number;
  /** Calls that failed or were cut off. */
  readonly lost: number;
  readonly handovers: number;
  /** Handovers after which nothing was heard. */
  readonly unheard: number;
  /** Silence of a handover in milliseconds; of the simulators' p99 the worst. */
  readonly gapP50Ms: number;
  readonly gapP99Ms: number;
  readonly gapMaxMs: number;
  /** Share of the whole machine that its host gave to others. */
  readonly stolen: number;
}

/** Calls whose webhook and socket reach random workers. */
interface Random {
  readonly calls: number;
  readonly lost: number;
  /** Calls that the workers have when all are connected: more, if two took one token. */
  readonly active: number;
  /** Of these, at each worker. */
  readonly spread: readonly number[];
}

export interface WorkersResult {
  readonly machine: Machine;
  readonly holdMs: number;
  readonly calls: number;
  /** Of each round: microseconds of CPU for a frame in and one out. */
  readonly rounds: readonly {
    readonly one: number;
    readonly two: number;
    readonly isValid: boolean;
  }[];
  /** CPU of two workers in parts of that of one process: the median of neighbours' ratios. */
  readonly ratio: number;
  readonly random: Random;
  readonly lives: readonly Life[];
}

/** What a second worker costs, and what callers notice when workers end. */
export async function benchWorkers(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  console.log(`\nTwo workers, ${ROUNDS} rounds of ${HOLD_MS / 1000} s (${machineLine(at)})`);
  if (!GeneratorProgram.isPossible()) {
    console.log('not measured: the generator needs Linux and g++');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  const one = trunkline('one process');
  const two = trunkline('two workers', { WORKERS: '2' });
  try {
    const conditions = { program, cores, warmUpMs: 3_000, holdMs: HOLD_MS };
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      const loads: Load[] = [];
      for (const peer of [one, two]) loads.push(await load(peer, CALLS, conditions));
      const [alone, together] = loads as [Load, Load];
      rounds.push({
        one: alone.usPerPair,
        two: together.usPerPair,
        isValid: loads.every(isValid),
      });
      console.log(
        `${CALLS} calls: one process ${alone.usPerPair.toFixed(1)} µs a frame pair, two workers ${together.usPerPair.toFixed(1)}`,
      );
    }
    const random = await connectAtRandom(two, { ...conditions, cores: undefined });
    const lives = [
      await live('a worker is killed', 25, async (server) => {
        const [, victim] = processTree(server.pids[0] as number);
        process.kill(victim as number, 'SIGKILL');
      }),
      await live(`all are replaced, ${ROLLS} times`, 100, async (server) => {
        for (let roll = 0; roll < ROLLS; roll++) await replaceAll(server.pids[0] as number);
      }),
    ];
    const ratio = median(rounds.map((round) => round.two / round.one));
    const result: WorkersResult = {
      machine: at,
      holdMs: HOLD_MS,
      calls: CALLS,
      rounds,
      ratio,
      random,
      lives,
    };
    const valid = rounds.filter((round) => round.isValid).length;
    console.log(`two workers cost ${ratio.toFixed(2)} times as much CPU; ${valid} of ${ROUNDS} rounds valid`);
    console.log(
      `${random.calls} calls at random workers: ${random.lost} lost, ${random.active} active (${random.spread.join(' + ')})`,
    );
    console.log(
      table(
        ['what', 'calls', 'lost', 'handovers', 'unheard', 'silence p50 ms', 'p99', 'max', 'stolen'],
        lives.map((life) => [
          life.what,
          life.calls,
          life.lost,
          life.handovers,
          life.unheard,
          life.gapP50Ms.toFixed(0),
          life.gapP99Ms.toFixed(0),
          life.gapMaxMs.toFixed(0),
          `${(100 * life.stolen).toFixed(1)} %`,
        ]),
      ),
    );
    writeResult('workers', result);
  } finally {
    program.remove();
  }
}

async function connectAtRandom(peer: Peer, conditions: Conditions): Promise<Random> {
  let spread: number[] = [];
  const watched: Peer = {
    ...peer,
    async start(core) {
      const server = await peer.start(core);
      return {
        ...server,
        async onConnected() {
          const answer = await fetch(`http://127.0.0.1:${server.port}/health`);
          const { workers } = (await answer.json()) as { workers: { calls: number }[] };
          spread = workers.map(({ calls }) => calls);
        },
      };
    },
  };
  const { lostBefore, phones } = await load(watched, RANDOM_CALLS, conditions);
  return {
    calls: RANDOM_CALLS,
    lost: lostBefore + phones.failed + phones.lost,
    active: spread.reduce((sum, calls) => sum + calls, 0),
    spread,
  };
}

/** Places calls by simulators, lets `work` happen to the workers, and says what the callers noticed. */
async function live(
  what: string,
  seconds: number,
  work: (server: RunningPeer) => Promise<void>,
): Promise<Life> {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-workers-'));
  const server = await trunkline(what, { WORKERS: '2' }).start();
  const stolenBefore = coreTimes().stolenMs;
  const begun = performance.now();
  try {
    const files = Array.from({ length: SIMULATORS }, (_, i) => join(folder, `${i}.json`));
    const simulators = files.map((file) => simulate(server.port, file, seconds));
    await pause(12_000);
    await work(server);
    await Promise.all(simulators);
    const reports = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Report);
    const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0);
    const worst = (of: (report: Report) => number) => Math.max(...reports.map(of));
    const stolen = (coreTimes().stolenMs - stolenBefore) / (performance.now() - begun) / machine().cores;
    return {
      what,
      calls: sum(({ calls }) => calls),
      lost: sum(({ failed, lostCalls }) => failed + lostCalls),
      handovers: sum(({ handovers }) => handovers.count),
      unheard: sum(({ handovers }) => handovers.unheard),
      gapP50Ms: median(reports.map(({ handovers }) => handovers.gap.p50Ms)),
      gapP99Ms: worst(({ handovers }) => handovers.gap.p99Ms),
      gapMaxMs: worst(({ handovers }) => handovers.gap.maxMs),
      stolen,
    };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Resolves when the simulator has ended. */
async function simulate(port: number, file: string, seconds: number): Promise<void> {
  const { accountSid, authToken, webhookUrl } = new Account(`http://127.0.0.1:${port}`).phoneOptions;
  const child = spawn(
    process.execPath,
    [
      CLI,
      'simulate',
      ...['--url', webhookUrl, '--target', `http://127.0.0.1:${port}`],
      ...[
        '--calls',
        String(CALLS_EACH),
        '--duration',
        String(seconds),
        '--fail-missing',
        '100',
        '--json',
        file,
      ],
    ],
    {
      stdio: 'ignore',
      env: { ...process.env, TWILIO_ACCOUNT_SID: accountSid, TWILIO_AUTH_TOKEN: authToken },
    },
  );
  await once(child, 'exit');
}

/** Asks the supervisor to replace its workers, and waits until none of them is left. */
async function replaceAll(supervisor: number): Promise<void> {
  const before = new Set(processTree(supervisor).slice(1));
  process.kill(supervisor, 'SIGHUP');
  while (processTree(supervisor).some((pid) => before.has(pid))) await pause(100);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
