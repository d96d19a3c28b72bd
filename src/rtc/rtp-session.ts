import type { Clock, Timer } from '../clock.js';
import type { AudioReceiver } from './audio-receiver.js';
import type { AudioSender } from './audio-sender.js';
import { type MediaTransport, SRTP_ROOM } from './media-transport.js';
import {
  appendGoodbye,
  appendNack,
  ntpMiddle,
  type ReportBlock,
  type RtcpListener,
  readRtcp,
  writeReport,
} from './rtcp.js';
import { RtpHeader } from './rtp.js';
import { type MediaSection, MID } from './session-description.js';
import type { Transceiver } from './transceiver.js';

/** Reports are sent so often: others take them for a sign of life. */
const REPORT_MS = 1_000;
/** Most SSRCs that are known; the oldest is forgotten. */
const MOST_SSRCS = 256;
const MOST_CONTROL_BYTES = 2_048;

/**
 * The RTP session of a bundle (RFC 3550, RFC 8843): gives packets to the m-lines they belong to, and both sides' reports to
 * whom they concern.
 */
export class RtpSession {
  private readonly bySsrc = new Map<number, AudioReceiver>();
  private midId = -1;
  private readonly header = new RtpHeader();
  private readonly control = Buffer.alloc(MOST_CONTROL_BYTES + SRTP_ROOM);
  private timer: Timer | undefined;
  private nowMs = 0;
  private readonly listener: RtcpListener = {
    senderReport: (ssrc, middle) => this.bySsrc.get(ssrc)?.heed(middle, this.nowMs),
    reportBlock: (block) => this.senderOf(block.ssrc)?.heed(block, this.roundTripOf(block)),
    nack: (ssrc, sequence) => this.senderOf(ssrc)?.repeat(sequence),
  };

  /** @param lines the m-lines as they are at any time */
  constructor(
    private readonly lines: readonly Transceiver[],
    private readonly transport: MediaTransport,
    private readonly cname: string,
    private readonly clock: Clock,
  ) {}

  /** Reports from now on; idempotent. */
  start(): void {
    this.timer ??= this.clock.every(REPORT_MS, () => this.report());
  }

  /** What an m-section says of its packets. */
  expect({ ssrcs, extensions }: MediaSection, receiver: AudioReceiver): void {
    this.midId = extensions.get(MID) ?? this.midId;
    for (const ssrc of ssrcs) this.assign(ssrc, receiver);
  }

  /** Its packets are nobody's any more. */
  forget(receiver: AudioReceiver): void {
    for (const [ssrc, each] of this.bySsrc) if (each === receiver) this.bySsrc.delete(ssrc);
  }

  takeRtp(packet: Uint8Array, length: number): void {
    const { header } = this;
    if (!header.read(packet, length)) return;
    const receiver = this.bySsrc.get(header.ssrc) ?? this.claim(packet);
    if (receiver === undefined) return;
    const missing = receiver.take(packet, header, this.clock.now());
    if (missing.length > 0) this.ask(header.ssrc, missing);
  }

  takeRtcp(packet: Uint8Array, length: number): void {
    this.nowMs = this.clock.now();
    readRtcp(packet, length, this.listener);
  }

  /** Tells the other side that nothing more comes, and reports no more. */
  close(): void {
    this.clock.cancel(this.timer);
    this.bySsrc.clear();
    for (const { sender } of this.lines) {
      const { facts } = sender;
      if (facts === undefined) continue;
      const length = writeReport(this.control, facts, facts.ssrc, [], this.cname, this.clock.date());
      this.transport.sendRtcp(this.control, appendGoodbye(this.control, length, facts.ssrc));
    }
  }

  private assign(ssrc: number, receiver: AudioReceiver): void {
    if (this.bySsrc.size >= MOST_SSRCS && !this.bySsrc.has(ssrc)) {
      const [oldest] = this.bySsrc.keys();
      this.bySsrc.delete(oldest as number);
    }
    this.bySsrc.set(ssrc, receiver);
  }

  /** Whose a packet of an unknown source is: by its mid (RFC 8843 section 9.2), or the only one's that may send. */
  private claim(packet: Uint8Array): AudioReceiver | undefined {
    const { header, midId } = this;
    const mid = midId < 0 ? undefined : header.extension(packet, midId);
    const heard = this.lines.filter(({ currentDirection }) => currentDirection === 'recvonly');
    const named = heard.find((line) => line.mid === mid);
    const line = mid === undefined && heard.length === 1 ? heard[0] : named;
    if (line !== undefined) this.assign(header.ssrc, line.receiver);
    return line?.receiver;
  }

  private ask(source: number, missing: readonly number[]): void {
    const { control, ownSsrc } = this;
    const length = writeReport(control, undefined, ownSsrc, [], this.cname, this.clock.date());
    this.transport.sendRtcp(control, appendNack(control, length, ownSsrc, source, missing));
  }

  /** By which we report where we send nothing. */
  private get ownSsrc(): number {
    return this.lines[0]?.sender.ssrc ?? 1;
  }

  private senderOf(ssrc: number): AudioSender | undefined {
    return this.lines.find(({ sender }) => sender.ssrc === ssrc)?.sender;
  }

  /** In seconds: RFC 3550 section 6.4.1. */
  private roundTripOf({ lastReport, delay }: ReportBlock): number | undefined {
    if (lastReport === 0) return undefined;
    const seconds = ((ntpMiddle(this.clock.date()) - lastReport - delay) | 0) / 65_536;
    return seconds >= 0 && seconds < 60 ? seconds : undefined;
  }

  private report(): void {
    const { transport, control, cname, clock } = this;
    if (!transport.isOpen) return;
    const nowMs = clock.now();
    const date = clock.date();
    const blocks = this.lines.flatMap(({ receiver }) => receiver.report(nowMs) ?? []);
    const facts = this.lines.flatMap(({ sender }) => sender.facts ?? []);
    for (const [i, each] of facts.entries()) {
      transport.sendRtcp(control, writeReport(control, each, each.ssrc, i === 0 ? blocks : [], cname, date));
    }
    if (facts.length > 0 || blocks.length === 0) return;
    transport.sendRtcp(control, writeReport(control, undefined, this.ownSsrc, blocks, cname, date));
  }
}
