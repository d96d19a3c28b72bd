import { afterEach, describe, expect, it } from 'vitest';
import type { ParticipantListener } from '../../../src/bridge/stream/participant.js';
import type { StackChoice } from '../../../src/bridge/stream/stack-choice.js';
import { WorkerPool, type WorkerPoolOptions } from '../../../src/bridge/stream/worker-pool.js';
import { createLog } from '../../../src/telemetry/log.js';
import { type FakeWorker, FakeWorkers } from '../../support/stream/fake-worker.js';
import { clock, eventually, sleep, virtualTime } from '../../support/time.js';

virtualTime();

const pools: WorkerPool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

/** A pool whose workers say they are what was asked for. */
function poolOf(options: Partial<WorkerPoolOptions> = {}) {
  const workers = new FakeWorkers(clock);
  const asked: StackChoice[] = [];
  const fork = (stack: StackChoice) => {
    asked.push(stack);
    const child = workers.fork();
    const worker = workers.all.at(-1) as FakeWorker;
    const say = worker.say.bind(worker);
    worker.say = (message) =>
      say(message.type === 'ready' ? { ...message, stack: stack === 'auto' ? 'lean' : stack } : message);
    return child;
  };
  const pool = new WorkerPool({
    ...{
      legsPerWorker: 20,
      recycleAfter: 1_000,
      memoryLimitMb: 1_000,
      log: createLog('silent'),
      clock,
      fork,
    },
    timeOf: workers.timeOf,
    ...options,
  });
  pools.push(pool);
  const departed: string[] = [];
  const listener: ParticipantListener = {
    ...{ write() {}, prepared() {}, joined() {}, others() {}, event() {}, muted() {}, tonesRefused() {} },
    token: async () => 'a token',
    departed: (departure) => departed.push(departure),
  };
  const place = () =>
    pool.place({ apiKey: 'key', userId: 'u', callType: 'default', callId: 'c', watchdogMs: 3_000 }, listener);
  return { pool, workers, asked, place, departed };
}

const REASON = 'The description has audio that is not Opus';

describe('workers that may choose', () => {
  it('begin with the lean stack', async () => {
    const { pool, asked } = poolOf();
    await pool.open();
    expect(asked).toEqual(['auto']);
    expect(pool.webrtc).toBe('lean');
  });

  it('are followed by libwebrtc once one has met what it cannot do; its calls end first', async () => {
    const { pool, workers, asked, place } = poolOf();
    await pool.open();
    const leg = place();
    await eventually('a spare', () => workers.all.length === 2);
    await sleep(1_000);
    const [first] = workers.all as [FakeWorker];
    first.say({ type: 'unfit', reason: REASON });
    expect(pool.list()[0]).toMatchObject({ legs: 1, isRetiring: true });
    // The spare is lean as well, and only takes what comes before it is known to be.
    expect(asked.slice(0, 2)).toEqual(['auto', 'auto']);
    const next = place();
    await sleep(2_000);
    expect(asked.slice(2).length).toBeGreaterThan(0);
    expect(new Set(asked.slice(2))).toEqual(new Set(['wrtc']));
    expect(first.connected).toBe(true);
    void leg.leave();
    await eventually('the end of the first', () => !first.connected);
    void next.leave();
    expect(pool.webrtc).toBe(`wrtc; ${REASON}`);
    expect(pool.census().deaths).toBe(0);
  });

  it('are followed by libwebrtc once one has died before it was ready', async () => {
    const { pool, workers, asked } = poolOf();
    workers.startMs = undefined;
    const opened = pool.open().catch(() => 'failed');
    const [first] = workers.all as [FakeWorker];
    workers.startMs = 700;
    first.exit(1);
    expect(await opened).toBe('failed');
    await eventually('another', () => pool.list().some(({ isReady }) => isReady));
    expect(asked).toEqual(['auto', 'wrtc']);
    expect(pool.webrtc).toMatch(/^wrtc; media worker 1000 is gone: exit code 1/);
  });

  it('stay lean when one dies later', async () => {
    const { pool, workers, asked } = poolOf();
    await pool.open();
    (workers.all[0] as FakeWorker).exit(null, 'SIGSEGV');
    await eventually('another', () => pool.list().some(({ isReady }) => isReady));
    expect(asked).toEqual(['auto', 'auto']);
    expect(pool.webrtc).toBe('lean');
  });
});

describe.each(['lean', 'wrtc'] as const)('workers that are to be %s', (stack) => {
  it('remain so', async () => {
    const { pool, workers, asked, place } = poolOf({ stack });
    await pool.open();
    const [first] = workers.all as [FakeWorker];
    place();
    first.say({ type: 'unfit', reason: REASON });
    workers.startMs = undefined;
    await sleep(3_000);
    workers.startMs = 700;
    for (const worker of workers.alive) if (worker !== first) worker.exit(1);
    await sleep(5_000);
    expect(asked.length).toBeGreaterThan(2);
    expect(new Set(asked)).toEqual(new Set([stack]));
    expect(pool.webrtc).toBe(stack);
  });
});

it('a worker of libwebrtc carries 50 legs at most', async () => {
  const { pool, place } = poolOf({ stack: 'wrtc', legsPerWorker: 200 });
  await pool.open();
  for (let i = 0; i < 120; i++) place();
  await sleep(5_000);
  expect(Math.max(...pool.list().map(({ legs }) => legs))).toBeLessThanOrEqual(50);
  expect(pool.census().legs).toBe(120);
});
