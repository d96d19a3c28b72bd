const STUN_HEADER_BYTES = 20;
const CHANNEL_HEADER_BYTES = 4;

/** Finds the messages of TURN in a stream (RFC 8656, sections 3.1 and 12.5). */
export class TurnFramer {
  private rest: Buffer = Buffer.alloc(0);

  /** @param sink takes each message, without padding; its memory is only lent */
  constructor(private readonly sink: (message: Buffer) => void) {}

  /** Takes what has arrived. @returns false if it is not TURN: nothing that follows has a meaning */
  push(chunk: Buffer): boolean {
    let bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    while (bytes.length >= CHANNEL_HEADER_BYTES) {
      const kind = (bytes[0] as number) >> 6;
      if (kind > 1) return false;
      const header = kind === 0 ? STUN_HEADER_BYTES : CHANNEL_HEADER_BYTES;
      const length = header + bytes.readUInt16BE(2);
      const padded = (length + 3) & ~3;
      if (bytes.length < padded) break;
      this.sink(bytes.subarray(0, length));
      bytes = bytes.subarray(padded);
    }
    // A message has at most 64 KiB, so no more can wait. The chunk is only lent.
    this.rest = bytes.length === 0 ? bytes : Buffer.from(bytes);
    return true;
  }
}
