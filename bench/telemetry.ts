import { table } from '../src/cli/table.js';
import { coresOf, pinSelf } from './capacity/cores.js';
import { GeneratorProgram } from './capacity/generator.js';
import { hold } from './capacity/trial.js';
import { answerOf, startChild } from './child.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

const { env } = process;
/** As many calls take turns, so that no call's histograms stay in the processor's cache. */
const CALLS = Number(env.TELEMETRY_CALLS ?? 1_000);
/** Frames of each call in a turn; the two ways take turns. */
const TURN_FRAMES = 50;
const TURNS = 20;
const FRAMES_A_SECOND = 50;
const HOLD_MS = 3_000;
const HOLDS = 3;

export interface TelemetryResult {
  readonly machine: Machine;
  readonly calls: number;
  /** Nanoseconds that a media stream takes for an echoed frame, its times taken and not: medians of the turns. */
  readonly recordingNs: number;
  readonly silentNs: number;
  /** What taking them costs: the median of each turn's difference, and each. */
  readonly costNs: number;
  readonly differencesNs: readonly number[];
  /** CPU of a gateway process for an echoed frame, sockets and all; `undefined` where there is no generator. */
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
  const turns = await takeTurns(cores?.gateway);
  const gatewayNs = await gatewayCost();
  const result: TelemetryResult = { machine: at, calls: CALLS, ...turns, gatewayNs };
  console.log(`\n${resultTable(result)}`);
  writeResult('telemetry', result);
}

async function takeTurns(
  core: number | undefined,
): Promise<Pick<TelemetryResult, 'recordingNs' | 'silentNs' | 'costNs' | 'differencesNs'>> {
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
      const [recording = 0, silent = 0] = taken.at(-1) ?? [];
      console.log(`recording ${recording.toFixed(0)} ns, silent ${silent.toFixed(0)} ns`);
    }
    check([await turn(0), await turn(1)]);
    const differencesNs = taken.map(([recording, silent]) => recording - silent);
    return {
      recordingNs: median(taken.map(([recording]) => recording)),
      silentNs: median(taken.map(([, silent]) => silent)),
      costNs: median(differencesNs),
      differencesNs,
    };
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

/** Both did the same work, and only one took its times. @throws Error where that is not so */
function check(turns: readonly [Turn, Turn]): void {
  const [recording, silent] = turns;
  const isSame = turns.every(({ fed, framesOut, slow }) => framesOut === fed && slow === 0);
  if (isSame && recording.noted === recording.fed && silent.noted === 0) return;
  const seen = turns.map(({ ns: _, ...counts }) => counts);
  throw new Error(`Expected frames that all came back, noted or not, but received ${JSON.stringify(seen)}`);
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
      const { gatewayCpu } = await hold({ program, cores, calls: CALLS, warmUpMs: HOLD_MS, holdMs: HOLD_MS });
      costs.push((gatewayCpu * 1e9) / (CALLS * FRAMES_A_SECOND));
      console.log(`a gateway with ${CALLS} calls: ${costs.at(-1)?.toFixed(0)} ns a frame`);
    }
    return median(costs);
  } finally {
    program.remove();
  }
}

function resultTable({ recordingNs, silentNs, costNs, gatewayNs, calls }: TelemetryResult): string {
  const share = (ns: number) => (gatewayNs === undefined ? '' : `${((100 * ns) / gatewayNs).toFixed(2)} %`);
  return table(
    ['an echoed frame', 'ns', 'share'],
    [
      ['stream, times taken', recordingNs.toFixed(0), share(recordingNs)],
      ['stream, none taken', silentNs.toFixed(0), share(silentNs)],
      ['taking them', costNs.toFixed(0), share(costNs)],
      ...(gatewayNs === undefined
        ? []
        : [[`the gateway, ${calls} calls`, gatewayNs.toFixed(0), share(gatewayNs)]]),
    ],
  );
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
