import { afterEach, describe, expect, it } from 'vitest';
import type { StackChoice } from '../../src/bridge/stream/stack-choice.js';
import { WorkerPool } from '../../src/bridge/stream/worker-pool.js';
import { createLog } from '../../src/telemetry/log.js';
import { type FakeWorker, FakeWorkers } from '../support/stream/fake-worker.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const pools: WorkerPool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

/** A pool whose workers become ready as soon as they are made, and the stacks they were made for. */
async function startPool(stack: StackChoice, isReady = true) {
  let isMute = !isReady;
  const workers = new FakeWorkers(clock);
  workers.startMs = undefined;
  const chosen: StackChoice[] = [];
  const pool = new WorkerPool({
    legsPerWorker: 1,
    recycleAfter: 1_000,
    memoryLimitMb: 1_000,
    log: createLog('silent'),
    clock,
    stack,
    fork: (choice) => {
      const worker = workers.fork();
      chosen.push(choice);
      const made = workers.all.at(-1) as FakeWorker;
      const ready = { type: 'ready', stack: choice === 'wrtc' ? 'wrtc' : 'lean' } as const;
      if (!isMute) clock.after(1, () => made.say(ready));
      return worker;
    },
    timeOf: workers.timeOf,
  });
  pools.push(pool);
  const opened = pool.open();
  opened.catch(() => {});
  if (isReady) await opened;
  const place = () => {
    const ignore = () => {};
    const listener = {
      ...{ write: ignore, prepared: ignore, joined: ignore, others: ignore, event: ignore, muted: ignore },
      ...{ tonesRefused: ignore, departed: ignore, token: async () => 'a token' },
    };
    const call = { apiKey: 'key', userId: 'phone', callType: 'default', callId: 'room', watchdogMs: 3_000 };
    return pool.place(call, listener);
  };
  const busy = () => workers.alive.filter(({ legs }) => legs.size > 0);
  const mute = (on: boolean) => {
    isMute = on;
  };
  return { pool, workers, chosen, place, busy, mute };
}

const UNFIT = { type: 'unfit', reason: 'The description has audio that is not Opus' } as const;

describe('the lean stack', () => {
  it('that a media server makes crash in call after call is given up, and what it carries is left to end', async () => {
    const { pool, chosen, place, busy } = await startPool('auto');
    place();
    await sleep(2_000);
    const [other] = busy();
    let pid = 0;
    for (let crash = 0; crash < 3; crash++) {
      expect(pool.webrtc).toBe('lean');
      place();
      await sleep(2_000);
      const victim = busy().find((worker) => worker !== other) as FakeWorker;
      pid = victim.pid;
      victim.stderr.write('first words\nmore words\n');
      await sleep(10);
      victim.exit(null, 'SIGSEGV');
    }
    await sleep(2_000);
    expect(chosen.at(-1)).toBe('wrtc');
    expect(pool.webrtc).toBe(`wrtc; media worker ${pid} is gone: SIGSEGV: first words`);
    expect(other?.connected).toBe(true);
    expect(pool.list().map(({ legs, isRetiring }) => [legs, isRetiring])).toEqual([
      [1, true],
      [0, false],
    ]);
  });

  it.each([
    ['is killed', (worker: FakeWorker) => worker.exit(null, 'SIGKILL')],
    [
      'cannot be forked',
      (worker: FakeWorker) => worker.emit('error', new Error('spawn EAGAIN')) && worker.exit(null),
    ],
  ])('stays if a worker %s before it is ready: the machine is busy', async (_, fail) => {
    const { workers, chosen } = await startPool('auto', false);
    for (let i = 0; i < 4; i++) {
      await eventually('another', () => workers.all.length === i + 1);
      fail(workers.all[i] as FakeWorker);
    }
    await eventually('another', () => workers.all.length === 5);
    expect(new Set(chosen)).toEqual(new Set(['auto']));
  });

  it('that cannot do what a media server asks for is left at once, the spare too', async () => {
    const { chosen, workers, place, busy } = await startPool('auto');
    place();
    await sleep(2_000);
    busy()[0]?.say(UNFIT);
    await sleep(100);
    expect(workers.alive).toHaveLength(2);
    expect(chosen).toEqual(['auto', 'auto', 'wrtc']);
  });

  it('alone is not replaced by another process of itself for that', async () => {
    const { pool, chosen, place, busy } = await startPool('lean');
    place();
    await sleep(2_000);
    for (let i = 0; i < 5; i++) busy()[0]?.say(UNFIT);
    await sleep(2_000);
    expect(chosen).toEqual(['lean', 'lean']);
    expect(pool.list().some(({ isRetiring }) => isRetiring)).toBe(false);
  });

  it('is taken back if libwebrtc is not there: what it cannot do is better than nothing', async () => {
    const { pool, chosen, workers, place, busy, mute } = await startPool('auto');
    place();
    await sleep(2_000);
    mute(true);
    busy()[0]?.say(UNFIT);
    await sleep(10);
    expect(chosen.at(-1)).toBe('wrtc');
    mute(false);
    workers.alive.at(-1)?.exit(1);
    await sleep(1_000);
    expect([chosen.at(-1), pool.webrtc]).toEqual(['lean', 'lean']);
  });
});

describe('a spare', () => {
  it('that the machine kills again and again is not started again at once each time', async () => {
    const { workers } = await startPool('auto');
    const killing = clock.every(50, () => workers.alive.at(-1)?.exit(null, 'SIGKILL'));
    await sleep(60_000);
    clock.cancel(killing);
    expect(workers.all.length).toBeGreaterThan(5);
    expect(workers.all.length).toBeLessThan(10);
    await eventually('another', () => workers.alive.length === 1, 15_000);
  });
});
