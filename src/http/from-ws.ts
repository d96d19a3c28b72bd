import { type Clock, systemClock, type Timeout } from '../clock.js';
import { type MediaSocket, START_TIMEOUT_MS } from '../phone/media-socket.js';
import { type MediaStreamOptions, TwilioMediaStream } from '../phone/media-stream.js';
import { closeReason, IDLE_SECONDS, MAX_UNSENT_BYTES } from './transport/transport.js';

/** A message as `ws` hands it over: it depends on `binaryType`; old versions give text as a string. */
export type WsData = string | ArrayBuffer | Uint8Array | readonly Uint8Array[];

/** A server's WebSocket of the npm package `ws`, as far as it is used; any socket of that shape will do. */
export interface WsSocket {
  /** 1 while it is open, 3 when it is closed. */
  readonly readyState: number;
  /** Bytes that were sent and that the network has not taken yet; with 0, memory that was sent is free again. */
  readonly bufferedAmount: number;
  send(
    data: string | Uint8Array,
    options: { readonly binary: boolean; readonly compress: boolean },
    sent: (error?: Error) => void,
  ): void;
  ping(): void;
  close(code: number, reason: string): void;
  terminate(): void;
  on(event: 'message', listener: (data: WsData, isBinary: boolean) => void): unknown;
  on(event: 'ping', listener: () => void): unknown;
  on(event: 'pong', listener: () => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  on(event: 'error', listener: () => void): unknown;
}

const OPEN = 1;
const CLOSED = 3;
/** A peer is pinged when it has been silent for so long, and taken for dead as long after that. */
const QUIET_MS = (IDLE_SECONDS / 2) * 1_000;
/** What every message is sent as. Compression would take longer than it saves, and keep audio back. */
const TEXT = { binary: false, compress: false } as const;

/**
 * The media stream of a WebSocket that your own server accepted (Express, Fastify, plain `ws`). Call it as soon as the socket is
 * there: what comes before is lost. Audio and control messages go as text, as Twilio wants them.
 *
 * The socket is the stream's from here on: it is closed with 1000 at Twilio's `stop`, 1008 for a broken protocol or where no
 * `start` comes within 10 seconds, 1009 for a message of more than 64 KiB, 1011 where a listener of yours throws (event `fault`
 * tells of that; where nobody listens, a warning of the process does). A peer that shows no sign of life for a minute, or lets
 * 1 MiB pile up, is cut off. Nothing of it throws.
 */
export function fromWs(socket: WsSocket, options: MediaStreamOptions = {}): TwilioMediaStream {
  const stream = new TwilioMediaStream(options);
  new WsMediaSocket(socket, stream, options.clock ?? systemClock).listen();
  return stream;
}

/** A socket of `ws` as a media stream uses it. */
class WsMediaSocket implements MediaSocket {
  private isOpen = true;
  /** Whether the stream waits for the socket to take bytes again. */
  private isBehind = false;
  private isAlive = true;
  /** The text of the latest frame, since the core writes the next one where it was. */
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
    // What is wrong with it also closes it.
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
    // Nobody can have asked for its events yet.
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

  /** Memory that stays as it is until it is sent. Nearly always the frame before is, and all are equally long. */
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
      // A code that only stands in reports (RFC 6455 section 7.4.1).
      this.socket.terminate();
    }
  }

  /** One for all messages. */
  private readonly sent = (): void => {
    if (!this.isBehind || this.socket.bufferedAmount > 0) return;
    this.isBehind = false;
    this.guard(() => this.stream.drained());
  };

  /** Not through `guard`: a closure a frame is one too many. */
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

  /** A listener of the user's threw: that ends this call, and no other. */
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

/** Where it is whole, it is not copied. */
function bytesOf(data: WsData): ArrayBuffer | Uint8Array {
  if (data instanceof Uint8Array || data instanceof ArrayBuffer) return data;
  return typeof data === 'string' ? Buffer.from(data) : Buffer.concat(data);
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
