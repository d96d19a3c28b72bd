import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterEach } from 'vitest';
import { makeCertificate } from './certificate.js';
import { firstPost } from './first-post.js';

/** What a receiver does with a connection: when it opens, or after a whole request. */
export interface Hostility {
  /** At once, for any request. */
  readonly early?: true;
  /** It ends with a status of acceptance. */
  readonly takes?: true;
  readonly scheme?: 'https';
  readonly act: (socket: Socket, nth: number) => void;
}

const MEGABYTE_OF_ZEROS = gzipSync(Buffer.alloc(2 ** 20), { level: 9 });
const OK = 'HTTP/1.1 200 OK\r\n';
const say =
  (...parts: (string | Buffer)[]) =>
  (socket: Socket) => {
    for (const part of parts) socket.write(part);
  };
/** One piece after the other, as fast as they are taken. */
const flood = (head: string, piece: string) => (socket: Socket) => {
  socket.write(head);
  const chunk = piece.repeat(Math.ceil(16_384 / piece.length));
  const pour = () => {
    while (!socket.destroyed && socket.writable && socket.write(chunk));
  };
  socket.on('drain', pour);
  pour();
};
/** One piece after the other, too often for a timeout on silence. */
const drip = (head: string, piece: string) => (socket: Socket) => {
  socket.write(head);
  const timer = setInterval(() => socket.write(piece), 1);
  socket.on('close', () => clearInterval(timer));
};
/** A thousand times as large when it is unpacked. */
const bomb = (megabytes: number) => Buffer.alloc(megabytes * MEGABYTE_OF_ZEROS.length, MEGABYTE_OF_ZEROS);
const zipped = (body: Buffer) =>
  say(`${OK}content-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`, body);
const shaking = (host: string, days?: number) => {
  let context: tls.SecureContext | undefined;
  return (socket: Socket) => {
    if (context === undefined) {
      const pem = readFileSync(makeCertificate(host, days).pem);
      context = tls.createSecureContext({ cert: pem, key: pem });
    }
    const secure = new tls.TLSSocket(socket, { isServer: true, secureContext: context });
    secure.on('error', () => {});
    secure.on('end', () => secure.end());
    secure.on('close', () => socket.destroy());
    secure.on('data', () => secure.write(`${OK}content-length: 0\r\n\r\n`));
  };
};

/** Hostile receivers. */
export const HOSTILITIES: Readonly<Record<string, Hostility>> = {
  'switches protocols': {
    act: say('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'),
  },
  'switches protocols without saying to which': { act: say('HTTP/1.1 101 Switching Protocols\r\n\r\n') },
  'switches protocols and goes on talking': {
    act: flood(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n',
      '\x81\x05hello',
    ),
  },
  'wants more and then says nothing': { act: say('HTTP/1.1 100 Continue\r\n\r\n') },
  'is about to answer, again and again': { act: flood('', 'HTTP/1.1 102 Processing\r\n\r\n') },
  'has hints, one after the other': {
    act: flood('', `HTTP/1.1 103 Hints\r\nlink: ${'x'.repeat(900)}\r\n\r\n`),
  },
  'has a hint now and then': { act: drip('', 'HTTP/1.1 103 Early Hints\r\n\r\n') },
  'says half a status': { act: say('HTTP/1.1 2') },
  'says half a header': { act: say(`${OK}content-len`) },
  'drips a header': { act: drip(`${OK}x-slow: `, 'a') },
  'has a header without an end': { act: flood(`${OK}x-long: `, 'a') },
  'has headers without an end': { act: flood(OK, 'x-more: again\r\n') },
  'drips a body': { act: drip(`${OK}content-length: 1000000\r\n\r\n`, 'a') },
  'drips chunks': { act: drip(`${OK}transfer-encoding: chunked\r\n\r\n`, '1\r\na\r\n') },
  'has a body of an exabyte': { act: flood(`${OK}content-length: 1000000000000000\r\n\r\n`, 'a') },
  'has chunks without an end': { act: flood(`${OK}transfer-encoding: chunked\r\n\r\n`, '4\r\nmore\r\n') },
  'has a chunk’s extension without an end': {
    act: flood(`${OK}transfer-encoding: chunked\r\n\r\n4;x=`, 'a'),
  },
  'has trailers without an end': {
    act: flood(`${OK}transfer-encoding: chunked\r\n\r\n0\r\n`, 'x-more: a\r\n'),
  },
  'has a body until the connection ends, which it does not': { act: say(`${OK}\r\nbody`) },
  'says too little and waits': { act: say(`${OK}content-length: 10\r\n\r\nhalf`) },
  'says too little and hangs up': {
    act: (socket) => socket.end(`${OK}content-length: 10\r\n\r\nhalf`),
  },
  'has no size for its chunk': { act: say(`${OK}transfer-encoding: chunked\r\n\r\nzebra\r\n`) },
  'says two lengths': { act: say(`${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nab`) },
  'has a zero byte in a header': { act: say(`${OK}x-bad: a\0b\r\n\r\n`) },
  'speaks another protocol': { act: say('SSH-2.0-OpenSSH_9.9\r\n') },
  'speaks HTTP/2': { act: say(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])) },
  'says a body without a head': { act: (socket) => socket.end('{"room":"team"}') },
  'resets the connection': { act: (socket) => socket.resetAndDestroy() },
  'hangs up': { act: (socket) => socket.end() },
  'hangs up at once': { early: true, act: (socket) => socket.end() },
  'resets at once': { early: true, act: (socket) => socket.resetAndDestroy() },
  'never answers': { act: () => {} },
  'never reads': { early: true, act: (socket) => socket.pause() },
  'answers before it is asked': {
    early: true,
    act: say('HTTP/1.1 500 Early\r\ncontent-length: 0\r\n\r\n'),
  },
  'answers twice': { act: say('HTTP/1.1 500 One\r\ncontent-length: 0\r\n\r\n'.repeat(2)) },
  'keeps a connection alive and closes it with the next request': {
    act: (socket, nth) => {
      if (nth === 0) socket.write('HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nkeep-alive: timeout=60\r\n\r\n');
      else socket.end('HTTP/1.1 200');
    },
  },
  'sends elsewhere, which is here': {
    act: say('HTTP/1.1 307 Around\r\nlocation: /hook?tenant=1\r\ncontent-length: 0\r\n\r\n'),
  },
  'sends to somebody inside': {
    act: say('HTTP/1.1 302 In\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n'),
  },
  'sends a large bomb': { act: zipped(bomb(100)) },
  'sends a small bomb': { takes: true, act: zipped(bomb(8)) },
  'speaks no TLS': { scheme: 'https', act: say('HTTP/1.1 400 Bad Request\r\n\r\n'), early: true },
  'shakes no hands': { scheme: 'https', act: () => {}, early: true },
  'resets while hands are shaken': {
    scheme: 'https',
    early: true,
    act: (socket) => socket.once('data', () => socket.resetAndDestroy()),
  },
  'breaks off with an alert': {
    scheme: 'https',
    act: say(Buffer.from([21, 3, 3, 0, 2, 2, 40])),
    early: true,
  },
  'has a certificate of its own making': { scheme: 'https', act: shaking('localhost'), early: true },
  'has a certificate of the past': { scheme: 'https', act: shaking('localhost', -1), early: true },
};

/** One whole request as it came; JSON is parsed. */
export interface Asked {
  readonly headers: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests check the body
  readonly body: any;
}

const open: HostileReceiver[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((receiver) => receiver.close()));
});

/** A service that is hostile to whom it chooses, on loopback, over bare sockets; closed after the test. */
export class HostileReceiver {
  /** Requests that were taken with 204. */
  readonly taken: Asked[] = [];
  /** Requests treated with hostility, or connections if it waits for no request. */
  met = 0;
  readonly sockets = new Set<Socket>();
  private readonly server = net.createServer({ allowHalfOpen: true }, (socket) => this.handle(socket));

  private constructor(private choose: (asked?: Asked) => Hostility | undefined) {}

  /** @param choose how to treat a request, or a new connection if without one; `undefined` accepts it */
  static async start(choose: (asked?: Asked) => Hostility | undefined): Promise<HostileReceiver> {
    await firstPost();
    const receiver = new HostileReceiver(choose);
    open.push(receiver);
    receiver.server.listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    return receiver;
  }

  url(scheme = 'http'): string {
    return `${scheme}://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook?tenant=1`;
  }

  /** Accepts everything from now on; open exchanges continue as they were. */
  heal(): void {
    this.choose = () => undefined;
    for (const socket of this.sockets) socket.resume();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private handle(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    const early = this.choose();
    if (early?.early) {
      this.met += 1;
      early.act(
        socket.on('data', () => {}),
        0,
      );
      return;
    }
    let text = '';
    let nth = 0;
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      const [headers = '', body] = text.split('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(headers)?.[1]);
      if (body === undefined || body.length < length) return;
      text = '';
      const sent = Buffer.from(body, 'latin1').toString();
      const asked = { headers, body: sent.startsWith('{') ? JSON.parse(sent) : sent };
      const hostility = this.choose(asked);
      if (hostility === undefined) {
        this.taken.push(asked);
        socket.write('HTTP/1.1 204 Fine\r\n\r\n');
      } else {
        this.met += 1;
        hostility.act(socket, nth++);
      }
    });
  }
}
