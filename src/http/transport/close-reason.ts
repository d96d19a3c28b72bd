/** A close frame holds at most so many bytes of reason (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123;

/** A reason as a close frame holds it: cut, but never within a character. */
export function closeReason(reason: string): string {
  return Buffer.from(reason)
    .subarray(0, MAX_REASON_BYTES)
    .toString()
    .replace(/\ufffd+$/, '');
}
