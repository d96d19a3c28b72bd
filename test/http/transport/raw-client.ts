import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { afterEach } from 'vitest';
import { type Frame, OPCODES, readFrame } from './frames.js';

/** An answer as it stood on the wire. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Names of its headers, in lower case, in their order and as often as they came. */
  readonly names: readonly string[];
  readonly body: string;
}

interface RawOptions {
  readonly host?: string;
  /** Trusted certificate; the connection is a secure one then. */
  readonly ca?: string;
}

/** Nothing takes so long but what never comes. */
const PATIENCE_MS = 40_000;

const open = new Set<RawClient>();
afterEach(() => {
  for (const client of open) client.destroy();
  open.clear();
});

/** A client that sends given bytes. Its half stays open when the other end closes. */
export class RawClient {
  /** The other end said that nothing more comes, or broke the connection. */
  isCut = false;
  isReset = false;
  private parts: Buffer[] = [];
  private size = 0;
  /** With less than that, there is no need to look again. */
  private needed = 0;
  private wake = () => {};

  private constructor(readonly socket: Socket) {
    open.add(this);
    socket.on('data', (bytes) => {
      this.parts.push(bytes);
      this.size += bytes.length;
      if (this.size >= this.needed) this.wake();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.isReset = error.code === 'ECONNRESET';
    });
    const cut = () => {
      this.isCut = true;
      this.wake();
    };
    socket.on('end', cut);
    socket.on('close', cut);
  }

  static async connect(port: number, { host = '127.0.0.1', ca }: RawOptions = {}): Promise<RawClient> {
    const socket =
      ca === undefined
        ? connect({ port, host, allowHalfOpen: true, noDelay: true })
        : connectSecurely({ port, host, ca, servername: 'localhost' });
    await once(socket, ca === undefined ? 'connect' : 'secureConnect');
    return new RawClient(socket);
  }

  /** Connects and sends. */
  static async sending(port: number, bytes: string | Buffer, options: RawOptions = {}): Promise<RawClient> {
    const client = await RawClient.connect(port, options);
    client.send(bytes);
    return client;
  }

  /** A WebSocket at that path, whose frames are written and read by hand. */
  static async webSocket(
    port: number,
    path: string,
    headers: readonly string[] = [],
    options: RawOptions = {},
  ): Promise<RawClient> {
    const key = randomBytes(16).toString('base64');
    const client = await RawClient.sending(port, handshake(path, key, headers), options);
    const { status, headers: answered } = await client.answer();
    if (status !== 101) throw new Error(`Expected 101 for a WebSocket but received ${status}`);
    const accepted = answered['sec-websocket-accept'];
    if (accepted !== acceptOf(key)) throw new Error(`Expected ${acceptOf(key)} but received ${accepted}`);
    return client;
  }

  /** What came and was not asked for yet. */
  get received(): Buffer {
    if (this.parts.length !== 1) this.parts = [Buffer.concat(this.parts)];
    return this.parts[0] as Buffer;
  }

  set received(rest: Buffer) {
    this.parts = [rest];
    this.size = rest.length;
    this.needed = 0;
  }

  send(bytes: string | Buffer): void {
    this.socket.write(bytes);
  }

  /** Sends so that the other end gets each part by itself, or nearly so. */
  async trickle(parts: Iterable<string | Buffer>): Promise<void> {
    for (const part of parts) {
      if (this.isCut) return;
      await new Promise((resolve) => this.socket.write(part, resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The next answer. @param isBodiless whether it is one to a HEAD */
  answer(isBodiless = false): Promise<RawAnswer> {
    return this.next('an answer', () => {
      const at = this.received.indexOf('\r\n\r\n');
      if (at < 0) return undefined;
      const [line = '', ...lines] = this.received.subarray(0, at).toString('latin1').split('\r\n');
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(`${line} `)?.[1]);
      const pairs = lines.map((text) => {
        const colon = text.indexOf(':');
        return [text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim()] as const;
      });
      const headers = Object.fromEntries(pairs);
      const names = pairs.map(([name]) => name);
      const isEmpty = isBodiless || status < 200 || status === 204 || status === 304;
      const body = isEmpty ? { text: '', end: at + 4 } : this.body(at + 4, headers);
      if (body === undefined) return undefined;
      this.received = this.received.subarray(body.end);
      return { status, headers, names, body: body.text };
    });
  }

  /** The next frame of a WebSocket. */
  frame(patienceMs = PATIENCE_MS): Promise<Frame> {
    const read = () => {
      const next = readFrame(this.received);
      if (next !== undefined) this.received = this.received.subarray(next.size);
      return next?.frame;
    };
    return this.next('a frame', read, patienceMs);
  }

  /** The next frame that is no ping. */
  async message(): Promise<Frame> {
    for (;;) {
      const frame = await this.frame();
      if (frame.opcode !== OPCODES.ping) return frame;
    }
  }

  /** Waits until the other end has closed, then closes this one. */
  async cut(patienceMs = PATIENCE_MS): Promise<void> {
    await this.until('the end of the connection', () => this.isCut || undefined, patienceMs);
    this.end();
  }

  /** Waits for a close frame or the end; the code, `undefined` where there was none. Then it goes. */
  async closeCode(): Promise<number | undefined> {
    let code: number | undefined;
    for (;;) {
      const frame = await this.frame().catch(() => undefined);
      if (frame?.opcode === OPCODES.close && frame.payload.length >= 2) code = frame.payload.readUInt16BE(0);
      if (frame === undefined || frame.opcode === OPCODES.close) break;
    }
    this.end();
    await this.cut();
    return code;
  }

  /** Waits until so many bytes are here. */
  async bytes(count: number): Promise<Buffer> {
    return this.next(`${count} bytes`, () => (this.received.length >= count ? this.received : undefined));
  }

  /** Reads no more. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Ends its half, and continues to read. */
  end(): void {
    this.socket.end();
  }

  /** Breaks the connection. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private async next<T>(what: string, read: () => T | undefined, ms = PATIENCE_MS): Promise<T> {
    const value = await this.until(what, () => read() ?? (this.isCut ? null : undefined), ms);
    if (value !== null) return value;
    const rest = this.received.subarray(0, 200).toString('latin1');
    throw new Error(`Expected ${what} but received the end of the connection after ${JSON.stringify(rest)}`);
  }

  private async until<T>(what: string, read: () => T | undefined, ms = PATIENCE_MS): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const rest = JSON.stringify(this.received.subarray(0, 200).toString('latin1'));
        reject(new Error(`Expected ${what} but received nothing for ${ms} ms after ${rest}`));
      }, ms);
    });
    late.catch(() => {});
    try {
      for (;;) {
        const value = read();
        if (value !== undefined) return value;
        await Promise.race([
          late,
          new Promise<void>((resolve) => {
            this.wake = resolve;
          }),
        ]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private body(
    start: number,
    headers: Readonly<Record<string, string>>,
  ): { text: string; end: number } | undefined {
    if (headers['transfer-encoding'] === 'chunked') return this.chunks(start);
    const length = Number(headers['content-length'] ?? 0);
    const end = start + length;
    if (this.size < end) {
      this.needed = end;
      return undefined;
    }
    return { text: this.received.subarray(start, end).toString('latin1'), end };
  }

  private chunks(start: number): { text: string; end: number } | undefined {
    let [text, at] = ['', start];
    for (;;) {
      const line = this.received.indexOf('\r\n', at);
      if (line < 0) return undefined;
      const size = Number.parseInt(this.received.subarray(at, line).toString('latin1'), 16);
      const end = line + 2 + size + 2;
      if (this.received.length < end) return undefined;
      text += this.received.subarray(line + 2, line + 2 + size).toString('latin1');
      at = end;
      if (size === 0) return { text, end };
    }
  }
}

/** A request, with `Host` unless it is among the headers. */
export function request(
  method: string,
  path: string,
  headers: readonly string[] = [],
  body: string | Buffer = '',
): string {
  const lines = [...headers];
  if (!lines.some((line) => /^host:/i.test(line))) lines.unshift('Host: localhost');
  if (body.length > 0 && !lines.some((line) => /^(content-length|transfer-encoding):/i.test(line))) {
    lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  }
  return `${method} ${path} HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n${body}`;
}

/** A request for a WebSocket. A header stands in place of the usual one; `Name:` leaves that out. */
export function handshake(
  path: string,
  key = randomBytes(16).toString('base64'),
  headers: readonly string[] = [],
): string {
  const usual = [
    'Host: localhost',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    'Sec-WebSocket-Version: 13',
  ];
  const nameOf = (line: string) => line.slice(0, line.indexOf(':')).toLowerCase();
  const given = new Set(headers.map(nameOf));
  const lines = [...usual.filter((line) => !given.has(nameOf(line))), ...headers];
  return request(
    'GET',
    path,
    lines.filter((line) => !line.endsWith(':')),
  );
}

export function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}
