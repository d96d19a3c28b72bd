import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { table } from '../src/cli/table.js';
import { TRANSCODERS } from '../src/media/core.js';
import type { LiveAnswer, Task } from './latency/contender.js';
import { machine, machineLine } from './machine.js';
import { plotCurves, writePlot } from './plot.js';
import { writeResult } from './result.js';

const BACKENDS = TRANSCODERS.filter((name) => name.includes('-') && name !== 'native-debug');
const NPM = ['naive-q3', 'naive-q7', 'echogarden-q3', 'echogarden-q7'];
/** What all are compared with: the quality that speex-resampler takes by itself. */
const REFERENCE = 'naive-q7';
const WARM_UP_ROUNDS = 4;
const ROUNDS = 40;
const LIVE = [1, 10, 100, 1_000, 5_000, 10_000];
const DIRECTIONS = ['in', 'out'] as const;
const ARROWS = { in: 'message → 48 kHz', out: '48 kHz → message' };

class Contender {
  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
  ) {}

  /** Null where this machine cannot run it. */
  static async start(name: string): Promise<Contender | null> {
    const isNpm = NPM.includes(name);
    const child = fork(fileURLToPath(new URL('latency/contender.ts', import.meta.url)), isNpm ? [name] : [], {
      env: { ...process.env, TRANSCODER: isNpm ? 'auto' : name },
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'ignore', 'ipc'],
    });
    const exited = new AbortController();
    child.once('exit', () => exited.abort());
    try {
      await once(child, 'message', { signal: exited.signal });
      return new Contender(name, child);
    } catch {
      return null;
    }
  }

  async ask<Answer>(task: Task): Promise<Answer> {
    this.child.send(task);
    const [answer] = await once(this.child, 'message');
    return answer as Answer;
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}

interface Row {
  readonly name: string;
  readonly direction: 'in' | 'out';
  /** Of a frame among others, without a clock in between. */
  readonly medianNs: number;
  /** Of frames by themselves, the clock's own time among theirs. */
  readonly p99Ns: number;
  readonly p999Ns: number;
  readonly timesFaster: number;
}

/** What a frame costs: whole and in stages, on every backend, against what a Node developer would write. */
export async function benchLatency(): Promise<void> {
  const at = machine();
  console.log(`\nOne 20 ms frame, nanoseconds (${machineLine(at)})`);
  const contenders: Contender[] = [];
  for (const name of [...BACKENDS, ...NPM]) {
    const contender = await Contender.start(name);
    if (contender === null) console.log(`not on this machine: ${name}`);
    else contenders.push(contender);
  }
  try {
    const { rows, frames } = await fused(contenders);
    printFused(rows);
    plotFrames(frames);
    const crossing = await crossings(contenders);
    const live = await growth(contenders);
    const native = stages();
    printBars(rows, live, native);
    writeResult('latency', { machine: at, rows, crossing, live, native });
  } finally {
    for (const contender of contenders) await contender.stop();
  }
}

/** All in turn, a slice each, so that what the machine does besides hits all alike. */
async function fused(contenders: readonly Contender[]) {
  const slices = new Map<string, number[]>();
  const frames = new Map<string, number[]>();
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    for (const contender of contenders) {
      for (const direction of DIRECTIONS) {
        const count = NPM.includes(contender.name) ? 200 : 2_000;
        const slice = await contender.ask<number>({ kind: 'slice', direction, frames: count });
        const each = await contender.ask<number[]>({ kind: 'frames', direction, frames: 250 });
        if (round < WARM_UP_ROUNDS) continue;
        append(slices, `${contender.name} ${direction}`, [slice]);
        append(frames, `${contender.name} ${direction}`, each);
      }
    }
  }
  const medianOf = (key: string) => quantile(slices.get(key) as number[], 0.5);
  const rows = contenders.flatMap(({ name }) =>
    DIRECTIONS.map((direction): Row => {
      const key = `${name} ${direction}`;
      const each = frames.get(key) as number[];
      return {
        name,
        direction,
        medianNs: medianOf(key),
        p99Ns: quantile(each, 0.99),
        p999Ns: quantile(each, 0.999),
        timesFaster: medianOf(`${REFERENCE} ${direction}`) / medianOf(key),
      };
    }),
  );
  return { rows, frames };
}

function printFused(rows: readonly Row[]): void {
  console.log(
    'naive: JSON.parse, Buffer, table, npm speex-resampler at the quality named; echogarden: the same with\nits SIMD build of speexdsp. Median of slices of many',
  );
  console.log('frames, p99 and p99.9 of frames by themselves with two readings of the clock among them\n');
  const cells = DIRECTIONS.flatMap((direction) =>
    rows
      .filter((row) => row.direction === direction)
      .map((row) => [
        ARROWS[direction],
        row.name,
        ...[row.medianNs, row.p99Ns, row.p999Ns].map((ns) => ns.toFixed(0)),
        row.timesFaster.toFixed(1),
      ]),
  );
  console.log(table(['direction', 'pipeline', 'median', 'p99', 'p99.9', `times ${REFERENCE}`], cells));
}

async function crossings(contenders: readonly Contender[]) {
  const found: Record<string, Record<string, number>> = {};
  for (const contender of contenders.filter(({ name }) => ['native-scalar', 'wasm-simd'].includes(name))) {
    found[contender.name.split('-')[0] as string] = await contender.ask({ kind: 'crossing' });
  }
  const kinds = Object.keys(found);
  const calls = Object.keys(found[kinds[0] ?? ''] ?? {});
  console.log('\nThe crossing from JavaScript by itself, nanoseconds\n');
  console.log(
    table(
      ['call', ...kinds],
      calls.map((call) => [call, ...kinds.map((kind) => (found[kind]?.[call] ?? 0).toFixed(0))]),
    ),
  );
  return found;
}

async function growth(contenders: readonly Contender[]) {
  const ours = contenders.filter(({ name }) => !NPM.includes(name) && !name.endsWith('scalar'));
  const found: { name: string; transcoders: number; inNs: number; outNs: number }[] = [];
  for (const contender of ours) {
    for (const transcoders of LIVE) {
      found.push({
        name: contender.name,
        transcoders,
        ...(await contender.ask<LiveAnswer>({ kind: 'live', transcoders })),
      });
    }
  }
  console.log('\nA frame while so many transcoders are live, in turn, nanoseconds in / out\n');
  console.log(
    table(
      ['pipeline', ...LIVE.map(String)],
      ours.map(({ name }) => [
        name,
        ...found
          .filter((row) => row.name === name)
          .map(({ inNs, outNs }) => `${inNs.toFixed(0)} / ${outNs.toFixed(0)}`),
      ]),
    ),
  );
  return found;
}

interface Native {
  /** Of one live transcoder. */
  readonly transcoderBytes: number;
  readonly stages: readonly { readonly stage: string; readonly name: string; readonly ns: number }[];
}

/** The stages by themselves, in C++: no crossing among them. */
function stages(): Native | undefined {
  const work = mkdtempSync(join(tmpdir(), 'trunkline-bench-'));
  try {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const core = ['native', 'native/kernels'].flatMap((folder) =>
      readdirSync(join(root, folder))
        .filter((name) => name.endsWith('.cc') && name !== 'addon.cc')
        .map((name) => `${folder}/${name}`),
    );
    const program = join(work, 'kernels');
    const flags = [
      '-std=c++17',
      '-O3',
      '-w',
      'bench/native/kernels.cc',
      ...core,
      '-o',
      program,
      '-lspeexdsp',
    ];
    execFileSync('g++', flags, { cwd: root, stdio: ['ignore', 'ignore', 'ignore'] });
    const native = JSON.parse(execFileSync(program, { encoding: 'utf8' })) as Native;
    printStages(native);
    return native;
  } catch (error) {
    console.log(
      '\nno stages: they need g++ and libspeexdsp-dev',
      String((error as Error).message).split('\n')[0],
    );
    return undefined;
  } finally {
    rmSync(work, { recursive: true });
  }
}

function printStages({ stages }: Native): void {
  const [names, kinds] = [
    [...new Set(stages.map(({ stage }) => stage))],
    [...new Set(stages.map(({ name }) => name))],
  ];
  const of = (stage: string, name: string) =>
    stages.find((row) => row.stage === stage && row.name === name)?.ns;
  console.log('\nThe stages of a frame in C++, nanoseconds (times: speexdsp q5 over ours)\n');
  const cells = kinds.map((name) => [
    name,
    ...names.map((stage) => {
      const [ns, q5] = [of(stage, name), of(stage, 'speexdsp q5')];
      if (ns === undefined) return '';
      return q5 === undefined || name.startsWith('speex')
        ? ns.toFixed(0)
        : `${ns.toFixed(0)} (${(q5 / ns).toFixed(1)} ×)`;
    }),
  ]);
  console.log(table(['', ...names], cells));
}

/** What was asked of this version, and what this run found. */
function printBars(
  rows: readonly Row[],
  live: Awaited<ReturnType<typeof growth>>,
  native: Native | undefined,
): void {
  const bars: [string, number, number, boolean][] = [];
  const faster = (name: string, wanted: number) => {
    for (const row of rows.filter((each) => each.name === name)) {
      bars.push([
        `${name} ${row.direction}: times ${REFERENCE}`,
        wanted,
        row.timesFaster,
        row.timesFaster >= wanted,
      ]);
    }
  };
  faster('native-avx512', 100);
  faster('native-avx2', 100);
  faster('wasm-simd', 25);
  const ns = (stage: string, name: string) =>
    native?.stages.find((row) => row.stage === stage && row.name === name)?.ns ?? Number.NaN;
  for (const [name, wanted] of [
    ['avx512', 16],
    ['avx2', 16],
    ['sse2', 7],
  ] as const) {
    for (const stage of ['x6', '/6']) {
      const times = ns(stage, 'speexdsp q5') / ns(stage, name);
      if (!Number.isNaN(times))
        bars.push([`${stage} ${name}: times speexdsp q5`, wanted, times, times >= wanted]);
    }
  }
  const best = live[0]?.name;
  const [one, many] = [1, 10_000].map((count) =>
    live.find((row) => row.name === best && row.transcoders === count),
  );
  for (const key of ['inNs', 'outNs'] as const) {
    const growth = (many?.[key] ?? Number.NaN) / (one?.[key] ?? Number.NaN);
    bars.push([`${best}, 10,000 live: ${key} against one, at most`, 2, growth, growth <= 2]);
  }
  if (native)
    bars.push([
      'bytes of a live transcoder, at most',
      2_048,
      native.transcoderBytes,
      native.transcoderBytes <= 2_048,
    ]);
  console.log('\nBars\n');
  console.log(
    table(
      ['bar', 'wanted', 'found', ''],
      bars.map(([bar, wanted, found, met]) => [
        bar,
        String(wanted),
        found.toFixed(1),
        met ? 'met' : 'missed',
      ]),
    ),
  );
}

function plotFrames(frames: ReadonlyMap<string, readonly number[]>): void {
  for (const direction of DIRECTIONS) {
    const curves = [...frames]
      .filter(([key]) => key.endsWith(` ${direction}`))
      .map(([key, times]) => ({ name: key.split(' ')[0] as string, points: histogram(times) }));
    writePlot(
      `latency-${direction}`,
      plotCurves(
        `Frames by their time, ${ARROWS[direction]}`,
        {
          label: 'ns a frame, with two readings of the clock',
          from: 100,
          to: 1_000_000,
          ticks: [100, 1_000, 10_000, 100_000, 1_000_000],
          isLogarithmic: true,
        },
        { label: 'share of frames', from: 0, to: 1, ticks: [0, 0.25, 0.5, 0.75, 1] },
        curves,
      ),
    );
  }
}

/** Shares of tenths of a decade. */
function histogram(times: readonly number[]): (readonly [number, number])[] {
  const bins = new Array<number>(41).fill(0);
  for (const ns of times) {
    const bin = Math.max(0, Math.min(40, Math.round((Math.log10(Math.max(ns, 1)) - 2) * 10)));
    bins[bin] = (bins[bin] as number) + 1;
  }
  return bins.map((count, bin) => [10 ** (2 + bin / 10), count / times.length] as const);
}

function append<Key>(map: Map<Key, number[]>, key: Key, values: readonly number[]): void {
  const list = map.get(key) ?? [];
  list.push(...values);
  map.set(key, list);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number;
}
