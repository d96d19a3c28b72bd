import { timingSafeEqual } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Clock, systemClock } from '../clock.js';
import { expected } from '../errors.js';
import { ApiError } from './openai/api-error.js';
import type { RealtimeFaults } from './openai/faults.js';
import { newId } from './openai/item.js';
import { type Reply, replyTo, type Turn } from './openai/mind.js';
import { RealtimeSession } from './openai/session.js';

/** Room for 15 MiB of audio in base64. */
const MOST_MESSAGE_BYTES = 21 * 1024 * 1024;
/** Sessions that are remembered. */
const MOST_SESSIONS = 1_000;
/** Documented limit of a session. */
const SESSION_MS = 3_600_000;

/** How a {@link SimulatedRealtime} behaves. */
export interface SimulatedRealtimeOptions {
  /** The only key that is accepted. */
  readonly key: string;
  /** Milliseconds from the request of a response to its first output; default 150. */
  readonly latencyMs?: number;
  /** How many times as fast as it is spoken audio is sent; default 4. */
  readonly speed?: number;
  /** Milliseconds of audio in each delta, 10 to 1,000; default 100. */
  readonly deltaMs?: number;
  /** Milliseconds after which a session ends; default an hour, as documented. */
  readonly sessionMs?: number;
  /** The model's mind; `undefined` leaves it to the built-in one, which knows the sentences of {@link SENTENCES}. */
  readonly reply?: (turn: Turn) => Reply | undefined;
  /** What goes wrong from the start. */
  readonly faults?: RealtimeFaults;
  /** Default {@link systemClock}. */
  readonly clock?: Clock;
}

interface RealtimeEvents {
  /** A client has connected. */
  session: [session: RealtimeSession];
}

/**
 * OpenAI's Realtime API on loopback, as its documentation describes the general availability version, for demonstrations and tests
 * without an account: sessions over WebSocket with server-side turn detection, responses in audio, tools and truncation. What it
 * understands and says are the recorded sentences of the example company. Not simulated: WebRTC, SIP, MCP, images, `speed`,
 * `idle_timeout_ms`, and the model behind `semantic_vad`.
 *
 * Sources: the guides "Realtime conversations" and "Voice activity detection", the API reference of Realtime events, and the types
 * of openai-node (`resources/realtime`); the texts of errors as users have reported them.
 */
export class SimulatedRealtime extends EventEmitter<RealtimeEvents> {
  /** What goes wrong; may be replaced at any time. */
  faults: RealtimeFaults;
  /** The last 1,000 sessions, oldest first, closed ones included. */
  readonly sessions: RealtimeSession[] = [];
  /** Clients that were refused. */
  refused = 0;
  private readonly options: SimulatedRealtimeOptions;
  private readonly clock: Clock;
  private readonly sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MOST_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  private server: http.Server | undefined;

  /** @throws TypeError out of the ranges of the options */
  constructor(options: SimulatedRealtimeOptions) {
    super();
    const { deltaMs = 100, speed = 4, latencyMs = 150 } = options;
    if (!(Number.isInteger(deltaMs) && deltaMs >= 10 && deltaMs <= 1_000))
      throw expected('10 to 1000 milliseconds', 'deltaMs', deltaMs);
    if (!(speed > 0)) throw expected('more than 0', 'speed', speed);
    if (!(latencyMs >= 0)) throw expected('at least 0', 'latencyMs', latencyMs);
    this.options = options;
    this.faults = options.faults ?? {};
    this.clock = options.clock ?? systemClock;
  }

  /** Opens it on 127.0.0.1. @param port default any free one @returns {@link url} */
  async listen(port = 0): Promise<string> {
    const server = http.createServer((_request, response) => {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: new ApiError(null, 'Invalid URL').body }));
    });
    server.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
    this.server = server;
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return this.url;
  }

  /** The base of the API's addresses, as in `OPENAI_BASE_URL`: `http://127.0.0.1:<port>/v1`. */
  get url(): string {
    return `http://127.0.0.1:${(this.server?.address() as AddressInfo | null)?.port ?? 0}/v1`;
  }

  /** Sessions whose connection is open. */
  get openSessions(): RealtimeSession[] {
    return this.sessions.filter(({ closed }) => closed === undefined);
  }

  /** Breaks all connections and closes the server; resolves when every socket is gone. */
  async close(): Promise<void> {
    for (const socket of this.sockets.clients) socket.terminate();
    const { server } = this;
    this.server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const model = searchParams.get('model') ?? '';
    const { refusal } = this.faults;
    const wrongKey = new ApiError('invalid_api_key', 'Incorrect API key provided.');
    const refuse = (status: number, error: ApiError) => this.refuse(socket, status, error);
    if (pathname !== '/v1/realtime') refuse(404, new ApiError(null, 'Invalid URL'));
    else if (typeof refusal === 'number') refuse(refusal, wrongKey);
    else if (!this.isAuthorized(request)) refuse(401, wrongKey);
    else
      this.sockets.handleUpgrade(request, socket, head, (client) => {
        const error = refusal === 'socket' ? wrongKey : objectionTo(request, model);
        if (error === undefined) this.open(client, model);
        else this.reject(client, error);
      });
  }

  private isAuthorized({ headers }: IncomingMessage): boolean {
    const wanted = Buffer.from(`Bearer ${this.options.key}`);
    const received = Buffer.from(headers.authorization ?? '');
    return wanted.length === received.length && timingSafeEqual(wanted, received);
  }

  private refuse(socket: Duplex, status: number, error: ApiError): void {
    this.refused += 1;
    const body = JSON.stringify({ error: error.body });
    socket.on('error', () => {});
    socket.end(
      `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Error'}\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  }

  /** The way in which the API refuses what it learns of only after the handshake. */
  private reject(client: WebSocket, error: ApiError): void {
    this.refused += 1;
    client.on('error', () => {});
    const body = { ...error.body, event_id: null };
    client.send(JSON.stringify({ type: 'error', event_id: newId('event'), error: body }));
    const code = error.code === 'invalid_api_key' ? 3000 : 4000;
    client.close(code, `${error.type}.${error.code}`);
  }

  private open(client: WebSocket, model: string): void {
    const { latencyMs = 150, speed = 4, deltaMs = 100, sessionMs = SESSION_MS, reply } = this.options;
    const session = new RealtimeSession(client, {
      clock: this.clock,
      model,
      latencyMs,
      speed,
      deltaMs,
      sessionMs,
      reply: (turn) => reply?.(turn) ?? replyTo(turn),
      faults: () => this.faults,
    });
    this.sessions.push(session);
    if (this.sessions.length > MOST_SESSIONS) this.sessions.shift();
    this.emit('session', session);
  }
}

/** What is wrong with a request whose key is right. */
function objectionTo({ headers }: IncomingMessage, model: string): ApiError | undefined {
  if (headers['openai-beta'] !== undefined)
    return new ApiError('beta_api_shape_disabled', 'The Realtime Beta API is no longer supported.');
  if (model === '') return new ApiError('missing_model', 'You must provide a model parameter.');
  if (model.startsWith('gpt-')) return undefined;
  return new ApiError(
    'model_not_found',
    `The model \`${model}\` does not exist or you do not have access to it.`,
  );
}
