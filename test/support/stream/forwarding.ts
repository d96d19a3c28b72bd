import {
  ntpTime,
  type RTCDtlsTransport,
  type RTCRtpTransceiver,
  RtcpSenderInfo,
  RtcpSrPacket,
  type RtpPacket,
} from 'werift';
import { OPUS, RED } from './peer.js';

/** A sender report goes out every so many packets: about once a second. */
const REPORT_EVERY = 50;

/** Counts packets that went out. */
export interface ForwardCounter {
  forwarded: number;
}

/**
 * One published track on its way to one listener. It goes around werift's sender, straight to encryption: only
 * SSRC and payload type of the publisher's own packet are rewritten.
 */
export class Forwarding {
  /** Before the listener's answer, the SSRC of packets would be unknown. */
  isReady = false;
  private readonly ssrc: number;
  private readonly transport: RTCDtlsTransport;
  private packets = 0;
  private octets = 0;

  constructor(
    readonly transceiver: RTCRtpTransceiver,
    private readonly counter: ForwardCounter,
  ) {
    this.ssrc = transceiver.sender.ssrc;
    this.transport = transceiver.dtlsTransport;
  }

  send(packet: RtpPacket, isRed: boolean): void {
    const { transport } = this;
    if (!this.isReady || transport.state !== 'connected') return;
    const { header, payload } = packet;
    header.ssrc = this.ssrc;
    header.payloadType = isRed ? RED : OPUS;
    void transport.sendRtp(payload, header);
    this.counter.forwarded += 1;
    this.octets += payload.length;
    this.packets += 1;
    if (this.packets % REPORT_EVERY === 1) this.report(header.timestamp);
  }

  private report(rtpTimestamp: number): void {
    const { packets: packetCount, octets: octetCount } = this;
    const senderInfo = new RtcpSenderInfo({
      ntpTimestamp: ntpTime(),
      rtpTimestamp,
      packetCount,
      octetCount,
    });
    void this.transport.sendRtcp([new RtcpSrPacket({ ssrc: this.ssrc, senderInfo })]);
  }
}
