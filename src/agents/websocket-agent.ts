import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type WebSocket from 'ws';
import type { Clock } from '../clock.js';
import { closeReason } from '../close-reason.js';
import { GatewayError } from '../errors.js';
import { LEG_PROTOCOL, MAX_MESSAGE_BYTES } from '../legs/leg-messages.js';
import { bufferOf } from '../media/arguments.js';
import { secondsOf, signWebhook } from '../webhooks/signature.js';
import {
  type AgentConnection,
  type AgentEndpoint,
  type ConnectionListener,
  type ConnectRequest,
  isFinalStatus,
} from './agent-endpoint.js';
import { CALL_HEADER, callHeaderOf } from './call-header.js';

/** How often signs of life are looked for. An agent that showed none since the last look is pinged. */
const LOOK_MS = 500;
/** Looks without a sign of life after which the agent counts as lost. */
const MOST_SILENT_LOOKS = 4;
/** An agent that leaves more than this unread is lost. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** Code of a connection that was lost without a close frame. Source: RFC 6455, section 7.1.5. */
const LOST = 1006;

interface WebSocketAgentOptions {
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

  async connect(request: ConnectRequest, listener: ConnectionListener): Promise<AgentConnection> {
    const { signal } = request;
    // Loaded for the first call: most gateways need it for nothing else.
    const { default: Socket } = await import('ws');
    return new Promise((resolve, reject) => {
      const socket = new Socket(this.options.url, [LEG_PROTOCOL], {
        headers: this.headersOf(request),
        perMessageDeflate: false,
        skipUTF8Validation: false,
        maxPayload: MAX_MESSAGE_BYTES,
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
        const code = isFinalStatus(statusCode) ? 'GW_AGENT_REFUSED' : 'GW_AGENT_UNREACHABLE';
        fail(code, `answered with status ${statusCode}`);
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
  private readonly stopLooking: () => void;
  private isAlive = false;
  private silentLooks = 0;
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
    const late = () => this.refuse(this.unreachable('gives no sign of life'));
    signal.addEventListener('abort', late);
    void this.taken.catch(() => {}).finally(() => signal.removeEventListener('abort', late));
    socket.ping();
    let stalledMs = clock.stalledMs();
    const looks = clock.every(LOOK_MS, () => {
      // What arrived while this process stood still has not been read yet.
      if (stalledMs !== clock.stalledMs()) this.silentLooks = 0;
      stalledMs = clock.stalledMs();
      this.look();
    });
    this.stopLooking = () => clock.cancel(looks);
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
    if (this.isOver || socket.readyState !== socket.OPEN) return false;
    // The leg itself sends no audio to an agent that does not read.
    if (typeof message === 'string') {
      if (this.isUnread()) return false;
      socket.send(message);
    } else {
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
    this.stopLooking();
    const { socket, clock } = this;
    socket.close(code, closeReason(reason));
    // An agent that does not answer the close must not keep the socket.
    const timeout = clock.timeout(LOOK_MS * MOST_SILENT_LOOKS, () => socket.terminate());
    timeout.unref();
    socket.once('close', () => timeout.cancel());
  }

  private showLife(): void {
    this.silentLooks = 0;
    if (this.isAlive) return;
    this.isAlive = true;
    this.take();
  }

  private look(): void {
    const { socket } = this;
    this.silentLooks += 1;
    if (this.silentLooks > MOST_SILENT_LOOKS) {
      this.ended(LOST, 'answers no pings');
      socket.terminate();
    } else if (this.silentLooks > 1 && socket.readyState === socket.OPEN) socket.ping();
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
    this.stopLooking();
    this.refuse(this.unreachable(`closed the connection (${code})`));
    this.listener.closed(code, reason);
  }

  private unreachable(why: string): GatewayError {
    return new GatewayError('GW_AGENT_UNREACHABLE', `Agent ${this.name} ${why}`);
  }
}

const BINARY = { binary: true } as const;
const NOTHING = new Uint8Array(0);
