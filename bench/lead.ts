import { table } from '../src/cli/table.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { hold } from './capacity/trial.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const CALLS = Number(process.env.LEAD_CALLS ?? 200);
/** A gateway that measures its leads as often as it can and one that never does take turns: a busy machine is busy for both. */
const PAIRS = Number(process.env.LEAD_PAIRS ?? 9);
const HOLD_MS = 5_000;
const WARM_UP_MS = 3_000;

export interface LeadResult {
  readonly machine: Machine;
  readonly calls: number;
  /** CPU of a gateway process for a second of a call that sends no probe, in microseconds: the median. */
  readonly callUs: number;
  /** Of a probe, its echo and what comes of it: the median of the pairs, and their quartiles. */
  readonly probeUs: number;
  readonly probeQuartilesUs: readonly [number, number];
  /** What one probe a second costs, as a share of a call. */
  readonly share: number;
}

/** What it costs to measure the lead at the phone, by a mark a second. */
export async function benchLead(): Promise<void> {
  const at = machine();
  console.log(`\nWhat a lead costs to measure, ${CALLS} calls (${machineLine(at)})`);
  if (!GeneratorProgram.isPossible()) throw new Error('Expected a C++ compiler for the phones of this bench');
  const cores = coresOf();
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  const calls: number[] = [];
  const costs: number[] = [];
  try {
    const measure = async (probes: 'none' | 'many') => {
      const held = await hold({ program, cores, calls: CALLS, warmUpMs: WARM_UP_MS, probes }, HOLD_MS);
      return { us: (held.gatewayCpu * 1e6) / CALLS, perSecond: held.probesPerSecond / CALLS };
    };
    for (let i = 0; i < PAIRS; i++) {
      // Each is the first as often.
      const first = await measure(i % 2 === 0 ? 'many' : 'none');
      const second = await measure(i % 2 === 0 ? 'none' : 'many');
      const [many, none] = i % 2 === 0 ? [first, second] : [second, first];
      const cost = (many.us - none.us) / many.perSecond;
      console.log(
        `a second of a call: ${many.us.toFixed(0)} µs with ${many.perSecond.toFixed(1)} probes, ` +
          `${none.us.toFixed(0)} with none: ${cost.toFixed(1)} µs a probe`,
      );
      calls.push(none.us);
      costs.push(cost);
    }
  } finally {
    program.remove();
  }
  const [callUs, probeUs] = [quantile(calls, 0.5), quantile(costs, 0.5)];
  const result: LeadResult = {
    machine: at,
    calls: CALLS,
    callUs,
    probeUs,
    probeQuartilesUs: [quantile(costs, 0.25), quantile(costs, 0.75)],
    share: probeUs / callUs,
  };
  console.log(
    `\n${table(
      ['', 'µs of CPU'],
      [
        ['a second of a call', callUs.toFixed(0)],
        ['a probe', probeUs.toFixed(1)],
        ['  half of the pairs', result.probeQuartilesUs.map((us) => us.toFixed(1)).join(' to ')],
        ['one a second', `${(100 * result.share).toFixed(2)} %`],
      ],
    )}`,
  );
  writeResult('lead', result);
}

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * q)] ?? Number.NaN;
}
