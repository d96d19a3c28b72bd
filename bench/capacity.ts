import { table } from '../src/cli/table.js';
import { type Cores, coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { isOk, isValid, LIMITS } from './capacity/quality.js';
import { hold, type Outcome } from './capacity/trial.js';
import { type Machine, machine, machineLine } from './machine.js';
import { plotCurves, writePlot } from './plot.js';
import { writeResult } from './result.js';

const { env } = process;
/** Shorter or elsewhere by CAPACITY_STEPS=100,500, CAPACITY_HOLD=2 (seconds). */
const STEPS = (env.CAPACITY_STEPS ?? '100,250,500,750,1000,1250,1500,1750,2000,2500,3000')
  .split(',')
  .map(Number);
const HOLD_MS = Number(env.CAPACITY_HOLD ?? 10) * 1_000;
const WARM_UP_MS = Math.min(5_000, HOLD_MS);
/** Precision of the search between the last step that held and the first that did not. */
const CLOSE = 50;
/** A step that was void is tried again so often. */
const RETRIES = 2;

export interface CapacityRow extends Outcome {
  /** Whether generator and core were free to tell of the gateway. */
  readonly valid: boolean;
  readonly ok: boolean;
}

export interface CapacityResult {
  readonly machine: Machine;
  readonly holdMs: number;
  /** Whether gateway and generator had a core each. */
  readonly pinned: boolean;
  readonly capacity: number;
  readonly rows: readonly CapacityRow[];
}

interface Conditions {
  readonly program: GeneratorProgram;
  readonly cores: Cores | undefined;
  readonly warmUpMs: number;
}

/** How many echo calls one core holds. */
export async function benchCapacity(): Promise<void> {
  const at = machine();
  const cores = coresOf();
  console.log(`\nEcho calls on one core, ${HOLD_MS / 1000} s each step (${machineLine(at)})`);
  console.log(
    `loopback, no TLS; gateway and generator ${cores === undefined ? 'NOT pinned' : 'on a core each'}`,
  );
  if (!GeneratorProgram.isPossible()) {
    console.log('not measured: the generator needs Linux and g++');
    return;
  }
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  try {
    const conditions: Conditions = { program, cores, warmUpMs: WARM_UP_MS };
    const rows = await steps(conditions);
    const capacity = Math.max(0, ...rows.filter(({ ok }) => ok).map(({ calls }) => calls));
    console.log(`\n${rowsTable(rows)}\ncapacity: ${capacity} calls`);
    const result: CapacityResult = {
      machine: at,
      holdMs: HOLD_MS,
      pinned: cores !== undefined,
      capacity,
      rows,
    };
    plot(rows);
    writeResult('capacity', result);
  } finally {
    program.remove();
  }
}

/** Up in steps until two in a row fail, then closer to the limit from both sides. */
async function steps(conditions: Conditions): Promise<CapacityRow[]> {
  const rows: CapacityRow[] = [];
  let failed = 0;
  for (const calls of STEPS) {
    const row = await step(conditions, calls);
    rows.push(row);
    failed = row.ok ? 0 : failed + 1;
    if (failed === 2) break;
  }
  let high = rows.find(({ ok }) => !ok)?.calls ?? 0;
  let low = Math.max(0, ...rows.filter(({ ok, calls }) => ok && calls < high).map(({ calls }) => calls));
  while (low > 0 && high - low > CLOSE) {
    const middle = Math.round((low + high) / 2 / CLOSE) * CLOSE;
    if (middle === low || middle === high) break;
    const row = await step(conditions, middle);
    rows.push(row);
    if (row.ok) low = middle;
    else high = middle;
  }
  return rows.sort((a, b) => a.calls - b.calls);
}

async function step(conditions: Conditions, calls: number): Promise<CapacityRow> {
  for (let attempt = 0; ; attempt++) {
    const outcome = await hold({ ...conditions, calls }, HOLD_MS);
    const row = { ...outcome, valid: isValid(outcome), ok: isOk(outcome) };
    const { phones, gatewayCpu } = row;
    console.log(
      `${calls}: p99 ${phones.roundTrip.p99Ms.toFixed(2)} ms, gateway ${percent(gatewayCpu)}, ` +
        `generator ${percent(phones.cpu)}${row.valid ? '' : ', void'}${row.ok ? '' : ', not held'}`,
    );
    if (row.valid || attempt === RETRIES) return row;
  }
}

function rowsTable(rows: readonly CapacityRow[]): string {
  return table(
    [
      'calls',
      'round trip ms p50',
      'p99',
      'p99.9',
      'socket→socket µs p99',
      'dropped',
      'missing',
      'gateway CPU',
      'waited',
      'generator CPU',
      'late ms p99',
      'RSS MB',
      'KB a call more',
      'fds a call',
      'proof',
      'valid',
      'ok',
    ],
    rows.map((row) => [
      row.calls,
      row.phones.roundTrip.p50Ms.toFixed(2),
      row.phones.roundTrip.p99Ms.toFixed(2),
      row.phones.roundTrip.p999Ms.toFixed(2),
      row.gateway.p99Us.toFixed(0),
      row.dropped,
      row.phones.missing + row.phones.discarded,
      percent(row.gatewayCpu),
      percent(row.gatewayWaited),
      percent(row.phones.cpu),
      row.phones.lateness.p99Ms.toFixed(2),
      row.rssMb.toFixed(0),
      kbPerCall(row, rows),
      row.filesPerCall.toFixed(2),
      row.proof.toFixed(3),
      row.valid ? 'yes' : 'no',
      row.ok ? 'yes' : 'no',
    ]),
  );
}

/**
 * What a call takes of the gateway's memory, by the growth from the first row: an empty process holds rubbish of its start.
 * Empty text for the first.
 */
export function kbPerCall(row: CapacityRow, [first]: readonly CapacityRow[]): string {
  if (first === undefined || row.calls <= first.calls) return '';
  return (((row.rssMb - first.rssMb) * 1_024) / (row.calls - first.calls)).toFixed(0);
}

function plot(rows: readonly CapacityRow[]): void {
  const last = rows.at(-1)?.calls ?? 0;
  const most = Math.ceil(last / 500) * 500;
  const curve = (name: string, of: (row: CapacityRow) => number) => ({
    name,
    points: rows.filter(({ valid }) => valid).map((row) => [row.calls, of(row)] as const),
  });
  writePlot(
    'capacity',
    plotCurves(
      'Echo calls on one core',
      {
        label: 'calls at a time',
        from: 0,
        to: most,
        ticks: Array.from({ length: most / 250 + 1 }, (_, i) => i * 250),
      },
      {
        label: 'ms',
        from: 0.001,
        to: 1_000,
        ticks: [0.001, 0.01, 0.1, 1, 10, 100, 1_000],
        isLogarithmic: true,
      },
      [
        curve('round trip p99', ({ phones }) => phones.roundTrip.p99Ms),
        curve('round trip p50', ({ phones }) => phones.roundTrip.p50Ms),
        curve('in the gateway p99', ({ gateway }) => gateway.p99Us / 1_000),
        {
          name: `bar, ${LIMITS.p99Ms} ms`,
          points: [[0, LIMITS.p99Ms] as const, [most, LIMITS.p99Ms] as const],
        },
      ],
    ),
  );
}

const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
