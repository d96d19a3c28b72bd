import { read16, read32, write16, write32 } from './rtp.js';

/** RTCP (RFC 3550 section 6, RFC 4585): compound packets of ours written, those of others read. */

const SENDER_REPORT = 200;
const RECEIVER_REPORT = 201;
const DESCRIPTION = 202;
const GOODBYE = 203;
const TRANSPORT_FEEDBACK = 205;
const GENERIC_NACK = 1;
const BLOCK_BYTES = 24;
/** Most report blocks that a packet has room for, by the five bits of its count. */
const MAX_BLOCKS = 31;
/** Seconds from 1900, NTP's epoch, to 1970. */
const NTP_OFFSET = 2_208_988_800;

/** What a receiver says of a stream. */
export interface ReportBlock {
  readonly ssrc: number;
  /** Share lost since the last report, in 256ths. */
  readonly fractionLost: number;
  readonly lost: number;
  readonly highestSequence: number;
  /** In units of the stream's timestamps. */
  readonly jitter: number;
  /** The middle 32 bits of the last sender report's time, and the delay since then in 65,536ths of a second; 0 for none. */
  readonly lastReport: number;
  readonly delay: number;
}

/** Takes what compound packets say, part by part. */
export interface RtcpListener {
  senderReport(ssrc: number, ntpMiddle: number, packets: number, bytes: number): void;
  reportBlock(block: ReportBlock): void;
  /** Packets that are wanted again. */
  nack(ssrc: number, sequence: number): void;
}

/** Reads the parts of a compound packet; what is malformed or unknown is skipped. */
export function readRtcp(packet: Uint8Array, length: number, listener: RtcpListener): void {
  for (let at = 0; at + 4 <= length; ) {
    const first = packet[at] as number;
    if (first >> 6 !== 2) return;
    const count = first & 31;
    const type = packet[at + 1] as number;
    const end = at + 4 + 4 * read16(packet, at + 2);
    if (end > length) return;
    readPart(packet, at, end, type, count, listener);
    at = end;
  }
}

function readPart(
  packet: Uint8Array,
  at: number,
  end: number,
  type: number,
  count: number,
  listener: RtcpListener,
): void {
  if (type === SENDER_REPORT && at + 28 <= end) {
    const middle = ((read32(packet, at + 8) & 0xffff) * 0x1_0000 + (read32(packet, at + 12) >>> 16)) >>> 0;
    listener.senderReport(read32(packet, at + 4), middle, read32(packet, at + 20), read32(packet, at + 24));
    readBlocks(packet, at + 28, end, count, listener);
  } else if (type === RECEIVER_REPORT) readBlocks(packet, at + 8, end, count, listener);
  else if (type === TRANSPORT_FEEDBACK && count === GENERIC_NACK && at + 12 <= end) {
    const ssrc = read32(packet, at + 8);
    for (let item = at + 12; item + 4 <= end; item += 4) {
      const first = read16(packet, item);
      listener.nack(ssrc, first);
      const mask = read16(packet, item + 2);
      for (let bit = 0; bit < 16; bit++)
        if ((mask >> bit) & 1) listener.nack(ssrc, (first + bit + 1) & 0xffff);
    }
  }
}

function readBlocks(
  packet: Uint8Array,
  at: number,
  end: number,
  count: number,
  listener: RtcpListener,
): void {
  for (let i = 0; i < count && at + BLOCK_BYTES <= end; i++, at += BLOCK_BYTES) {
    const lost = read32(packet, at + 4) & 0xff_ffff;
    listener.reportBlock({
      ssrc: read32(packet, at),
      fractionLost: packet[at + 4] as number,
      lost: lost >= 0x80_0000 ? lost - 0x100_0000 : lost,
      highestSequence: read32(packet, at + 8),
      jitter: read32(packet, at + 12),
      lastReport: read32(packet, at + 16),
      delay: read32(packet, at + 20),
    });
  }
}

/** What a sender says of its stream. */
export interface SenderFacts {
  readonly ssrc: number;
  readonly timestamp: number;
  readonly packets: number;
  readonly bytes: number;
}

/** The middle 32 bits of the NTP time of a date. */
export function ntpMiddle(date: Date): number {
  const seconds = date.getTime() / 1000 + NTP_OFFSET;
  return ((Math.floor(seconds) & 0xffff) * 0x1_0000 + Math.floor((seconds % 1) * 0x1_0000)) >>> 0;
}

/**
 * Writes a compound packet: a report, and the name of its source.
 * @param out room for 600 bytes and 24 for each block
 * @param sender a stream of ours, for a sender report
 * @param ssrc of that stream, or of one of ours where nothing is sent
 * @returns bytes written
 */
export function writeReport(
  out: Uint8Array,
  sender: SenderFacts | undefined,
  ssrc: number,
  blocks: readonly ReportBlock[],
  cname: string,
  date: Date,
): number {
  const count = Math.min(blocks.length, MAX_BLOCKS);
  let at = 8;
  if (sender !== undefined) {
    const seconds = date.getTime() / 1000 + NTP_OFFSET;
    write32(out, 8, Math.floor(seconds));
    write32(out, 12, Math.floor((seconds % 1) * 0x1_0000_0000));
    write32(out, 16, sender.timestamp);
    write32(out, 20, sender.packets);
    write32(out, 24, sender.bytes);
    at = 28;
  }
  for (let i = 0; i < count; i++, at += BLOCK_BYTES) writeBlock(out, at, blocks[i] as ReportBlock);
  writeHead(out, 0, count, sender === undefined ? RECEIVER_REPORT : SENDER_REPORT, at);
  write32(out, 4, ssrc);
  const name = Buffer.from(cname, 'latin1').subarray(0, 255);
  const begin = at;
  write32(out, at + 4, ssrc);
  out[at + 8] = 1;
  out[at + 9] = name.length;
  out.set(name, at + 10);
  at += 10 + name.length;
  // The list ends with a zero, and the chunk at a multiple of four bytes.
  do out[at++] = 0;
  while ((at - begin) % 4 !== 0);
  writeHead(out, begin, 1, DESCRIPTION, at);
  return at;
}

function writeBlock(out: Uint8Array, at: number, block: ReportBlock): void {
  write32(out, at, block.ssrc);
  write32(out, at + 4, block.lost & 0xff_ffff);
  out[at + 4] = block.fractionLost;
  write32(out, at + 8, block.highestSequence);
  write32(out, at + 12, block.jitter);
  write32(out, at + 16, block.lastReport);
  write32(out, at + 20, block.delay);
}

/** Appends a request for packets to a compound packet. @returns where it then ends */
export function appendNack(
  out: Uint8Array,
  at: number,
  ssrc: number,
  source: number,
  sequences: readonly number[],
): number {
  const begin = at;
  write32(out, at + 4, ssrc);
  write32(out, at + 8, source);
  at += 12;
  for (const sequence of sequences) {
    write32(out, at, 0);
    write16(out, at, sequence);
    at += 4;
  }
  writeHead(out, begin, GENERIC_NACK, TRANSPORT_FEEDBACK, at);
  return at;
}

/** Appends the end of a stream to a compound packet. @returns where it then ends */
export function appendGoodbye(out: Uint8Array, at: number, ssrc: number): number {
  write32(out, at + 4, ssrc);
  writeHead(out, at, 1, GOODBYE, at + 8);
  return at + 8;
}

function writeHead(out: Uint8Array, at: number, count: number, type: number, end: number): void {
  out[at] = 0x80 | count;
  out[at + 1] = type;
  write16(out, at + 2, (end - at) / 4 - 1);
}
