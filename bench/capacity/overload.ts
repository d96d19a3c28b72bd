import { setTimeout as pause } from 'node:timers/promises';
import { table } from '../../src/cli/table.js';
import { type Machine, machine, machineLine } from '../machine.js';
import { readResult, writeResult } from '../result.js';
import { coresOf, pinSelf } from './cores.js';
import { GeneratorProgram } from './generator.js';
import { isValid } from './quality.js';
import { type Held, type Setting, type Trial, withCalls } from './trial.js';

const { env } = process;
/** Shorter or elsewhere by OVERLOAD_CALLS=600,900 (values of MAX_CALLS), OVERLOAD_HOLD=2 (seconds), OVERLOAD_ROUNDS=3. */
const HOLD_MS = Number(env.OVERLOAD_HOLD ?? 10) * 1_000;
const WARM_UP_MS = 5_000;
/** Between two holds. */
const PAUSE_MS = 500;
const ROUNDS = Number(env.OVERLOAD_ROUNDS ?? 5);
/** What MAX_CALLS may be, as shares of the calls that one core holds. */
const SHARES = [0.4, 0.6, 0.8];
/** Calls are counted in these. */
const STEP = 50;
/** Half as many calls again are offered to a gateway that is full, */
const EXCESS = 0.5;
/** and its calls' p99 may become so many times what it was. */
export const BAR = 2;
/** How often a disturbed round is repeated. */
const RETRIES = 4;

/** One kind of trial: medians of its rounds. */
export interface LoadFigures {
  /** p99 of the admitted calls' round trips, ms: median, and each round's. */
  readonly p99Ms: number;
  readonly rounds: readonly number[];
  /** p99 of how late the phones' frames left, ms: the machine's doing, not the gateway's. */
  readonly lateP99Ms: number;
  /** p99 of frames within the gateway, microseconds. */
  readonly gatewayP99Us: number;
  /** Shares of one core: the gateway's, and what it was kept from it by others. */
  readonly gatewayCpu: number;
  readonly gatewayWaited: number;
  /** Of all rounds together. */
  readonly missing: number;
  readonly dropped: number;
}

/** A gateway with one `MAX_CALLS`: full, and full while more are offered. */
export interface OverloadRow {
  readonly maxCalls: number;
  readonly offered: number;
  /** Callers rejected as busy, median; and the p99 of their wait over all rounds, in ms. */
  readonly busy: number;
  readonly busyP99Ms: number;
  readonly full: LoadFigures;
  readonly overloaded: LoadFigures;
  /** How many times the p99 without the offers the p99 with them is. */
  readonly times: number;
  /** Rounds, and undisturbed ones, from which the figures are, if there are any. */
  readonly rounds: number;
  readonly validRounds: number;
  /** Pairs of holds in all, those included that were held again. */
  readonly pairs: number;
  /** How many times, of each undisturbed pair: what `times` says in short. */
  readonly timesOfPairs: readonly number[];
}

export interface OverloadResult {
  readonly machine: Machine;
  readonly holdMs: number;
  readonly pinned: boolean;
  readonly rows: readonly OverloadRow[];
}

/**
 * What refusing half as many calls again does to those who talk: each round holds the same calls without the offers and with
 * them, one after the other, so that both see the same gateway and the same machine.
 */
export async function benchOverload(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  console.log(`\n150 % offered, ${HOLD_MS / 1000} s each hold, ${ROUNDS} rounds (${machineLine(at)})`);
  console.log(
    `loopback, no TLS; gateway and phones ${cores === undefined ? 'NOT pinned' : 'on a core each'}`,
  );
  if (!GeneratorProgram.isPossible()) {
    console.log('not measured: the generator needs Linux and g++');
    return;
  }
  const levels = levelsOf();
  if (levels.length === 0) {
    console.log('not measured: run the capacity bench first, or say OVERLOAD_CALLS');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  try {
    const rows: OverloadRow[] = [];
    for (const maxCalls of levels)
      rows.push(await level({ program, cores, warmUpMs: WARM_UP_MS, calls: maxCalls }));
    console.log(`\n${overloadTable(rows)}`);
    const result: OverloadResult = { machine: at, holdMs: HOLD_MS, pinned: cores !== undefined, rows };
    writeResult('overload', result);
  } finally {
    program.remove();
  }
}

/** As asked for, or shares of what the capacity bench last found. */
function levelsOf(): number[] {
  if (env.OVERLOAD_CALLS !== undefined) return env.OVERLOAD_CALLS.split(',').map(Number);
  const { capacity = 0 } = readResult<{ capacity: number }>('capacity') ?? {};
  return SHARES.map((share) => Math.floor((capacity * share) / STEP) * STEP).filter((calls) => calls > 0);
}

function level(setting: Setting): Promise<OverloadRow> {
  return withCalls(setting, (trial) => rowOf(trial, setting.calls));
}

async function rowOf(trial: Trial, calls: number): Promise<OverloadRow> {
  const excess = Math.round(calls * EXCESS);
  const pairs: Pair[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // Who goes first changes: a machine that gets slower or faster favours neither.
    const pair = await undisturbed(trial, excess, round % 2 === 1);
    const { without, withOffers, isVoid } = pair;
    pairs.push(pair);
    console.log(
      `MAX_CALLS ${calls}: p99 ${p99(without).toFixed(2)} ms, offered ${calls + excess}: ${p99(withOffers).toFixed(2)} ms` +
        `; late ${late(without).toFixed(2)} and ${late(withOffers).toFixed(2)} ms${isVoid ? ', void' : ''}`,
    );
  }
  const valid = pairs.filter(({ isVoid }) => !isVoid);
  const told = valid.length > 0 ? valid : pairs;
  const full = figuresOf(told.map(({ without }) => without));
  const offers = told.map(({ withOffers }) => withOffers);
  const overloaded = figuresOf(offers);
  return {
    maxCalls: calls,
    offered: calls + excess,
    busy: median(offers.map((each) => each.excess?.busy ?? 0)),
    busyP99Ms: percentile(
      offers.flatMap((each) => each.excess?.busyMs ?? []),
      0.99,
    ),
    full,
    overloaded,
    times: overloaded.p99Ms / full.p99Ms,
    rounds: ROUNDS,
    validRounds: valid.length,
    pairs: sum(pairs.map(({ attempts }) => attempts)),
    timesOfPairs: valid.map(({ without, withOffers }) => p99(withOffers) / p99(without)),
  };
}

interface Pair {
  readonly without: Held;
  readonly withOffers: Held;
  readonly isVoid: boolean;
  /** Pairs held for it. */
  readonly attempts: number;
}

/** An undisturbed pair of holds, if there is one within several attempts. */
async function undisturbed(trial: Trial, excess: number, offersFirst: boolean): Promise<Pair> {
  for (let attempts = 1; ; attempts++) {
    const first = await holdOnce(trial, offersFirst ? excess : 0);
    const second = await holdOnce(trial, offersFirst ? 0 : excess);
    const [without, withOffers] = offersFirst ? [second, first] : [first, second];
    const isVoid = !isValid(without) || !isValid(withOffers);
    if (!isVoid || attempts > RETRIES) return { without, withOffers, isVoid, attempts };
  }
}

async function holdOnce(trial: Trial, excess: number): Promise<Held> {
  await trial.settle();
  await pause(PAUSE_MS);
  return trial.hold(HOLD_MS, excess);
}

function figuresOf(outcomes: readonly Held[]): LoadFigures {
  return {
    p99Ms: median(outcomes.map(p99)),
    rounds: outcomes.map(p99),
    lateP99Ms: median(outcomes.map(late)),
    gatewayP99Us: median(outcomes.map(({ gateway }) => gateway.p99Us)),
    gatewayCpu: median(outcomes.map(({ gatewayCpu }) => gatewayCpu)),
    gatewayWaited: median(outcomes.map(({ gatewayWaited }) => gatewayWaited)),
    missing: sum(outcomes.map(({ phones }) => phones.missing + phones.discarded)),
    dropped: sum(outcomes.map(({ dropped }) => dropped)),
  };
}

function overloadTable(rows: readonly OverloadRow[]): string {
  return table(
    [
      'MAX_CALLS',
      'offered',
      'busy',
      'busy after ms p99',
      'p99 ms',
      'rounds',
      'late',
      'overloaded p99 ms',
      'rounds',
      'late',
      'times',
      'socket→socket µs p99',
      'gateway CPU',
      'missing',
      'dropped',
      'undisturbed rounds',
    ],
    rows.map(({ full, overloaded, ...row }) => [
      row.maxCalls,
      row.offered,
      row.busy,
      row.busyP99Ms.toFixed(1),
      full.p99Ms.toFixed(2),
      full.rounds.map((ms) => ms.toFixed(2)).join(' '),
      full.lateP99Ms.toFixed(2),
      overloaded.p99Ms.toFixed(2),
      overloaded.rounds.map((ms) => ms.toFixed(2)).join(' '),
      overloaded.lateP99Ms.toFixed(2),
      `${row.times.toFixed(2)} (${row.timesOfPairs.map((times) => times.toFixed(2)).join(' ')})`,
      `${full.gatewayP99Us.toFixed(0)} → ${overloaded.gatewayP99Us.toFixed(0)}`,
      `${percent(full.gatewayCpu)} → ${percent(overloaded.gatewayCpu)}`,
      full.missing + overloaded.missing,
      full.dropped + overloaded.dropped,
      `${row.validRounds} of ${row.rounds} (${row.pairs} pairs held)`,
    ]),
  );
}

const p99 = ({ phones }: Held) => phones.roundTrip.p99Ms;
const late = ({ phones }: Held) => phones.lateness.p99Ms;
const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
