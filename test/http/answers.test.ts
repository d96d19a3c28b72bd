import { describe, expect, it, vi } from 'vitest';
import { Answers, type Asked } from '../../src/http/answers.js';
import { Strangers } from '../../src/http/strangers.js';
import type { Head, Reply } from '../../src/http/transport/transport.js';
import { TurnQueue } from '../../src/http/turn-queue.js';
import { createLog } from '../../src/telemetry/log.js';
import { VirtualClock } from '../support/virtual-clock.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));
const BODY = new Uint8Array(1024 * 1024);

/** A client, as seen through a transport, that reads a limited number of bytes. */
class Client implements Asked {
  readonly isLast = false;
  readonly isProbe = false;
  readonly forwardedFor = '';
  isGone = false;
  onGone: (() => void) | undefined;
  taken = 0;
  status = 0;
  private total = Number.POSITIVE_INFINITY;
  private onTaken = () => {};

  constructor(
    readonly isKnown: boolean,
    private takes = Number.POSITIVE_INFINITY,
  ) {}

  get isDone(): boolean {
    return this.taken >= this.total;
  }

  /** The client reads again. */
  read(bytes: number): void {
    this.takes += bytes;
    this.take();
  }

  private take(): boolean {
    this.taken = Math.min(this.total, this.takes);
    if (this.isDone) this.onTaken();
    return this.isDone;
  }

  readonly reply = {
    peer: '203.0.113.1',
    pause: () => {},
    resume: () => {},
    answer: ({ status }: Head, body: Uint8Array, _: boolean, onTaken: () => void) => {
      this.status = status;
      this.total = body.length;
      const isTaken = this.take();
      this.onTaken = onTaken;
      return isTaken;
    },
    close: () => {
      this.isGone = true;
      this.onGone?.();
    },
  } as unknown as Reply;
}

function start() {
  const clock = new VirtualClock();
  const answers = new Answers(new Strangers(), new Strangers(), createLog('silent'), clock);
  const give = (client: Client, body: string | Uint8Array = BODY, status = 200) =>
    answers.give(client, { status, body, headers: [] });
  const figure = (name: string) => {
    const found = answers.metrics.find((each) => each.name === name);
    return found !== undefined && 'kind' in found ? found.read() : undefined;
  };
  return { clock, answers, give, figure };
}

describe('answers', () => {
  it('are never sent in the turn in which the request arrived', async () => {
    const { give } = start();
    const client = new Client(true);
    give(client, 'here');
    await Promise.resolve();
    expect(client.status).toBe(0);
    await turn();
    expect([client.status, client.taken]).toEqual([200, 4]);
  });

  it('of some length are sent as fast as the client reads', async () => {
    const { give } = start();
    const client = new Client(true, 1_000);
    give(client);
    await turn();
    expect(client.taken).toBe(1_000);
    client.read(500_000);
    expect(client.taken).toBe(501_000);
    client.read(BODY.length);
    expect([client.isDone, client.isGone]).toEqual([true, false]);
  });

  it('to all clients together take bounded memory', async () => {
    const { give, figure } = start();
    const clients = Array.from({ length: 40 }, () => new Client(true, 0));
    for (const client of clients) give(client);
    while (clients.some(({ status }) => status === 0)) await turn();
    await turn();
    const cut = clients.filter(({ isGone }) => isGone).length;
    expect([cut, figure('answers_cut_total')]).toEqual([8, 8]);
    // Freed memory serves others.
    for (const client of clients) if (!client.isGone) client.reply.close();
    const next = new Client(true, 0);
    give(next);
    await turn();
    await turn();
    expect([next.status, next.isGone]).toEqual([200, false]);
  });

  it('that are not read within thirty seconds are cut off', async () => {
    const { give, clock } = start();
    clock.start();
    const [slow, whole] = [new Client(true, 10), new Client(true)];
    give(slow);
    give(whole);
    await clock.sleep(29_000);
    slow.read(10);
    expect(slow.isGone).toBe(false);
    await clock.sleep(2_000);
    clock.halt();
    expect([slow.isGone, whole.isGone, whole.isDone]).toEqual([true, false, true]);
  });

  it('are cut off for strangers when a thousand of them wait', async () => {
    const { give, figure, clock } = start();
    clock.start();
    const clients = Array.from({ length: 1_300 }, () => new Client(false));
    for (const client of clients) give(client, 'no', 404);
    await clock.sleep(500);
    const answered = clients.filter(({ status }) => status !== 0).length;
    const cut = clients.filter(({ isGone }) => isGone).length;
    expect(clients.length - answered - cut).toBe(1_000);
    expect([figure('answers_held_total'), figure('answers_cut_total')]).toEqual([1_000, cut]);
    // A client that leaves makes room.
    for (const client of clients.slice(0, 1_200)) client.reply.close();
    const other = new Client(false);
    give(other, 'no', 404);
    await clock.sleep(2_000);
    clock.halt();
    expect(other.status).toBe(404);
  });

  it('to a client that has left do nothing', async () => {
    const { give } = start();
    const client = new Client(true);
    give(client, 'here');
    client.reply.close();
    await turn();
    expect(client.status).toBe(0);
  });
});

describe('the turn queue', () => {
  it('continues after work that fails', () => {
    const due: (() => void)[] = [];
    const spy = vi.spyOn(globalThis, 'setImmediate').mockImplementation(((run: () => void) => {
      due.push(run);
    }) as never);
    try {
      const turns = new TurnQueue(new VirtualClock());
      let isDone = false;
      turns.add(() => {
        throw new Error('a fault');
      });
      turns.add(() => {
        isDone = true;
      });
      expect(() => due.shift()?.()).toThrow('a fault');
      due.shift()?.();
      expect(isDone).toBe(true);
    } finally {
      spy.mockRestore();
    }
  });

  it('limits its work in a turn and leaves the rest to the next ones', async () => {
    const clock = new VirtualClock();
    let nowMs = 0;
    clock.now = () => nowMs;
    const turns = new TurnQueue(clock);
    const done: number[] = [];
    for (let i = 0; i < 10; i++) {
      turns.add(() => {
        nowMs += 0.9;
        done.push(i);
        // Work added meanwhile is queued last.
        if (i === 0) turns.add(() => done.push(10));
      });
    }
    expect(done).toEqual([]);
    await turn();
    expect(done).toEqual([0, 1, 2]);
    await turn();
    expect(done).toEqual([0, 1, 2, 3, 4, 5]);
    await turn();
    await turn();
    expect(done).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});
