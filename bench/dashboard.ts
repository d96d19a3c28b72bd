import { setTimeout as pause } from 'node:timers/promises';
import { table } from '../src/cli/table.js';
import { findChromium } from '../test/support/browser/chromium.js';
import { Tab } from '../test/support/browser/devtools.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { isValid } from './capacity/quality.js';
import { type Held, type Trial, withCalls } from './capacity/trial.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const { env } = process;
/** Shorter or elsewhere by DASHBOARD_CALLS=500, DASHBOARD_HOLD=10 (seconds), DASHBOARD_ROUNDS=5. */
const CALLS = Number(env.DASHBOARD_CALLS ?? 500);
const HOLD_MS = Number(env.DASHBOARD_HOLD ?? 10) * 1_000;
const ROUNDS = Number(env.DASHBOARD_ROUNDS ?? 5);
const WARM_UP_MS = 5_000;
/** After the page was opened or left, until frames are counted. */
const SETTLE_MS = 2_000;
/** How often a disturbed round is repeated. */
const RETRIES = 4;
/** With the page open p99 may be so many times what it is without. */
export const BAR = 1.1;
const KEY = 'control-key-of-the-bench';

/** Undisturbed holds of one kind: medians, and each round's. */
interface Figures {
  /** p99 of frames within the gateway, microseconds. */
  readonly gatewayP99Us: number;
  readonly gatewayRounds: readonly number[];
  /** p99 of the phones' round trips, ms. */
  readonly p99Ms: number;
  readonly rounds: readonly number[];
  /** Shares of one core. */
  readonly gatewayCpu: number;
  readonly missing: number;
  readonly dropped: number;
}

export interface DashboardResult {
  readonly machine: Machine;
  readonly calls: number;
  readonly holdMs: number;
  readonly pinned: boolean;
  readonly without: Figures;
  readonly withPage: Figures;
  /** How many times the p99 without the page the one with it is: of the medians, and of each pair. */
  readonly times: number;
  readonly timesOfPairs: readonly number[];
  /** Rounds run, and undisturbed ones, from which the figures are. */
  readonly rounds: number;
  readonly validRounds: number;
  /** What the browser complained of. */
  readonly complaints: readonly string[];
}

interface Pair {
  readonly without: Held;
  readonly withPage: Held;
  readonly isVoid: boolean;
}

/** What a browser that watches costs those who talk: the same calls are held without the page and with it, in turn. */
export async function benchDashboard(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  const chromium = findChromium();
  console.log(
    `\ndashboard, ${CALLS} calls, ${HOLD_MS / 1000} s each hold, ${ROUNDS} rounds (${machineLine(at)})`,
  );
  console.log(
    `loopback, no TLS; gateway and phones ${cores === undefined ? 'NOT pinned' : 'on a core each'}`,
  );
  if (chromium === undefined || !GeneratorProgram.isPossible()) {
    console.log('not measured: it needs Chromium, Linux and g++');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  // On the phones' core, where it runs only while they need it not: the gateway is measured, not the browser.
  const tab = await Tab.open(chromium, { before: ['chrt', '--idle', '0'] });
  try {
    const setting = { program, cores, warmUpMs: WARM_UP_MS, calls: CALLS, options: { controlApiKey: KEY } };
    const pairs = await withCalls(setting, (trial) => pairsOf(trial, tab));
    const valid = pairs.filter(({ isVoid }) => !isVoid);
    if (valid.length === 0) {
      console.log('not measured: every round was disturbed by other processes');
      return;
    }
    const result = resultOf(valid, pairs.length, at, cores !== undefined, tab.complaints);
    console.log(`\n${tableOf(result)}`);
    console.log(`with the page ${result.times.toFixed(2)} times the p99 in the gateway; bar: ${BAR}`);
    writeResult('dashboard', result);
  } finally {
    await tab.close();
    program.remove();
  }
}

async function pairsOf(trial: Trial, tab: Tab): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // Who goes first changes: a machine that gets slower or faster favours neither.
    const pair = await undisturbed(trial, tab, round % 2 === 1);
    const { without, withPage, isVoid } = pair;
    pairs.push(pair);
    console.log(
      `without ${us(without).toFixed(0)} µs, with ${us(withPage).toFixed(0)} µs in the gateway; round trips ` +
        `${ms(without).toFixed(2)} and ${ms(withPage).toFixed(2)} ms${isVoid ? ', void' : ''}`,
    );
  }
  return pairs;
}

async function undisturbed(trial: Trial, tab: Tab, pageFirst: boolean): Promise<Pair> {
  for (let attempts = 1; ; attempts++) {
    const first = await holdOnce(trial, tab, pageFirst);
    const second = await holdOnce(trial, tab, !pageFirst);
    const [withPage, without] = pageFirst ? [first, second] : [second, first];
    const isVoid = !isValid(without) || !isValid(withPage);
    if (!isVoid || attempts > RETRIES) return { without, withPage, isVoid };
  }
}

async function holdOnce(trial: Trial, tab: Tab, isWatched: boolean): Promise<Held> {
  if (isWatched) await watch(trial.url, tab);
  else await tab.go('about:blank');
  await pause(SETTLE_MS);
  await trial.settle();
  const held = await trial.hold(HOLD_MS);
  // A page that stopped showing calls would be measured as a cheap one.
  if (isWatched) await tab.until(`document.getElementById('link').textContent === 'live'`, 1_000);
  return held;
}

async function watch(url: string, tab: Tab): Promise<void> {
  await tab.go(`${url}/dashboard`);
  await tab.read(`sessionStorage.setItem('key', ${JSON.stringify(KEY)})`);
  await tab.go(`${url}/dashboard`);
  await tab.until(`document.getElementById('calls-count').textContent === '${CALLS}'`, 60_000);
}

function resultOf(
  valid: readonly Pair[],
  rounds: number,
  at: Machine,
  pinned: boolean,
  complaints: string[],
): DashboardResult {
  const without = figuresOf(valid.map((pair) => pair.without));
  const withPage = figuresOf(valid.map((pair) => pair.withPage));
  return {
    machine: at,
    calls: CALLS,
    holdMs: HOLD_MS,
    pinned,
    without,
    withPage,
    times: withPage.gatewayP99Us / without.gatewayP99Us,
    timesOfPairs: valid.map((pair) => us(pair.withPage) / us(pair.without)),
    rounds,
    validRounds: valid.length,
    complaints,
  };
}

function figuresOf(held: readonly Held[]): Figures {
  return {
    gatewayP99Us: median(held.map(us)),
    gatewayRounds: held.map(us),
    p99Ms: median(held.map(ms)),
    rounds: held.map(ms),
    gatewayCpu: median(held.map(({ gatewayCpu }) => gatewayCpu)),
    missing: held.reduce((sum, { phones }) => sum + phones.missing + phones.discarded, 0),
    dropped: held.reduce((sum, { dropped }) => sum + dropped, 0),
  };
}

function tableOf({ without, withPage, rounds, validRounds }: DashboardResult): string {
  const row = (name: string, figures: Figures) => [
    name,
    figures.gatewayP99Us.toFixed(0),
    figures.gatewayRounds.map((each) => each.toFixed(0)).join(' '),
    figures.p99Ms.toFixed(2),
    figures.rounds.map((each) => each.toFixed(2)).join(' '),
    `${(figures.gatewayCpu * 100).toFixed(1)} %`,
    figures.missing,
    figures.dropped,
    `${validRounds} of ${rounds}`,
  ];
  return table(
    [
      'page',
      'in the gateway µs p99',
      'rounds',
      'round trip ms p99',
      'rounds',
      'gateway CPU',
      'missing',
      'dropped',
      'undisturbed rounds',
    ],
    [row('closed', without), row('open', withPage)],
  );
}

const us = ({ gateway }: Held) => gateway.p99Us;
const ms = ({ phones }: Held) => phones.roundTrip.p99Ms;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
