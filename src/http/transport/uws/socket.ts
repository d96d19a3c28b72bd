import type { WebSocket } from 'uWebSockets.js';
import { closeReason } from '../../../errors.js';
import type { Socket } from '../transport.js';

/** User data of a socket in uWebSockets.js. */
export interface SocketData<T> {
  readonly data: T;
  socket: UwsSocket | undefined;
}

export class UwsSocket implements Socket {
  isOpen = true;

  constructor(private readonly ws: WebSocket<unknown>) {}

  send(message: string | Uint8Array | Int16Array, isBinary = false): boolean {
    // 2 means dropped: the limit of unsent bytes is reached, and the socket is about to be closed.
    return this.isOpen && this.ws.send(message, isBinary, false) !== 2;
  }

  bufferedBytes(): number {
    return this.isOpen ? this.ws.getBufferedAmount() : 0;
  }

  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.ws.end(code, closeReason(reason));
  }
}
