import type { Clock, Timer } from '../clock.js';
import { IceAgent, type IceState } from './ice/ice-agent.js';
import type { IceCandidate } from './ice/ice-candidate.js';
import type { IceServer } from './ice/ice-server.js';
import type { Certificate, DtlsSession, RtcNative, SrtpSession } from './native.js';
import type { TransportParameters } from './session-description.js';

export type DtlsState = 'new' | 'connecting' | 'connected' | 'closed' | 'failed';

/** What a transport tells its connection. Packets are lent. */
export interface TransportListener {
  candidate(candidate: IceCandidate | undefined): void;
  changed(): void;
  rtp(packet: Uint8Array, length: number): void;
  rtcp(packet: Uint8Array, length: number): void;
}

export interface TransportOptions {
  readonly servers: readonly IceServer[];
  readonly relayOnly: boolean;
  readonly isControlling: boolean;
  readonly clock: Clock;
  readonly native: RtcNative;
  readonly certificate: Certificate;
}

/** Room behind a packet for what SRTP appends. */
export const SRTP_ROOM = 32;
/** Largest packet that is read. */
const MAX_PACKET_BYTES = 2_048;

/**
 * The one transport of a bundle: ICE, DTLS over it (RFC 8842), and SRTP with the keys of that (RFC 5764). Datagrams are told
 * apart by their first byte (RFC 7983).
 */
export class MediaTransport {
  readonly ice: IceAgent;
  dtlsState: DtlsState = 'new';
  /** Why DTLS failed. */
  failure: string | undefined;
  private dtls: DtlsSession | undefined;
  private srtp: SrtpSession | undefined;
  private remote: TransportParameters | undefined;
  private isClient: boolean | undefined;
  private timer: Timer | undefined;
  private isClosed = false;

  constructor(
    private readonly options: TransportOptions,
    private readonly listener: TransportListener,
  ) {
    const { servers, relayOnly, isControlling, clock } = options;
    this.ice = new IceAgent(
      { servers, relayOnly, isControlling, clock },
      {
        candidate: (candidate) => listener.candidate(candidate),
        state: (state) => this.heed(state),
        data: (datagram) => this.take(datagram),
      },
    );
  }

  /** Whether packets can be sent. */
  get isOpen(): boolean {
    return this.srtp !== undefined;
  }

  /** The DTLS role taken, once it is known. */
  get setup(): 'active' | 'passive' | undefined {
    if (this.isClient === undefined) return undefined;
    return this.isClient ? 'active' : 'passive';
  }

  /** Takes the other side's parameters, of each of its descriptions. */
  setRemote(remote: TransportParameters): void {
    const before = this.remote;
    this.remote = remote;
    const isNewAssociation =
      before !== undefined &&
      !before.fingerprints.some(({ value }) => remote.fingerprints.some((print) => print.value === value));
    if (isNewAssociation) {
      this.forget();
      this.isClient = undefined;
    }
    // Of an offer that leaves the choice we take the client's role; an answer has chosen.
    this.isClient ??= remote.setup !== 'active';
    this.ice.setRemote(remote);
    this.shake();
  }

  /** Protects a packet in place and sends it. @param packet with {@link SRTP_ROOM} behind `length` @returns bytes sent, 0 if there is no way */
  sendRtp(packet: Buffer, length: number): number {
    if (this.srtp === undefined) return 0;
    const total = this.srtp.protectRtp(packet, length);
    return total > 0 && this.ice.send(packet.subarray(0, total)) ? total : 0;
  }

  sendRtcp(packet: Buffer, length: number): void {
    if (this.srtp === undefined) return;
    const total = this.srtp.protectRtcp(packet, length);
    if (total > 0) this.ice.send(packet.subarray(0, total));
  }

  /** Sends a packet that is protected already. */
  resend(packet: Uint8Array): void {
    if (this.srtp !== undefined) this.ice.send(packet);
  }

  close(): void {
    if (this.isClosed) return;
    if (this.dtls !== undefined && this.dtlsState === 'connected') {
      this.dtls.close();
      this.flush();
    }
    this.isClosed = true;
    this.forget();
    this.dtlsState = 'closed';
    this.ice.close();
  }

  private heed(state: IceState): void {
    if (state === 'connected' || state === 'completed') this.shake();
    this.listener.changed();
  }

  /** Starts the handshake when there is a way and the other side's certificate can be checked. */
  private shake(): void {
    const isConnected = this.ice.state === 'connected' || this.ice.state === 'completed';
    if (this.dtls !== undefined || !isConnected || this.isClient !== true || this.isClosed) return;
    this.open('client').start();
    this.flush();
  }

  private open(role: 'client' | 'server'): DtlsSession {
    const { native, certificate } = this.options;
    const dtls = native.openDtls(certificate, role);
    this.dtls = dtls;
    this.become('connecting');
    return dtls;
  }

  private take(datagram: Buffer): void {
    if (this.isClosed || datagram.length > MAX_PACKET_BYTES) return;
    const first = datagram[0] as number;
    if (first >= 128 && first <= 191) this.takeMedia(datagram);
    else if (first >= 20 && first <= 63) this.takeHandshake(datagram);
  }

  private takeMedia(datagram: Buffer): void {
    const { srtp } = this;
    if (srtp === undefined || datagram.length < 8) return;
    const second = datagram[1] as number;
    // RFC 5761 section 4.
    if (second >= 192 && second <= 223) {
      const length = srtp.unprotectRtcp(datagram, datagram.length);
      if (length > 0) this.listener.rtcp(datagram, length);
      return;
    }
    const length = srtp.unprotectRtp(datagram, datagram.length);
    if (length > 0) this.listener.rtp(datagram, length);
  }

  private takeHandshake(datagram: Buffer): void {
    // As the client, this side speaks first.
    if (this.dtls === undefined && this.isClient !== false) return;
    const dtls = this.dtls ?? this.open('server');
    dtls.feed(datagram);
    this.flush();
    if (dtls.state === 'connected' && this.srtp === undefined) this.secure(dtls);
    else if (dtls.state === 'failed') this.fail(dtls.failure ?? 'The DTLS handshake failed');
    else if (dtls.state === 'closed' && this.dtlsState === 'connected') this.become('closed');
  }

  private secure(dtls: DtlsSession): void {
    const prints = this.remote?.fingerprints ?? [];
    const isKnown = prints.some(({ algorithm, value }) => dtls.peerFingerprint(algorithm) === value);
    if (!isKnown) {
      this.fail("The other side's certificate is not that of its description");
      return;
    }
    try {
      this.srtp = dtls.srtp();
    } catch (error) {
      this.fail((error as Error).message);
      return;
    }
    this.become('connected');
  }

  private fail(why: string): void {
    this.failure = why;
    this.become('failed');
  }

  private become(state: DtlsState): void {
    if (this.dtlsState === state) return;
    this.dtlsState = state;
    this.listener.changed();
  }

  /** Sends what DTLS has to say, and sees to it that it says it again. */
  private flush(): void {
    const { dtls } = this;
    const { clock } = this.options;
    if (dtls === undefined) return;
    for (let datagram = dtls.take(); datagram !== undefined; datagram = dtls.take()) this.ice.send(datagram);
    clock.cancel(this.timer);
    this.timer = undefined;
    const ms = dtls.timeoutMs();
    if (ms < 0) return;
    this.timer = clock.after(Math.max(1, ms), () => {
      dtls.timeout();
      this.flush();
      if (dtls.state === 'failed') this.fail(dtls.failure ?? 'The DTLS handshake timed out');
    });
  }

  /** Drops the association. */
  private forget(): void {
    this.options.clock.cancel(this.timer);
    this.timer = undefined;
    this.srtp?.free();
    this.srtp = undefined;
    this.dtls?.close();
    this.dtls = undefined;
    this.dtlsState = 'new';
  }
}
