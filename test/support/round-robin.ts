import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { clock } from './time.js';

/** Longest request body kept to be sent to another node. */
const MAX_BODY_BYTES = 256 * 1024;
/** Calls whose nodes are remembered; the oldest make room. */
const MAX_CALLS = 10_000;
const RETRY_MS = 50;
const MEDIA_PATH = /\/twilio\/media\/([^/"]+)\//;

/** What one node served. */
export interface NodeCounts {
  readonly requests: number;
  /** Upgrades that it answered with 101. */
  readonly sockets: number;
}

/** Where one call went. */
export interface CallRoute {
  /** Nodes whose TwiML named the call's media URL, in order. */
  readonly webhooks: readonly string[];
  /** Nodes that took its sockets, in order. */
  readonly sockets: readonly string[];
}

interface Counts {
  requests: number;
  sockets: number;
}

/**
 * A reverse proxy before several gateways that does what a call dislikes most: every request goes to the next
 * node in turn, and a media socket to another node than the one that answered the call's webhook, where there is
 * one. A node that refuses or resets before it has answered, or answers an upgrade with 503, is passed over for the next. Bodies are passed on as
 * they are; sockets are piped without a look into them.
 */
export class RoundRobin {
  /** Requests and upgrades that no node answered. */
  unanswered = 0;
  /** How long a request waits while no node answers; none by default. */
  patienceMs = 0;
  private readonly nodes: string[];
  private readonly counts = new Map<string, Counts>();
  private readonly calls = new Map<string, { webhooks: string[]; sockets: string[] }>();
  private readonly sockets = new Set<net.Socket>();
  private readonly server: http.Server;
  private turn = 0;

  private constructor(nodes: readonly string[]) {
    this.nodes = [...nodes];
    this.server = http.createServer((request, response) => void this.request(request, response));
    this.server.on('upgrade', (request, socket, head) => {
      void this.upgrade(request, socket as net.Socket, head);
    });
  }

  /** @param nodes `host:port` each */
  static async listen(nodes: readonly string[]): Promise<RoundRobin> {
    const proxy = new RoundRobin(nodes);
    proxy.server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 });
    await once(proxy.server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** From now on it gets its turns, too. */
  add(node: string): void {
    if (!this.nodes.includes(node)) this.nodes.push(node);
  }

  /** Gets nothing new; its sockets stay. */
  remove(node: string): void {
    const at = this.nodes.indexOf(node);
    if (at >= 0) this.nodes.splice(at, 1);
  }

  /** What a node served so far. */
  served(node: string): NodeCounts {
    return { ...this.countsOf(node) };
  }

  /** Where each call went, by call id. */
  get routes(): ReadonlyMap<string, CallRoute> {
    return this.calls;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async request(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    try {
      const body = await bodyOf(request);
      const patience = clock.now() + this.patienceMs;
      for (;;) {
        for (const node of this.inTurn()) {
          const answer = await this.ask(node, request, body).catch(() => undefined);
          if (answer === undefined) continue;
          this.countsOf(node).requests += 1;
          await this.passOn(node, answer, response);
          return;
        }
        if (clock.now() >= patience) break;
        await clock.sleep(RETRY_MS);
      }
      this.unanswered += 1;
      response.writeHead(502).end();
    } catch {
      response.destroy();
    }
  }

  /** Rejects if the node disconnects before its response begins. */
  private ask(node: string, request: http.IncomingMessage, body: Buffer): Promise<http.IncomingMessage> {
    const { hostname: host, port } = new URL(`http://${node}`);
    return new Promise((resolve, reject) => {
      const { method, url: path } = request;
      const headers = { ...forwarded(request), connection: 'close' };
      http
        .request({ host, port, method, path, headers, agent: false }, resolve)
        .on('error', reject)
        .end(body);
    });
  }

  private async passOn(
    node: string,
    answer: http.IncomingMessage,
    response: http.ServerResponse,
  ): Promise<void> {
    response.writeHead(answer.statusCode ?? 502, withoutHopHeaders(answer.headers));
    answer.on('error', () => response.destroy());
    if (!answer.headers['content-type']?.includes('xml')) {
      response.on('close', () => answer.destroy());
      answer.pipe(response);
      return;
    }
    const twiml = await bodyOf(answer);
    const [, callId] = MEDIA_PATH.exec(twiml.toString('utf8')) ?? [];
    if (callId !== undefined) this.routeOf(callId).webhooks.push(node);
    response.end(twiml);
  }

  private async upgrade(request: http.IncomingMessage, client: net.Socket, head: Buffer): Promise<void> {
    this.own(client);
    const callId = MEDIA_PATH.exec(request.url ?? '')?.[1];
    const route = callId === undefined ? undefined : this.calls.get(callId);
    const webhook = route?.webhooks.at(-1);
    const inTurn = this.inTurn();
    const others = inTurn.filter((node) => node !== webhook);
    const order = [...others, ...inTurn.filter((each) => each === webhook)];
    const last = order.at(-1);
    for (const node of order) {
      const opened = await this.open(node, request, head).catch(() => undefined);
      if (opened === undefined) continue;
      const { socket, answer } = opened;
      // It cannot serve now, e.g. because it drains: proxies then try another one.
      if (/^HTTP\/1\.1 503 /.test(answer.toString('latin1')) && node !== last) {
        socket.destroy();
        continue;
      }
      if (/^HTTP\/1\.1 101 /.test(answer.toString('latin1'))) {
        this.countsOf(node).sockets += 1;
        route?.sockets.push(node);
      }
      if (client.destroyed) {
        socket.destroy();
        return;
      }
      client.write(answer);
      socket.pipe(client);
      client.pipe(socket);
      // However one side goes, the other goes the same way.
      socket.on('error', () => client.resetAndDestroy());
      client.on('error', () => socket.resetAndDestroy());
      return;
    }
    this.unanswered += 1;
    client.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  }

  /** Sends the upgrade to a node; resolves with the first bytes of its answer. */
  private open(
    node: string,
    request: http.IncomingMessage,
    head: Buffer,
  ): Promise<{ socket: net.Socket; answer: Buffer }> {
    const { hostname: host, port } = new URL(`http://${node}`);
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host, port: Number(port), noDelay: true });
      this.own(socket);
      socket.on('connect', () => {
        const lines = Object.entries(forwarded(request)).flatMap(([name, value]) =>
          [value ?? []].flat().map((each) => `${name}: ${each}\r\n`),
        );
        socket.write(`GET ${request.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
        socket.write(head);
      });
      // The first line may arrive in pieces.
      let answer = Buffer.alloc(0);
      const read = (chunk: Buffer) => {
        answer = Buffer.concat([answer, chunk]);
        if (!answer.includes('\r\n')) return;
        socket.off('data', read);
        socket.pause();
        resolve({ socket, answer });
      };
      socket.on('data', read);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error(`${node} closed`)));
    });
  }

  private own(socket: net.Socket): void {
    socket.setNoDelay(true);
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
  }

  /** All nodes, the next in turn first. */
  private inTurn(): string[] {
    const { nodes } = this;
    this.turn += 1;
    return nodes.map((_, i) => nodes[(this.turn + i) % nodes.length] as string);
  }

  private countsOf(node: string): Counts {
    const counts = this.counts.get(node) ?? { requests: 0, sockets: 0 };
    this.counts.set(node, counts);
    return counts;
  }

  private routeOf(callId: string): { webhooks: string[]; sockets: string[] } {
    const route = this.calls.get(callId) ?? { webhooks: [], sockets: [] };
    this.calls.set(callId, route);
    const [oldest] = this.calls.keys();
    if (this.calls.size > MAX_CALLS && oldest !== undefined) this.calls.delete(oldest);
    return route;
  }
}

async function bodyOf(message: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new Error(`more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A request's own headers, and those that the first proxy adds. */
function forwarded(request: http.IncomingMessage): http.OutgoingHttpHeaders {
  return {
    'x-forwarded-proto': 'http',
    'x-forwarded-host': request.headers.host,
    ...request.headers,
  };
}

function withoutHopHeaders(headers: http.IncomingHttpHeaders): http.OutgoingHttpHeaders {
  const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...rest } = headers;
  return rest;
}
