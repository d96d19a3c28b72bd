import { randomBytes, randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../clock.js';
import { AudioReceiver } from './audio-receiver.js';
import { AudioSender, type Encoding } from './audio-sender.js';
import type { IceState } from './ice/ice-agent.js';
import { formatCandidate, type IceCandidate, parseCandidate } from './ice/ice-candidate.js';
import type { IceServer } from './ice/ice-server.js';
import { MediaStream, type MediaTrack } from './media-track.js';
import { MediaTransport } from './media-transport.js';
import { type Certificate, loadRtcNative, type RtcNative } from './native.js';
import { RtpSession } from './rtp-session.js';
import {
  codecsOf,
  type Direction,
  type OwnSection,
  readDescription,
  type SessionDescription,
  type TransportParameters,
  writeDescription,
} from './session-description.js';
import { statisticsOf } from './statistics.js';
import { answerTo, Transceiver } from './transceiver.js';

/** The browser's `RTCSessionDescriptionInit`: `type` is `offer`, `answer` or `rollback`. */
export interface Description {
  readonly type: string;
  readonly sdp?: string | undefined;
}

/** The browser's `RTCIceCandidateInit`. */
export interface CandidateInit {
  readonly candidate?: string;
  readonly sdpMid?: string | null;
  readonly sdpMLineIndex?: number | null;
  readonly usernameFragment?: string | null;
}

/** The parts of the browser's `RTCConfiguration` in use. */
export interface Configuration {
  readonly iceServers?: readonly IceServer[];
  readonly iceTransportPolicy?: 'all' | 'relay';
}

export type ConnectionState = 'new' | 'connecting' | 'connected' | 'disconnected' | 'failed' | 'closed';
export type SignalingState = 'stable' | 'have-local-offer' | 'have-remote-offer' | 'closed';

/** A description while it is negotiated, and the one in force. */
interface Descriptions {
  pending: Description | null;
  current: Description | null;
}

/** Most candidates that wait for their description. */
const MOST_EARLY = 40;
/** Most m-lines of all descriptions together: each holds memory until the connection closes. */
const MOST_LINES = 256;

/** One for all connections of the process: making one takes a millisecond. */
let certificate: Certificate | undefined;

type Listener = Parameters<EventTarget['addEventListener']>[1];

/** Listeners as they are called, by what they were given as. */
const guarded = new WeakMap<object, (this: EventTarget, event: Event) => void>();

/** What a listener throws, or its promise rejects with, becomes an unhandled rejection: Node itself would end the process. */
function guard(listener: NonNullable<Listener>): (this: EventTarget, event: Event) => void {
  const known = guarded.get(listener);
  if (known !== undefined) return known;
  const call = async (target: EventTarget, event: Event) =>
    typeof listener === 'function' ? listener.call(target, event) : listener.handleEvent(event);
  function made(this: EventTarget, event: Event): void {
    void call(this, event);
  }
  guarded.set(listener, made);
  return made;
}

/** An event with what the browser's carries. */
class ConnectionEvent extends Event {
  constructor(type: string, fields: object = {}) {
    super(type);
    Object.assign(this, fields);
  }
}

/**
 * The browser's `RTCPeerConnection` for audio, as far as the Stream client needs it (W3C WebRTC, RFC 8829): Opus, one bundle,
 * RTP and RTCP on one transport. Either it offers to send, or it answers offers of the other side to be heard; m-lines of video
 * are answered as inactive.
 */
export class PeerConnection extends EventTarget {
  /** Told of a description that asks for what this cannot do, before it is refused. */
  static onUnfit: ((reason: string) => void) | undefined;

  signalingState: SignalingState = 'stable';
  iceConnectionState: IceState = 'new';
  iceGatheringState: 'new' | 'gathering' | 'complete' = 'new';
  connectionState: ConnectionState = 'new';
  private readonly lines: Transceiver[] = [];
  private transport: MediaTransport | undefined;
  private session: RtpSession | undefined;
  private readonly id = String(randomBytes(6).readUIntBE(0, 6));
  private version = 1;
  private readonly cname = randomUUID().slice(0, 16);
  private readonly local: Descriptions = { pending: null, current: null };
  private readonly remote: Descriptions = { pending: null, current: null };
  private offered: SessionDescription | undefined;
  /** M-lines that came with the offer at hand. */
  private readonly offeredLines: Transceiver[] = [];
  private remoteUfrag: string | undefined;
  /** Mid of the m-line whose transport serves all. */
  private bearer = '0';
  private readonly ownCandidates: string[] = [];
  private readonly early: CandidateInit[] = [];
  private nextMid = 0;

  /** @throws Error if the native part cannot be had */
  constructor(
    private readonly configuration: Configuration = {},
    private readonly clock: Clock = systemClock,
    private readonly native: RtcNative = loadRtcNative(),
  ) {
    super();
  }

  override addEventListener(...[type, listener, options]: Parameters<EventTarget['addEventListener']>): void {
    super.addEventListener(type, listener && guard(listener), options);
  }

  override removeEventListener(
    ...[type, listener, options]: Parameters<EventTarget['removeEventListener']>
  ): void {
    super.removeEventListener(type, listener && guard(listener), options);
  }

  get localDescription(): Description | null {
    return this.local.pending ?? this.local.current;
  }

  get currentLocalDescription(): Description | null {
    return this.local.current;
  }

  get remoteDescription(): Description | null {
    return this.remote.pending ?? this.remote.current;
  }

  get currentRemoteDescription(): Description | null {
    return this.remote.current;
  }

  getConfiguration(): Configuration {
    return this.configuration;
  }

  getTransceivers(): Transceiver[] {
    return [...this.lines];
  }

  getSenders(): AudioSender[] {
    return this.lines.map(({ sender }) => sender);
  }

  getReceivers(): AudioReceiver[] {
    return this.lines.map(({ receiver }) => receiver);
  }

  /** @param trackOrKind a track of an {@link AudioSource}, or `audio` or `video` */
  addTransceiver(
    trackOrKind: MediaTrack | string,
    init: {
      readonly direction?: Direction;
      readonly streams?: readonly MediaStream[];
      readonly sendEncodings?: readonly Encoding[];
    } = {},
  ): Transceiver {
    this.checkOpen();
    const isTrack = typeof trackOrKind !== 'string';
    const line = this.addLine(
      isTrack ? 'audio' : trackOrKind,
      init.direction ?? 'sendrecv',
      init.sendEncodings,
    );
    line.streamId = init.streams?.[0]?.id ?? line.streamId;
    if (isTrack) line.sender.setTrack(trackOrKind);
    return line;
  }

  async createOffer({ iceRestart = false }: { readonly iceRestart?: boolean } = {}): Promise<Description> {
    this.checkOpen();
    const transport = this.ensureTransport(true);
    if (iceRestart && this.remoteUfrag !== undefined) this.restart(transport);
    const sections = this.lines.map((line) => line.offer(line.mid ?? this.freeMid()));
    return { type: 'offer', sdp: this.write(transport, 'actpass', sections) };
  }

  async createAnswer(): Promise<Description> {
    this.checkOpen();
    const transport = this.ensureTransport(false);
    const { media } = this.offerAtHand();
    return { type: 'answer', sdp: this.write(transport, transport.setup ?? 'active', media.map(answerTo)) };
  }

  async setLocalDescription({ type, sdp = '' }: Description): Promise<void> {
    this.checkOpen();
    if (type === 'rollback') {
      this.checkState('have-local-offer');
      for (const line of this.lines) if (line.remote === undefined) line.mid = null;
      this.local.pending = null;
      this.enter('stable');
      return;
    }
    if (type === 'offer') {
      if (this.signalingState === 'have-remote-offer') this.checkState('stable');
      const { media, bundle } = readDescription(sdp);
      this.bearer = bundle[0] ?? this.bearer;
      for (const [i, line] of this.lines.entries()) line.mid ??= media[i]?.mid ?? null;
      this.local.pending = { type, sdp };
      this.enter('have-local-offer');
    } else {
      const { bundle, media } = this.offerAtHand();
      this.bearer = bundle[0] ?? media[0]?.mid ?? this.bearer;
      settle(this.local, { type, sdp });
      settle(this.remote, this.remote.pending);
      this.offered = undefined;
      this.offeredLines.length = 0;
      this.enter('stable');
    }
    this.ensureTransport(type === 'offer').ice.gather();
  }

  async setRemoteDescription({ type, sdp = '' }: Description): Promise<void> {
    this.checkOpen();
    if (type === 'rollback') {
      this.checkState('have-remote-offer');
      this.remote.pending = null;
      for (const line of this.offeredLines.splice(0)) this.removeLine(line);
      this.offered = undefined;
      this.enter('stable');
      return;
    }
    const description = readDescription(sdp);
    const { transport } = description;
    if (transport === undefined) throw new Error('The description has no ICE parameters');
    if (transport.fingerprints.length === 0)
      throw new Error('The description has no fingerprint of a certificate');
    const reason = unfitness(description);
    if (reason !== undefined) {
      PeerConnection.onUnfit?.(reason);
      throw new Error(reason);
    }
    if (type === 'offer') this.takeOffer(description, { type, sdp });
    else this.takeAnswer(description, { type, sdp });
    this.reach(transport, description);
  }

  async addIceCandidate(init?: CandidateInit | null): Promise<void> {
    this.checkOpen();
    if (init === null || init === undefined) return;
    const { transport, remoteUfrag } = this;
    if (transport !== undefined && remoteUfrag !== undefined) this.hearOf(init, transport);
    else if (this.early.length < MOST_EARLY) this.early.push(init);
  }

  /** Statistics of the whole connection, whatever is selected. */
  async getStats(_selector?: unknown): Promise<Map<string, object>> {
    return statisticsOf(this.transport, this.lines, this.clock);
  }

  /** What has come is still heard by those who listen. */
  close(): void {
    if (this.signalingState === 'closed') return;
    this.signalingState = 'closed';
    this.iceConnectionState = 'closed';
    this.connectionState = 'closed';
    this.session?.close();
    for (const line of this.lines) line.close();
    this.transport?.close();
  }

  private checkOpen(): void {
    if (this.signalingState === 'closed') throw new Error('The connection is closed');
  }

  private checkState(wanted: SignalingState): void {
    if (this.signalingState === wanted) return;
    throw new Error(`The connection is in the state ${this.signalingState}, not ${wanted}`);
  }

  private offerAtHand(): SessionDescription {
    if (this.offered === undefined) throw new Error('There is no offer to answer');
    return this.offered;
  }

  private addLine(kind: string, direction: Direction, encodings?: readonly Encoding[]): Transceiver {
    const { native } = this;
    const line = new Transceiver(
      kind,
      new AudioSender(native, encodings),
      new AudioReceiver(native),
      direction,
    );
    this.lines.push(line);
    return line;
  }

  private removeLine(line: Transceiver): void {
    this.lines.splice(this.lines.indexOf(line), 1);
    this.session?.forget(line.receiver);
    line.close();
  }

  private freeMid(): string {
    while (this.lines.some(({ mid }) => mid === String(this.nextMid))) this.nextMid += 1;
    return String(this.nextMid++);
  }

  private ensureTransport(isControlling: boolean): MediaTransport {
    if (this.transport !== undefined) return this.transport;
    const { native, clock, configuration } = this;
    certificate ??= native.makeCertificate();
    const transport = new MediaTransport(
      {
        servers: configuration.iceServers ?? [],
        relayOnly: configuration.iceTransportPolicy === 'relay',
        isControlling,
        clock,
        native,
        certificate,
      },
      {
        candidate: (candidate) => this.announce(transport, candidate),
        changed: () => this.heed(transport),
        rtp: (packet, length) => this.session?.takeRtp(packet, length),
        rtcp: (packet, length) => this.session?.takeRtcp(packet, length),
      },
    );
    this.transport = transport;
    this.session = new RtpSession(this.lines, transport, this.cname, clock);
    return transport;
  }

  private write(
    { ice }: MediaTransport,
    setup: TransportParameters['setup'],
    sections: readonly OwnSection[],
  ): string {
    this.version += 1;
    const { id, version, cname } = this;
    const fingerprint = { algorithm: 'sha-256', value: (certificate as Certificate).fingerprint };
    const own = { ...ice.local, setup, fingerprint, candidates: this.ownCandidates };
    return writeDescription({ id, version, cname }, own, sections);
  }

  private takeOffer(description: SessionDescription, told: Description): void {
    if (this.signalingState === 'have-local-offer') this.checkState('stable');
    const fresh = description.media.filter(({ mid }) => this.lines.every((line) => line.mid !== mid));
    if (this.lines.length + fresh.length > MOST_LINES) {
      throw new Error(`With this description there would be more than ${MOST_LINES} m-lines`);
    }
    this.ensureTransport(false);
    this.offered = description;
    this.remote.pending = told;
    for (const section of description.media) {
      let line = this.lines.find(({ mid }) => mid === section.mid);
      if (line === undefined) {
        line = this.addLine(section.kind, 'recvonly');
        line.mid = section.mid;
        this.offeredLines.push(line);
      }
      const isNew = line.hear(section);
      const { receiver } = line;
      if (line.currentDirection === 'recvonly') this.session?.expect(section, receiver);
      if (!isNew) continue;
      const { track } = receiver;
      const streams = [new MediaStream([track], section.streamId)];
      this.tell('track', { track, streams, receiver, transceiver: line });
    }
    this.enter('have-remote-offer');
  }

  private takeAnswer(description: SessionDescription, told: Description): void {
    this.checkState('have-local-offer');
    settle(this.local, this.local.pending);
    settle(this.remote, told);
    for (const section of description.media) {
      const line = this.lines.find(({ mid }) => mid === section.mid);
      if (this.transport !== undefined) line?.send(section, this.transport);
    }
    this.enter('stable');
  }

  /** Lets ICE and DTLS go to the other side. */
  private reach(parameters: TransportParameters, { media }: SessionDescription): void {
    const transport = this.ensureTransport(false);
    const isOffer = this.signalingState === 'have-remote-offer';
    const isRestart = this.remoteUfrag !== undefined && this.remoteUfrag !== parameters.ufrag;
    // The agent answers the other side's restart by one of its own.
    if (isOffer && isRestart) this.ownCandidates.length = 0;
    this.remoteUfrag = parameters.ufrag;
    transport.setRemote(parameters);
    for (const { candidates } of media) for (const text of candidates) addCandidate(transport, text);
    for (const init of this.early.splice(0)) this.hearOf(init, transport);
  }

  private hearOf({ candidate = '', usernameFragment }: CandidateInit, transport: MediaTransport): void {
    // Of another generation than the description's.
    if (usernameFragment && usernameFragment !== this.remoteUfrag) return;
    if (candidate === '') transport.ice.addRemoteCandidate(undefined);
    else addCandidate(transport, candidate);
  }

  private restart({ ice }: MediaTransport): void {
    this.ownCandidates.length = 0;
    ice.restart();
  }

  private announce({ ice }: MediaTransport, candidate: IceCandidate | undefined): void {
    this.heedGathering(ice.gatheringState);
    if (candidate === undefined) {
      this.tell('icecandidate', { candidate: null });
      return;
    }
    const text = formatCandidate(candidate);
    this.ownCandidates.push(text);
    const init: CandidateInit = {
      candidate: text,
      sdpMid: this.bearer,
      sdpMLineIndex: 0,
      usernameFragment: ice.local.ufrag,
    };
    this.tell('icecandidate', { candidate: { ...init, toJSON: () => init } });
  }

  private heedGathering(state: 'new' | 'gathering' | 'complete'): void {
    if (state === this.iceGatheringState) return;
    this.iceGatheringState = state;
    this.tell('icegatheringstatechange');
  }

  private heed({ ice, dtlsState }: MediaTransport): void {
    if (this.signalingState === 'closed') return;
    if (dtlsState === 'connected') this.session?.start();
    const { iceConnectionState, connectionState } = this;
    const state = connectionStateOf(ice.state, dtlsState);
    this.iceConnectionState = ice.state;
    this.connectionState = state;
    this.heedGathering(ice.gatheringState);
    if (ice.state !== iceConnectionState) this.tell('iceconnectionstatechange');
    if (state !== connectionState) this.tell('connectionstatechange');
  }

  private enter(state: SignalingState): void {
    if (this.signalingState === state || this.signalingState === 'closed') return;
    this.signalingState = state;
    this.tell('signalingstatechange');
  }

  /** Dispatches an event, unless whoever heard of another has closed the connection. */
  private tell(type: string, fields?: object): void {
    if (this.signalingState !== 'closed') this.dispatchEvent(new ConnectionEvent(type, fields));
  }
}

function settle(descriptions: Descriptions, description: Description | null): void {
  descriptions.current = description;
  descriptions.pending = null;
}

/** What cannot be read is left out. */
function addCandidate({ ice }: MediaTransport, text: string): void {
  const candidate = parseCandidate(text);
  if (candidate !== undefined) ice.addRemoteCandidate(candidate);
}

/** Why a description asks for what this cannot do but others can; `undefined` if it does not. */
function unfitness({ bundle, media }: SessionDescription): string | undefined {
  const live = media.filter(
    ({ kind, isRejected, direction }) => kind === 'audio' && !isRejected && direction !== 'inactive',
  );
  if (live.length > 1 && live.some(({ mid }) => !bundle.includes(mid))) {
    return 'The description has audio outside its bundle';
  }
  if (live.some((section) => codecsOf(section).opus === undefined)) {
    return 'The description has audio that is not Opus';
  }
  return undefined;
}

/** W3C WebRTC section 4.3.3. */
function connectionStateOf(ice: IceState, dtls: MediaTransport['dtlsState']): ConnectionState {
  if (dtls === 'failed' || ice === 'failed') return 'failed';
  if (ice === 'disconnected') return 'disconnected';
  const isUp = dtls === 'connected' || dtls === 'closed';
  if (isUp && (ice === 'connected' || ice === 'completed')) return 'connected';
  return ice === 'new' ? 'new' : 'connecting';
}
