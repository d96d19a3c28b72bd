import { JitterBuffer } from './jitter-buffer.js';
import { MediaTrack } from './media-track.js';
import type { OpusDecoder, RtcNative } from './native.js';
import { RedReader } from './red.js';
import type { ReportBlock } from './rtcp.js';
import { type RtpHeader, SEQUENCES } from './rtp.js';

/** Samples per second of what is heard: a telephone's. */
export const HEARD_RATE = 8_000;
/** Samples of 10 ms. */
export const HEARD_BLOCK = 80;
/** A sequence number this far ahead starts the count anew (RFC 3550 appendix A.1). */
const MAX_DROPOUT = 3_000;
/** Most missing packets that are asked for at once. */
const MAX_ASKED = 16;
const TICKS_PER_MS = 48;

/** A track that is received. */
export class ReceivedTrack extends MediaTrack {
  constructor(readonly receiver: AudioReceiver) {
    super();
  }
}

/** The browser's `RTCRtpReceiver` for audio: the packets of one stream, put in order and decoded. */
export class AudioReceiver {
  track: ReceivedTrack = new ReceivedTrack(this);
  ssrc: number | undefined;
  /** Payload types of Opus and of RED; set by each description. */
  opusType = -1;
  redType = -1;
  /** Missing packets are asked for again. */
  asks = false;
  packets = 0;
  bytes = 0;
  private buffer: JitterBuffer | undefined;
  private decoder: OpusDecoder | undefined;
  private readonly red = new RedReader();
  private readonly missing: number[] = [];
  private baseSequence = -1;
  private highest = 0;
  private cycles = 0;
  private expectedBefore = 0;
  private packetsBefore = 0;
  private countBefore = 0;
  private transit = 0;
  private jitter = 0;
  private lastReport = 0;
  private lastReportAt = 0;
  private isClosed = false;
  private listeners = 0;

  constructor(private readonly native: RtcNative) {}

  async getStats(): Promise<Map<string, unknown>> {
    return new Map();
  }

  /** Takes a decrypted packet. @returns sequence numbers that are missing and to be asked for, in borrowed memory */
  take(packet: Uint8Array, header: RtpHeader, nowMs: number): readonly number[] {
    const { missing } = this;
    missing.length = 0;
    const isRed = header.payloadType === this.redType;
    if (this.isClosed || (!isRed && header.payloadType !== this.opusType)) return missing;
    if (this.ssrc !== header.ssrc) this.begin(header.ssrc);
    this.count(header, nowMs);
    this.packets += 1;
    this.countBefore += 1;
    this.bytes += header.end - header.start;
    const buffer = this.buffer ?? this.open();
    if (!isRed) {
      buffer.push(header.sequence, header.timestamp, packet.subarray(header.start, header.end), nowMs);
      return missing;
    }
    const { red } = this;
    const count = red.read(packet, header.start, header.end);
    for (let i = 0; i < count; i++) {
      const length = red.lengths[i] as number;
      if (red.payloadTypes[i] !== this.opusType || length === 0) continue;
      const start = red.starts[i] as number;
      const payload = packet.subarray(start, start + length);
      const timestamp = (header.timestamp - (red.timestampOffsets[i] as number)) >>> 0;
      if (i === count - 1) buffer.push(header.sequence, timestamp, payload, nowMs);
      else buffer.pushRedundant(timestamp, payload, nowMs);
    }
    return missing;
  }

  /** Whether anything has come yet. */
  get isHeard(): boolean {
    return this.buffer !== undefined;
  }

  /** The next 10 ms at 8 kHz. */
  pull(out: Int16Array, nowMs: number): void {
    if (this.buffer === undefined || this.track.readyState === 'ended') out.fill(0);
    else this.buffer.pull(out, nowMs);
  }

  /** A sender report of this stream. */
  heed(ntpMiddle: number, nowMs: number): void {
    this.lastReport = ntpMiddle;
    this.lastReportAt = nowMs;
  }

  /** For a receiver report; `undefined` if nothing came since the last one. */
  report(nowMs: number): ReportBlock | undefined {
    if (this.ssrc === undefined || this.countBefore === 0) return undefined;
    this.countBefore = 0;
    const expected = this.cycles + this.highest - this.baseSequence + 1;
    const due = expected - this.expectedBefore;
    const missed = due - (this.packets - this.packetsBefore);
    this.expectedBefore = expected;
    this.packetsBefore = this.packets;
    const delay = this.lastReport === 0 ? 0 : Math.round((nowMs - this.lastReportAt) * 65.536);
    return {
      ssrc: this.ssrc,
      fractionLost: due <= 0 || missed <= 0 ? 0 : Math.min(255, Math.floor((missed * 256) / due)),
      lost: Math.max(-0x80_0000, Math.min(0x7f_ffff, expected - this.packets)),
      highestSequence: (this.cycles + this.highest) >>> 0,
      jitter: Math.round(this.jitter),
      lastReport: this.lastReport,
      delay: Math.min(delay, 0xffff_ffff),
    };
  }

  get stats() {
    return this.buffer?.stats;
  }

  /** A new sender on this m-line: a new track, so that whoever stopped the old one hears the new. */
  renew(): void {
    this.track = new ReceivedTrack(this);
  }

  /** Somebody listens, until {@link release}: what has come is heard to its end even if the connection closes. */
  retain(): void {
    this.listeners += 1;
  }

  release(): void {
    this.listeners -= 1;
    this.free();
  }

  /** No packet comes any more. */
  close(): void {
    this.isClosed = true;
    this.free();
  }

  private free(): void {
    if (!this.isClosed || this.listeners > 0) return;
    this.buffer = undefined;
    this.decoder?.free();
    this.decoder = undefined;
  }

  private begin(ssrc: number): void {
    this.ssrc = ssrc;
    this.baseSequence = -1;
    this.packets = this.packetsBefore = this.expectedBefore = this.cycles = 0;
    this.lastReport = this.jitter = this.transit = 0;
  }

  private open(): JitterBuffer {
    this.decoder = this.native.openDecoder(HEARD_RATE);
    this.buffer = new JitterBuffer(this.decoder, HEARD_RATE);
    return this.buffer;
  }

  /** Counts by RFC 3550 appendix A.1 and A.8, and finds what is missing. */
  private count({ sequence, timestamp }: RtpHeader, nowMs: number): void {
    if (this.baseSequence < 0) {
      this.baseSequence = sequence;
      this.highest = sequence;
    }
    const ahead = (sequence - this.highest + SEQUENCES) % SEQUENCES;
    if (ahead > 0 && ahead < MAX_DROPOUT) {
      if (sequence < this.highest) this.cycles += SEQUENCES;
      if (this.asks) {
        for (let i = 1; i < ahead && i <= MAX_ASKED; i++) this.missing.push((this.highest + i) % SEQUENCES);
      }
      this.highest = sequence;
    } else if (ahead >= MAX_DROPOUT && ahead < SEQUENCES - MAX_DROPOUT) {
      this.baseSequence = this.highest = sequence;
      this.cycles = this.expectedBefore = 0;
      this.packets = this.packetsBefore = 0;
    }
    const transit = nowMs * TICKS_PER_MS - timestamp;
    // A step of the timestamps is no jitter.
    const change = Math.abs(transit - this.transit);
    if (this.packets > 0 && change < 48_000) this.jitter += (change - this.jitter) / 16;
    this.transit = transit;
  }
}
