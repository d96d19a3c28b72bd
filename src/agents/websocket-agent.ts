import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import type { Clock } from '../clock.js';
import { closeReason, GatewayError } from '../errors.js';
import { LEG_PROTOCOL, MAX_AUDIO_BYTES } from '../legs/leg-messages.js';
import { bufferOf } from '../media/arguments.js';
import { secondsOf, signWebhook } from '../webhooks/signature.js';
import type { AgentConnection, AgentEndpoint, ConnectionListener, ConnectRequest } from './agent-endpoint.js';
import { CALL_HEADER, callHeaderOf } from './call-header.js';

/** How often the agent is pinged, and after how many pings without any sign of life it counts as lost. */
const PING_MS = 500;
const MOST_SILENT_PINGS = 4;
/** A larger message closes the connection. It exceeds the leg's own limit, which answers with the code 1009. */
const HARD_LIMIT_BYTES = 2 * MAX_AUDIO_BYTES;
/** An agent that leaves more than this unread is lost. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** Statuses of an upgrade that may be better in a moment. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429]);
/** Code of a connection that was lost without a close frame. Source: RFC 6455, section 7.1.5. */
const LOST = 1006;

export interface WebSocketAgentOptions {
  /** `ws:` or `wss:` */
  readonly url: string;
  /** Secrets that sign the facts; none: unsigned. */
  readonly secrets: () => readonly string[];
  readonly clock: Clock;
}

/** An agent behind a WebSocket: the gateway is its client. */
export class WebSocketAgent implements AgentEndpoint {
  readonly name: string;

  constructor(private readonly options: WebSocketAgentOptions) {
    const { protocol, host, pathname } = new URL(options.url);
    this.name = `${protocol}//${host}${pathname}`;
  }

  connect(request: ConnectRequest, listener: ConnectionListener): Promise<AgentConnection> {
    const { signal } = request;
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(this.options.url, [LEG_PROTOCOL], {
        headers: this.headersOf(request),
        perMessageDeflate: false,
        skipUTF8Validation: false,
        maxPayload: HARD_LIMIT_BYTES,
        followRedirects: false,
      });
      const fail = (code: 'GW_AGENT_REFUSED' | 'GW_AGENT_UNREACHABLE', why: string) => {
        signal.removeEventListener('abort', late);
        reject(new GatewayError(code, `Agent ${this.name} ${why}`));
        // A socket that still connects reports its own end as an error.
        socket.on('error', () => {});
        socket.terminate();
      };
      const late = () => fail('GW_AGENT_UNREACHABLE', 'did not answer in time');
      signal.addEventListener('abort', late);
      if (signal.aborted) late();
      // An agent may accept no subprotocol, which `ws` would refuse.
      socket.once('upgrade', ({ headers }: IncomingMessage) => {
        headers['sec-websocket-protocol'] ??= LEG_PROTOCOL;
      });
      socket.once('unexpected-response', (_, { statusCode = 0 }: IncomingMessage) => {
        const isFinal = statusCode >= 400 && statusCode < 500 && !PASSING_STATUSES.has(statusCode);
        fail(isFinal ? 'GW_AGENT_REFUSED' : 'GW_AGENT_UNREACHABLE', `answered with status ${statusCode}`);
      });
      socket.once('error', ({ message }) => fail('GW_AGENT_UNREACHABLE', `cannot be reached: ${message}`));
      socket.once('open', () => {
        signal.removeEventListener('abort', late);
        resolve(new WebSocketConnection(socket, listener, this.options.clock, this.name, signal));
      });
    });
  }

  private headersOf({ facts, traceparent }: ConnectRequest): Record<string, string> {
    const { secrets, clock } = this.options;
    const call = callHeaderOf(facts);
    const keys = secrets();
    const signed =
      keys.length === 0 ? {} : signWebhook(`msg_${randomUUID()}`, call, keys, secondsOf(clock.date()));
    return { [CALL_HEADER]: call, traceparent, ...signed };
  }
}

class WebSocketConnection implements AgentConnection {
  /** Fulfilled by the first sign of life: an upgrade may be answered for an agent that stands still. */
  readonly taken: Promise<void>;
  private take: () => void = () => {};
  private refuse: (error: GatewayError) => void = () => {};
  private readonly stopPings: () => void;
  private isAlive = false;
  private silentPings = 0;
  private isOver = false;
  /** The latest memory sent from, and a view of it as `ws` needs it: most frames share one. */
  private memory: Int16Array | undefined;
  private view: Buffer = Buffer.alloc(0);

  constructor(
    private readonly socket: WebSocket,
    private readonly listener: ConnectionListener,
    private readonly clock: Clock,
    private readonly name: string,
    signal: AbortSignal,
  ) {
    this.taken = new Promise((take, refuse) => {
      this.take = take;
      this.refuse = refuse;
    });
    this.taken.catch(() => {});
    const late = () => this.refuse(this.unreachable('gives no sign of life'));
    signal.addEventListener('abort', late, { once: true });
    socket.ping();
    let stalledMs = clock.stalledMs();
    const pings = clock.every(PING_MS, () => {
      // What arrived while this process stood still has not been read yet.
      if (stalledMs !== clock.stalledMs()) this.silentPings = 0;
      stalledMs = clock.stalledMs();
      this.ping();
    });
    this.stopPings = () => clock.cancel(pings);
    socket.on('message', (data: Buffer, isBinary) => {
      this.showLife();
      if (!this.isOver) listener.message(data, isBinary);
    });
    socket.on('pong', () => this.showLife());
    // Each is answered: it costs what a message costs.
    socket.on('ping', () => {
      if (!this.isOver) listener.message(NOTHING, true);
    });
    let fault = '';
    socket.on('close', (code, reason) => this.ended(code, reason.toString() || fault));
    // The close follows.
    socket.on('error', ({ message }) => {
      fault = message;
    });
  }

  send(message: string | Int16Array): boolean {
    const { socket } = this;
    if (this.isOver || socket.readyState !== WebSocket.OPEN || this.isUnread()) return false;
    if (typeof message === 'string') socket.send(message);
    else {
      if (message !== this.memory) {
        this.memory = message;
        this.view = bufferOf(message);
      }
      // `ws` masks a copy.
      socket.send(this.view, BINARY);
    }
    return true;
  }

  bufferedBytes(): number {
    return this.socket.bufferedAmount;
  }

  close(code: number, reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.stopPings();
    const { socket, clock } = this;
    socket.close(code, closeReason(reason));
    // An agent that does not answer the close must not keep the socket.
    const timeout = clock.timeout(PING_MS * MOST_SILENT_PINGS, () => socket.terminate());
    timeout.unref();
    socket.once('close', () => timeout.cancel());
  }

  private showLife(): void {
    this.silentPings = 0;
    if (this.isAlive) return;
    this.isAlive = true;
    this.take();
  }

  private ping(): void {
    const { socket } = this;
    this.silentPings += 1;
    if (this.silentPings > MOST_SILENT_PINGS) {
      this.ended(LOST, 'answers no pings');
      socket.terminate();
    } else if (socket.readyState === WebSocket.OPEN) socket.ping();
  }

  /** Whether the agent has left too much unread; it is then lost. */
  private isUnread(): boolean {
    if (this.socket.bufferedAmount <= MAX_UNSENT_BYTES) return false;
    this.ended(LOST, 'reads nothing');
    this.socket.terminate();
    return true;
  }

  private ended(code: number, reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.stopPings();
    this.refuse(this.unreachable(`closed the connection (${code})`));
    this.listener.closed(code, reason);
  }

  private unreachable(why: string): GatewayError {
    return new GatewayError('GW_AGENT_UNREACHABLE', `Agent ${this.name} ${why}`);
  }
}

const BINARY = { binary: true } as const;
const NOTHING = new Uint8Array(0);
