import { JitterBuffer } from './jitter-buffer.js';
import { MediaTrack } from './media-track.js';
import type { OpusDecoder, RtcNative } from './native.js';
import { TICKS_PER_MS } from './opus-packet.js';
import { RedReader } from './red.js';
import type { ReportBlock } from './rtcp.js';
import { type RtpHeader, SEQUENCES } from './rtp.js';
import { TELEPHONE_RATE } from './telephone-rate.js';

/** Samples of 10 ms. */
export const HEARD_BLOCK = TELEPHONE_RATE / 100;
/** A gap as long is not asked for. */
const MOST_ASKED = 16;

/** Of all streams: it is done with when a packet has been taken. */
const red = new RedReader();

/**
 * A track that is received: what came for it is heard to its end by those who listen, even if its m-line has another track or
 * the connection closes.
 */
export class ReceivedTrack extends MediaTrack {
  private buffer: JitterBuffer | undefined;
  private decoder: OpusDecoder | undefined;
  private isOver = false;
  private listeners = 0;

  constructor(private readonly native: RtcNative) {
    super();
  }

  /** The packets that wait, once anything has come. */
  get packets(): JitterBuffer | undefined {
    return this.buffer;
  }

  /** Takes packets from now on. */
  open(): JitterBuffer {
    this.decoder = this.native.openDecoder(TELEPHONE_RATE);
    this.buffer = new JitterBuffer(this.decoder, TELEPHONE_RATE);
    return this.buffer;
  }

  /** The next 10 ms at 8 kHz. */
  pull(out: Int16Array, nowMs: number): void {
    if (this.buffer === undefined || this.readyState === 'ended') out.fill(0);
    else this.buffer.pull(out, nowMs);
  }

  /** Somebody listens, until {@link release}. */
  retain(): void {
    this.listeners += 1;
  }

  release(): void {
    this.listeners -= 1;
    this.free();
  }

  /** No packet comes any more. */
  end(): void {
    this.isOver = true;
    this.free();
  }

  private free(): void {
    if (!this.isOver || this.listeners > 0) return;
    this.buffer = undefined;
    this.decoder?.free();
    this.decoder = undefined;
  }
}

/** The browser's `RTCRtpReceiver` for audio: the packets of one stream, put in order and decoded. */
export class AudioReceiver {
  track: ReceivedTrack;
  ssrc: number | undefined;
  /** Payload types of Opus and of RED; set by each description. */
  opusType = -1;
  redType = -1;
  /** Missing packets are asked for again. */
  asks = false;
  bytes = 0;
  private readonly missing: number[] = [];
  /** Highest sequence number with its cycles, and packets lost, as of the last report. */
  private reportedSequence = 0;
  private reportedLost = 0;
  private packetsSince = 0;
  private lastReport = 0;
  private lastReportAt = 0;
  private isClosed = false;

  constructor(private readonly native: RtcNative) {
    this.track = new ReceivedTrack(native);
  }

  async getStats(): Promise<Map<string, unknown>> {
    return new Map();
  }

  /** Takes a decrypted packet. @returns sequence numbers that are missing and to be asked for, in borrowed memory */
  take(packet: Uint8Array, header: RtpHeader, nowMs: number): readonly number[] {
    const { missing } = this;
    missing.length = 0;
    const isRed = header.payloadType === this.redType;
    if (this.isClosed || (!isRed && header.payloadType !== this.opusType)) return missing;
    const { sequence, timestamp, start, end } = header;
    const isFirst = this.track.packets === undefined;
    const buffer = this.track.packets ?? this.open(sequence);
    const before = isFirst ? sequence : buffer.extendedSequence;
    this.ssrc = header.ssrc;
    this.packetsSince += 1;
    this.bytes += end - start;
    if (!isRed) buffer.push(sequence, timestamp, packet, nowMs, start, end);
    else {
      const count = red.read(packet, start, end);
      // The packet itself first, then what it repeats.
      for (let i = count - 1; i >= 0; i--) {
        const begin = red.starts[i] as number;
        const behind = begin + (red.lengths[i] as number);
        if (red.payloadTypes[i] !== this.opusType || begin === behind) continue;
        const at = (timestamp - (red.timestampOffsets[i] as number)) >>> 0;
        if (i === count - 1) buffer.push(sequence, at, packet, nowMs, begin, behind);
        else buffer.pushRedundant(at, packet, nowMs, begin, behind);
      }
    }
    const ahead = buffer.extendedSequence - before;
    if (this.asks && ahead > 1 && ahead <= MOST_ASKED) {
      for (let i = 1; i < ahead; i++) missing.push((before + i) % SEQUENCES);
    }
    return missing;
  }

  /** Packets that were taken since the current track began. */
  get packets(): number {
    return this.track.packets?.stats.packetsReceived ?? 0;
  }

  /** A sender report of this stream. */
  heed(ntpMiddle: number, nowMs: number): void {
    this.lastReport = ntpMiddle;
    this.lastReportAt = nowMs;
  }

  /** For a receiver report (RFC 3550 section 6.4.1); `undefined` if nothing came since the last one. */
  report(nowMs: number): ReportBlock | undefined {
    const { ssrc } = this;
    const buffer = this.track.packets;
    if (buffer === undefined || ssrc === undefined || this.packetsSince === 0) return undefined;
    const { packetsLost, jitter } = buffer.stats;
    const highestSequence = buffer.extendedSequence;
    const expected = highestSequence - this.reportedSequence;
    const lost = packetsLost - this.reportedLost;
    this.packetsSince = 0;
    this.reportedSequence = highestSequence;
    this.reportedLost = packetsLost;
    return {
      ssrc,
      fractionLost: lost <= 0 || expected <= 0 ? 0 : Math.min(255, Math.floor((lost * 256) / expected)),
      lost: Math.max(-0x80_0000, Math.min(0x7f_ffff, packetsLost)),
      highestSequence,
      jitter: Math.min(0xffff_ffff, Math.round(jitter * 1_000 * TICKS_PER_MS)),
      lastReport: this.lastReport,
      delay:
        this.lastReport === 0 ? 0 : Math.min(0xffff_ffff, Math.round((nowMs - this.lastReportAt) * 65.536)),
    };
  }

  get stats() {
    return this.track.packets?.stats;
  }

  /** A new sender on this m-line: a new track, so that whoever listens to the old one hears nothing of it. */
  renew(): void {
    this.track.end();
    this.track = new ReceivedTrack(this.native);
  }

  /** No packet comes any more. */
  close(): void {
    this.isClosed = true;
    this.track.end();
  }

  private open(sequence: number): JitterBuffer {
    this.reportedSequence = sequence - 1;
    this.reportedLost = 0;
    return this.track.open();
  }
}
