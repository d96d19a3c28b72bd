import { type Clock, systemClock, type Timeout } from '../clock.js';
import { closeReason } from '../errors.js';
import { type MediaSocket, START_TIMEOUT_MS } from '../phone/media-socket.js';
import { type MediaStreamOptions, TwilioMediaStream } from '../phone/media-stream.js';
import { IDLE_SECONDS, MAX_UNSENT_BYTES } from './transport/transport.js';

/** A message of `ws`: its type depends on `binaryType`; old versions pass text as a string. */
export type WsData = string | ArrayBuffer | Uint8Array | readonly Uint8Array[];

/** The part of a server-side `ws` WebSocket that is used; any socket of this shape will do. */
export interface WsSocket {
  /** State code: 1 is open, 3 is closed. */
  readonly readyState: number;
  /** Bytes sent that the network has not accepted; at 0, the memory of sent messages is free again. */
  readonly bufferedAmount: number;
  /** Sends a message and calls `sent` once the network has accepted it. */
  send(
    data: string | Uint8Array,
    options: { readonly binary: boolean; readonly compress: boolean },
    sent: (error?: Error) => void,
  ): void;
  /** Sends a ping (RFC 6455, section 5.5.2). */
  ping(): void;
  /** Begins the closing handshake. @param code close code, 1000 to 4999 (RFC 6455, section 7.4) */
  close(code: number, reason: string): void;
  /** Closes the connection at once. */
  terminate(): void;
  /** Calls the listener with each message. */
  on(event: 'message', listener: (data: WsData, isBinary: boolean) => void): unknown;
  /** Calls the listener for each ping of the peer. */
  on(event: 'ping', listener: () => void): unknown;
  /** Calls the listener for each answer to a ping. */
  on(event: 'pong', listener: () => void): unknown;
  /** Calls the listener once the socket is closed. */
  on(event: 'close', listener: () => void): unknown;
  /** Calls the listener on an error; the socket closes afterwards. */
  on(event: 'error', listener: () => void): unknown;
}

const OPEN = 1;
const CLOSED = 3;
/** Silence after which a peer is pinged; after as long again without a sign of life it is dropped. */
const QUIET_MS = (IDLE_SECONDS / 2) * 1_000;
/** Options of every message. Compression would cost more time than it saves, and delay audio. */
const TEXT = { binary: false, compress: false } as const;

/**
 * Makes a media stream of a WebSocket that your own server accepted (Express, Fastify, plain `ws`). Call it as soon as the
 * socket exists: earlier messages are lost. Audio and control messages are sent as text, as Twilio requires.
 *
 * The stream owns the socket from then on. It closes it with 1000 after Twilio's `stop`, 1008 for a protocol error or without
 * a `start` within 10 seconds, 1009 for a message over 64 KiB, and 1011 if one of your listeners throws (the event `fault`
 * reports the error; without a listener it becomes a process warning). A peer that shows no sign of life for a minute, or
 * leaves 1 MiB unread, is dropped. Nothing here throws.
 */
export function fromWs(socket: WsSocket, options: MediaStreamOptions = {}): TwilioMediaStream {
  const stream = new TwilioMediaStream(options);
  new WsMediaSocket(socket, stream, options.clock ?? systemClock).listen();
  return stream;
}

/** Adapts a `ws` socket to a media stream. */
class WsMediaSocket implements MediaSocket {
  private isOpen = true;
  /** Whether the stream waits for the socket to drain. */
  private isBehind = false;
  private isAlive = true;
  /** A copy of the latest frame: the core overwrites its own. */
  private frame = Buffer.alloc(0);
  private quiet: Timeout | undefined;

  constructor(
    private readonly socket: WsSocket,
    private readonly stream: TwilioMediaStream,
    private readonly clock: Clock,
  ) {}

  listen(): void {
    const { socket, stream, clock } = this;
    stream.open(this);
    socket.on('message', (data: WsData, isBinary?: boolean) => this.message(data, isBinary));
    const isAlive = () => {
      this.isAlive = true;
    };
    socket.on('ping', isAlive);
    socket.on('pong', isAlive);
    // An error also closes the socket.
    socket.on('error', () => {});
    socket.on('close', () => this.closed());
    const start = clock.timeout(START_TIMEOUT_MS, () =>
      stream.close(1008, 'Expected start within 10 seconds'),
    );
    stream.once('start', () => start.cancel());
    stream.once('end', () => {
      start.cancel();
      this.quiet?.cancel();
    });
    this.watch();
    // Listeners can only be added after this returns.
    if (socket.readyState === CLOSED) clock.after(0, () => this.closed());
  }

  send(text: string | Uint8Array): boolean {
    const { socket } = this;
    if (!this.isOpen || socket.readyState !== OPEN) return false;
    if (socket.bufferedAmount + text.length > MAX_UNSENT_BYTES) {
      socket.terminate();
      return false;
    }
    socket.send(typeof text === 'string' ? text : this.kept(text), TEXT, this.sent);
    if (socket.bufferedAmount > 0) this.isBehind = true;
    return true;
  }

  /** Copies a frame into memory that is stable until sent. It is reused: frames are equally long and mostly sent by then. */
  private kept(text: Uint8Array): Buffer {
    if (this.socket.bufferedAmount > 0 || this.frame.length !== text.length) this.frame = Buffer.from(text);
    else this.frame.set(text);
    return this.frame;
  }

  bufferedBytes(): number {
    return this.socket.bufferedAmount;
  }

  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    try {
      this.socket.close(code, closeReason(reason));
    } catch {
      // `ws` rejects codes that must not be sent (RFC 6455 section 7.4.1).
      this.socket.terminate();
    }
  }

  /** Shared by all messages. */
  private readonly sent = (): void => {
    if (!this.isBehind || this.socket.bufferedAmount > 0) return;
    this.isBehind = false;
    this.guard(() => this.stream.drained());
  };

  /** Does not use `guard`, which would allocate a closure a frame. */
  private message(data: WsData, isBinary: boolean | undefined): void {
    this.isAlive = true;
    try {
      this.stream.handleMessage(bytesOf(data), isBinary ?? typeof data !== 'string');
    } catch (error) {
      this.failed(error);
    }
  }

  private closed(): void {
    this.isOpen = false;
    this.guard(() => this.stream.disconnected());
  }

  private guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.failed(error);
    }
  }

  /** A user's listener threw: end this call only. */
  private failed(error: unknown): void {
    try {
      this.stream.close(1011, 'a listener failed');
    } catch (another) {
      warn(another);
    }
    try {
      if (!this.stream.emit('fault', error)) warn(error);
    } catch (another) {
      warn(another);
    }
  }

  private watch(): void {
    this.quiet = this.clock.timeout(QUIET_MS, () => {
      if (!this.isAlive) {
        this.socket.terminate();
        return;
      }
      this.isAlive = false;
      if (this.socket.readyState === OPEN) this.socket.ping();
      this.watch();
    });
  }
}

/** Copies only a message in several pieces. */
function bytesOf(data: WsData): ArrayBuffer | Uint8Array {
  if (data instanceof Uint8Array || data instanceof ArrayBuffer) return data;
  return typeof data === 'string' ? Buffer.from(data) : Buffer.concat(data);
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
