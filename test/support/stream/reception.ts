import { type RTCDtlsTransport, type RtcpPacket, RtcpReceiverInfo, RtcpRrPacket, RtcpSrPacket } from 'werift';

/** A report goes out every so many packets: about once a second. */
const REPORT_EVERY = 50;
/** A sequence number so much smaller than the last one has wrapped around. */
const HALF = 0x8000;

/** Reception of one SSRC, and the report to its sender (RFC 3550, 6.4.2). */
export class Reception {
  private first = -1;
  /** Highest sequence number, wraps counted in. */
  private highest = 0;
  private received = 0;
  private expectedBefore = 0;
  private receivedBefore = 0;
  private senderReport = { lsr: 0, at: 0 };

  constructor(
    private readonly ssrc: number,
    private readonly transport: RTCDtlsTransport,
  ) {}

  packet(sequenceNumber: number): void {
    if (this.first === -1) {
      this.first = sequenceNumber;
      this.highest = sequenceNumber;
    }
    const ahead = (sequenceNumber - this.highest) & 0xffff;
    if (ahead < HALF) this.highest += ahead;
    this.received += 1;
    if (this.received % REPORT_EVERY === 0) this.report();
  }

  control(packet: RtcpPacket): void {
    if (!(packet instanceof RtcpSrPacket) || packet.ssrc !== this.ssrc) return;
    const lsr = Number((packet.senderInfo.ntpTimestamp >> 16n) & 0xffffffffn);
    this.senderReport = { lsr, at: performance.now() };
  }

  private report(): void {
    const expected = this.highest - this.first + 1;
    const lost = Math.max(0, expected - this.received);
    const expectedNow = expected - this.expectedBefore;
    const lostNow = Math.max(0, expectedNow - (this.received - this.receivedBefore));
    this.expectedBefore = expected;
    this.receivedBefore = this.received;
    const { lsr, at } = this.senderReport;
    const info = new RtcpReceiverInfo({
      ssrc: this.ssrc,
      fractionLost: expectedNow === 0 ? 0 : Math.min(255, Math.floor((lostNow / expectedNow) * 256)),
      packetsLost: lost,
      highestSequence: this.highest >>> 0,
      jitter: 0,
      lsr,
      dlsr: lsr === 0 ? 0 : Math.round(((performance.now() - at) / 1000) * 65_536),
    });
    void this.transport.sendRtcp([new RtcpRrPacket({ ssrc: 1, reports: [info] })]);
  }
}
