/** Blocks of a payload that are read, the primary one among them: RFC 2198 has no bound, senders of Opus use two or three. */
const MOST_BLOCKS = 16;
const LONG_HEADER_BYTES = 4;

/**
 * Reads RED payloads (RFC 2198): older audio once more, before that of the packet itself. One reader serves all streams of a
 * thread; its fields hold the last payload's blocks, from the oldest to the primary, which is the last. Allocates nothing.
 */
export class RedReader {
  /** Blocks of the last payload, 0 to 16. */
  count = 0;
  /** RTP payload type of each block. */
  readonly payloadTypes = new Uint8Array(MOST_BLOCKS);
  /** How much older each block is than its packet, in units of the RTP timestamp, 0 to 16,383; 0 for the primary. */
  readonly timestampOffsets = new Uint16Array(MOST_BLOCKS);
  /** Where each block begins in the payload, in bytes. */
  readonly starts = new Uint32Array(MOST_BLOCKS);
  /** Bytes of each block: 0 to 1,023; the primary has at least 1. */
  readonly lengths = new Uint32Array(MOST_BLOCKS);

  /**
   * Finds the blocks of a payload (RFC 2198 section 3).
   * @param start first byte of it
   * @param end byte after the last
   * @returns blocks, at least 1; or 0 if it is malformed, has more than 16 blocks or an empty primary one
   */
  read(payload: Uint8Array, start = 0, end = payload.length): number {
    this.count = 0;
    let header = start;
    let count = 0;
    let redundantBytes = 0;
    while (header < end && (payload[header] as number) >= 0x80) {
      if (count === MOST_BLOCKS - 1 || header + LONG_HEADER_BYTES > end) return 0;
      const middle = payload[header + 2] as number;
      const length = ((middle & 3) << 8) | (payload[header + 3] as number);
      this.payloadTypes[count] = (payload[header] as number) & 0x7f;
      this.timestampOffsets[count] = ((payload[header + 1] as number) << 6) | (middle >> 2);
      this.lengths[count] = length;
      redundantBytes += length;
      count += 1;
      header += LONG_HEADER_BYTES;
    }
    const primaryLength = end - header - 1 - redundantBytes;
    if (primaryLength < 1) return 0;
    this.payloadTypes[count] = payload[header] as number;
    this.timestampOffsets[count] = 0;
    this.lengths[count] = primaryLength;
    let at = header + 1;
    for (let i = 0; i <= count; i++) {
      this.starts[i] = at;
      at += this.lengths[i] as number;
    }
    this.count = count + 1;
    return this.count;
  }
}

/**
 * Writes the header of a RED payload with one earlier block, or none.
 * @param offset how much older that is, in units of the timestamp, up to 16,383
 * @param length its bytes, up to 1,023; 0 for none
 * @returns where the blocks begin
 */
export function writeRedHeader(
  packet: Uint8Array,
  at: number,
  payloadType: number,
  offset: number,
  length: number,
): number {
  let end = at;
  if (length > 0) {
    packet[end] = 0x80 | payloadType;
    packet[end + 1] = offset >> 6;
    packet[end + 2] = ((offset & 63) << 2) | (length >> 8);
    packet[end + 3] = length;
    end += LONG_HEADER_BYTES;
  }
  packet[end] = payloadType;
  return end + 1;
}
