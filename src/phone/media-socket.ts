/** The WebSocket a media stream needs; any server's can be adapted. */
export interface MediaSocket {
  /** Sends a text message. The bytes are only lent. Returns false if the message was dropped. */
  send(text: string | Uint8Array): boolean;
  /** Bytes accepted by `send` that the network has not taken yet. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; the stream gets no further callbacks. */
  close(code: number, reason: string): void;
}

/** How long an open socket may take to send `start`. */
export const START_TIMEOUT_MS = 10_000;
