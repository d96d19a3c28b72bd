import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { fromWs, type MediaStreamOptions, type TwilioMediaStream, type WsSocket } from '../../src/index.js';
import { mediaText, STREAM_SID } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

virtualTime();

const START = JSON.stringify({
  event: 'start',
  sequenceNumber: '1',
  streamSid: STREAM_SID,
  start: {
    accountSid: `AC${'1'.repeat(32)}`,
    callSid: `CA${'2'.repeat(32)}`,
    streamSid: STREAM_SID,
    tracks: ['inbound'],
    mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
    customParameters: {},
  },
});

interface Call {
  readonly stream: TwilioMediaStream;
  /** The server's end. */
  readonly socket: WebSocket;
  readonly phone: WebSocket;
  /** Messages the phone received, and whether each was binary. */
  readonly got: { readonly text: string; readonly isBinary: boolean }[];
  /** Close codes the phone received. */
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly ended: Promise<string>;
}

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

async function call(
  options: MediaStreamOptions & { binaryType?: WebSocket['binaryType']; autoPong?: boolean } = {},
): Promise<Call> {
  const { binaryType = 'nodebuffer', autoPong = true, ...rest } = options;
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: true });
  open.push(server);
  await once(server, 'listening');
  const accepted = new Promise<[WebSocket, TwilioMediaStream]>((resolve) =>
    server.once('connection', (socket) => {
      socket.binaryType = binaryType;
      resolve([socket, fromWs(socket, { clock, ...rest })]);
    }),
  );
  const phone = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, { autoPong });
  open.push({ close: () => phone.terminate() });
  const got: Call['got'] = [];
  phone.on('message', (data, isBinary) => got.push({ text: String(data), isBinary }));
  phone.on('error', () => {});
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    phone.on('close', (code, reason) => resolve({ code, reason: String(reason) })),
  );
  await once(phone, 'open');
  const [socket, stream] = await accepted;
  const ended = new Promise<string>((resolve) => stream.once('end', (end) => resolve(end)));
  return { stream, socket, phone, got, closed, ended };
}

async function live(options: Parameters<typeof call>[0] = {}): Promise<Call> {
  const made = await call(options);
  made.phone.send(START);
  await eventually('start', () => made.stream.isConnected);
  return made;
}

const eventsOf = ({ got }: Call) => got.map(({ text }) => JSON.parse(text)).filter((each) => isOurs(each));
const isOurs = (message: { mark?: { name: string } }) =>
  message.mark?.name.startsWith('trunkline-lead-') !== true;

describe('a socket of ws', () => {
  it('is sent audio, marks and clears as text, and only text', async () => {
    const made = await live();
    made.stream.sendAudio(new Int16Array(960));
    made.stream.mark('here');
    await eventually('a mark', () => eventsOf(made).some(({ event }) => event === 'mark'));
    made.stream.clear();
    await eventually('a clear', () => eventsOf(made).some(({ event }) => event === 'clear'));
    expect(eventsOf(made).map(({ event }) => event)).toEqual(['media', 'mark', 'clear']);
    expect(made.got.filter(({ isBinary }) => isBinary)).toEqual([]);
    expect(eventsOf(made)[0]).toMatchObject({
      streamSid: STREAM_SID,
      media: { payload: expect.any(String) },
    });
  });

  it.each(['nodebuffer', 'arraybuffer', 'fragments'] as const)(
    'hears a phone, with %s',
    async (binaryType) => {
      const made = await live({ binaryType });
      const heard: number[] = [];
      made.stream.on('audio', (samples) => heard.push(samples.length));
      made.phone.send(mediaText({ payload: toneMulaw(1_000, 20) }));
      await eventually('audio', () => heard.length > 0);
      expect(heard).toEqual([960]);
    },
  );

  it('receives messages in pieces', async () => {
    const made = await live();
    let heard = 0;
    made.stream.on('audio', (samples) => {
      heard += samples.length;
    });
    const text = mediaText({ payload: toneMulaw(1_000, 20) });
    made.phone.send(text.slice(0, 20), { fin: false });
    made.phone.send(text.slice(20, 21), { fin: false });
    made.phone.send(text.slice(21), { fin: true });
    await eventually('audio', () => heard === 960);
  });

  it('rejects binary frames, as the gateway does, and continues', async () => {
    const made = await live();
    made.phone.send(Buffer.from(mediaText({ payload: toneMulaw(1_000, 20) })));
    await eventually('a bad message', () => made.stream.counts().badMessages === 1);
    expect(made.stream.isConnected).toBe(true);
    expect(made.stream.counts().framesIn).toBe(0);
  });
});

describe('the end of its stream', () => {
  it('is reported once, with 1000 after a stop', async () => {
    const made = await live();
    made.phone.send(JSON.stringify({ event: 'stop', streamSid: STREAM_SID, stop: {} }));
    expect(await made.closed).toEqual({ code: 1000, reason: '' });
    expect(await made.ended).toBe('stop');
  });

  it('is 1008 for audio before its start', async () => {
    const made = await call();
    made.phone.send(mediaText());
    expect(await made.closed).toMatchObject({ code: 1008, reason: 'Expected start before media' });
    expect(await made.ended).toBe('protocol');
  });

  it('is 1008 if the start is rejected, or none comes', async () => {
    const refused = await call({ checkStart: () => 'ä'.repeat(100) });
    refused.phone.send(START);
    expect(await refused.closed).toEqual({ code: 1008, reason: 'ä'.repeat(61) });
    const silent = await call();
    expect((await silent.closed).code).toBe(1008);
    expect(await silent.ended).toBe('closed');
  });

  it('is 1009 for a message that is too large', async () => {
    const made = await live();
    made.phone.send('x'.repeat(64 * 1024 + 1));
    expect((await made.closed).code).toBe(1009);
    expect(await made.ended).toBe('protocol');
  });

  it('is 1011 if a listener throws, and the event fault reports the error', async () => {
    const made = await live();
    const faults: unknown[] = [];
    made.stream.on('fault', (error) => faults.push(error));
    const fault = new Error('of a listener');
    made.stream.on('dtmf', () => {
      throw fault;
    });
    made.phone.send(JSON.stringify({ event: 'dtmf', streamSid: STREAM_SID, dtmf: { digit: '1' } }));
    expect((await made.closed).code).toBe(1011);
    expect(faults).toEqual([fault]);
  });

  it('becomes a process warning if nobody listens to faults, even for a fault at the end', async () => {
    const made = await live();
    const warned = once(process, 'warning');
    made.stream.on('end', () => {
      throw new Error('of the end');
    });
    made.phone.terminate();
    expect(String((await warned)[0])).toContain('of the end');
  });

  it('comes when the socket closes, even if it was closed before', async () => {
    const made = await live();
    made.phone.terminate();
    expect(await made.ended).toBe('socket-closed');
    const late = fromWs(made.socket, { clock });
    expect((await once(late, 'end'))[0]).toBe('socket-closed');
  });

  it('comes with an error of the socket, which goes no further', async () => {
    const made = await live();
    made.socket.emit('error', new Error('of the network'));
    made.phone.terminate();
    expect(await made.ended).toBe('socket-closed');
  });

  it('comes even if the code cannot be sent', async () => {
    const made = await live();
    made.stream.close(1006);
    expect((await made.closed).code).toBe(1006);
    expect(await made.ended).toBe('closed');
  });

  it('comes for a peer that is silent for a minute, but not for one that answers pings', async () => {
    const dead = await live({ autoPong: false });
    expect(await dead.ended).toBe('socket-closed');
    const alive = await live();
    await sleep(95_000);
    expect(alive.stream.isConnected).toBe(true);
  });

  it('leaves no timer behind', async () => {
    const made = await live();
    made.stream.close();
    await made.closed;
    let pings = 0;
    made.socket.ping = () => {
      pings += 1;
    };
    await sleep(65_000);
    expect(pings).toBe(0);
  });
});

/** A socket whose network stalls until told otherwise; it reads sent memory only then. */
class FullSocket extends EventEmitter implements WsSocket {
  readyState = 1;
  bufferedAmount = 0;
  isFull = false;
  isCut = false;
  readonly taken: string[] = [];
  private readonly waiting: { readonly data: string | Uint8Array; readonly sent: () => void }[] = [];
  send(data: string | Uint8Array, options: object, sent: () => void): void {
    expect(options).toMatchObject({ binary: false, compress: false });
    this.waiting.push({ data, sent });
    this.bufferedAmount += data.length;
    if (!this.isFull) this.drain();
  }
  drain(): void {
    this.isFull = false;
    this.bufferedAmount = 0;
    const waiting = this.waiting.splice(0);
    this.taken.push(...waiting.map(({ data }) => String(Buffer.from(data as Uint8Array))));
    for (const { sent } of waiting) sent();
  }
  ping(): void {}
  close(): void {
    this.readyState = 3;
  }
  terminate(): void {
    this.isCut = true;
    this.readyState = 3;
    this.emit('close');
  }
}

describe('a stalled network', () => {
  it('holds audio back, and delivers it unchanged when it recovers', async () => {
    const socket = new FullSocket();
    const stream = fromWs(socket, { clock, leadMs: 10_000 });
    socket.emit('message', Buffer.from(START), false);
    socket.isFull = true;
    const burst = 50;
    const say = (from: number) => {
      for (let i = from; i < from + burst; i++) stream.sendAudio(new Int16Array(960).fill((i + 1) * 300));
    };
    say(0);
    await eventually('a full socket', () => socket.bufferedAmount > burst * 100);
    expect([stream.isWritable, socket.taken]).toEqual([false, []]);
    say(burst);
    expect(stream.waitingMs).toBe(burst * 20);
    socket.drain();
    await eventually('all of it', () => stream.waitingMs === 0);
    const payloads = socket.taken.filter((text) => JSON.parse(text).event === 'media');
    expect(payloads).toHaveLength(burst * 2);
    // Many distinct levels show that no waiting frame was overwritten.
    expect(new Set(payloads.slice(0, burst)).size).toBeGreaterThan(burst / 2);
    stream.close();
  });

  it('is dropped when marks and clears pile up to 1 MiB', () => {
    const socket = new FullSocket();
    const stream = fromWs(socket, { clock });
    const ends: string[] = [];
    stream.on('end', (end) => ends.push(end));
    socket.emit('message', Buffer.from(START), false);
    socket.isFull = true;
    for (let i = 0; i < 40_000 && !socket.isCut; i++) stream.clear();
    expect(socket.isCut).toBe(true);
    expect(socket.bufferedAmount).toBeLessThanOrEqual(1024 * 1024);
    expect(socket.bufferedAmount).toBeGreaterThan(1024 * 1024 - 200);
    expect(ends).toEqual(['socket-closed']);
  });
});

describe('a message’s memory', () => {
  it.each([0, 1, 2, 3, 5, 7])('is read at an offset of %i', (offset) => {
    const socket = new FullSocket();
    const stream = fromWs(socket, { clock });
    const at = (text: string) => {
      const memory = Buffer.alloc(offset + text.length + 9, '}');
      memory.write(text, offset, 'latin1');
      return memory.subarray(offset, offset + text.length);
    };
    socket.emit('message', at(START), false);
    let heard = 0;
    stream.on('audio', (samples) => {
      heard += samples.length;
    });
    socket.emit('message', at(mediaText({ payload: toneMulaw(1_000, 20) })), false);
    // Unlike Twilio's own messages: the slow path.
    socket.emit('message', at(` ${mediaText({ payload: toneMulaw(1_000, 20) })}`), false);
    expect(heard).toBe(1_920);
    expect(stream.counts()).toMatchObject({ framesIn: 2, badMessages: 0 });
    stream.close();
  });

  it('may be text or bytes from versions that do not say which', () => {
    const socket = new FullSocket();
    const stream = fromWs(socket, { clock });
    socket.emit('message', START);
    expect(stream.isConnected).toBe(true);
    socket.emit('message', Buffer.from(mediaText()));
    expect(stream.counts().badMessages).toBe(1);
    stream.close();
  });
});
