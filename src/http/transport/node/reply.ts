import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { hasNoBody } from '../framing.js';
import type { Head, Reply, Request } from '../transport.js';

/** Path and query of a URL. */
export interface Target {
  readonly path: string;
  readonly query: string | undefined;
}

/** A URL's path and query; a proxy may send it with scheme and host (RFC 9112 section 3.2.2). */
export function targetOf(url: string): Target {
  const rest = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?]*/i, '');
  const at = rest.indexOf('?');
  const path = at < 0 ? rest : rest.slice(0, at);
  return { path: path === '' ? '/' : path, query: at < 0 ? undefined : rest.slice(at + 1) };
}

export class NodeRequest implements Request {
  readonly method: string;
  readonly path: string;
  readonly query: string | undefined;

  constructor(
    private readonly message: IncomingMessage,
    { path, query }: Target,
    private readonly parameters: readonly string[],
  ) {
    this.method = (message.method ?? '').toLowerCase();
    this.path = path;
    this.query = query;
  }

  header(name: string): string {
    return String(this.message.headers[name] ?? '');
  }

  lines(name: string): readonly string[] {
    return this.headers().flatMap(([each, value]) => (each === name ? [value] : []));
  }

  headers(): (readonly [name: string, value: string])[] {
    const { rawHeaders } = this.message;
    const headers: (readonly [string, string])[] = [];
    for (let i = 0; i < rawHeaders.length; i += 2) {
      headers.push([(rawHeaders[i] as string).toLowerCase(), rawHeaders[i + 1] as string]);
    }
    return headers;
  }

  parameter(index: number): string {
    return this.parameters[index] ?? '';
  }
}

export class NodeReply implements Reply {
  readonly peer: string;
  /** Whether the whole response was sent. (`writableFinished` is also true for a dropped one.) */
  private isFinished = false;
  private onTaken: (() => void) | undefined;

  /** @param body of the request @param length of the body in bytes, if the client gave it */
  constructor(
    private readonly response: ServerResponse,
    private readonly body: Readable,
    private readonly length: number | undefined,
  ) {
    this.peer = (response.socket?.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/i, '');
    const { socket } = response;
    response.once('finish', () => {
      // `finish` is also emitted if the rest was discarded.
      if (socket?.destroyed === true) return;
      this.isFinished = true;
      this.onTaken?.();
    });
    // Writers learn by `onGone` that the client has disconnected.
    response.on('error', () => {});
    body.on('error', () => {});
  }

  onGone(listener: () => void): void {
    this.response.once('close', () => {
      if (!this.isFinished) listener();
    });
  }

  onData(listener: (chunk: Uint8Array, isLast: boolean) => void): void {
    let received = 0;
    let isOver = false;
    const tell = (chunk: Uint8Array, isLast: boolean) => {
      if (isOver) return;
      isOver = isLast;
      listener(chunk, isLast);
    };
    this.body.on('data', (chunk: Buffer) => {
      received += chunk.length;
      tell(chunk, received === this.length);
    });
    this.body.on('end', () => tell(NOTHING, true));
  }

  pause(): void {
    this.body.pause();
  }

  resume(): void {
    // Without a listener, the data would be lost.
    if (this.body.listenerCount('data') > 0) this.body.resume();
  }

  answer({ status, headers }: Head, body: Uint8Array, close: boolean, onTaken: () => void): boolean {
    const { response } = this;
    for (const [name, value] of headers) response.setHeader(name, value);
    if (close) response.setHeader('connection', 'close');
    if (!hasNoBody(status)) response.setHeader('content-length', body.length);
    response.writeHead(status);
    response.end(response.req.method === 'HEAD' || hasNoBody(status) ? undefined : body);
    if (response.writableLength === 0) return true;
    this.onTaken = onTaken;
    return false;
  }

  begin({ status, headers }: Head, onWritable: () => void): void {
    const { response } = this;
    for (const [name, value] of headers) response.setHeader(name, value);
    response.writeHead(status);
    response.flushHeaders();
    response.on('drain', onWritable);
  }

  write(text: string): boolean {
    return this.response.write(text);
  }

  close(): void {
    this.response.socket?.destroy();
  }
}

const NOTHING = new Uint8Array(0);
