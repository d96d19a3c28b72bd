import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Receiver } from '../support/receiver.js';

const SCRIPT = fileURLToPath(new URL('../../bench/events/delivery-process.mjs', import.meta.url));
const DELIVERIES = 20_000;
/** Bytes that a delivery may leave: what a heap varies by in any case. */
const MOST_LEFT = 16;

let folder: string;
let child: ChildProcess;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-soak-'));
});
afterAll(() => {
  child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

async function deliver(count: number): Promise<number> {
  const ended = once(child, 'exit').then(([code]) => expect.fail(`the process ended with ${code}`));
  const answer = Promise.race([once(child, 'message'), ended]);
  child.send({ count, calls: 1_000 });
  const [{ delivered, heapUsed }] = (await answer) as [{ delivered: number; heapUsed: number }];
  expect(delivered).toBe(count);
  return heapUsed;
}

it('leaves nothing in memory after thousands of deliveries', async () => {
  const receiver = await Receiver.start();
  const options = { url: receiver.url, spoolDir: join(folder, 'spool') };
  child = fork(SCRIPT, [JSON.stringify(options)], { execArgv: ['--expose-gc'] });
  await once(child, 'message');
  const heaps: number[] = [];
  for (let round = 0; round < 4; round++) {
    heaps.push(await deliver(DELIVERIES));
    receiver.received.length = 0;
  }
  // The first rounds fill the event history and warm up the compiler.
  const left = ((heaps[3] as number) - (heaps[1] as number)) / (2 * DELIVERIES);
  expect(left, `heaps of ${heaps.join(', ')} bytes`).toBeLessThan(MOST_LEFT);
});
