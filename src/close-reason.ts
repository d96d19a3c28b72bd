/** Most bytes of a reason in a close frame (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123;

/** A reason for a close frame: truncated, but never within a character. */
export function closeReason(reason: string): string {
  return Buffer.from(reason)
    .subarray(0, MAX_REASON_BYTES)
    .toString()
    .replace(/\ufffd+$/, '');
}
