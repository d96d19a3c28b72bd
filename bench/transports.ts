import { table } from '../src/cli/table.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { isOk, isValid } from './capacity/quality.js';
import { hold, type Outcome } from './capacity/trial.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

/** Gateways of either transport in turn: so many of each, for so long. */
const { TRANSPORT_ROUNDS = '5', TRANSPORT_HOLD = '10', TRANSPORT_CALLS = '300,700' } = process.env;
const ROUNDS = Number(TRANSPORT_ROUNDS);
const HOLD_MS = Number(TRANSPORT_HOLD) * 1_000;
const SIZES = TRANSPORT_CALLS.split(',').map(Number);
const TRANSPORTS = ['uws', 'node'] as const;

interface Row {
  readonly calls: number;
  readonly server: (typeof TRANSPORTS)[number];
  /** Of the gateway's process, a frame in and a frame out; the median of the rounds. */
  readonly usPerPair: number;
  readonly p99Ms: readonly number[];
  readonly gatewayCpu: number;
  readonly held: number;
  /** Rounds in which generator and core were free to tell of the gateway. */
  readonly valid: number;
}

export interface TransportsResult {
  readonly machine: Machine;
  readonly holdMs: number;
  readonly rounds: number;
  readonly rows: readonly Row[];
  /** CPU of `node` in parts of that of `uws`: the median of neighbours' ratios, by calls. */
  readonly ratios: Readonly<Record<number, number>>;
}

/** What Node's own HTTP costs in place of uWebSockets.js. */
export async function benchTransports(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  console.log(
    `\nEcho calls over either transport, ${ROUNDS} rounds of ${HOLD_MS / 1000} s (${machineLine(at)})`,
  );
  if (!GeneratorProgram.isPossible()) {
    console.log('not measured: the generator needs Linux and g++');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  const rows: Row[] = [];
  const ratios: Record<number, number> = {};
  try {
    for (const calls of SIZES) {
      const outcomes: Record<string, Outcome[]> = { uws: [], node: [] };
      for (let round = 0; round < ROUNDS; round++) {
        for (const server of TRANSPORTS) {
          const outcome = await hold(
            { program, cores, calls, warmUpMs: 3_000, options: { server } },
            HOLD_MS,
          );
          outcomes[server]?.push(outcome);
          console.log(
            `${calls} ${server}: ${costOf(outcome).toFixed(1)} µs a pair, p99 ${outcome.phones.roundTrip.p99Ms.toFixed(2)} ms`,
          );
        }
      }
      const { uws = [], node = [] } = outcomes;
      ratios[calls] = median(node.map((outcome, i) => costOf(outcome) / costOf(uws[i] as Outcome)));
      for (const server of TRANSPORTS) rows.push(rowOf(calls, server, outcomes[server] ?? []));
    }
  } finally {
    program.remove();
  }
  const result: TransportsResult = { machine: at, holdMs: HOLD_MS, rounds: ROUNDS, rows, ratios };
  console.log(
    table(
      [
        'calls',
        'server',
        'µs CPU a frame pair',
        'times',
        'round trip p99 ms',
        'gateway CPU',
        'held',
        'valid',
      ],
      rows.map((row) => [
        row.calls,
        row.server,
        row.usPerPair.toFixed(1),
        row.server === 'node' ? (ratios[row.calls] ?? 0).toFixed(2) : '',
        row.p99Ms.map((ms) => ms.toFixed(2)).join(' '),
        `${(row.gatewayCpu * 100).toFixed(0)} %`,
        `${row.held} of ${ROUNDS}`,
        `${row.valid} of ${ROUNDS}`,
      ]),
    ),
  );
  writeResult('transports', result);
}

function rowOf(calls: number, server: Row['server'], outcomes: readonly Outcome[]): Row {
  return {
    calls,
    server,
    usPerPair: median(outcomes.map(costOf)),
    p99Ms: outcomes.map(({ phones }) => phones.roundTrip.p99Ms),
    gatewayCpu: median(outcomes.map(({ gatewayCpu }) => gatewayCpu)),
    held: outcomes.filter(isOk).length,
    valid: outcomes.filter(isValid).length,
  };
}

/** Microseconds of the gateway's process for a frame in and one out. */
function costOf({ gatewayCpu, phones }: Outcome): number {
  return (gatewayCpu * phones.heldMs * 1_000) / phones.sent;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
