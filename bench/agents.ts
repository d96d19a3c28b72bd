import { table } from '../src/cli/table.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { isValid } from './capacity/quality.js';
import { hold, type Outcome } from './capacity/trial.js';
import { answerOf, startChild } from './child.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

/** Gateways with and without agents in turn: so many of each, for so long, with so many calls. */
const { AGENTS_ROUNDS = '3', AGENTS_HOLD = '10', AGENTS_CALLS = '100,300,500' } = process.env;
const ROUNDS = Number(AGENTS_ROUNDS);
const HOLD_MS = Number(AGENTS_HOLD) * 1_000;
const SIZES = AGENTS_CALLS.split(',').map(Number);

/** Who says again what a caller says: the room itself, or an agent behind a socket of its own, at these rates. */
const KINDS = {
  room: undefined,
  'agent, 8 kHz': 8_000,
  'agent, 48 kHz': 48_000,
} as const;
type Kind = keyof typeof KINDS;

interface Row {
  readonly calls: number;
  readonly kind: Kind;
  /** Round trips at the phones; the median of the rounds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** In the gateway, p99: from a caller's message to the agent's. */
  readonly inP99Ms: number;
  readonly usPerPair: number;
  readonly gatewayCpu: number;
  readonly lost: number;
  /** Rounds in which generator and core were free to tell of the gateway. */
  readonly valid: number;
}

export interface AgentsResult {
  readonly machine: Machine;
  readonly holdMs: number;
  readonly rounds: number;
  readonly rows: readonly Row[];
  /** What an agent adds to p99 of the round trip, in milliseconds: the median of neighbours' differences, by calls and kind. */
  readonly addedP99Ms: Readonly<Record<string, number>>;
}

/** What a dialled agent adds to a caller's round trip, and what it costs the gateway. */
export async function benchAgents(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  console.log(`\nCalls with an agent each, ${ROUNDS} rounds of ${HOLD_MS / 1000} s (${machineLine(at)})`);
  if (!GeneratorProgram.isPossible()) {
    console.log('not measured: the generator needs Linux and g++');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  const agents = startChild('agent-process.mjs', {}, cores?.generator);
  const rows: Row[] = [];
  const addedP99Ms: Record<string, number> = {};
  try {
    const { port } = await answerOf<{ port: number }>(agents);
    const optionsOf = (rate: (typeof KINDS)[Kind]) =>
      rate === undefined ? {} : { agent: `ws://127.0.0.1:${port}`, agents: { rate } };
    for (const calls of SIZES) {
      const outcomes = new Map<Kind, Outcome[]>();
      for (let round = 0; round < ROUNDS; round++) {
        for (const [kind, rate] of Object.entries(KINDS) as [Kind, (typeof KINDS)[Kind]][]) {
          const setting = { program, cores, calls, warmUpMs: 3_000, options: optionsOf(rate) };
          const outcome = await hold(setting, HOLD_MS);
          outcomes.set(kind, [...(outcomes.get(kind) ?? []), outcome]);
          const { roundTrip } = outcome.phones;
          console.log(
            `${calls} ${kind}: p50 ${roundTrip.p50Ms.toFixed(2)}, p99 ${roundTrip.p99Ms.toFixed(2)} ms`,
          );
        }
      }
      for (const [kind, each] of outcomes) {
        rows.push(rowOf(calls, kind, each));
        const room = outcomes.get('room') as Outcome[];
        addedP99Ms[`${calls} ${kind}`] = median(
          each.map((outcome, i) => p99Of(outcome) - p99Of(room[i] as Outcome)),
        );
      }
    }
  } finally {
    agents.kill();
    program.remove();
  }
  console.log(
    table(
      [
        'calls',
        'who answers',
        'p50 ms',
        'p99 ms',
        'added to p99',
        'in p99',
        'µs CPU a pair',
        'gateway CPU',
        'lost',
        'valid',
      ],
      rows.map((row) => [
        row.calls,
        row.kind,
        row.p50Ms.toFixed(2),
        row.p99Ms.toFixed(2),
        (addedP99Ms[`${row.calls} ${row.kind}`] ?? 0).toFixed(2),
        row.inP99Ms.toFixed(2),
        row.usPerPair.toFixed(1),
        `${(row.gatewayCpu * 100).toFixed(0)} %`,
        row.lost,
        `${row.valid} of ${ROUNDS}`,
      ]),
    ),
  );
  writeResult('agents', {
    machine: at,
    holdMs: HOLD_MS,
    rounds: ROUNDS,
    rows,
    addedP99Ms,
  } satisfies AgentsResult);
}

function rowOf(calls: number, kind: Kind, outcomes: readonly Outcome[]): Row {
  return {
    calls,
    kind,
    p50Ms: median(outcomes.map(({ phones }) => phones.roundTrip.p50Ms)),
    p99Ms: median(outcomes.map(p99Of)),
    inP99Ms: median(outcomes.map(({ legHeard }) => legHeard.p99Us / 1_000)),
    usPerPair: median(
      outcomes.map(({ gatewayCpu, phones }) => (gatewayCpu * phones.heldMs * 1_000) / phones.sent),
    ),
    gatewayCpu: median(outcomes.map(({ gatewayCpu }) => gatewayCpu)),
    lost: outcomes.reduce((sum, { phones }) => sum + phones.missing + phones.discarded + phones.lost, 0),
    valid: outcomes.filter(isValid).length,
  };
}

function p99Of({ phones }: Outcome): number {
  return phones.roundTrip.p99Ms;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
