import { EventEmitter } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.js';
import { ingressNow } from '../../src/telemetry/ingress-time.js';
import { Relay } from '../../src/workers/relay.js';
import { RelayLink } from '../../src/workers/relay-link.js';
import type { EndSocket, SocketEnd } from '../../src/workers/socket-end.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const MIB = 1024 * 1024;
const freed: (() => unknown)[] = [];

afterEach(async () => {
  for (const free of freed.splice(0).reverse()) await free();
});

/** What serves a socket in these tests: notes everything. */
class NotedEnd implements SocketEnd {
  socket: EndSocket | undefined;
  readonly messages: { text: string; isBinary: boolean; arrived: number | undefined }[] = [];
  readonly codes: number[] = [];
  readonly faults: unknown[] = [];
  drains = 0;
  leaves = 0;

  open(socket: EndSocket): void {
    this.socket = socket;
  }

  message(message: ArrayBuffer | Uint8Array, isBinary: boolean, arrived?: number): void {
    const text = Buffer.from(message as Uint8Array).toString();
    if (text === 'fail') throw new Error('a fault');
    this.messages.push({ text, isBinary, arrived });
  }

  drained(): void {
    this.drains += 1;
  }

  closed(code: number): void {
    this.codes.push(code);
  }

  failed(error: unknown): void {
    this.faults.push(error);
  }

  leave(): void {
    this.leaves += 1;
    this.socket?.close(1001, 'going away');
  }
}

/** The client's socket: notes what is sent, and may be slow. */
class NotedSocket implements EndSocket {
  readonly sent: { text: string; isBinary: boolean }[] = [];
  readonly closes: [code: number, reason: string][] = [];
  queued = 0;

  send(message: string | Uint8Array, isBinary = false): boolean {
    this.sent.push({ text: Buffer.from(message as Uint8Array).toString(), isBinary });
    return true;
  }

  bufferedBytes(): number {
    return this.queued;
  }

  close(code: number, reason: string): void {
    this.closes.push([code, reason]);
  }
}

async function directory(): Promise<string> {
  const socketDir = await mkdtemp(join(tmpdir(), 'trunkline-'));
  freed.push(() => rm(socketDir, { recursive: true }));
  return socketDir;
}

async function relayOf(self: number, socketDir: string, log = pino({ level: 'silent' })): Promise<Relay> {
  const relay = new Relay({ self, socketDir, clock, log });
  freed.push(() => relay.close());
  await relay.open();
  return relay;
}

/** Worker 1 relays sockets to worker 2, which serves them. */
async function pair() {
  const socketDir = await directory();
  const [relay, owner] = [await relayOf(1, socketDir), await relayOf(2, socketDir)];
  const served: NotedEnd[] = [];
  owner.serve('test', async (about) => {
    const { refuse } = about as { refuse?: boolean };
    if (refuse) throw new GatewayError('GW_TOKEN_USED', 'The token has already been used');
    served.push(new NotedEnd());
    return served.at(-1) as NotedEnd;
  });
  /** A socket that is open at both sides. */
  const connect = async () => {
    const end = await relay.request(2, 'test', {});
    const here = served.at(-1) as NotedEnd;
    const client = new NotedSocket();
    end.open(client);
    await eventually('open', () => here.socket !== undefined);
    return { end, here, client, socket: here.socket as EndSocket };
  };
  return { socketDir, relay, owner, served, connect };
}

const noted = () => {};
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

describe('a relayed socket', () => {
  it('carries messages both ways as they are, in order, with the time of their arrival', async () => {
    const { connect, relay } = await pair();
    const one = await connect();
    const two = await connect();
    expect(relay.size).toBe(2);
    const before = ingressNow(clock);
    one.end.message(bytes('text ünd'), false);
    await sleep(40);
    // Odd lengths, nothing, a piece of a larger buffer, and a message in many reads of the link.
    const long = 'x'.repeat(3 * MIB + 1);
    one.end.message(bytes('').buffer, true);
    two.end.message(bytes('aabcc').subarray(2, 3), true, before);
    one.end.message(bytes('after'), true);
    await eventually('messages', () => one.here.messages.length === 3 && two.here.messages.length === 1);
    expect(one.here.messages).toEqual([
      { text: 'text ünd', isBinary: false, arrived: before },
      { text: '', isBinary: true, arrived: expect.any(Number) },
      { text: 'after', isBinary: true, arrived: expect.any(Number) },
    ]);
    expect(two.here.messages).toEqual([{ text: 'b', isBinary: true, arrived: before }]);
    // A text, bytes, samples; then a message that is longer than everything that waits may be.
    one.socket.send('für');
    one.socket.send(bytes('b'), true);
    one.socket.send(Int16Array.of(0x6261, 0x6463).subarray(1), true);
    two.socket.send(long);
    one.socket.send('last');
    await eventually('answers', () => one.client.sent.length === 4 && two.client.sent.length === 1);
    expect(one.client.sent).toEqual([
      { text: 'für', isBinary: false },
      { text: 'b', isBinary: true },
      { text: 'cd', isBinary: true },
      { text: 'last', isBinary: false },
    ]);
    expect(two.client.sent[0]?.text === long).toBe(true);
  });

  it('is refused with the owner’s error, and with 503 by one that is gone or silent', async () => {
    const { relay, owner } = await pair();
    await expect(relay.request(2, 'test', { refuse: true })).rejects.toMatchObject({
      code: 'GW_TOKEN_USED',
      status: 409,
    });
    await expect(relay.request(2, 'other', {})).rejects.toMatchObject({ code: 'GW_QUESTION_UNKNOWN' });
    await expect(relay.request(3, 'test', {})).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
    const late = new NotedEnd();
    let take: (end: SocketEnd) => void = () => {};
    owner.serve('slow', () => new Promise((resolve) => (take = resolve)));
    await expect(relay.request(2, 'slow', {})).rejects.toMatchObject({ code: 'GW_OVERLOADED', status: 503 });
    take(late);
    // What was taken too late is freed.
    await eventually('freed', () => late.codes.length === 1);
    expect(relay.size).toBe(0);
  });

  it('hands close codes on both ways, once', async () => {
    const { connect, relay } = await pair();
    const one = await connect();
    const two = await connect();
    one.end.closed(1005);
    two.socket.send('bye');
    two.socket.close(1008, 'ü'.repeat(100));
    two.socket.send('too late');
    await eventually('closed', () => one.here.codes.length === 1 && two.client.closes.length === 1);
    expect(one.here.codes).toEqual([1005]);
    expect(two.client.closes).toEqual([[1008, 'ü'.repeat(61)]]);
    expect(two.client.sent).toEqual([{ text: 'bye', isBinary: false }]);
    expect(two.here.codes).toEqual([1008]);
    // The transport reports the closed socket, too.
    two.end.closed(1008);
    two.end.message(bytes('too late'), false);
    await sleep(20);
    expect([one.client.closes, two.here.codes, two.here.messages]).toEqual([[], [1008], []]);
    expect(relay.size).toBe(0);
  });

  it('reports what waits for a slow client, and when it has drained', async () => {
    const { connect } = await pair();
    const { client, socket, here, end } = await connect();
    expect(socket.bufferedBytes()).toBe(0);
    client.queued = 5_000;
    socket.send('one');
    expect(socket.bufferedBytes()).toBeGreaterThan(0);
    await eventually('the report', () => socket.bufferedBytes() === 5_000);
    const before = here.drains;
    client.queued = 0;
    end.drained();
    await eventually('drained', () => here.drains > before);
    expect(socket.bufferedBytes()).toBe(0);
    // The client reads no more: the socket is cut as a transport would.
    client.queued = MIB + 1;
    socket.send('two');
    await eventually('the report', () => socket.bufferedBytes() > MIB);
    expect(socket.send('three')).toBe(false);
    await eventually('cut', () => client.closes.length === 1);
    expect(client.closes[0]?.[0]).toBe(1011);
    expect(here.codes).toEqual([1011]);
  });

  it('that fails does not affect the others', async () => {
    const { connect } = await pair();
    const one = await connect();
    const two = await connect();
    one.end.message(bytes('fail'), false);
    two.end.message(bytes('fine'), false);
    await eventually('both', () => one.here.faults.length === 1 && two.here.messages.length === 1);
    expect(one.here.faults).toEqual([new Error('a fault')]);
  });
});

describe('the link between two workers', () => {
  it('delivers records however their bytes are cut', () => {
    const written: Buffer[] = [];
    const wire = (write: (bytes: Buffer) => void) =>
      Object.assign(new EventEmitter(), { write, unref() {}, destroySoon() {} }) as unknown as Socket;
    const records: unknown[] = [];
    const sender = new RelayLink(
      wire((bytes) => written.push(bytes)),
      noted,
      noted,
      noted,
    );
    const sent = Array.from(
      { length: 60 },
      (_, i) => [1 + (i % 9), i * 1_000_003, 7 - i, 'x'.repeat(i)] as const,
    );
    for (const [kind, channel, word, payload] of sent) sender.write(kind as 1, channel, word, payload);
    sender.close();
    const all = Buffer.concat(written);
    for (let size = 1; size <= 80; size++) {
      records.length = 0;
      const socket = wire(noted);
      new RelayLink(
        socket,
        (kind, channel, word, payload) =>
          records.push([kind, channel, word, Buffer.from(payload).toString()]),
        noted,
        noted,
      );
      for (let at = 0; at < all.length; at += size) socket.emit('data', all.subarray(at, at + size));
      expect(records).toEqual(sent);
    }
  });

  it('ends its sockets at both sides when it breaks, and another one is opened for the next', async () => {
    const { connect, owner, relay, served, socketDir } = await pair();
    const one = await connect();
    const two = await connect();
    owner.close();
    await eventually('both ended', () => [one, two].every(({ client }) => client.closes.length === 1));
    expect([one.client.closes[0]?.[0], two.client.closes[0]?.[0]]).toEqual([1001, 1001]);
    expect([one.here.codes, two.here.codes]).toEqual([[1006], [1006]]);
    await expect(relay.request(2, 'test', {})).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
    const next = await relayOf(2, socketDir);
    next.serve('test', async () => {
      served.push(new NotedEnd());
      return served.at(-1) as NotedEnd;
    });
    await connect();
    expect(relay.size).toBe(1);
  });

  it('of a worker that closes ends its clients’ sockets with 1001', async () => {
    const { connect, relay } = await pair();
    const { client, here } = await connect();
    relay.close();
    expect(client.closes).toEqual([[1001, 'going away']]);
    await eventually('the owner knows', () => here.codes.length === 1);
    expect(here.codes).toEqual([1006]);
  });

  it('of a worker that drains is kept for calls that no other worker takes, and for those only', async () => {
    const { connect, relay } = await pair();
    const [stays, ends] = [await connect(), await connect()];
    let isRelieved = false;
    let isDrained = false;
    void relay
      .drain('test', 60_000, async () => isRelieved)
      .then(() => {
        isDrained = true;
      });
    await sleep(5_000);
    ends.end.closed(1000);
    await sleep(5_000);
    expect([isDrained, stays.here.leaves, stays.client.closes]).toEqual([false, 0, []]);
    isRelieved = true;
    await eventually('drained', () => isDrained);
    expect([stays.here.leaves, stays.client.closes]).toEqual([1, [[1001, 'going away']]]);
    // Without any, at once; and for what does not end, as long as it may.
    await relay.drain('test', 60_000, async () => true);
    await connect();
    await relay.drain('other', 60_000, async () => true);
    await relay.drain('test', 300, async () => false);
    expect(relay.size).toBe(1);
  });

  it('is cut for a record that is too long', async () => {
    const { socketDir, served } = await pair();
    const stranger = createConnection(join(socketDir, '2.sock'));
    const closed = new Promise((resolve) => stranger.once('close', resolve));
    stranger.write(Buffer.from([255, 255, 255, 255, 0x15, 0, 0, 0, 0, 0, 0, 0, 1]));
    await closed;
    expect(served).toEqual([]);
  });

  it('is cut by a record that cannot be read, and the worker that reads it continues', async () => {
    const socketDir = await directory();
    const warnings: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => warnings.push(JSON.parse(line).msg) });
    const relay = await relayOf(1, socketDir, log);
    // Kind 3 refuses: another version may say why in another form.
    const owner = await stuckOwner(join(socketDir, '2.sock'), 3, 'no');
    const faults: unknown[] = [];
    const noteFault = (fault: unknown) => faults.push(fault);
    process.on('uncaughtException', noteFault);
    freed.push(() => process.off('uncaughtException', noteFault));
    await expect(relay.request(2, 'test', {})).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
    await eventually('cut', () => owner.closed() === 1);
    expect([faults, warnings]).toEqual([[], ['a record of another worker cannot be read: its link is cut']]);
  });

  it('queues at most 1 MiB for each socket while the other worker does not read', async () => {
    const socketDir = await directory();
    const relay = await relayOf(1, socketDir);
    const stuck = await stuckOwner(join(socketDir, '2.sock'));
    const [full, calm] = [await relay.request(2, 'test', {}), await relay.request(2, 'test', {})];
    const [filled, other] = [new NotedSocket(), new NotedSocket()];
    full.open(filled);
    calm.open(other);
    await sleep(20);
    stuck.pause();
    const message = new Uint8Array(16 * 1024);
    let sent = 0;
    while (filled.closes.length === 0 && sent < 64 * MIB) {
      full.message(message, true);
      calm.message(message.subarray(0, 100), true);
      sent += message.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(filled.closes).toEqual([[1011, 'the worker of the room does not read']]);
    // What is queued here, and what the kernel of this machine takes besides.
    expect(sent).toBeLessThan(4 * MIB);
    expect(other.closes).toEqual([]);
  });
});

/** An owner that gives every socket the same answer, and can stop to read. @param kind 2 accepts */
async function stuckOwner(path: string, kind = 2, reason = ''): Promise<{ pause(): void; closed(): number }> {
  let closed = 0;
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('close', () => (closed += 1));
    socket.on('data', (chunk) => {
      // Length of the payload, channel and kind: kind 1 is a request.
      for (let at = 0; at + 12 <= chunk.length; at += 12 + 4 * Math.ceil(chunk.readUInt32LE(at) / 4)) {
        const subject = chunk.readUInt32LE(at + 4);
        if ((subject & 15) !== 1) continue;
        const answer = Buffer.alloc(12 + 4 * Math.ceil(reason.length / 4));
        answer.writeUInt32LE(reason.length, 0);
        answer.writeUInt32LE((subject & ~15) | kind, 4);
        answer.write(reason, 12);
        socket.write(answer);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  freed.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return {
    closed: () => closed,
    pause() {
      for (const socket of sockets) socket.pause();
    },
  };
}
