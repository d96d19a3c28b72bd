import type { IngressTime } from '../telemetry/ingress-time.js';

/** An open WebSocket, as its transport gives it, or as another worker relays it. */
export interface EndSocket {
  /** Sends a copy of a message. False if the message was dropped because the peer does not read. */
  send(message: string | Uint8Array | Int16Array, isBinary?: boolean): boolean;
  /** Bytes accepted by `send` that the peer's network has not taken yet. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; no more messages arrive. */
  close(code: number, reason: string): void;
}

/** What serves one WebSocket: a call or a program of this process, or another worker that has its room. */
export interface SocketEnd {
  /** The socket is open. */
  open(socket: EndSocket): void;
  /** Handles a message, whose memory is only lent. @param arrived when the machine got it; default now */
  message(message: ArrayBuffer | Uint8Array, isBinary: boolean, arrived?: IngressTime): void;
  /** The queued bytes were sent. */
  drained(): void;
  /** The socket was closed by either side, or never opened. @param code 1006 without a close frame */
  closed(code: number): void;
  /** One of the above has thrown. */
  failed(error: unknown): void;
  /** The process that has the socket shuts down: close it with 1001, so that the client comes again. */
  leave(): void;
}
