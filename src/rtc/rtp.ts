/** The RTP header (RFC 3550 section 5.1) with one-byte extensions (RFC 8285 section 4.2): read and written in place. */

/** Bytes of the fixed header. */
const RTP_HEADER_BYTES = 12;
/** Sequence numbers have 16 bits. */
export const SEQUENCES = 0x1_0000;

/** A header that was read; reused, so that a packet allocates nothing. */
export class RtpHeader {
  payloadType = 0;
  isMarked = false;
  sequence = 0;
  timestamp = 0;
  ssrc = 0;
  /** Where the payload begins and ends. */
  start = 0;
  end = 0;
  /** Where the first extension element begins and the last one ends; equal if there are none. */
  private extensions = 0;
  private extensionsEnd = 0;

  /** Reads the header of the first `length` bytes. @returns whether it is one, with at least a byte of payload */
  read(packet: Uint8Array, length: number): boolean {
    if (length < RTP_HEADER_BYTES + 1 || length > packet.length) return false;
    const first = packet[0] as number;
    if (first >> 6 !== 2) return false;
    const second = packet[1] as number;
    this.isMarked = second >= 128;
    this.payloadType = second & 0x7f;
    this.sequence = read16(packet, 2);
    this.timestamp = read32(packet, 4);
    this.ssrc = read32(packet, 8);
    this.start = RTP_HEADER_BYTES + 4 * (first & 15);
    this.end = length;
    this.extensions = this.extensionsEnd = 0;
    if ((first & 0x10) !== 0) {
      if (this.start + 4 > length) return false;
      const profile = read16(packet, this.start);
      const bytes = 4 * read16(packet, this.start + 2);
      this.start += 4;
      if (profile === ONE_BYTE) {
        this.extensions = this.start;
        this.extensionsEnd = this.start + bytes;
      }
      this.start += bytes;
    }
    if ((first & 0x20) !== 0) this.end -= packet[length - 1] as number;
    return this.start < this.end;
  }

  /** The text of an extension, e.g. of the mid; `undefined` if the packet has none of that number. */
  extension(packet: Uint8Array, id: number): string | undefined {
    for (let at = this.extensions; at < this.extensionsEnd; ) {
      const head = packet[at] as number;
      // Padding between elements.
      if (head === 0) {
        at += 1;
        continue;
      }
      const bytes = (head & 15) + 1;
      if (head >> 4 === id) return Buffer.from(packet.subarray(at + 1, at + 1 + bytes)).toString('latin1');
      at += 1 + bytes;
    }
    return undefined;
  }
}

const ONE_BYTE = 0xbede;

export function read16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function read32(bytes: Uint8Array, at: number): number {
  return read16(bytes, at) * 0x1_0000 + read16(bytes, at + 2);
}

export function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function write16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** How a stream's headers look; everything but sequence number, timestamp, marker and level stays the same. */
export class RtpHeaderTemplate {
  /** Bytes of a header. */
  readonly bytes: number;
  private readonly header: Uint8Array;
  private readonly levelAt: number;

  /** @param levelId, midId numbers of the extensions, if the other side takes them */
  constructor(
    payloadType: number,
    ssrc: number,
    mid: string,
    levelId: number | undefined,
    midId: number | undefined,
  ) {
    const elements: number[] = [];
    if (levelId !== undefined) elements.push(levelId << 4, 127);
    if (midId !== undefined && mid.length > 0 && mid.length <= 16) {
      elements.push((midId << 4) | (mid.length - 1), ...Buffer.from(mid, 'latin1'));
    }
    while (elements.length % 4 !== 0) elements.push(0);
    const hasExtensions = elements.length > 0;
    this.levelAt = levelId === undefined ? 0 : RTP_HEADER_BYTES + 5;
    this.bytes = RTP_HEADER_BYTES + (hasExtensions ? 4 + elements.length : 0);
    this.header = new Uint8Array(this.bytes);
    this.header[0] = hasExtensions ? 0x90 : 0x80;
    this.header[1] = payloadType;
    write32(this.header, 8, ssrc);
    if (!hasExtensions) return;
    write16(this.header, 12, ONE_BYTE);
    write16(this.header, 14, elements.length / 4);
    this.header.set(elements, RTP_HEADER_BYTES + 4);
  }

  /** Writes a header to the beginning of a packet. @param level of the audio, in -dBov from 0 to 127 (RFC 6464), 127 for silence */
  write(packet: Uint8Array, sequence: number, timestamp: number, isMarked: boolean, level: number): void {
    packet.set(this.header);
    if (isMarked) packet[1] = (packet[1] as number) | 0x80;
    write16(packet, 2, sequence);
    write32(packet, 4, timestamp);
    if (this.levelAt > 0) packet[this.levelAt] = level & 0x7f;
  }
}
