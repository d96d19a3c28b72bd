import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { table } from '../src/cli/table.js';
import { Account } from './capacity/account.js';
import { type Cores, coresOf, pinSelf } from './capacity/cores.js';
import { Generator, GeneratorProgram, type GeneratorReport } from './capacity/generator.js';
import { LIMITS } from './capacity/quality.js';
import { answerOf, startChild } from './child.js';
import { type Machine, machine, machineLine } from './machine.js';
import { coreTimes, waitedMs } from './processor.js';
import { writeResult } from './result.js';

/** Shorter by RAMP_ROUNDS=1, RAMP_CALLS=50,100 (running, and placed besides). */
const { RAMP_ROUNDS = '5', RAMP_CALLS = '200,300' } = process.env;
const ROUNDS = Number(RAMP_ROUNDS);
const [RUNNING = 0, PLACED = 0] = RAMP_CALLS.split(',').map(Number);
const RAMP_MS = 5_000;
const WARM_UP_MS = 3_000;
/** What a running call may hear of it: p99.9 of its round trips. */
const BAR_MS = 5;
/** The host of a virtual machine may keep so much of it. */
const MAX_STOLEN = 0.01;
/** V8's flags: none, as a gateway runs, and those that might suit one core. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  none: [],
  'one core': ['--single-threaded-gc', '--max-semi-space-size=1'],
};

/** One ramp. Shares are of one core, but what was stolen: of the machine. */
interface Ramp {
  readonly roundTrip: GeneratorReport['roundTrip'];
  readonly lateness: GeneratorReport['lateness'];
  readonly missing: number;
  readonly failed: number;
  readonly gatewayCpu: number;
  /** The gateway was ready to run and had no core. */
  readonly gatewayWaited: number;
  readonly stolen: number;
  readonly valid: boolean;
}

interface Row {
  readonly flags: string;
  /** Medians of the valid rounds; of all, where none is. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  readonly gatewayCpu: number;
  readonly valid: number;
  readonly rounds: readonly Ramp[];
}

export interface RampResult {
  readonly machine: Machine;
  readonly running: number;
  readonly placed: number;
  readonly rampMs: number;
  readonly pinned: boolean;
  readonly barMs: number;
  readonly rows: readonly Row[];
}

/** What running calls hear while many others begin. */
export async function benchRamp(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  console.log(
    `\n${PLACED} calls placed in ${RAMP_MS / 1_000} s beside ${RUNNING}, ${ROUNDS} rounds (${machineLine(at)})`,
  );
  if (!GeneratorProgram.isPossible()) {
    console.log('not measured: the generator needs Linux and g++');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  const ramps: Record<string, Ramp[]> = {};
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const names = Object.keys(FLAGS);
      for (const name of round % 2 === 0 ? names : names.reverse()) {
        const ramp = await rampOf(program, cores, FLAGS[name] ?? []);
        ramps[name] = [...(ramps[name] ?? []), ramp];
        const { p99Ms, p999Ms, maxMs } = ramp.roundTrip;
        console.log(
          `${name}: p99 ${p99Ms.toFixed(2)}, p99.9 ${p999Ms.toFixed(2)}, most ${maxMs.toFixed(2)} ms, stolen ${percent(ramp.stolen)}${ramp.valid ? '' : ', void'}`,
        );
      }
    }
  } finally {
    program.remove();
  }
  const rows = Object.entries(ramps).map(([flags, all]) => rowOf(flags, all));
  console.log(
    `\n${table(
      ['V8 flags', 'p50 ms', 'p99 ms', 'p99.9 ms', 'most ms', 'gateway CPU', 'valid'],
      rows.map((row) => [
        row.flags,
        ...[row.p50Ms, row.p99Ms, row.p999Ms, row.maxMs].map((ms) => ms.toFixed(2)),
        percent(row.gatewayCpu),
        `${row.valid} of ${ROUNDS}`,
      ]),
    )}\nbar: p99.9 of ${BAR_MS} ms`,
  );
  const result: RampResult = {
    machine: at,
    running: RUNNING,
    placed: PLACED,
    rampMs: RAMP_MS,
    pinned: cores !== undefined,
    barMs: BAR_MS,
    rows,
  };
  writeResult('ramp', result);
}

/** Running calls and those placed besides have generators of their own: only the former are measured. */
async function rampOf(
  program: GeneratorProgram,
  cores: Cores | undefined,
  flags: readonly string[],
): Promise<Ramp> {
  const options = { ...Account.gatewayOptions, port: 0, maxCalls: RUNNING + PLACED, logLevel: 'silent' };
  const gateway = startChild('capacity/gateway-process.mjs', options, cores?.gateway, false, flags);
  const generators: Generator[] = [];
  const generatorOf = async (phones: number) => {
    const generator = await Generator.start(program, phones, cores?.generator);
    generators.push(generator);
    return generator;
  };
  try {
    const { url } = await answerOf<{ url: string }>(gateway);
    const account = new Account(url);
    const running = await generatorOf(RUNNING);
    const others = await generatorOf(PLACED);
    await account.placeMany(RUNNING, RUNNING, (order) => running.call(order));
    await running.connected(RUNNING);
    await running.settle();
    await pause(WARM_UP_MS);
    const pid = gateway.pid as number;
    const read = async () => {
      const answer = answerOf<{ cpuMs: number }>(gateway);
      gateway.send('report');
      const { cpuMs } = await answer;
      return { at: performance.now(), cpuMs, waited: waitedMs(pid), stolen: coreTimes().stolenMs };
    };
    const before = await read();
    await running.hold();
    const placed = await account.placeMany(PLACED, (PLACED * 1_000) / RAMP_MS, (order) => others.call(order));
    await others.connected(placed.admitted);
    const after = await read();
    const phones = await running.endHold();
    const elapsed = after.at - before.at;
    const gatewayWaited = (after.waited - before.waited) / elapsed;
    const stolen = (after.stolen - before.stolen) / elapsed / cpus().length;
    return {
      roundTrip: phones.roundTrip,
      lateness: phones.lateness,
      missing: phones.missing,
      failed: placed.errors.length + others.progress.failed + phones.lost,
      gatewayCpu: (after.cpuMs - before.cpuMs) / elapsed,
      gatewayWaited,
      stolen,
      valid:
        phones.lateness.p99Ms <= LIMITS.latenessMs && gatewayWaited <= LIMITS.waited && stolen <= MAX_STOLEN,
    };
  } finally {
    for (const generator of generators) generator.kill();
    gateway.kill('SIGKILL');
  }
}

function rowOf(flags: string, rounds: readonly Ramp[]): Row {
  const valid = rounds.filter((ramp) => ramp.valid);
  const told = valid.length > 0 ? valid : rounds;
  const of = (value: (ramp: Ramp) => number) => median(told.map(value));
  return {
    flags,
    p50Ms: of(({ roundTrip }) => roundTrip.p50Ms),
    p99Ms: of(({ roundTrip }) => roundTrip.p99Ms),
    p999Ms: of(({ roundTrip }) => roundTrip.p999Ms),
    maxMs: of(({ roundTrip }) => roundTrip.maxMs),
    gatewayCpu: of(({ gatewayCpu }) => gatewayCpu),
    valid: valid.length,
    rounds,
  };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
