/** A WebSocket as a media stream needs it; any server's can be fitted. */
export interface MediaSocket {
  /** Sends a text message. Bytes are only lent. False where the message was dropped. */
  send(text: string | Uint8Array): boolean;
  /** Bytes accepted by `send` that the network has not taken yet. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; the stream hears no more of it. */
  close(code: number, reason: string): void;
}

/** A peer that reads nothing while marks and clears pile up to so many bytes is cut off. */
export const MAX_UNSENT_BYTES = 1024 * 1024;
/** How long an opened stream may keep us waiting for `start`. */
export const START_TIMEOUT_MS = 10_000;
/** A close frame holds at most so many bytes of reason (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123;

/** A reason as a close frame holds it: cut, but never within a character. */
export function closeReason(reason: string): string {
  return Buffer.from(reason)
    .subarray(0, MAX_REASON_BYTES)
    .toString()
    .replace(/\ufffd+$/, '');
}
