// The README's figures, from what the benches wrote: no figure there is typed by hand.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BAR, type OverloadResult } from './capacity/overload.js';
import { type CapacityResult, kbPerCall } from './capacity.js';
import type { Machine } from './machine.js';
import { readResult } from './result.js';

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

const README = fileURLToPath(new URL('../README.md', import.meta.url));
const result = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`results/${name}.json`, import.meta.url), 'utf8')) as T;

/** The README with its figures as they were last measured. */
export function withFigures(readme: string): string {
  const figures = { latency, quality, capacity, overload };
  return Object.entries(figures).reduce((text, [name, of]) => section(text, name, of()), readme);
}

function section(readme: string, name: string, figures: string): string {
  const [begin, end] = [`<!-- figures: ${name} -->`, `<!-- end of figures: ${name} -->`];
  const [from, to] = [readme.indexOf(begin), readme.indexOf(end)];
  if (from < 0 || to < from)
    throw new Error(`Expected ${begin} and ${end} for the README but received neither or one`);
  return `${readme.slice(0, from + begin.length)}\n\n${figures}\n\n${readme.slice(to)}`;
}

function latency(): string {
  const { machine, rows } = result<LatencyResult>('latency');
  const names = [...new Set(rows.map(({ name }) => name))];
  const cells = names.map((name) => {
    const [inward, outward] = ['in', 'out'].map((direction) =>
      rows.find((row) => row.name === name && row.direction === direction),
    );
    const of = (row: typeof inward) =>
      row === undefined
        ? ['', '', '']
        : [us(row.medianNs), us(row.p99Ns), row.timesFaster.toFixed(row.timesFaster < 10 ? 1 : 0)];
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
    `Medians of rounds of ${holdMs / 1_000} s without the offers and ${holdMs / 1_000} s with them, on the same calls.`,
    '',
    '| `MAX_CALLS` | offered | told busy | within ms p99 | round trip p99 ms | with the offers | times | socket to socket p99 µs | gateway CPU | missing | dropped | undisturbed rounds |',
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

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(README, withFigures(readFileSync(README, 'utf8')));
