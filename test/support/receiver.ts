import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterEach } from 'vitest';
import { firstPost } from './first-post.js';
import { sleep } from './time.js';

/** As its owner would make one: `whsec_` and base64 of 24 bytes. */
export const SECRET = `whsec_${Buffer.from('24 bytes that stay hush!').toString('base64')}`;

/** One request that came, its signature checked by another implementation than ours. */
export interface Received {
  readonly id: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly isSigned: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: tests check the body
  readonly body: any;
}

/** What it answers: a status, a body (an object is written as JSON), or nothing ever. */
export type Reply = {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly afterMs?: number;
  /** Reads the request and does not respond. */
  readonly silent?: boolean;
  /** Cuts the connection without a word. */
  readonly cut?: boolean;
};

const open: Receiver[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((receiver) => receiver.close()));
});

/** The user's own service, on loopback; closed after the test. */
export class Receiver {
  readonly received: Received[] = [];
  /** Connections it saw. */
  connections = 0;
  /** Most requests it held at a time. */
  mostAtOnce = 0;
  private atOnce = 0;
  private readonly server: http.Server;

  private constructor(
    private reply: (request: Received, nth: number) => Reply,
    readonly secret: string,
  ) {
    this.server = http.createServer((request, response) => void this.handle(request, response));
    this.server.on('connection', () => {
      this.connections += 1;
    });
  }

  /** @param reply what it answers to the n-th request, from 0 */
  static async start(
    reply: (request: Received, nth: number) => Reply = () => ({ status: 204 }),
    secret = SECRET,
    port = 0,
  ): Promise<Receiver> {
    await firstPost();
    const receiver = new Receiver(reply, secret);
    open.push(receiver);
    receiver.server.listen(port, '127.0.0.1');
    await once(receiver.server, 'listening');
    return receiver;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook?tenant=1`;
  }

  replyWith(reply: (request: Received, nth: number) => Reply): void {
    this.reply = reply;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }

  private async handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    this.atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.atOnce);
    response.on('close', () => {
      this.atOnce -= 1;
    });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    let isSigned = true;
    try {
      new Webhook(this.secret).verify(text, request.headers as Record<string, string>);
    } catch {
      isSigned = false;
    }
    const received = {
      id: String(request.headers['webhook-id']),
      headers: request.headers,
      isSigned,
      body: JSON.parse(text),
    };
    const nth = this.received.push(received) - 1;
    const { status = 200, body = '', headers = {}, afterMs = 0, silent, cut } = this.reply(received, nth);
    if (afterMs > 0) await sleep(afterMs);
    if (cut) request.socket.destroy();
    if (silent || cut) return;
    response.writeHead(status, headers);
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  }
}
