import { fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { StackChoice } from '../../src/bridge/stream/stack-choice.js';
import { WorkerPool } from '../../src/bridge/stream/worker-pool.js';
import { createLog } from '../../src/telemetry/log.js';
import { realStream } from '../support/stream-real.js';
import { clock } from '../support/time.js';

const WITHOUT = fileURLToPath(new URL('../support/without-rtc.cjs', import.meta.url));
const WORKER = createRequire(new URL('../../package.json', import.meta.url)).resolve(
  './dist/bridge/stream/media-worker.js',
);

/** Media workers on a machine where the lean stack does not load. */
const forkWithout = (stack: StackChoice) =>
  fork(WORKER, [stack], {
    execArgv: ['--require', WITHOUT],
    serialization: 'json',
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'ipc'],
  });

const { talk } = realStream({ pool: { stack: 'auto', fork: forkWithout } });

it('where the lean stack does not load, phone and agent hear each other over libwebrtc, and the pool says why', async () => {
  const { pool } = await talk();
  expect(pool.webrtc).toMatch(/^wrtc; .*no such addon/);
  expect(pool.webrtc).not.toContain(fileURLToPath(new URL('../..', import.meta.url)));
});

it('where only the lean stack is wanted, the pool does not open, and says why', async () => {
  const pool = new WorkerPool({
    ...{ stack: 'lean', fork: forkWithout, legsPerWorker: 1, recycleAfter: 1, memoryLimitMb: 1_000 },
    log: createLog('silent'),
    clock,
  });
  await expect(pool.open()).rejects.toThrow(/no such addon/);
  await pool.close();
});
