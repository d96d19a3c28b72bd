import type { MediaStream } from 'werift';
import { type ForwardCounter, Forwarding } from './forwarding.js';
import type { Network } from './network.js';
import { opus, Peer, red } from './peer.js';
import type { PublishedTrack } from './published-track.js';

/** An offer to a client. */
export interface Offer {
  readonly sdp: string;
  readonly iceRestart: boolean;
  readonly negotiationId: number;
}

/** An offer that is not answered is sent again after so many milliseconds: a client that is not ready drops it. */
const RESEND_MS = 1_000;
const GIVE_UP_MS = 15_000;
/** What a track of two channels is offered with; the client then wants to hear both. */
const STEREO = 'minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1';

/** The connection on which a participant listens: the SFU offers, one m-line for each track of the others. */
export class Subscriber {
  readonly peer: Peer;
  private readonly forwardings = new Map<PublishedTrack, Forwarding>();
  private negotiationId = 0;
  private isStale = false;
  private isRestartDue = false;
  private isNegotiating = false;
  private waiting: { readonly id: number; readonly settle: (sdp: string | undefined) => void } | undefined;

  constructor(
    alive: Set<Peer>,
    network: Network,
    private readonly counter: ForwardCounter,
    /** Resolves when the client can be expected to be there for an offer. */
    private readonly isReady: Promise<void>,
    private readonly send: (offer: Offer) => void,
  ) {
    this.peer = new Peer(alive, network);
  }

  follow(track: PublishedTrack): void {
    if (this.forwardings.has(track) || this.peer.isClosed) return;
    const { connection } = this.peer;
    // Never an m-line that somebody was heard on before: its receiver keeps its track at the client, who may have
    // stopped it for good.
    const stream = { id: track.streamId } as MediaStream;
    const transceiver = connection.addTransceiver('audio', { direction: 'sendonly', streams: [stream] });
    const plain = opus(track.info.stereo ? STEREO : undefined);
    transceiver.codecs = track.info.red ? [red(), plain] : [plain];
    const forwarding = new Forwarding(transceiver, this.counter);
    this.forwardings.set(track, forwarding);
    track.add(forwarding);
    this.renegotiate();
  }

  unfollow(track: PublishedTrack): void {
    const forwarding = this.forwardings.get(track);
    if (forwarding === undefined) return;
    track.remove(forwarding);
    this.forwardings.delete(track);
    forwarding.transceiver.setDirection('inactive');
    forwarding.transceiver.usedForSender = true;
    this.renegotiate();
  }

  restartIce(): void {
    this.isRestartDue = true;
    this.renegotiate();
  }

  /** The client's answer; one to an earlier offer is of no use. */
  answer(sdp: string, negotiationId: number): void {
    if (this.waiting?.id === negotiationId || negotiationId === 0) this.waiting?.settle(sdp);
  }

  /** The client is back on another socket: what it was asked before it will not answer. */
  resume(): void {
    this.waiting?.settle(undefined);
    if (this.forwardings.size > 0 || this.peer.transport !== undefined) this.restartIce();
  }

  async close(): Promise<void> {
    for (const [track, forwarding] of this.forwardings) track.remove(forwarding);
    this.forwardings.clear();
    const closed = this.peer.close();
    this.waiting?.settle(undefined);
    await closed;
  }

  private renegotiate(): void {
    this.isStale = true;
    if (this.isNegotiating) return;
    void this.negotiate();
  }

  private async negotiate(): Promise<void> {
    this.isNegotiating = true;
    await this.isReady;
    while (this.isStale && !this.peer.isClosed) {
      this.isStale = false;
      const iceRestart = this.isRestartDue;
      this.isRestartDue = false;
      try {
        await this.exchange(iceRestart);
      } catch (error) {
        if (!this.peer.isClosed) console.error('stream double: subscriber negotiation failed:', error);
      }
    }
    this.isNegotiating = false;
  }

  private async exchange(iceRestart: boolean): Promise<void> {
    const { peer } = this;
    const { connection } = peer;
    const offered = [...this.forwardings.values()];
    await peer.describe(await connection.createOffer({ iceRestart }));
    const negotiationId = ++this.negotiationId;
    const sdp = await this.ask({
      sdp: inBundle(connection.localDescription?.sdp ?? ''),
      iceRestart,
      negotiationId,
    });
    if (sdp === undefined || peer.isClosed) return;
    await connection.setRemoteDescription({ type: 'answer', sdp });
    await peer.replay();
    for (const forwarding of offered) forwarding.isReady = true;
  }

  /** Sends an offer until it is answered. */
  private ask(offer: Offer): Promise<string | undefined> {
    return new Promise((resolve) => {
      const resend = setInterval(() => this.send(offer), RESEND_MS);
      const giveUp = setTimeout(() => settle(undefined), GIVE_UP_MS);
      const settle = (sdp: string | undefined) => {
        clearInterval(resend);
        clearTimeout(giveUp);
        this.waiting = undefined;
        resolve(sdp);
      };
      this.waiting = { id: offer.negotiationId, settle };
      this.send(offer);
    });
  }
}

/**
 * werift gives inactive m-lines port 0, which means rejected, and keeps them in the bundle; libwebrtc refuses such a
 * bundle.
 */
function inBundle(sdp: string): string {
  return sdp.replaceAll('m=audio 0 ', 'm=audio 9 ');
}
