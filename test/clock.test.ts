import { getEventListeners, once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { LONGEST_TURN_MS, systemClock } from '../src/clock.js';
import { VirtualClock } from './support/virtual-clock.js';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

it('is the only place that reads the machine’s time', () => {
  // The linter forbids timers and `performance`, but cannot match members and constructors.
  const bare = /\bDate\.now\b|\bnew Date\(\)|\bAbortSignal\.timeout\b/;
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const found = files.filter(
    (file) => file !== 'clock.ts' && bare.test(readFileSync(join(SRC, file), 'utf8')),
  );
  expect(files.length).toBeGreaterThan(100);
  expect(found).toEqual([]);
});

describe('the machine’s clock', () => {
  it('waits no less than asked, and repeats until cancelled', async () => {
    const begun = systemClock.now();
    let rings = 0;
    await new Promise<void>((resolve) => {
      const timer = systemClock.every(5, () => {
        rings += 1;
        if (rings < 3) return;
        systemClock.cancel(timer);
        systemClock.after(10, resolve);
      });
    });
    expect(systemClock.now() - begun).toBeGreaterThanOrEqual(23);
    expect(rings).toBe(3);
  });

  it('returns the time of day', () => {
    expect(Math.abs(systemClock.date().getTime() - Date.now())).toBeLessThan(1_000);
  });
});

describe('a sleep', () => {
  it('ends with its signal, and leaves no timer behind', async () => {
    const clock = new VirtualClock();
    const signal = new AbortController();
    const slept = clock.sleep(60_000, signal.signal);
    expect(clock.pending).toBe(1);
    signal.abort();
    await slept;
    expect(clock.pending).toBe(0);
    await clock.sleep(60_000, signal.signal);
    expect(clock.pending).toBe(0);
  });

  it('ends with any of several signals, and leaves no listeners behind', async () => {
    const clock = new VirtualClock();
    const signals = [new AbortController(), new AbortController()] as const;
    const slept = clock.sleep(60_000, signals[0].signal, undefined, signals[1].signal);
    signals[1].abort();
    await slept;
    expect(clock.pending).toBe(0);
    expect(signals.map(({ signal }) => getEventListeners(signal, 'abort').length)).toEqual([0, 0]);
  });

  it('limits other work and passes on its result or failure', async () => {
    const clock = new VirtualClock();
    expect(await clock.within(100, Promise.resolve('done'))).toBe('done');
    await expect(clock.within(100, Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    const late = clock.within(100, new Promise(() => {}));
    clock.advance(99);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    expect(await late).toBeUndefined();
    expect(clock.pending).toBe(0);
  });
});

describe('the running time of this process', () => {
  it('stops during a stall', () => {
    const clock = new VirtualClock();
    const begun = { now: clock.now(), ran: clock.runningMs() };
    clock.advance(10_000);
    clock.stall(33_000);
    clock.advance(5_000);
    expect(clock.now() - begun.now).toBe(48_000);
    expect(clock.runningMs() - begun.ran).toBe(15_000 + LONGEST_TURN_MS);
    // A turn of this length is not a stall.
    clock.stall(LONGEST_TURN_MS);
    expect(clock.runningMs() - begun.ran).toBe(15_000 + 2 * LONGEST_TURN_MS);
  });

  it('is what timeouts are measured in', () => {
    const clock = new VirtualClock();
    let isOver = false;
    clock.timeout(10_000, () => {
      isOver = true;
    });
    clock.advance(9_000);
    clock.stall(33_000);
    clock.stall(120_000);
    clock.advance(1_000 - 2 * LONGEST_TURN_MS - 1);
    expect(isOver).toBe(false);
    clock.advance(2);
    expect(isOver).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('times out only after input that arrived during a stall could be read', () => {
    const clock = new VirtualClock();
    let isOver = false;
    clock.timeout(100, () => {
      isOver = true;
    });
    clock.stall(33_000);
    expect(isOver).toBe(false);
    clock.advance(1);
    expect(isOver).toBe(true);
  });

  it('still times out when every turn stalls', () => {
    const clock = new VirtualClock();
    let isOver = false;
    clock.timeout(1_000, () => {
      isOver = true;
    });
    for (let turn = 0; turn < 6; turn++) clock.stall(2 * LONGEST_TURN_MS);
    expect(isOver).toBe(true);
  });

  it('leaves no timer behind after a timeout is cancelled', () => {
    const clock = new VirtualClock();
    const patience = clock.timeout(1_000, () => expect.fail('the timeout is cancelled'));
    clock.stall(5_000);
    expect(clock.pending).toBe(1);
    patience.cancel();
    expect(clock.pending).toBe(0);
    clock.advance(5_000);
  });

  it('stops on the machine’s clock while the event loop is blocked, and answers that arrived meanwhile are in time', async () => {
    const server = createServer((socket) => socket.end('in time')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    // The answer arrives while this process is blocked.
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(server, 'connection');
    const [lost, ran] = [systemClock.stalledMs(), systemClock.runningMs()];
    const answered = systemClock.within(500, once(socket, 'data').then(String));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
    expect(systemClock.runningMs() - ran).toBeLessThan(500);
    expect(systemClock.stalledMs() - lost).toBeGreaterThan(1_000);
    expect(await answered).toBe('in time');
    server.close();
  });
});

describe('a virtual clock', () => {
  it('runs each timer at its due time, in order', () => {
    const clock = new VirtualClock();
    const ran: [string, number][] = [];
    const begun = clock.now();
    const note = (what: string) => () => ran.push([what, clock.now() - begun]);
    clock.after(30, note('later'));
    clock.after(10, () => {
      note('first')();
      clock.after(5, note('of the first'));
    });
    const beat = clock.every(12, note('beat'));
    clock.advance(31);
    clock.cancel(beat);
    clock.advance(1_000);
    expect(ran).toEqual([
      ['first', 10],
      ['beat', 12],
      ['of the first', 15],
      ['beat', 24],
      ['later', 30],
    ]);
  });

  it('runs timers delayed by a stall once', () => {
    const clock = new VirtualClock();
    let beats = 0;
    clock.every(10, () => {
      beats += 1;
    });
    clock.stall(1_000);
    expect(beats).toBe(1);
    clock.advance(10);
    expect(beats).toBe(2);
  });
});
