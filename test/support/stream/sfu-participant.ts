import { randomUUID } from 'node:crypto';
import { SfuEvents, SfuModels } from '@stream-io/video-client';
import { WebSocket } from 'ws';
import type { ForwardCounter } from './forwarding.js';
import type { Impairment } from './impairment.js';
import type { Network } from './network.js';
import type { Candidate, Peer } from './peer.js';
import { PublishedTrack } from './published-track.js';
import { Publisher } from './publisher.js';
import { Subscriber } from './subscriber.js';

const { SfuEvent } = SfuEvents;
const { TrackType } = SfuModels;

export type SfuPayload = SfuEvents.SfuEvent['eventPayload'];

/** One of the two connections of a participant. */
export type Side = 'publisher' | 'subscriber';

/** What all participants of an SFU share. */
export interface SfuShared {
  readonly peers: Set<Peer>;
  readonly counter: ForwardCounter;
  readonly impairment: Impairment;
  readonly network: Network;
}

/** Listeners of a participant. */
export interface ParticipantListener {
  /** A track was added or has resumed: the others may subscribe to it. */
  published(track: PublishedTrack): void;
  /** The others shall know that a track can be heard now, or not any more, and why. */
  announced(track: PublishedTrack, isOn: boolean, cause: SfuModels.TrackUnpublishReason): void;
  /** It wants other tracks than before. */
  wanted(): void;
}

/** A client that does not publish is expected to be ready for an offer this long after its join was answered. */
const READY_MS = 250;

/** One session of one user at the SFU. */
export class SfuParticipant {
  readonly joinedAt = new Date().toISOString();
  readonly publisher: Publisher;
  readonly subscriber: Subscriber;
  readonly tracks = new Map<SfuModels.TrackType, PublishedTrack>();
  /** Tracks it asked for, by session and type, besides those that everybody gets. */
  private wants: ReadonlySet<string> = new Set();
  /** Stays in the call after it has gone, as when the SFU has lost track of it. */
  isGhost = false;
  /** By it clients map streams to participants. */
  readonly lookupPrefix = randomUUID();
  private readyTimer: NodeJS.Timeout | undefined;
  private readonly becomeReady: () => void;

  constructor(
    readonly userId: string,
    readonly sessionId: string,
    readonly edge: string,
    private readonly name: string,
    public socket: WebSocket,
    private readonly shared: SfuShared,
    private readonly listener: ParticipantListener,
  ) {
    let becomeReady = () => {};
    const isReady = new Promise<void>((resolve) => {
      becomeReady = resolve;
    });
    this.becomeReady = becomeReady;
    this.publisher = new Publisher(shared.peers, shared.network);
    this.subscriber = new Subscriber(shared.peers, shared.network, shared.counter, isReady, (offer) =>
      this.send({ oneofKind: 'subscriberOffer', subscriberOffer: offer }),
    );
  }

  send(eventPayload: SfuPayload): void {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(SfuEvent.toBinary({ eventPayload }));
  }

  /** The client knows that it has joined; it will soon have its connections. */
  joined(): void {
    this.readyTimer = setTimeout(this.becomeReady, READY_MS);
  }

  toProto(): SfuModels.Participant {
    return {
      userId: this.userId,
      sessionId: this.sessionId,
      publishedTracks: [...this.tracks.values()].filter((track) => track.isAnnounced).map(({ type }) => type),
      joinedAt: timestamp(this.joinedAt),
      trackLookupPrefix: this.lookupPrefix,
      connectionQuality: SfuModels.ConnectionQuality.EXCELLENT,
      isSpeaking: false,
      isDominantSpeaker: false,
      audioLevel: 0,
      name: this.name,
      image: '',
      roles: ['user'],
      source: SfuModels.ParticipantSource.WEBRTC_UNSPECIFIED,
    };
  }

  /** Answers the client's offer to publish. */
  async publish(sdp: string, infos: readonly SfuModels.TrackInfo[]): Promise<string> {
    const answer = await this.publisher.negotiate(sdp, infos, (info) => this.trackFor(info));
    // Whoever publishes has built the connection to listen on just before.
    this.becomeReady();
    for (const info of infos) this.setMuted(info.trackType, info.muted);
    for (const track of this.tracks.values()) this.listener.published(track);
    return answer;
  }

  setMuted(
    type: SfuModels.TrackType,
    isMuted: boolean,
    cause = SfuModels.TrackUnpublishReason.USER_MUTED,
  ): void {
    const track = this.tracks.get(type);
    if (track === undefined) return;
    track.isMuted = isMuted;
    if (track.isAnnounced === !isMuted) return;
    track.isAnnounced = !isMuted;
    this.listener.announced(track, !isMuted, cause);
  }

  /** The whole list of what it wants to follow. */
  subscribe(tracks: readonly { readonly sessionId: string; readonly trackType: string }[]): void {
    this.wants = new Set(tracks.map(({ sessionId, trackType }) => `${sessionId}:${trackType}`));
    this.listener.wanted();
  }

  /** Whether it gets a track of another's. */
  isToFollow({ sessionId }: SfuParticipant, track: PublishedTrack): boolean {
    if (track.type === TrackType.AUDIO) return true;
    return this.wants.has(`${sessionId}:TRACK_TYPE_${TrackType[track.type]}`);
  }

  trickle(type: SfuModels.PeerType, candidate: Candidate): void {
    this.peerOf(type).addCandidate(candidate);
  }

  peerOf(type: SfuModels.PeerType): Peer {
    return type === SfuModels.PeerType.SUBSCRIBER ? this.subscriber.peer : this.publisher.peer;
  }

  /** Media dies without a word, of one connection or of both; the sockets know nothing of it. */
  silence(side?: Side): void {
    if (side !== 'subscriber') this.publisher.peer.silence();
    if (side !== 'publisher') this.subscriber.peer.silence();
  }

  async close(): Promise<void> {
    clearTimeout(this.readyTimer);
    this.becomeReady();
    await Promise.all([this.publisher.peer.close(), this.subscriber.close()]);
  }

  private trackFor(info: SfuModels.TrackInfo): PublishedTrack {
    let track = this.tracks.get(info.trackType);
    if (track === undefined) {
      track = new PublishedTrack(info.trackType, this.lookupPrefix, this.shared.impairment, info);
      this.tracks.set(info.trackType, track);
    }
    track.info = info;
    return track;
  }
}

export function timestamp(time: string): { seconds: string; nanos: number } {
  const ms = Date.parse(time);
  return { seconds: String(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}
