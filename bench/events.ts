import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { table } from '../src/cli/table.js';
import { answerOf, startChild } from './child.js';
import { type Machine, machine, machineLine } from './machine.js';
import { readResult, writeResult } from './result.js';
import type { TelemetryResult } from './telemetry.js';

const { env } = process;
const CALLS = 1_000;
/** Of a call with a menu; most have three or four in all. */
const EVENTS_A_MINUTE = 10;
const COUNT = Number(env.EVENTS_COUNT ?? 1_500);
const ROUNDS = Number(env.EVENTS_ROUNDS ?? 5);
/** Longer than an event waits for the disk: each is written, and its end as well. */
const SLOW_MS = 300;
const DELIVERIES = Number(env.EVENTS_DELIVERIES ?? 300_000);
const FRAMES_A_MINUTE = 3_000;

export interface EventsResult {
  readonly machine: Machine;
  readonly calls: number;
  readonly eventsAMinute: number;
  /** CPU of an event in microseconds: all threads, its request included. Medians of the rounds. */
  readonly plainUs: number;
  readonly spooledUs: number;
  readonly slowPlainUs: number;
  readonly slowSpooledUs: number;
  /** What the spool adds to a call, in percent of what the gateway takes for its audio. */
  readonly percent: number | undefined;
  readonly slowPercent: number | undefined;
  /** Bytes of heap after a collection: after a tenth of the deliveries, and after all. */
  readonly deliveries: number;
  readonly heapEarly: number;
  readonly heapLate: number;
}

/** What a run of delivery-process.mjs answers. */
interface Run {
  readonly cpuMs: number;
  readonly seconds: number;
  readonly delivered: number;
  readonly heapUsed: number;
}

/** What it costs to keep events on disk until they are delivered, and what deliveries leave in memory. */
export async function benchEvents(): Promise<void> {
  const at = machine();
  console.log(`\nEvents of ${CALLS} calls, ${EVENTS_A_MINUTE} a minute each (${machineLine(at)})`);
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-bench-'));
  try {
    const [plainUs, spooledUs] = await costs(0, join(folder, 'fast'));
    const [slowPlainUs, slowSpooledUs] = await costs(SLOW_MS, join(folder, 'slow'));
    const frameNs = readResult<TelemetryResult>('telemetry')?.gatewayNs;
    const percent = (us: number) =>
      frameNs === undefined ? undefined : (100 * us * 1e3 * EVENTS_A_MINUTE) / (frameNs * FRAMES_A_MINUTE);
    const result: EventsResult = {
      machine: at,
      calls: CALLS,
      eventsAMinute: EVENTS_A_MINUTE,
      plainUs,
      spooledUs,
      slowPlainUs,
      slowSpooledUs,
      percent: percent(spooledUs - plainUs),
      slowPercent: percent(slowSpooledUs - slowPlainUs),
      deliveries: DELIVERIES,
      ...(await heap(join(folder, 'heap'))),
    };
    console.log(`\n${resultTable(result)}`);
    writeResult('events', result);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Microseconds of CPU an event, without a spool and with one; the two take turns. */
async function costs(delayMs: number, spoolDir: string): Promise<[number, number]> {
  const receiver = await receiving(delayMs);
  const children = await Promise.all([start(receiver.url), start(receiver.url, spoolDir)]);
  const perSecond = (CALLS * EVENTS_A_MINUTE) / 60;
  const us: [number[], number[]] = [[], []];
  // The first round is for the compiler.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const of of [0, 1] as const) {
      const { cpuMs } = await run(children[of], { count: COUNT, perSecond, calls: CALLS });
      if (round > 0) us[of].push((cpuMs * 1e3) / COUNT);
    }
  }
  for (const child of children) child.kill('SIGKILL');
  receiver.close();
  return us.map((values) => values.sort((a, b) => a - b)[values.length >> 1]) as [number, number];
}

async function heap(spoolDir: string): Promise<{ heapEarly: number; heapLate: number }> {
  const receiver = await receiving(0);
  const child = await start(receiver.url, spoolDir);
  const tenths: number[] = [];
  for (let tenth = 1; tenth <= 10; tenth++) {
    const { heapUsed, seconds } = await run(child, { count: DELIVERIES / 10, calls: CALLS });
    tenths.push(heapUsed);
    const rate = DELIVERIES / 10 / seconds;
    console.log(`${(DELIVERIES / 10) * tenth} deliveries: ${heapUsed} bytes, ${rate.toFixed(0)} a second`);
  }
  child.kill('SIGKILL');
  receiver.close();
  return { heapEarly: tenths[0] as number, heapLate: tenths[9] as number };
}

async function start(url: string, spoolDir?: string) {
  const child = startChild('events/delivery-process.mjs', { url, spoolDir }, undefined, false, [
    '--expose-gc',
  ]);
  await answerOf(child);
  return child;
}

async function run(child: Awaited<ReturnType<typeof start>>, what: object): Promise<Run> {
  const answer = answerOf<Run>(child);
  child.send(what);
  const ran = await answer;
  const { count } = what as { count: number };
  if (ran.delivered === count) return ran;
  throw new Error(`Expected ${count} deliveries but received ${ran.delivered}`);
}

async function receiving(delayMs: number): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const answer = () => response.writeHead(204).end();
      if (delayMs === 0) answer();
      else setTimeout(answer, delayMs);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function resultTable(result: EventsResult): string {
  const percent = (value: number | undefined) => (value === undefined ? '' : `${value.toFixed(2)} %`);
  const us = (value: number) => value.toFixed(0);
  return table(
    ['an event', 'µs', 'the spool, of a call'],
    [
      ['receiver well, memory', us(result.plainUs), ''],
      ['receiver well, spool', us(result.spooledUs), percent(result.percent)],
      [`receiver takes ${SLOW_MS} ms, memory`, us(result.slowPlainUs), ''],
      [`receiver takes ${SLOW_MS} ms, spool`, us(result.slowSpooledUs), percent(result.slowPercent)],
    ],
  );
}
