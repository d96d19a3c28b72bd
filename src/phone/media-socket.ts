/** A WebSocket as a media stream needs it; any server's can be fitted. */
export interface MediaSocket {
  /** Sends a text message. Bytes are only lent. False where the message was dropped. */
  send(text: string | Uint8Array): boolean;
  /** Bytes accepted by `send` that the network has not taken yet. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; the stream hears no more of it. */
  close(code: number, reason: string): void;
}

/** How long an opened stream may keep us waiting for `start`. */
export const START_TIMEOUT_MS = 10_000;
