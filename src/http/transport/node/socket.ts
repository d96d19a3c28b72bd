import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { closeReason } from '../../../errors.js';
import { IDLE_SECONDS, MAX_UNSENT_BYTES, type Socket, type SocketRoute } from '../transport.js';

/** First byte of a frame that is a whole message (RFC 6455 section 5.2). */
const TEXT = 0x81;
const BINARY = 0x82;
const NOTHING = Buffer.alloc(0);

/** Interval of checks for silent peers. */
export const SWEEP_MS = 15_000;

/** The used part of a TCP or TLS connection. */
export type TcpConnection = Duplex & { readonly bytesRead: number };

export class NodeSocket implements Socket {
  private isOpen = true;
  private isWatched = false;
  /** Bytes received by the last sweep, and how many sweeps have found no more. */
  private bytesRead = 0;
  private silentSweeps = 0;

  constructor(
    private readonly ws: WebSocket,
    private readonly connection: TcpConnection,
    private readonly route: SocketRoute<unknown>,
    private readonly data: unknown,
    onClosed: (socket: NodeSocket) => void,
  ) {
    ws.on('message', (message: Buffer, isBinary) => {
      if (!this.isOpen) return;
      try {
        route.message(data, message, isBinary);
      } catch (error) {
        route.failed(data, error);
      }
    });
    // `ws` then closes by itself, with a code for the error.
    ws.on('error', () => {});
    ws.on('close', (code) => {
      this.isOpen = false;
      onClosed(this);
      this.tell(() => route.closed(data, code));
    });
  }

  send(message: string | Uint8Array | Int16Array, isBinary = false): boolean {
    if (!this.isOpen) return false;
    if (this.connection.writableLength > MAX_UNSENT_BYTES) {
      this.cut();
      return false;
    }
    if (typeof message === 'string') this.ws.send(message);
    // Built here rather than by `ws`: the bytes are valid during the call only, and one write costs less than two.
    else this.connection.write(frameOf(isBinary ? BINARY : TEXT, message));
    return true;
  }

  bufferedBytes(): number {
    if (!this.isOpen) return 0;
    const { writableLength } = this.connection;
    if (writableLength > 0 && !this.isWatched) {
      this.isWatched = true;
      // Called after everything queued.
      this.connection.write(NOTHING, this.onDrained);
    }
    return writableLength;
  }

  /** To be called once its maker knows it. */
  opened(): void {
    this.tell(() => this.route.open(this.data, this));
  }

  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.ws.close(code, closeReason(reason));
  }

  /** Drops the connection without a close frame. */
  cut(): void {
    this.isOpen = false;
    this.ws.terminate();
  }

  /** Pings a peer that was silent for a while, and drops it if it stays silent. */
  sweep(): void {
    const { bytesRead } = this.connection;
    this.silentSweeps = bytesRead === this.bytesRead ? this.silentSweeps + 1 : 0;
    this.bytesRead = bytesRead;
    const silentMs = this.silentSweeps * SWEEP_MS;
    if (silentMs >= IDLE_SECONDS * 1_000) this.cut();
    else if (silentMs > 0 && this.isOpen) this.ws.ping();
  }

  private readonly onDrained = (error?: Error | null) => {
    this.isWatched = false;
    if (this.isOpen && !error) this.tell(() => this.route.drained(this.data));
  };

  private tell(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.route.failed(this.data, error);
    }
  }
}

function frameOf(head: number, message: Uint8Array | Int16Array): Buffer {
  const { byteLength } = message;
  const headBytes = byteLength < 126 ? 2 : byteLength < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headBytes + byteLength);
  frame[0] = head;
  if (headBytes === 2) frame[1] = byteLength;
  else if (headBytes === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(byteLength, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(byteLength), 2);
  }
  frame.set(
    message instanceof Uint8Array ? message : new Uint8Array(message.buffer, message.byteOffset, byteLength),
    headBytes,
  );
  return frame;
}
