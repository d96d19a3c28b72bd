import { table } from '../src/cli/table.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { isValid } from './capacity/quality.js';
import { hold } from './capacity/trial.js';
import { answerOf, startChild } from './child.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const { env } = process;
/** As many calls take turns, so that no call's histograms stay in the processor's cache. */
const CALLS = Number(env.TELEMETRY_CALLS ?? 1_000);
/** Frames of each call in a turn; the two ways take turns, short ones, so that a busy machine is busy for both. */
const TURN_FRAMES = 10;
const TURNS = 40;
/** The memory layout of a process costs more than the measured effect, so several of each take part. */
const PAIRS = Number(env.TELEMETRY_PAIRS ?? 7);
/** Share of the frames that must be echoed. */
const ECHOED = 0.98;
const HOLD_MS = 3_000;
const HOLDS = 3;

export interface TelemetryResult {
  readonly machine: Machine;
  readonly calls: number;
  /** Nanoseconds that a media stream takes for an echoed frame, its times taken and not: medians of the turns. */
  readonly recordingNs: number;
  readonly silentNs: number;
  /** What taking them costs: the median of the pairs of processes, and their quartiles: how far to believe it. */
  readonly costNs: number;
  readonly costQuartilesNs: readonly [number, number];
  /** CPU of a gateway process for an echoed frame, sockets and all; `undefined` without a generator or a core for it. */
  readonly gatewayNs: number | undefined;
}

/** What a turn of echo-process.mjs answers. */
interface Turn {
  readonly ns: readonly number[];
  /** Frames that came so far, and that went out again. */
  readonly fed: number;
  readonly framesOut: number;
  /** Frames whose times were taken. */
  readonly noted: number;
  readonly slow: number;
}

/** What latency costs to measure: the same frames with and without, against what a gateway takes for one. */
export async function benchTelemetry(): Promise<void> {
  const at = machine();
  console.log(`\nWhat latency costs to measure, ${CALLS} calls (${machineLine(at)})`);
  const cores = coresOf();
  const pairs: Turns[] = [];
  for (let i = 0; i < PAIRS; i++) pairs.push(await takeTurns(cores?.gateway));
  const costs = pairs.map(({ differences }) => median(differences));
  const turns = {
    recordingNs: median(pairs.map(({ recordingNs }) => recordingNs)),
    silentNs: median(pairs.map(({ silentNs }) => silentNs)),
    costNs: median(costs),
    costQuartilesNs: [quantile(costs, 0.25), quantile(costs, 0.75)] as const,
  };
  const gatewayNs = await gatewayCost();
  const result: TelemetryResult = { machine: at, calls: CALLS, ...turns, gatewayNs };
  console.log(`\n${resultTable(result)}`);
  writeResult('telemetry', result);
}

/** What a pair of processes took for a frame: one that takes the times and one that does not. */
interface Turns {
  readonly recordingNs: number;
  readonly silentNs: number;
  readonly differences: readonly number[];
}

async function takeTurns(core: number | undefined): Promise<Turns> {
  const start = async (recording: boolean) => {
    const child = startChild('telemetry/echo-process.mjs', { calls: CALLS, recording }, core);
    await answerOf(child);
    return child;
  };
  const children = [await start(true), await start(false)] as const;
  try {
    const turn = async (of: 0 | 1) => {
      const answer = answerOf<Turn>(children[of]);
      children[of].send(TURN_FRAMES);
      return answer;
    };
    const taken: [number, number][] = [];
    for (let i = 0; i < TURNS; i++) {
      const first = i % 2 === 0 ? 0 : 1;
      const one = median((await turn(first)).ns);
      const other = median((await turn(first === 0 ? 1 : 0)).ns);
      taken.push(first === 0 ? [one, other] : [other, one]);
    }
    check([await turn(0), await turn(1)]);
    const differences = taken.map(([recording, silent]) => recording - silent);
    return {
      recordingNs: median(taken.map(([recording]) => recording)),
      silentNs: median(taken.map(([, silent]) => silent)),
      differences,
    };
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

/**
 * Both did the same work, but for frames that a stall of the machine cost, and only one took its times.
 * @throws Error where that is not so
 */
function check(turns: readonly [Turn, Turn]): void {
  const [recording, silent] = turns;
  const isSame = turns.every(({ fed, framesOut, slow }) => framesOut > fed * ECHOED && slow === 0);
  if (isSame && recording.noted === recording.framesOut && silent.noted === 0) return;
  const seen = turns.map(({ ns: _, ...counts }) => counts);
  throw new Error(`Expected frames that came back, noted or not, but received ${JSON.stringify(seen)}`);
}

/** A gateway process' CPU an echoed frame, in nanoseconds: real sockets, real phones. */
async function gatewayCost(): Promise<number | undefined> {
  if (!GeneratorProgram.isPossible()) return undefined;
  const cores = coresOf();
  if (cores !== undefined) pinSelf(cores.generator);
  const program = GeneratorProgram.compile();
  try {
    const costs: number[] = [];
    for (let i = 0; i < HOLDS; i++) {
      const outcome = await hold({ program, cores, calls: CALLS, warmUpMs: HOLD_MS }, HOLD_MS);
      const { gatewayCpu, phones } = outcome;
      const ns = (gatewayCpu * phones.heldMs * 1e6) / phones.received;
      const tells = isValid(outcome) && phones.received > 0;
      console.log(
        `a gateway with ${CALLS} calls: ${tells ? `${ns.toFixed(0)} ns a frame` : 'void, the machine is busy'}`,
      );
      if (tells) costs.push(ns);
    }
    return costs.length === 0 ? undefined : median(costs);
  } finally {
    program.remove();
  }
}

function resultTable({
  recordingNs,
  silentNs,
  costNs,
  costQuartilesNs,
  gatewayNs,
  calls,
}: TelemetryResult): string {
  const share = (ns: number) => (gatewayNs === undefined ? '' : `${((100 * ns) / gatewayNs).toFixed(2)} %`);
  return table(
    ['an echoed frame', 'ns', 'share'],
    [
      ['stream, times taken', recordingNs.toFixed(0), share(recordingNs)],
      ['stream, none taken', silentNs.toFixed(0), share(silentNs)],
      ['taking them', costNs.toFixed(0), share(costNs)],
      ['  half of the pairs', costQuartilesNs.map((ns) => ns.toFixed(0)).join(' to '), ''],
      ...(gatewayNs === undefined
        ? []
        : [[`the gateway, ${calls} calls`, gatewayNs.toFixed(0), share(gatewayNs)]]),
    ],
  );
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * q)] ?? Number.NaN;
}
