import { table } from '../src/cli/table.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { isValid } from './capacity/quality.js';
import { hold } from './capacity/trial.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const CALLS = Number(process.env.LEAD_CALLS ?? 200);
/** A gateway that measures its leads and one that does not take turns, so that a busy machine is busy for both. */
const PAIRS = Number(process.env.LEAD_PAIRS ?? 9);
const HOLD_MS = 5_000;
const WARM_UP_MS = 3_000;

export interface LeadResult {
  readonly machine: Machine;
  readonly calls: number;
  /** CPU of a gateway process for a second of a call, in microseconds: median of all holds. */
  readonly probingUs: number;
  readonly blindUs: number;
  /** What probes cost, as a share: the median of the pairs, and their quartiles. */
  readonly cost: number;
  readonly costQuartiles: readonly [number, number];
}

/** What it costs to measure the lead at the phone, by a mark a second. */
export async function benchLead(): Promise<void> {
  const at = machine();
  console.log(`\nWhat a lead costs to measure, ${CALLS} calls (${machineLine(at)})`);
  if (!GeneratorProgram.isPossible()) throw new Error('Expected a C++ compiler for the phones of this bench');
  const cores = coresOf();
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  const pairs: [probing: number, blind: number][] = [];
  try {
    const cost = async (probes: boolean) => {
      const outcome = await hold({ program, cores, calls: CALLS, warmUpMs: WARM_UP_MS, probes }, HOLD_MS);
      return isValid(outcome) ? (outcome.gatewayCpu * 1e6) / CALLS : Number.NaN;
    };
    while (pairs.length < PAIRS) {
      // Each is the first as often.
      const isProbing = pairs.length % 2 === 0;
      const one = await cost(isProbing);
      const other = await cost(!isProbing);
      const pair: [number, number] = isProbing ? [one, other] : [other, one];
      console.log(`a second of a call: ${pair.map((us) => us.toFixed(0)).join(' µs with probes, ')} without`);
      pairs.push(pair);
    }
  } finally {
    program.remove();
  }
  const valid = pairs.filter((pair) => !pair.some(Number.isNaN));
  const costs = valid.map(([probing, blind]) => probing / blind - 1);
  const result: LeadResult = {
    machine: at,
    calls: CALLS,
    probingUs: quantile(
      valid.map(([probing]) => probing),
      0.5,
    ),
    blindUs: quantile(
      valid.map(([, blind]) => blind),
      0.5,
    ),
    cost: quantile(costs, 0.5),
    costQuartiles: [quantile(costs, 0.25), quantile(costs, 0.75)],
  };
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  console.log(
    `\n${table(
      ['a second of a call', 'µs of CPU'],
      [
        ['with probes', result.probingUs.toFixed(0)],
        ['without', result.blindUs.toFixed(0)],
        ['probes', percent(result.cost)],
        ['  half of the pairs', result.costQuartiles.map(percent).join(' to ')],
      ],
    )}`,
  );
  writeResult('lead', result);
}

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * q)] ?? Number.NaN;
}
