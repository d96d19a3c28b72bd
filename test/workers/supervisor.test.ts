import { EventEmitter } from 'node:events';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { Timer } from '../../src/clock.js';
import { type Child, Supervisor } from '../../src/workers/supervisor.js';
import { clock, eventually, virtualTime } from '../support/time.js';

virtualTime();

/** A worker's process that does as the test says. */
class FakeProcess extends EventEmitter implements Child {
  readonly stages: number[] = [];
  readonly process: Child['process'];
  private isAlive = true;
  private heart: Timer | undefined;

  constructor(
    readonly id: number,
    readonly place: number,
    pid: number | undefined,
  ) {
    super();
    this.process = {
      pid,
      kill: (signal) => {
        this.end(null, signal);
        return true;
      },
    };
  }

  isConnected(): boolean {
    return this.isAlive;
  }

  send(message: unknown, callback: (error: Error | null) => void): boolean {
    const { what, about } = message as { what?: string; about?: { stage: number } };
    if (what === 'stop' && about !== undefined) this.stages.push(about.stage);
    callback(null);
    return true;
  }

  serve(): void {
    this.emit('message', { serves: true });
    this.heart = clock.every(1_000, () =>
      this.emit('message', { to: 0, from: this.id, what: 'alive', about: {} }),
    );
  }

  /** Its event loop is stuck. */
  hang(): void {
    clock.cancel(this.heart);
  }

  end(code: number | null = 0, signal: string | null = null): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    clock.cancel(this.heart);
    this.emit('exit', code, signal);
  }
}

function supervised(count = 2) {
  const forks: FakeProcess[] = [];
  let failing: 'throw' | 'error' | undefined;
  const fail = (how: typeof failing) => {
    failing = how;
  };
  const supervisor = new Supervisor({
    count,
    clock,
    log: pino({ level: 'silent' }),
    fork: (place) => {
      if (failing === 'throw') throw new Error('no memory');
      const process = new FakeProcess(forks.length + 1, place, failing === 'error' ? undefined : 1);
      forks.push(process);
      if (failing === 'error') setImmediate(() => process.emit('error', new Error('no such file')));
      return process;
    },
  });
  const fork = async (n: number) => {
    await eventually(`process ${n}`, () => forks.length >= n, 120_000);
    return forks[n - 1] as FakeProcess;
  };
  return { supervisor, forks, fork, fail };
}

async function started(count = 2) {
  const { supervisor, forks, fork, fail } = supervised(count);
  const starting = supervisor.start();
  for (let n = 1; n <= count; n++) (await fork(n)).serve();
  await starting;
  return { supervisor, forks, fork, fail };
}

it('starts the first worker alone, then the others', async () => {
  const { supervisor, forks, fork } = supervised(3);
  const starting = supervisor.start();
  const first = await fork(1);
  await clock.sleep(1_000);
  expect(forks.length).toBe(1);
  first.serve();
  (await fork(2)).serve();
  (await fork(3)).serve();
  await starting;
  expect(forks.map(({ place }) => place)).toEqual([1, 2, 3]);
  expect(supervisor.office.serving).toEqual([1, 2, 3]);
});

it('ends all workers when one of them does not start', async () => {
  const { supervisor, fork } = supervised(2);
  const starting = supervisor.start();
  const failed = expect(starting).rejects.toMatchObject({ code: 'GW_WORKER_FAILED' });
  const first = await fork(1);
  first.serve();
  (await fork(2)).end(1);
  await eventually('the first is told to stop', () => first.stages.length === 1);
  first.end();
  await failed;
});

it('replaces a worker that dies at once, and one that keeps dying after longer and longer pauses', async () => {
  const { supervisor, forks, fork } = await started();
  await clock.sleep(11_000);
  forks[0]?.end(null, 'SIGSEGV');
  const times: number[] = [];
  for (let n = 3; n < 12; n++) {
    const next = await fork(n);
    times.push(clock.now());
    expect(next.place).toBe(1);
    next.end(1);
  }
  const pauses = times.slice(1).map((time, i) => time - (times[i] as number));
  for (const [i, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(pauses[i - 1] ?? 0);
  expect(pauses.at(0)).toBeLessThan(100);
  expect(pauses.at(-1)).toBeGreaterThanOrEqual(5_000);
  expect(supervisor.restarts).toBe(9);
  (await fork(12)).serve();
  expect(supervisor.office.serving).toEqual([2, 12]);
});

it('replaces all workers: new ones start one after the other, and the old ones stop when all serve', async () => {
  const { supervisor, forks, fork } = await started();
  const [one, two] = forks as [FakeProcess, FakeProcess];
  supervisor.roll();
  (await fork(3)).serve();
  const four = await fork(4);
  await clock.sleep(1_000);
  expect([one.stages, two.stages]).toEqual([[], []]);
  four.serve();
  await eventually('the old ones are told to stop', () => one.stages.length + two.stages.length === 2);
  one.end();
  two.end();
  await eventually('the new ones serve', () => supervisor.office.serving.join() === '3,4');
  expect(forks.length).toBe(4);
  expect(supervisor.restarts).toBe(0);
});

it('stops the new workers that serve already when a further one does not start', async () => {
  const { supervisor, forks, fork } = await started();
  supervisor.roll();
  const third = await fork(3);
  third.serve();
  (await fork(4)).end(1);
  await eventually('the new one is told to stop', () => third.stages.length === 1);
  third.end();
  await clock.sleep(1_000);
  expect(supervisor.office.serving).toEqual([1, 2]);
  expect(forks.slice(0, 2).flatMap(({ stages }) => stages)).toEqual([]);
  forks[0]?.end(1);
  expect((await fork(5)).place).toBe(1);
});

it('keeps the old workers when a new one does not start, and replaces one that died meanwhile', async () => {
  const { supervisor, forks, fork } = await started();
  supervisor.roll();
  (await fork(3)).end(1);
  await clock.sleep(11_000);
  expect(forks.length).toBe(3);
  expect(supervisor.office.serving).toEqual([1, 2]);
  forks[0]?.end(1);
  (await fork(4)).serve();
  expect(supervisor.office.serving).toEqual([2, 4]);
  supervisor.roll();
  const fifth = await fork(5);
  forks[3]?.end(1);
  await clock.sleep(1_000);
  expect(forks.length).toBe(5);
  fifth.end(1);
  expect((await fork(6)).place).toBe(1);
});

it('kills and replaces a worker that is stuck, and one that does not start', async () => {
  const { supervisor, forks, fork } = await started();
  forks[0]?.hang();
  const third = await fork(3);
  expect(third.place).toBe(1);
  // It never serves.
  (await fork(4)).serve();
  expect(supervisor.office.serving).toEqual([2, 4]);
  supervisor.roll();
  await fork(5);
  await clock.sleep(65_000);
  expect(forks.length).toBe(5);
  expect(supervisor.office.serving).toEqual([2, 4]);
});

it('replaces all workers when they die at the same time', async () => {
  const { supervisor, forks, fork } = await started();
  await clock.sleep(11_000);
  let isOver = false;
  void supervisor.ended.then(() => {
    isOver = true;
  });
  for (const each of [...forks]) each.end(null, 'SIGKILL');
  (await fork(3)).serve();
  (await fork(4)).serve();
  expect(supervisor.office.serving).toEqual([3, 4]);
  expect(isOver).toBe(false);
});

it('waits with a replacement that is asked for during the start', async () => {
  const { supervisor, forks, fork } = supervised();
  const starting = supervisor.start();
  const first = await fork(1);
  supervisor.roll();
  await clock.sleep(1_000);
  expect(forks.length).toBe(1);
  first.serve();
  (await fork(2)).serve();
  await starting;
  expect((await fork(3)).place).toBe(1);
});

it('goes on when a process cannot be started: at once, or reported by an error alone', async () => {
  const { supervisor, forks, fork, fail } = await started();
  fail('throw');
  supervisor.roll();
  await clock.sleep(1_000);
  expect(supervisor.office.serving).toEqual([1, 2]);
  fail('error');
  supervisor.roll();
  await clock.sleep(1_000);
  expect(supervisor.office.serving).toEqual([1, 2]);
  fail(undefined);
  const before = forks.length;
  forks[0]?.end(1);
  (await fork(before + 1)).serve();
  expect(supervisor.office.serving).toEqual([2, before + 1]);
});

it('starts another at once when a worker was told to stop by somebody else', async () => {
  const { supervisor, forks, fork } = await started();
  forks[0]?.emit('message', { to: 0, from: 1, what: 'leaving', about: {} });
  const third = await fork(3);
  expect(third.place).toBe(1);
  third.serve();
  forks[0]?.end();
  await clock.sleep(1_000);
  expect(forks.length).toBe(3);
  expect(supervisor.office.serving).toEqual([2, 3]);
  expect(supervisor.restarts).toBe(0);
});

it('passes a stop on in stages, and kills at the third', async () => {
  const { supervisor, forks } = await started();
  for (let stop = 1; stop <= 2; stop++) supervisor.stop();
  expect(forks.map(({ stages }) => stages)).toEqual([
    [1, 2],
    [1, 2],
  ]);
  forks[0]?.end();
  supervisor.stop();
  await supervisor.ended;
  expect(forks.length).toBe(2);
});

it('starts nobody once it stops, not even in the middle of a replacement', async () => {
  const { supervisor, forks, fork } = await started();
  supervisor.roll();
  const third = await fork(3);
  supervisor.stop();
  for (const each of [...forks]) each.end();
  await supervisor.ended;
  await clock.sleep(11_000);
  expect(third.stages).toEqual([1]);
  expect(forks.length).toBe(3);
});
