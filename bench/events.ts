import type { ChildProcess } from 'node:child_process';
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
const ROUNDS = Number(env.EVENTS_ROUNDS ?? 7);
/** A receiver that is well, and one so slow that each event is written, and its end as well. */
const TAKES_MS = [10, 300] as const;
const DELIVERIES = Number(env.EVENTS_DELIVERIES ?? 300_000);
const FRAMES_A_MINUTE = 3_000;

/** What a run of spool-process.mjs answers. */
interface SpoolRun {
  readonly cpuMs: number;
  readonly failures: number;
}

/** What a run of delivery-process.mjs answers. */
interface DeliveryRun {
  readonly seconds: number;
  readonly delivered: number;
  readonly heapUsed: number;
}

export interface EventsResult {
  readonly machine: Machine;
  readonly calls: number;
  readonly eventsAMinute: number;
  /** What a spool adds to an event, in microseconds of CPU of all threads: medians of the rounds. */
  readonly wellUs: number;
  readonly slowUs: number;
  /** That of a call, in percent of what the gateway takes for its audio. */
  readonly wellPercent: number | undefined;
  readonly slowPercent: number | undefined;
  /** Bytes of heap after a collection: after a tenth of the deliveries, and after all. */
  readonly deliveries: number;
  readonly heapEarly: number;
  readonly heapLate: number;
}

/** What it costs to keep events on disk until they are delivered, and what deliveries leave in memory. */
export async function benchEvents(): Promise<void> {
  const at = machine();
  console.log(`\nEvents of ${CALLS} calls, ${EVENTS_A_MINUTE} a minute each (${machineLine(at)})`);
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-bench-'));
  try {
    const [wellUs, slowUs] = await costs(join(folder, 'spool'));
    const frameNs = readResult<TelemetryResult>('telemetry')?.gatewayNs;
    const percent = (us: number) =>
      frameNs === undefined ? undefined : (100 * us * 1e3 * EVENTS_A_MINUTE) / (frameNs * FRAMES_A_MINUTE);
    const result: EventsResult = {
      machine: at,
      calls: CALLS,
      eventsAMinute: EVENTS_A_MINUTE,
      wellUs,
      slowUs,
      wellPercent: percent(wellUs),
      slowPercent: percent(slowUs),
      deliveries: DELIVERIES,
      ...(await heap(join(folder, 'heap'))),
    };
    console.log(`\n${resultTable(result)}`);
    writeResult('events', result);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What a spool adds to an event: the same work with one and without takes turns. */
async function costs(spoolDir: string): Promise<[number, number]> {
  const start = async (options: object) => {
    const child = startChild('events/spool-process.mjs', options);
    await answerOf(child);
    return child;
  };
  const [without, spooled] = await Promise.all([start({}), start({ spoolDir })]);
  const perSecond = (CALLS * EVENTS_A_MINUTE) / 60;
  const costUs = async (child: ChildProcess, takesMs: number) => {
    const { cpuMs, failures } = await run<SpoolRun>(child, {
      count: COUNT,
      perSecond,
      calls: CALLS,
      takesMs,
    });
    if (failures > 0) throw new Error(`Expected a disk but received ${failures} failures`);
    return (cpuMs * 1e3) / COUNT;
  };
  const us: [number[], number[]] = [[], []];
  // The first round is for the compiler.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const of of [0, 1] as const) {
      const difference = (await costUs(spooled, TAKES_MS[of])) - (await costUs(without, TAKES_MS[of]));
      if (round > 0) us[of].push(difference);
    }
  }
  for (const child of [without, spooled]) child.kill('SIGKILL');
  return us.map((values) => values.sort((a, b) => a - b)[values.length >> 1]) as [number, number];
}

async function heap(spoolDir: string): Promise<{ heapEarly: number; heapLate: number }> {
  const receiver = await receiving();
  const child = startChild('events/delivery-process.mjs', { url: receiver.url, spoolDir }, undefined, false, [
    '--expose-gc',
  ]);
  await answerOf(child);
  const tenths: number[] = [];
  for (let tenth = 1; tenth <= 10; tenth++) {
    const count = DELIVERIES / 10;
    const { heapUsed, seconds, delivered } = await run<DeliveryRun>(child, { count, calls: CALLS });
    if (delivered !== count) throw new Error(`Expected ${count} deliveries but received ${delivered}`);
    tenths.push(heapUsed);
    const rate = (count / seconds).toFixed(0);
    console.log(`${count * tenth} deliveries: ${heapUsed} bytes of heap, ${rate} a second`);
  }
  child.kill('SIGKILL');
  receiver.close();
  return { heapEarly: tenths[0] as number, heapLate: tenths[9] as number };
}

async function run<T>(child: ChildProcess, what: object): Promise<T> {
  const answer = answerOf<T>(child);
  child.send(what);
  return answer;
}

async function receiving(): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(204).end());
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

function resultTable({ wellUs, wellPercent, slowUs, slowPercent }: EventsResult): string {
  const percent = (value: number | undefined) => (value === undefined ? '' : `${value.toFixed(2)} %`);
  const row = (takesMs: number, us: number, share: number | undefined) => [
    `the receiver takes ${takesMs} ms`,
    us.toFixed(1),
    percent(share),
  ];
  return table(
    ['the spool adds', 'µs an event', 'of a call'],
    [row(TAKES_MS[0], wellUs, wellPercent), row(TAKES_MS[1], slowUs, slowPercent)],
  );
}
