import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import type { Clock, Timeout, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import { isFinalStatus } from './agent-endpoint.js';

/** Longest wait for the connection to open. */
const OPEN_MS = 5_000;
/** How often a vendor is pinged, and how long it may be silent: some answer pings late. */
const PING_MS = 5_000;
const SILENT_MS = 30_000;
/** Longest message: ten seconds of audio at 24 kHz. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** A vendor that reads nothing while this much waits is gone: some 8 s of audio. */
const MAX_UNSENT_BYTES = 512 * 1024;
/** A model sends some hundred messages a second; one that sends more than this is broken. */
const MAX_MESSAGES_PER_SECOND = 5_000;
/** Unreadable messages after which the connection is closed. */
const MAX_UNREADABLE = 10;
/** Longest reason that is passed on. */
const MAX_REASON = 200;

export interface ModelSocketOptions {
  /** `ws:` or `wss:` */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** How errors call the model. */
  readonly name: string;
  /** Never appears in errors. */
  readonly key: string;
  readonly clock: Clock;
  /** Whether a close means that it makes no sense to try again. */
  readonly isRefusal: (code: number, reason: string) => boolean;
}

interface ModelSocketListener {
  opened(): void;
  message(message: object): void;
  /** The connection is over, without our doing: `GW_AGENT_REFUSED` or `GW_AGENT_UNREACHABLE`. Called at most once. */
  lost(error: GatewayError): void;
}

/** A connection to a model that speaks JSON over a WebSocket. Everything about it is bounded. */
export class ModelSocket {
  private readonly socket: WebSocket;
  private readonly opening: Timeout;
  private readonly pings: Timer;
  private heardAt: number;
  private second = 0;
  private messagesInSecond = 0;
  private unreadable = 0;
  private isOver = false;

  constructor(
    private readonly options: ModelSocketOptions,
    private readonly listener: ModelSocketListener,
  ) {
    const { url, headers, clock, isRefusal } = options;
    const socket = new WebSocket(url, {
      headers,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      followRedirects: false,
    });
    this.socket = socket;
    this.heardAt = clock.runningMs();
    this.opening = clock.timeout(OPEN_MS, () => this.fail('did not answer in time'));
    this.pings = clock.every(PING_MS, () => this.ping());
    this.pings.unref();
    socket.once('open', () => {
      this.opening.cancel();
      if (!this.isOver) listener.opened();
    });
    socket.once('unexpected-response', (_, { statusCode = 0 }: IncomingMessage) => {
      this.fail(`answered with status ${statusCode}`, isFinalStatus(statusCode));
    });
    socket.on('pong', () => {
      this.heardAt = clock.runningMs();
    });
    // Some vendors send their JSON in binary messages.
    socket.on('message', (data: Buffer) => this.handleMessage(data));
    socket.on('error', ({ message }) => this.fail(`was lost: ${message}`));
    socket.on('close', (code, reason) => {
      const why = reason.toString();
      this.fail(`closed the connection: ${code} ${why}`.trimEnd(), isRefusal(code, why));
    });
  }

  /** Sends a message, ready-made or as an object; drops it once the connection is over. */
  send(message: string | object): void {
    const { socket } = this;
    if (this.isOver || socket.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount > MAX_UNSENT_BYTES) this.fail('does not read what it is sent');
    else socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** Idempotent; the listener hears nothing afterwards. */
  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    const { clock } = this.options;
    this.opening.cancel();
    clock.cancel(this.pings);
    const { socket } = this;
    socket.close(1000);
    // A vendor that does not answer the close must not keep the socket.
    const timeout = clock.timeout(OPEN_MS, () => socket.terminate()).unref();
    socket.once('close', () => timeout.cancel());
  }

  private handleMessage(data: Buffer): void {
    if (this.isOver) return;
    const { clock } = this.options;
    this.heardAt = clock.runningMs();
    const second = Math.floor(clock.now() / 1_000);
    if (second !== this.second) this.messagesInSecond = 0;
    this.second = second;
    this.messagesInSecond += 1;
    if (this.messagesInSecond > MAX_MESSAGES_PER_SECOND) {
      this.fail('sends too many messages');
      return;
    }
    try {
      const message: unknown = JSON.parse(data.toString());
      if (!isObject(message)) throw new TypeError('Not an object');
      this.listener.message(message);
    } catch {
      // Not JSON, or without a field that such a message has.
      this.unreadable += 1;
      if (this.unreadable >= MAX_UNREADABLE) this.fail('sends messages that cannot be understood');
    }
  }

  private ping(): void {
    const { clock } = this.options;
    if (clock.runningMs() - this.heardAt > SILENT_MS) this.fail('is silent');
    else if (this.socket.readyState === WebSocket.OPEN) this.socket.ping();
  }

  private fail(why: string, isFinal = false): void {
    if (this.isOver) return;
    this.close();
    this.socket.terminate();
    const { name, key } = this.options;
    const reason = (key === '' ? why : why.replaceAll(key, '…')).slice(0, MAX_REASON);
    const code = isFinal ? 'GW_AGENT_REFUSED' : 'GW_AGENT_UNREACHABLE';
    this.listener.lost(new GatewayError(code, `${name} ${reason}`));
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
