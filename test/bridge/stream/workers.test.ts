import { availableParallelism } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import type {
  Departure,
  ParticipantListener,
  ParticipantRequest,
  PlacedParticipant,
} from '../../../src/bridge/stream/participant.js';
import { WorkerPool, type WorkerPoolOptions } from '../../../src/bridge/stream/worker-pool.js';
import { createLog } from '../../../src/telemetry/log.js';
import { type FakeWorker, FakeWorkers } from '../../support/stream/fake-worker.js';
import { startStream } from '../../support/stream-fake.js';
import { clock, eventually, sleep, virtualTime } from '../../support/time.js';

const time = virtualTime();

const pools: WorkerPool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

const REQUEST: ParticipantRequest = {
  apiKey: 'key',
  userId: 'phone-1',
  callType: 'default',
  callId: 'room',
  watchdogMs: 3_000,
};

function newPool(options: Partial<WorkerPoolOptions> = {}) {
  const workers = new FakeWorkers(clock);
  const pool = new WorkerPool({
    legsPerWorker: 20,
    recycleAfter: 1_000,
    memoryLimitMb: 1_000,
    log: createLog('silent'),
    clock,
    fork: workers.fork,
    timeOf: workers.timeOf,
    ...options,
  });
  pools.push(pool);
  return { workers, pool, place: () => new Leg(pool) };
}

async function startPool(options: Partial<WorkerPoolOptions> = {}) {
  const started = newPool(options);
  await started.pool.open();
  return started;
}

/** A leg in a pool, and the messages it received. */
class Leg {
  isPrepared = false;
  isJoined = false;
  departed: { departure: Departure; reason: string; at: number } | undefined;
  readonly others: number[] = [];
  readonly events: unknown[] = [];
  readonly refusals: string[] = [];
  readonly heard: number[] = [];
  token: () => Promise<string> = async () => 'a token';
  readonly listener: ParticipantListener;
  readonly placed: PlacedParticipant;

  /** @param appears whether somebody is on the phone already */
  constructor(pool: WorkerPool, appears = true) {
    this.listener = {
      write: (frame) => this.heard.push(frame[0] as number),
      token: () => this.token(),
      prepared: () => {
        this.isPrepared = true;
      },
      joined: () => {
        this.isJoined = true;
      },
      others: (count) => this.others.push(count),
      event: (custom, userId, role) => this.events.push({ custom, userId, role }),
      muted: () => {},
      tonesRefused: (message) => this.refusals.push(message),
      departed: (departure, reason) => {
        this.departed = { departure, reason, at: clock.now() };
      },
    };
    this.placed = pool.place(REQUEST, this.listener);
    if (appears) this.placed.appear();
  }
}

const loads = (pool: WorkerPool) =>
  pool
    .list()
    .map(({ legs }) => legs)
    .sort()
    .join();

describe('the pool', () => {
  it('opens with one ready worker, and starts another one second after the first leg', async () => {
    const { pool, workers, place } = await startPool();
    expect(pool.list()).toMatchObject([{ pid: 1_000, legs: 0, isReady: true, isRetiring: false }]);
    const leg = place();
    await eventually('it to join', () => leg.isJoined);
    expect(workers.all).toHaveLength(1);
    await sleep(1_000);
    expect(pool.list()).toMatchObject([{ legs: 1 }, { legs: 0 }]);
  });

  it('fills workers evenly, starts another when they are full, and keeps one warm', async () => {
    const { pool, place } = await startPool({ legsPerWorker: 2 });
    const legs = [1, 2, 3, 4, 5].map(place);
    await eventually('all to join', () => legs.every(({ isJoined }) => isJoined));
    await sleep(2_000);
    expect(loads(pool)).toBe('0,1,2,2');
    for (const { placed } of legs) void placed.leave();
    await sleep(1_000);
    expect(loads(pool)).toBe('0');
    expect(pool.census()).toMatchObject({ workers: 1, legs: 0, deaths: 0 });
  });

  it('replaces a worker after the configured number of legs, once the last has left', async () => {
    const { pool, workers, place } = await startPool({ recycleAfter: 2 });
    const [first, second] = [place(), place()];
    await sleep(2_000);
    expect(pool.list()).toMatchObject([
      { legs: 2, isRetiring: true },
      { legs: 0, isRetiring: false },
    ]);
    const third = place();
    await eventually('it to join', () => third.isJoined);
    expect(loads(pool)).toBe('1,2');
    void first.placed.leave();
    await sleep(500);
    expect(workers.all[0]?.connected).toBe(true);
    void second.placed.leave();
    await eventually('its end', () => workers.all[0]?.connected === false);
    expect(workers.all[0]?.told.at(-1)).toEqual({ type: 'end' });
    expect(pool.census().deaths).toBe(0);
  });

  it('replaces a worker above its memory limit, once it is empty', async () => {
    const { pool, workers, place } = await startPool({ memoryLimitMb: 300 });
    const [one, two] = [place(), place()];
    await sleep(2_000);
    const [worker] = workers.all as [FakeWorker];
    worker.rss = 301e6;
    await sleep(1_000);
    expect(pool.census().rssBytes).toBe(401e6);
    void one.placed.leave();
    await eventually('it to retire', () => pool.list()[0]?.isRetiring === true);
    expect(two.departed).toBeUndefined();
    const three = place();
    await eventually('the third to join', () => three.isJoined);
    expect(loads(pool)).toBe('1,1');
    void two.placed.leave();
    await eventually('its end', () => !worker.connected);
  });

  it('prefers a ready worker, or lets a leg wait for one that starts', async () => {
    const { workers, pool, place } = newPool({ legsPerWorker: 1 });
    const opening = pool.open();
    const early = place();
    const next = place();
    expect(loads(pool)).toBe('1,1');
    await opening;
    await eventually('both to join', () => early.isJoined && next.isJoined);
    expect(workers.all).toHaveLength(2);
  });

  it('asks its workers to exit with it, kills one that does not, and accepts no more legs', async () => {
    const { pool, workers, place } = await startPool();
    const leg = place();
    await sleep(2_000);
    const [busy, spare] = workers.all as [FakeWorker, FakeWorker];
    busy.isHung = true;
    const begun = time.now();
    await Promise.all([pool.close(), eventually('the spare to end', () => !spare.connected)]);
    expect(Math.round((time.now() - begun) / 1_000), 'it hung').toBe(2);
    expect(leg.departed, 'its end was wished for').toBeUndefined();
    expect(pool.census()).toMatchObject({ workers: 0, legs: 0, deaths: 0 });
    expect(place).toThrow(expect.objectContaining({ code: 'GW_STREAM_CLOSED' }));
  });
});

describe('a worker that', () => {
  async function two() {
    const started = await startPool({ legsPerWorker: 1 });
    const first = started.place();
    await sleep(2_000);
    const second = started.place();
    await sleep(2_000);
    return { ...started, first, second, worker: started.workers.all[0] as FakeWorker };
  }

  it('dies loses only its own legs, and a new spare starts', async () => {
    const { pool, workers, worker, first, second } = await two();
    worker.stderr.write('a crash in native code\n');
    await sleep(10);
    worker.exit(null, 'SIGSEGV');
    expect(first.departed).toMatchObject({
      departure: 'lost',
      reason: 'media worker 1000 is gone: SIGSEGV: a crash in native code',
    });
    expect(second.departed).toBeUndefined();
    expect(pool.census()).toMatchObject({ legs: 1, deaths: 1 });
    // The spare that was warm takes what was lost, and another one is started for it.
    const again = new Leg(pool);
    await eventually('it to join', () => again.isJoined, 200);
    await sleep(2_000);
    expect(workers.alive).toHaveLength(3);
    expect(loads(pool)).toBe('0,1,1');
  });

  it('hangs is killed after two seconds, and its legs are lost', async () => {
    const { pool, worker, first, second } = await two();
    worker.isHung = true;
    const begun = time.now();
    await eventually('it to be given up', () => first.departed !== undefined);
    expect(time.now() - begun).toBeGreaterThanOrEqual(2_000);
    expect(time.now() - begun).toBeLessThan(2_600);
    expect(first.departed).toMatchObject({ departure: 'lost', reason: expect.stringContaining('it hung') });
    expect([worker.connected, second.departed, pool.census().deaths]).toEqual([false, undefined, 1]);
  });

  it('is too slow to answer, but works, is not considered hung for fifteen seconds', async () => {
    const { pool, worker, first } = await two();
    const works = time.every(200, () => {
      worker.threadMs = (worker.threadMs ?? 0) + 10;
    });
    worker.isHung = true;
    await sleep(14_000);
    expect([first.departed, pool.census().deaths]).toEqual([undefined, 0]);
    worker.isHung = false;
    await sleep(1_000);
    worker.isHung = true;
    const begun = time.now();
    await eventually('it to be given up', () => first.departed !== undefined, 20_000);
    expect(Math.round((time.now() - begun) / 1_000)).toBe(15);
    time.cancel(works);
  });

  it('hangs has as long if its CPU time is unknown', async () => {
    const { worker, first } = await two();
    worker.threadMs = undefined;
    worker.isHung = true;
    const begun = time.now();
    await eventually('it to be given up', () => first.departed !== undefined, 20_000);
    expect(Math.round((time.now() - begun) / 1_000)).toBe(15);
  });

  it('hangs together with others is replaced in turn, because a start slows down the others', async () => {
    const { pool, workers, first, second } = await two();
    const third = new Leg(pool);
    await sleep(2_000);
    const legs = [first, second, third];
    for (const worker of workers.alive) worker.isHung = worker.legs.size > 0;
    const begun = time.now();
    await eventually(
      'all to be given up',
      () => legs.every(({ departed }) => departed !== undefined),
      60_000,
    );
    const times = legs.map(({ departed }) => (departed?.at as number) - begun).sort((a, b) => a - b);
    expect(times[0]).toBeLessThan(2_600);
    for (const [i, at] of times.slice(1).entries()) expect(at - (times[i] as number)).toBeGreaterThan(4_900);
  });

  it('answers late, or whose gateway stalls, is kept', async () => {
    const { pool, worker, first } = await two();
    for (let i = 0; i < 5; i++) {
      worker.isHung = true;
      await sleep(1_400);
      worker.isHung = false;
      await sleep(1_000);
      time.stall(60_000);
      await sleep(1_000);
    }
    expect([first.departed, pool.census().deaths]).toEqual([undefined, 0]);
  });

  it('never becomes ready is killed after twenty seconds, and the pool reports why it does not open', async () => {
    const { pool, workers } = newPool();
    workers.startMs = undefined;
    const begun = time.now();
    await expect(pool.open()).rejects.toMatchObject({
      code: 'GW_STREAM_WORKER',
      message: 'media worker 1000 is gone: it hung',
    });
    expect(Math.round((time.now() - begun) / 1_000)).toBe(21);
  });

  it('cannot start is started again, with growing delays, until it can', async () => {
    const { pool, workers } = newPool();
    workers.startMs = undefined;
    pool.open().catch(() => {});
    const exits: number[] = [];
    for (let i = 0; i < 9; i++) {
      await eventually('another', () => workers.all.length === i + 1, 20_000);
      workers.all[i]?.exit(1);
      exits.push(time.now());
    }
    const pauses = workers.all.slice(1).map(({ forkedAt }, i) => Math.round(forkedAt - (exits[i] as number)));
    for (const [i, ms] of [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000].entries()) {
      expect(Math.abs((pauses[i] as number) - ms), `pause ${i}: ${pauses}`).toBeLessThanOrEqual(10);
    }
    workers.startMs = 700;
    await eventually('one that is ready', () => pool.list()[0]?.isReady === true, 20_000);
    // And forgets that it could not.
    workers.all.at(-1)?.exit(1);
    expect(workers.alive).toHaveLength(1);
    expect(pool.census().deaths).toBe(10);
  });

  it('could not be forked is handled like one that died', async () => {
    const { pool, workers } = newPool();
    workers.startMs = undefined;
    const opening = pool.open();
    const [worker] = workers.all as [FakeWorker];
    (worker as { pid?: number }).pid = undefined as never;
    worker.emit('error', new Error('spawn EAGAIN'));
    await expect(opening).rejects.toMatchObject({
      code: 'GW_STREAM_WORKER',
      message: expect.stringContaining('EAGAIN'),
    });
  });
});

describe('joins', () => {
  /** Pending joins in a worker: requested, but not joined. */
  const appearing = ({ told }: FakeWorker) => told.filter(({ type }) => type === 'appear').length;

  it('run at most four at a time in one worker, oldest first', async () => {
    const { workers, place } = await startPool();
    const [worker] = workers.all as [FakeWorker];
    worker.joinMs = 400;
    const legs = Array.from({ length: 9 }, place);
    await sleep(100);
    // By the number of processors, and half of it to begin with: of two there are four.
    const atOnce = Math.min(4, 2 * availableParallelism());
    expect(appearing(worker)).toBe(atOnce);
    await eventually('the first to be in', () => legs[0]?.isJoined === true);
    expect(legs.map(({ isJoined }) => isJoined)).toEqual(legs.map((_, i) => i < atOnce));
    await eventually('all to be in', () => legs.every(({ isJoined }) => isJoined));
    expect(worker.told.filter(({ type }) => type === 'appear').map((one) => 'leg' in one && one.leg)).toEqual(
      legs.map((_, i) => i + 1),
    );
  });

  it('run fewer at a time when they take too long, and more when they do not', async () => {
    const { workers, place } = await startPool({ legsPerWorker: 50 });
    const [worker] = workers.all as [FakeWorker];
    const joinAll = async (joinMs: number, count: number) => {
      worker.joinMs = joinMs;
      const legs = Array.from({ length: count }, place);
      await eventually('all to be in', () => legs.every(({ isJoined }) => isJoined), 60_000);
      worker.told.length = 0;
    };
    const underWay = async () => {
      worker.joinMs = 1_000;
      const legs = Array.from({ length: 5 }, place);
      await sleep(100);
      const found = appearing(worker);
      for (const { placed } of legs) void placed.leave();
      await sleep(100);
      worker.told.length = 0;
      return found;
    };
    await joinAll(200, 2);
    await joinAll(2_000, 12);
    expect(await underWay()).toBe(1);
    await joinAll(200, 16);
    expect(await underWay()).toBe(4);
    // A slow network is not their fault.
    const far = await startPool();
    (far.workers.all[0] as FakeWorker).joinMs = 2_000;
    const legs = Array.from({ length: 8 }, far.place);
    await eventually('all to be in', () => legs.every(({ isJoined }) => isJoined), 10_000);
  });

  it('block nobody for more than five seconds if they never end, or if their legs leave or are lost', async () => {
    const { workers, place } = await startPool();
    const [worker] = workers.all as [FakeWorker];
    worker.joinMs = 60_000;
    const stuck = Array.from({ length: 3 }, place);
    await sleep(100);
    worker.joinMs = 100;
    const next = place();
    await eventually('the next to be in', () => next.isJoined, 5_500);
    for (const { placed } of stuck) void placed.leave();
    const last = place();
    await eventually('the last to be in', () => last.isJoined, 500);
  });

  it('fail when their worker dies', async () => {
    const { workers, place } = await startPool({ legsPerWorker: 10 });
    const [worker] = workers.all as [FakeWorker];
    worker.joinMs = 60_000;
    const legs = Array.from({ length: 10 }, place);
    await sleep(2_000);
    worker.exit(null, 'SIGSEGV');
    expect(legs.every(({ departed }) => departed?.departure === 'lost')).toBe(true);
    const next = place();
    await eventually('the next to be in', () => next.isJoined, 500);
  });
});

describe('the pool is overloaded', () => {
  const times = { idle: 0, total: 0 };
  /** Seconds in which so much of the processors was idle. */
  const seconds = async (count: number, idlePercent = 50) => {
    for (let i = 0; i < count; i++) {
      times.idle += idlePercent * 10;
      times.total += 1_000;
      await sleep(1_000);
    }
  };
  const start = (options: Partial<WorkerPoolOptions> = {}) =>
    startPool({
      legsPerWorker: 50,
      maxDelayMs: 20,
      minIdlePercent: 5,
      processors: () => ({ ...times }),
      ...options,
    });

  it('at once when a worker is late, until three calm seconds have passed', async () => {
    const { pool, workers } = await start();
    const [worker] = workers.all as [FakeWorker];
    await seconds(2);
    expect(pool.isOverloaded).toBe(false);
    worker.lateMs = 21;
    await seconds(2);
    expect(pool.isOverloaded).toBe(true);
    worker.lateMs = 15;
    await seconds(2);
    expect(pool.isOverloaded).toBe(true);
    await seconds(3);
    expect(pool.isOverloaded).toBe(false);
  });

  it('at a third of that delay when the processors are busy, which alone is no reason', async () => {
    const { pool, workers } = await start();
    const [worker] = workers.all as [FakeWorker];
    await seconds(3, 0);
    expect(pool.isOverloaded).toBe(false);
    worker.lateMs = 7;
    await seconds(3, 10);
    expect(pool.isOverloaded).toBe(false);
    await seconds(2, 4);
    expect(pool.isOverloaded).toBe(true);
  });

  it('while a worker does not answer', async () => {
    const { pool, workers } = await start();
    const [worker] = workers.all as [FakeWorker];
    worker.threadMs = undefined;
    worker.isHung = true;
    await seconds(3);
    expect(pool.isOverloaded).toBe(true);
  });

  it('when too many joins are due, by their duration, not counting ringing phones', async () => {
    const { pool, workers, place } = await start();
    const [worker] = workers.all as [FakeWorker];
    worker.joinMs = 1_000;
    await seconds(1);
    const some = Array.from({ length: 2 }, place);
    await eventually('them to be in', () => some.every(({ isJoined }) => isJoined));
    let placed = 0;
    while (!pool.isOverloaded && placed < 1_000) {
      new Leg(pool, false);
      placed += 1;
    }
    // A second each, and two for each processor at a time to begin with: those that would wait for two seconds are too many.
    expect(placed).toBeGreaterThan(2);
    expect(placed).toBeLessThanOrEqual(1 + 2 * 2.5 * availableParallelism());
    await seconds(4);
    expect(pool.isOverloaded, 'they only ring').toBe(false);
  });

  it('never without a limit', async () => {
    const { pool, workers } = await start({ maxDelayMs: 0 });
    (workers.all[0] as FakeWorker).lateMs = 5_000;
    await seconds(3, 0);
    expect(pool.isOverloaded).toBe(false);
  });

  it('and starts no spare for half a minute', async () => {
    const { pool, workers, place } = await start({ legsPerWorker: 1 });
    (workers.all[0] as FakeWorker).lateMs = 100;
    await seconds(2);
    place();
    await seconds(20);
    expect(pool.list()).toHaveLength(1);
    await seconds(15);
    expect(pool.list()).toHaveLength(2);
  });

  it('and rejects callers as busy at once, with its own reason', async () => {
    const { pool, workers } = await start();
    const { phone, url, gateway } = await startStream({ host: pool });
    (workers.all[0] as FakeWorker).lateMs = 100;
    await seconds(2);
    const begun = time.now();
    expect(await phone().ended).toMatchObject({ status: 'busy' });
    expect(time.now() - begun).toBeLessThan(1_000);
    await expect(gateway.placeCall({ to: '+15556667777' })).rejects.toMatchObject({ code: 'GW_OVERLOADED' });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('trunkline_calls_refused_total{reason="media"} 2');
    expect(metrics).toContain('trunkline_stream_worker_delay_ms 100');
    expect(metrics).toContain('trunkline_stream_join_ms 0');
  });
});

describe('a leg', () => {
  async function leg() {
    const started = await startPool();
    const one = started.place();
    await eventually('it to join', () => one.isJoined);
    const [worker] = started.workers.all as [FakeWorker];
    worker.told.length = 0;
    return { ...started, one, worker };
  }

  it('forwards requests to its worker, and the events of the worker', async () => {
    const { one, worker } = await leg();
    one.placed.playTones('5w#');
    one.placed.mute(true);
    one.placed.clear();
    one.placed.followPrograms(['agent-1']);
    one.placed.hush('agent-1', 130);
    worker.say({ type: 'others', leg: 1, count: 3 });
    worker.say({ type: 'event', leg: 1, custom: { type: 'phone.clear' }, userId: 'agent', role: 'user' });
    worker.say({ type: 'tonesRefused', leg: 1, message: 'full' });
    worker.say({ type: 'others', leg: 2, count: 9 });
    await sleep(10);
    expect(worker.told).toEqual([
      { type: 'tones', leg: 1, digits: '5w#' },
      { type: 'mute', leg: 1, isMuted: true },
      { type: 'clear', leg: 1 },
      { type: 'programs', leg: 1, userIds: ['agent-1'] },
      { type: 'hush', leg: 1, userId: 'agent-1', ms: 130 },
    ]);
    expect(one).toMatchObject({
      others: [3],
      events: [{ custom: { type: 'phone.clear' }, userId: 'agent', role: 'user' }],
      refusals: ['full'],
    });
  });

  it('gets tokens on request, or the reason why there is none', async () => {
    const { one, worker } = await leg();
    worker.say({ type: 'token', leg: 1, id: 7 });
    await sleep(10);
    one.token = () => Promise.reject(new Error('no more'));
    worker.say({ type: 'token', leg: 1, id: 8 });
    await sleep(10);
    worker.say({ type: 'token', leg: 2, id: 9 });
    await sleep(10);
    expect(worker.told).toEqual([
      { type: 'token', leg: 1, id: 7, token: 'a token' },
      { type: 'token', leg: 1, id: 8, error: 'no more' },
    ]);
  });

  it('exchanges frames in both directions until it leaves', async () => {
    const { one, worker, pool } = await leg();
    const frame = (value: number) => new Int16Array(960).fill(value);
    one.placed.write(frame(1), 0);
    worker.pipe.write(1, frame(7), 0);
    worker.pipe.write(2, frame(9), 0);
    await sleep(20);
    void one.placed.leave();
    one.placed.write(frame(2), 0);
    worker.pipe.write(1, frame(8), 0);
    await sleep(20);
    expect([worker.frames, one.heard]).toEqual([[1], [7]]);
    worker.dropped = 5;
    await sleep(1_000);
    expect(pool.census().dropped).toBe(5);
    worker.exit(1);
    expect(pool.census().dropped, 'also when the worker is gone').toBe(5);
  });

  it('occupies its slot until everything is freed, whether it leaves, departs or has not joined', async () => {
    const { one, worker, pool, place } = await leg();
    worker.leaveMs = 3_000;
    void one.placed.leave();
    void one.placed.leave();
    await sleep(2_000);
    expect(pool.census().legs).toBe(1);
    await sleep(1_500);
    expect(pool.census().legs).toBe(0);
    expect(worker.told).toEqual([{ type: 'leave', leg: 1 }]);

    const other = place();
    await eventually('it to join', () => other.isJoined);
    worker.say({ type: 'departed', leg: 2, departure: 'ended', reason: 'over' });
    await eventually('its end', () => other.departed !== undefined);
    expect(other.departed).toMatchObject({ departure: 'ended', reason: 'over' });
    expect(pool.census().legs).toBe(1);
    worker.say({ type: 'left', leg: 2 });
    expect(pool.census().legs).toBe(0);

    worker.joinMs = 60_000;
    const early = place();
    void early.placed.leave();
    await sleep(4_000);
    expect(pool.census().legs).toBe(0);
    expect(early.isJoined).toBe(false);
  });

  it.each([
    ['departs', false],
    ['departs and is let go of meanwhile', true],
  ])(
    'that %s frees its slot, although its last frames never arrive and the worker has exited',
    async (_, isLetGoOf) => {
      const { pool, workers, place } = await startPool({ recycleAfter: 1 });
      const one = place();
      await eventually('it to join', () => one.isJoined);
      const [worker] = workers.all as [FakeWorker];
      worker.say({ type: 'departed', leg: 1, departure: 'lost', reason: 'over' });
      worker.say({ type: 'left', leg: 1 });
      expect(pool.census().legs).toBe(1);
      if (isLetGoOf) void one.placed.leave();
      else await eventually('its end', () => one.departed !== undefined);
      expect(pool.census().legs).toBe(0);
      await eventually('the end of a worker that is to be replaced', () => !worker.connected);
    },
  );
});

it('a call whose worker dies or hangs continues in another, and the metrics show it', async () => {
  const { pool, workers } = newPool({ legsPerWorker: 1 });
  const { phone, url, gateway, bridge } = await startStream({ host: pool });
  const phones = [phone(), phone()];
  await eventually('both to be in', () => bridge.stats().joined === 2);
  await sleep(2_000);
  const figure = async (name: string) => {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^trunkline_stream_${name} (\\d+)$`, 'm').exec(metrics)?.[1]);
  };
  for (const [round, fault] of [
    (worker: FakeWorker) => worker.exit(null, 'SIGSEGV'),
    (worker: FakeWorker) => {
      worker.isHung = true;
    },
  ].entries()) {
    const busy = workers.alive.find(({ legs }) => legs.size > 0) as FakeWorker;
    fault(busy);
    await eventually('the call to be joined again', () => bridge.stats().rejoins === round + 1);
    await sleep(2_000);
    expect(await figure('worker_deaths_total')).toBe(round + 1);
    expect(await figure('rejoins_total')).toBe(round + 1);
    expect([await figure('legs'), await figure('workers'), await figure('joined')]).toEqual([2, 3, 2]);
    expect(await figure('worker_memory_bytes')).toBe(300e6);
  }
  expect(
    bridge
      .workers()
      .map(({ legs }) => legs)
      .sort(),
  ).toEqual([0, 1, 1]);
  expect(gateway.calls.listActive().every(({ state }) => state === 'live')).toBe(true);
  expect(phones.map(({ streams, status }) => [streams.length, status])).toEqual([
    [1, 'in-progress'],
    [1, 'in-progress'],
  ]);
});
