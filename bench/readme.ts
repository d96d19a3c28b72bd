// The figures of README.md and docs/benchmarks.md, from what the benches wrote: none is typed by hand.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BAR, type OverloadResult } from './capacity/overload.js';
import { type CapacityResult, kbPerCall } from './capacity.js';
import type { HandshakesResult } from './handshakes.js';
import type { Machine } from './machine.js';
import { capacityOf, type PeerRow, type PeersResult } from './peers.js';
import type { RampResult } from './ramp.js';
import type { RelayResult } from './relay.js';
import { readResult } from './result.js';
import type { StreamResult } from './stream.js';
import type { WorkersResult } from './workers.js';

interface LatencyResult {
  readonly machine: Machine;
  readonly rows: readonly {
    readonly name: string;
    readonly direction: 'in' | 'out';
    readonly medianNs: number;
    readonly p99Ns: number;
    readonly timesFaster: number;
  }[];
}

interface QualityResult {
  readonly rows: readonly {
    readonly name: string;
    readonly direction: 'up' | 'down';
    readonly rippleDb: number;
    readonly worst: { readonly db: number };
    readonly sinadDb: number;
    readonly delayMs: readonly number[];
  }[];
}

interface GatewayResult {
  readonly rows: readonly {
    readonly calls: number;
    readonly gateway: { readonly p50Us: number; readonly p99Us: number; readonly p999Us: number };
    readonly roundTrip: { readonly p50Ms: number; readonly p99Ms: number; readonly p999Ms: number };
    readonly dropped: number;
    readonly gatewayCpu: number;
    readonly generatorCpu: number;
  }[];
}

interface TransportsResult {
  readonly machine: Machine;
  readonly rows: readonly {
    readonly calls: number;
    readonly server: string;
    readonly usPerPair: number;
    readonly p99Ms: readonly number[];
    readonly gatewayCpu: number;
  }[];
}

interface AgentsResult {
  readonly machine: Machine;
  readonly rows: readonly {
    readonly calls: number;
    readonly kind: string;
    readonly p50Ms: number;
    readonly p99Ms: number;
    readonly inP99Ms: number;
    readonly usPerPair: number;
    readonly gatewayCpu: number;
  }[];
  readonly addedP99Ms: Readonly<Record<string, number>>;
}

/** The pages with figures, and the tables of each. */
const PAGES: Readonly<Record<string, Readonly<Record<string, () => string>>>> = {
  'README.md': { headline },
  'docs/benchmarks.md': {
    peers,
    settings,
    latency,
    quality,
    gateway,
    capacity,
    overload,
    transports,
    workers,
    relay,
    ramp,
    handshakes,
    agents,
  },
  'docs/stream-bridge.md': { stream },
};
/** Their paths in the repository. */
export const FIGURE_PAGES = Object.keys(PAGES);

const result = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`results/${name}.json`, import.meta.url), 'utf8')) as T;

/**
 * A page with its figures as they were last measured.
 * @param page one of {@link FIGURE_PAGES}
 */
export function withFigures(page: string, text: string): string {
  return Object.entries(PAGES[page] ?? {}).reduce((all, [name, of]) => section(page, all, name, of()), text);
}

function section(page: string, text: string, name: string, figures: string): string {
  const [begin, end] = [`<!-- figures: ${name} -->`, `<!-- end of figures: ${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} lacks ${begin} or ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${figures}\n\n${text.slice(to)}`;
}

const UNMEASURED = unmeasured('peers');

/** The same calls on servers by different authors. */
function peers(): string {
  const measured = readResult<PeersResult>('peers');
  if (measured === undefined) return UNMEASURED;
  const { machine, holdMs, rows, sounds, capacities, skipped } = measured;
  const servers = rows.filter(isServer);
  const cells = servers.map((row) =>
    [
      row.name,
      row.calls,
      row.usPerCallSecond.toFixed(0),
      row.usPerPair.toFixed(1),
      row.times?.toFixed(2) ?? '–',
      ...[row.p50Ms, row.p99Ms, row.p999Ms].map((each) => each.toFixed(2)),
      capacityOf(row.name, capacities),
      sounds.find(({ name }) => name === row.name)?.delayMs.toFixed(1) ?? '',
      ...conditionsOf(row),
    ].join(' | '),
  );
  return [
    `Measured on ${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ${machine.date}; ` +
      `medians of rounds of ${holdMs / 1_000} s.`,
    '',
    "| server | calls | µs of CPU for a second of a call | for a frame in and one out | times Trunkline's | round trip p50 | p99 | p99.9 ms | calls a core carries | sound later by ms | phones' CPU | late p99 ms | stolen | valid rounds |",
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|',
    ...cells.map((row) => `| ${row} |`),
    ...Object.entries(skipped).flatMap(([name, reason]) => ['', `Not measured: ${name} (${reason}).`]),
  ].join('\n');
}

/** What settings of one server cost. */
function settings(): string {
  const measured = readResult<PeersResult>('peers');
  if (measured === undefined) return UNMEASURED;
  const cells = measured.rows
    .filter((row) => !isServer(row))
    .map((row) =>
      [
        row.name,
        row.calls,
        row.usPerCallSecond.toFixed(0),
        row.usPerPair.toFixed(1),
        `${row.times?.toFixed(2) ?? '–'} × ${row.base}`,
        row.frontCpu === 0 ? '' : percent(row.frontCpu / row.serverCpu),
        row.p99Ms.toFixed(2),
        ...conditionsOf(row),
      ].join(' | '),
    );
  return [
    "| server | calls | µs of CPU for a second of a call | for a frame in and one out | CPU | a proxy's share of it | round trip p99 ms | phones' CPU | late p99 ms | stolen | valid rounds |",
    '|---|---:|---:|---:|---|---:|---:|---:|---:|---:|---|',
    ...cells.map((row) => `| ${row} |`),
  ].join('\n');
}

/** Settings are named after their server, with a comma. */
function isServer({ name, base }: PeerRow): boolean {
  return !name.startsWith(`${base},`);
}

function conditionsOf(row: PeerRow): string[] {
  const { generatorCpu, lateP99Ms, stolen, valid, rounds } = row;
  return [
    percent(generatorCpu),
    lateP99Ms.toFixed(2),
    `${(stolen * 100).toFixed(2)} %`,
    valid === 0 ? `void` : `${valid} of ${rounds}`,
  ];
}

/** The CPU of an echo call in parts of what other servers take, if that was measured. */
function comparison(): string[] {
  const { rows = [] } = readResult<PeersResult>('peers') ?? {};
  return rows.flatMap((row) => {
    if (!isServer(row) || row.name === row.base || row.times === undefined) return [];
    const [factor, than] = row.times < 1 ? [1 / row.times, 'as much'] : [row.times, 'less'];
    return [`| CPU of an echo call, against ${row.name} | ${factor.toFixed(1)} times ${than} |`];
  });
}

function headline(): string {
  const { rows: frames } = result<LatencyResult>('latency');
  const { capacity: held, rows } = result<CapacityResult>('capacity');
  const [inward, outward] = (['in', 'out'] as const).map((direction) => fastest(frames, direction));
  const full = rows.find(({ calls }) => calls === held);
  if (inward === undefined || outward === undefined || full === undefined)
    throw new Error('bench/results lacks a frame or a load that held');
  return [
    '| what | figure |',
    '|---|---:|',
    ...comparison(),
    `| a 20 ms frame in, message → 48 kHz PCM | ${us(inward.medianNs)} µs |`,
    `| a 20 ms frame out, 48 kHz PCM → message | ${us(outward.medianNs)} µs |`,
    `| faster than \`JSON.parse\`, \`Buffer\` and npm's speex resampler | ${times(inward)} and ${times(outward)} times |`,
    `| echo calls on one core | ${held} |`,
    `| … round trip at that load, p99 | ${full.phones.roundTrip.p99Ms.toFixed(2)} ms |`,
    `| … of which in the gateway, socket to socket, p99 | ${full.gateway.p99Us.toFixed(0)} µs |`,
  ].join('\n');
}

type Frame = LatencyResult['rows'][number];

function fastest(rows: readonly Frame[], wanted: Frame['direction']): Frame | undefined {
  const [first] = rows
    .filter(({ direction }) => direction === wanted)
    .toSorted((one, other) => one.medianNs - other.medianNs);
  return first;
}

function times({ timesFaster }: Frame): string {
  return timesFaster.toFixed(timesFaster < 10 ? 1 : 0);
}

function latency(): string {
  const { machine, rows } = result<LatencyResult>('latency');
  const names = [...new Set(rows.map(({ name }) => name))];
  const cells = names.map((name) => {
    const [inward, outward] = ['in', 'out'].map((direction) =>
      rows.find((row) => row.name === name && row.direction === direction),
    );
    const of = (row: typeof inward) =>
      row === undefined ? ['', '', ''] : [us(row.medianNs), us(row.p99Ns), times(row)];
    return `| ${[name, ...of(inward), ...of(outward)].join(' | ')} |`;
  });
  return [
    `Measured on ${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ${machine.date}.`,
    '',
    '| µs a frame | message → 48 kHz | p99 | times naive-q7 | 48 kHz → message | p99 | times naive-q7 |',
    '|---|---:|---:|---:|---:|---:|---:|',
    ...cells,
  ].join('\n');
}

function us(ns: number): string {
  return (ns / 1_000).toFixed(ns < 10_000 ? 2 : 1);
}

function quality(): string {
  const { rows } = result<QualityResult>('quality');
  const cells = rows.map((row) =>
    [
      row.name,
      row.direction === 'up' ? '8 → 48' : '48 → 8',
      row.rippleDb.toFixed(4),
      row.worst.db.toFixed(0),
      row.sinadDb.toFixed(0),
      (row.delayMs[1] ?? 0).toFixed(2),
      (row.delayMs[4] ?? 0).toFixed(2),
    ].join(' | '),
  );
  return [
    '| resampler | kHz | ripple to 3.4 kHz, dB | worst image or alias, dB | SINAD, dB | delay at 1 kHz, ms | at 3.4 kHz |',
    '|---|---|---:|---:|---:|---:|---:|',
    ...cells.map((row) => `| ${row} |`),
  ].join('\n');
}

function capacity(): string {
  const { machine, holdMs, capacity, rows } = result<CapacityResult>('capacity');
  const cells = rows.map((row) => {
    const { calls, phones, gateway } = row;
    return [
      calls,
      ...[phones.roundTrip.p50Ms, phones.roundTrip.p99Ms, phones.roundTrip.p999Ms].map((ms) => ms.toFixed(2)),
      gateway.p99Us.toFixed(0),
      row.dropped,
      phones.missing + phones.discarded,
      percent(row.gatewayCpu),
      percent(phones.cpu),
      phones.lateness.p99Ms.toFixed(2),
      row.rssMb.toFixed(0),
      kbPerCall(row, rows),
      row.ok ? 'yes' : row.valid ? 'no' : 'void',
    ].join(' | ');
  });
  return [
    `**${capacity} calls** on one core of ${machine.cpu}, ${machine.platform}, Node ${machine.node}, ${machine.date}; ` +
      `${holdMs / 1_000} s each row.`,
    '',
    "| calls | round trip p50 | p99 | p99.9 ms | socket to socket p99 µs | dropped | missing | gateway CPU | phones' CPU | late p99 ms | RSS MB | KB a call more | held |",
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|',
    ...cells.map((row) => `| ${row} |`),
  ].join('\n');
}

function overload(): string {
  const measured = readResult<OverloadResult>('overload');
  if (measured === undefined) return earlierOverload();
  const { holdMs, rows } = measured;
  const cells = rows.map(({ full, overloaded, ...row }) =>
    [
      row.maxCalls,
      row.offered,
      row.busy,
      row.busyP99Ms.toFixed(0),
      full.p99Ms.toFixed(2),
      overloaded.p99Ms.toFixed(2),
      `${row.times.toFixed(2)}${row.times <= BAR ? '' : ' (more than allowed)'}`,
      `${full.gatewayP99Us.toFixed(0)} → ${overloaded.gatewayP99Us.toFixed(0)}`,
      `${percent(full.gatewayCpu)} → ${percent(overloaded.gatewayCpu)}`,
      full.missing + overloaded.missing,
      full.dropped + overloaded.dropped,
      `${row.validRounds} of ${row.rounds}, ${row.pairs} held`,
    ].join(' | '),
  );
  return [
    `Medians of rounds of ${holdMs / 1_000} s without extra callers and ${holdMs / 1_000} s with them, on the same calls.`,
    '',
    '| `MAX_CALLS` | offered | heard busy | within ms p99 | round trip p99 ms | with extra callers | times | socket to socket p99 µs | gateway CPU | missing | dropped | undisturbed rounds |',
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...cells.map((row) => `| ${row} |`),
  ].join('\n');
}

/** What the capacity bench found while it still did this itself: a figure that misses its bar stays until a better one is measured. */
function earlierOverload(): string {
  type Row = { name: string; calls: number; p99Ms: number };
  const { overload = [] } = result<{ overload?: readonly Row[] }>('capacity');
  const [full, over] = ['full', 'overloaded'].map((wanted) => overload.find(({ name }) => name === wanted));
  if (full === undefined || over === undefined) return 'Not measured yet: `npm run bench -- overload`.';
  return (
    'Not measured anew yet (`npm run bench -- overload`). Before, while the callers still asked beside the phones at a low ' +
    `priority, it was missed: with ${full.calls} calls a round trip p99 of ${over.p99Ms.toFixed(2)} ms, ` +
    `${full.p99Ms.toFixed(2)} ms without the offers.`
  );
}

function gateway(): string {
  const { rows } = result<GatewayResult>('gateway');
  const cells = rows.map((row) =>
    [
      row.calls,
      ...[row.gateway.p50Us, row.gateway.p99Us, row.gateway.p999Us].map((each) => each.toFixed(0)),
      ...[row.roundTrip.p50Ms, row.roundTrip.p99Ms, row.roundTrip.p999Ms].map((each) => each.toFixed(2)),
      row.dropped,
      percent(row.gatewayCpu),
      percent(row.generatorCpu),
    ].join(' | '),
  );
  return [
    "| calls | socket to socket p50 | p99 | p99.9 µs | round trip p50 | p99 | p99.9 ms | dropped | gateway CPU | phones' CPU |",
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...cells.map((row) => `| ${row} |`),
  ].join('\n');
}

function agents(): string {
  const { machine, rows, addedP99Ms } = result<AgentsResult>('agents');
  return [
    `Measured on ${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ${machine.date}.`,
    '',
    '| calls | who answers | round trip ms, p50 | p99 | an agent adds to p99 | to the agent, p99 ms | µs of CPU for a frame in and one out | gateway CPU |',
    '|---:|---|---:|---:|---:|---:|---:|---:|',
    ...rows.map((row) => {
      const added = row.kind === 'room' ? '–' : (addedP99Ms[`${row.calls} ${row.kind}`] ?? 0).toFixed(1);
      const heard = row.kind === 'room' ? '–' : row.inP99Ms.toFixed(2);
      const cells = [
        row.calls,
        row.kind === 'room' ? "the room's echo" : row.kind,
        row.p50Ms.toFixed(2),
        row.p99Ms.toFixed(1),
      ];
      return `| ${[...cells, added, heard, row.usPerPair.toFixed(0), percent(row.gatewayCpu)].join(' | ')} |`;
    }),
  ].join('\n');
}

function transports(): string {
  const { machine, rows } = result<TransportsResult>('transports');
  const cells = rows.map(({ calls, server, usPerPair, p99Ms, gatewayCpu }) => {
    const sorted = p99Ms.toSorted((one, other) => one - other);
    const half = sorted.length / 2;
    const median = ((sorted[Math.ceil(half) - 1] ?? 0) + (sorted[Math.floor(half)] ?? 0)) / 2;
    return [calls, server, usPerPair.toFixed(1), median.toFixed(2), percent(gatewayCpu)].join(' | ');
  });
  return [
    `Measured on ${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ${machine.date}.`,
    '',
    '| calls | `SERVER` | µs of CPU for a frame in and one out | round trip p99 ms, median of rounds | gateway CPU |',
    '|---:|---|---:|---:|---:|',
    ...cells.map((row) => `| ${row} |`),
  ].join('\n');
}

function handshakes(): string {
  const { machine, rows } = result<HandshakesResult>('handshakes');
  const of = (certificate: string, isResumed: boolean) =>
    rows.find((row) => row.certificate === certificate && row.isResumed === isResumed)?.us.toFixed(0);
  const kinds = [...new Set(rows.map(({ certificate }) => certificate))];
  return [
    `Measured on ${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ${machine.date}.`,
    '',
    '| key of the certificate | µs of CPU for a connection and its handshake | with a ticket of an earlier one |',
    '|---|---:|---:|',
    ...kinds.map((kind) => `| ${kind} | ${of(kind, false)} | ${of(kind, true)} |`),
  ].join('\n');
}

/** A second worker, and workers that end. */
function workers(): string {
  const measured = readResult<WorkersResult>('workers');
  if (measured === undefined) return unmeasured('workers');
  const { machine, holdMs, calls, rounds, ratio, random, lives } = measured;
  const valid = rounds.filter(({ isValid }) => isValid).length;
  return [
    measuredOn(machine, holdMs),
    '',
    `Two workers took ${ratio.toFixed(2)} times the CPU of one process for the same ${calls} calls (${valid} of ${rounds.length} rounds valid). ` +
      `Of ${random.calls} calls whose webhook and socket reached random workers ${random.lost} were lost; ${random.active} tokens were used.`,
    '',
    '| event | calls | lost | handovers | silence p50 | p99 | longest ms |',
    '|---|---:|---:|---:|---:|---:|---:|',
    ...lives.map(
      (life) =>
        `| ${life.what} | ${life.calls} | ${life.lost} | ${life.handovers} | ${life.gapP50Ms.toFixed(0)} | ${life.gapP99Ms.toFixed(0)} | ${life.gapMaxMs.toFixed(0)} |`,
    ),
  ].join('\n');
}

/** A socket that another worker serves. */
function relay(): string {
  const measured = readResult<RelayResult>('relay');
  if (measured === undefined) return unmeasured('relay');
  const { machine, holdMs, rows } = measured;
  return [
    measuredOn(machine, holdMs),
    '',
    '| relayed calls | µs CPU a frame pair at the relay | at the owner | added round trip p50 | p99 µs |',
    '|---:|---:|---:|---:|---:|',
    ...rows.map(
      (row) =>
        `| ${row.calls} | ${row.relayUsPerPair.toFixed(1)} | ${row.ownerUsPerPair.toFixed(1)} | ${row.roundTripP50Us.toFixed(0)} | ${row.roundTripP99Us.toFixed(0)} |`,
    ),
  ].join('\n');
}

/** What running calls hear of a ramp. */
function ramp(): string {
  const measured = readResult<RampResult>('ramp');
  if (measured === undefined) return unmeasured('ramp');
  const { machine, running, placed, rampMs, rows } = measured;
  return [
    `${placed} calls placed in ${rampMs / 1_000} s beside ${running} running ones; ${machine.cpu}, ${machine.platform}, Node ${machine.node}, ${machine.date}.`,
    '',
    "| V8's flags | round trip p50 | p99 | p99.9 | longest ms | gateway CPU | valid rounds |",
    '|---|---:|---:|---:|---:|---:|---:|',
    ...rows.map(
      (row) =>
        `| ${row.flags} | ${[row.p50Ms, row.p99Ms, row.p999Ms, row.maxMs].map((ms) => ms.toFixed(2)).join(' | ')} | ${percent(row.gatewayCpu)} | ${row.valid} of ${row.rounds.length} |`,
    ),
  ].join('\n');
}

/** What a phone in a Stream call costs on each stack, and how late it is heard. */
function stream(): string {
  const measured = readResult<StreamResult>('stream');
  if (measured === undefined) return unmeasured('stream');
  const { machine, cost, latency, ratios } = measured;
  const { cpu, platform, node, date } = machine;
  return [
    `${cpu}, ${platform}, Node ${node}, ${date}.`,
    '',
    '| stack | calls | worker CPU | a call | gateway CPU | worker memory MB | threads | heard right | dropped frames |',
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...cost.map(
      (row) =>
        `| ${row.stack} | ${row.calls} | ${percent(row.worker)} | ${(row.workerPerCall * 100).toFixed(2)} % | ${percent(row.gateway)} | ${row.rssMb.toFixed(0)} | ${row.threads} | ${row.right} | ${row.dropped} |`,
    ),
    '',
    `CPU of a call on libwebrtc by that on the lean stack: ${Object.entries(ratios)
      .map(([calls, ratio]) => `${ratio.toFixed(1)} at ${calls}`)
      .join(', ')}.`,
    '',
    '| stack | calls | direction | p50 ms | p90 | p99 |',
    '|---|---:|---|---:|---:|---:|',
    ...latency.map(
      (row) =>
        `| ${row.stack} | ${row.calls} | ${row.direction} | ${[row.p50, row.p90, row.p99].map((ms) => ms.toFixed(0)).join(' | ')} |`,
    ),
  ].join('\n');
}

function measuredOn({ cpu, platform, node, date }: Machine, holdMs: number): string {
  return `${cpu}, ${platform}, Node ${node}, ${date}; ${holdMs / 1_000} s each.`;
}

function unmeasured(bench: string): string {
  return `Not measured yet: \`npm run bench -- ${bench}\`.`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const page of FIGURE_PAGES) {
    const file = new URL(`../${page}`, import.meta.url);
    writeFileSync(file, withFigures(page, readFileSync(file, 'utf8')));
  }
}
