import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import { STATUS_CODES } from 'node:http';
import { SocketAddress } from 'node:net';
import { hasNoBody } from '../framing.js';
import type { Head, Reply, Request } from '../transport.js';

/** A response up to this size is passed on whole; of a longer one, only as much as the socket accepts. */
const SMALL_BYTES = 16 * 1024;

export class UwsRequest implements Request {
  constructor(private readonly request: HttpRequest) {}

  get method(): string {
    return this.request.getMethod();
  }

  get path(): string {
    return this.request.getUrl();
  }

  get query(): string | undefined {
    return this.request.getQuery() as string | undefined;
  }

  header(name: string): string {
    return this.request.getHeader(name);
  }

  lines(name: string): readonly string[] {
    return this.headers().flatMap(([each, value]) => (each === name ? [value] : []));
  }

  headers(): (readonly [name: string, value: string])[] {
    const headers: (readonly [string, string])[] = [];
    this.request.forEach((name, value) => {
      headers.push([name, value]);
    });
    return headers;
  }

  parameter(index: number): string {
    return this.request.getParameter(index) ?? '';
  }
}

export class UwsReply implements Reply {
  constructor(
    private readonly response: HttpResponse,
    private readonly isHead: boolean,
  ) {}

  get peer(): string {
    return textOf(Buffer.from(this.response.getRemoteAddress()));
  }

  onGone(listener: () => void): void {
    this.response.onAborted(listener);
  }

  onData(listener: (chunk: Uint8Array, isLast: boolean) => void): void {
    this.response.onData((chunk, isLast) => listener(new Uint8Array(chunk), isLast));
  }

  pause(): void {
    this.response.pause();
  }

  resume(): void {
    this.response.resume();
  }

  answer({ status, headers }: Head, body: Uint8Array, close: boolean, onTaken: () => void): boolean {
    const { response } = this;
    let isTaken = true;
    response.cork(() => {
      this.writeHead(status, headers);
      if (body.length <= SMALL_BYTES && !this.isHead && !hasNoBody(status)) {
        response.end(body, close);
        return;
      }
      // With these ways to close, uWebSockets.js would send a wrong length, or never finish.
      if (close) response.writeHeader('connection', 'close');
      if (hasNoBody(status)) response.endWithoutBody();
      else if (this.isHead) {
        response.writeHeader('content-length', String(body.length));
        response.endWithoutBody();
      } else isTaken = this.writeLong(body, onTaken);
    });
    return isTaken;
  }

  begin({ status, headers }: Head, onWritable: () => void): void {
    const { response } = this;
    response.cork(() => this.writeHead(status, headers));
    response.onWritable(() => {
      onWritable();
      return true;
    });
  }

  write(text: string): boolean {
    const { response } = this;
    let isTaken = true;
    response.cork(() => {
      isTaken = response.write(text);
    });
    return isTaken;
  }

  close(): void {
    this.response.close();
  }

  private writeHead(status: number, headers: Head['headers']): void {
    const { response } = this;
    response.writeStatus(`${status} ${STATUS_CODES[status] ?? 'Unknown'}`);
    for (const [name, value] of headers) response.writeHeader(name, value);
  }

  /** Sends as much as the socket accepts now, and the rest when it accepts more. */
  private writeLong(body: Uint8Array, onTaken: () => void): boolean {
    const { response } = this;
    const [, isTaken] = response.tryEnd(body, body.length);
    if (!isTaken) {
      response.onWritable((offset) => {
        const [isSent, isDone] = response.tryEnd(body.subarray(offset), body.length);
        if (isDone) onTaken();
        return isSent;
      });
    }
    return isTaken;
  }
}

/** An address as text; IPv4-mapped IPv6 as IPv4. */
function textOf(bytes: Buffer): string {
  if (bytes.length !== 16) return bytes.join('.');
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes.readUInt16BE(10) === 0xffff;
  if (isMapped) return bytes.subarray(12).join('.');
  const address = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':');
  return new SocketAddress({ address, family: 'ipv6' }).address;
}
