import { randomBytes, randomUUID } from 'node:crypto';
import { type Clock, systemClock, type Timer } from '../clock.js';
import { AudioReceiver } from './audio-receiver.js';
import { AudioSender } from './audio-sender.js';
import type { IceState } from './ice/ice-agent.js';
import { formatCandidate, type IceCandidate, parseCandidate } from './ice/ice-candidate.js';
import type { IceServer } from './ice/ice-server.js';
import { MediaStream, type MediaTrack } from './media-track.js';
import { MediaTransport, SRTP_ROOM } from './media-transport.js';
import { type Certificate, loadRtcNative, type RtcNative } from './native.js';
import { appendGoodbye, appendNack, ntpMiddle, type ReportBlock, readRtcp, writeReport } from './rtcp.js';
import { RtpHeader } from './rtp.js';
import {
  AUDIO_LEVEL,
  type Codec,
  type Direction,
  type MediaSection,
  MID,
  type OwnSection,
  readDescription,
  type SessionDescription,
  writeDescription,
} from './session-description.js';
import { statisticsOf } from './statistics.js';

/** `type` is `offer`, `answer` or `rollback`. */
export interface Description {
  readonly type: string;
  readonly sdp?: string | undefined;
}

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

const PROTOCOL = 'UDP/TLS/RTP/SAVPF';
/** How an Opus of ours is offered; RED (RFC 2198) may carry it. */
const OPUS: Codec = {
  payloadType: 111,
  name: 'opus',
  clockRate: 48_000,
  channels: 2,
  parameters: 'minptime=10;useinbandfec=1',
  feedback: ['nack'],
};
const RED: Codec = {
  payloadType: 63,
  name: 'red',
  clockRate: 48_000,
  channels: 2,
  parameters: '111/111',
  feedback: [],
};
/** Named where a description must show an m-line of video: none is ever sent or decoded. */
const VP8: Codec = {
  payloadType: 96,
  name: 'vp8',
  clockRate: 90_000,
  channels: 1,
  parameters: '',
  feedback: [],
};
/** Reports are sent so often. */
const REPORT_MS = 1_000;
/** Most candidates that wait for their description, and SSRCs that are known. */
const MAX_EARLY = 40;
const MAX_SSRCS = 256;

let certificate: Certificate | undefined;

/** An m-line of ours: the browser's `RTCRtpTransceiver` for audio. */
export class Transceiver {
  mid: string | null = null;
  direction: Direction;
  currentDirection: Direction | null = null;
  stopped = false;
  /** Whether it has no m-line for audio: it shows one, and neither sends nor hears. */
  readonly isMute: boolean;
  /** @internal The other side's m-section as of the latest description. */
  remote: MediaSection | undefined;
  /** @internal */
  streamId: string | undefined;

  constructor(
    readonly kind: string,
    readonly sender: AudioSender,
    readonly receiver: AudioReceiver,
    direction: Direction,
  ) {
    this.direction = direction;
    this.isMute = kind !== 'audio';
  }

  stop(): void {
    this.stopped = true;
    this.direction = 'inactive';
  }

  setCodecPreferences(): void {}
}

/** An event that carries what the browser's does. */
class ConnectionEvent extends Event {
  constructor(type: string, fields: object = {}) {
    super(type);
    Object.assign(this, fields);
  }
}

/**
 * The browser's `RTCPeerConnection` for audio, as far as the Stream client needs it: Opus, one bundle, RTP and RTCP on one
 * transport. m-lines of video are answered as inactive.
 */
export class PeerConnection extends EventTarget {
  /** Told of a description that asks for what this cannot do, before it is refused. */
  static onUnfit: ((reason: string) => void) | undefined;
  signalingState: 'stable' | 'have-local-offer' | 'have-remote-offer' | 'closed' = 'stable';
  iceConnectionState: IceState = 'new';
  iceGatheringState: 'new' | 'gathering' | 'complete' = 'new';
  connectionState: ConnectionState = 'new';
  private readonly native: RtcNative;
  private readonly clock: Clock;
  private transceivers: Transceiver[] = [];
  private transport: MediaTransport | undefined;
  private readonly session = {
    id: String(randomBytes(6).readUIntBE(0, 6)),
    version: 1,
    cname: randomUUID().slice(0, 16),
  };
  private local: { pending: Description | null; current: Description | null } = {
    pending: null,
    current: null,
  };
  private remoteDescriptions: { pending: Description | null; current: Description | null } = {
    pending: null,
    current: null,
  };
  private offered: SessionDescription | undefined;
  private remoteUfrag: string | undefined;
  private readonly ownCandidates: string[] = [];
  private early: CandidateInit[] = [];
  private bundle: readonly string[] = [];
  private readonly bySsrc = new Map<number, AudioReceiver>();
  private midId = -1;
  private readonly header = new RtpHeader();
  private reports: Timer | undefined;
  private readonly control = Buffer.alloc(2_048 + SRTP_ROOM);
  private nextMid = 0;

  constructor(
    private readonly configuration: Configuration = {},
    clock: Clock = systemClock,
    native = loadRtcNative(),
  ) {
    super();
    this.clock = clock;
    this.native = native;
  }

  get localDescription(): Description | null {
    return this.local.pending ?? this.local.current;
  }

  get currentLocalDescription(): Description | null {
    return this.local.current;
  }

  get pendingLocalDescription(): Description | null {
    return this.local.pending;
  }

  get remoteDescription(): Description | null {
    return this.remoteDescriptions.pending ?? this.remoteDescriptions.current;
  }

  get currentRemoteDescription(): Description | null {
    return this.remoteDescriptions.current;
  }

  get pendingRemoteDescription(): Description | null {
    return this.remoteDescriptions.pending;
  }

  getConfiguration(): Configuration {
    return this.configuration;
  }

  getTransceivers(): Transceiver[] {
    return [...this.transceivers];
  }

  getSenders(): AudioSender[] {
    return this.transceivers.map(({ sender }) => sender);
  }

  getReceivers(): AudioReceiver[] {
    return this.transceivers.map(({ receiver }) => receiver);
  }

  addTransceiver(
    trackOrKind: MediaTrack | string,
    init: { direction?: Direction; streams?: MediaStream[]; sendEncodings?: { maxBitrate?: number }[] } = {},
  ): Transceiver {
    this.checkOpen();
    const isTrack = typeof trackOrKind !== 'string';
    const transceiver = this.makeTransceiver(
      isTrack ? 'audio' : trackOrKind,
      init.direction ?? 'sendrecv',
      init.sendEncodings,
    );
    transceiver.streamId = init.streams?.[0]?.id;
    if (isTrack) transceiver.sender.setTrack(trackOrKind);
    return transceiver;
  }

  async createOffer(options: { iceRestart?: boolean } = {}): Promise<Description> {
    this.checkOpen();
    const transport = this.ensureTransport(true);
    if (options.iceRestart === true && this.remoteUfrag !== undefined) this.restartIce(transport);
    const media = this.transceivers.map((transceiver) => this.offerOf(transceiver));
    return { type: 'offer', sdp: this.write(transport, 'actpass', media) };
  }

  async createAnswer(): Promise<Description> {
    this.checkOpen();
    const offer = this.offered;
    if (offer === undefined || this.signalingState !== 'have-remote-offer')
      throw new Error('There is no offer to answer');
    const transport = this.ensureTransport(false);
    const media = offer.media.map((section) => this.answerOf(section));
    return { type: 'answer', sdp: this.write(transport, transport.setup ?? 'active', media) };
  }

  async setLocalDescription(description?: Description): Promise<void> {
    this.checkOpen();
    const { type, sdp = '' } = description ?? (await this.makeDescription());
    if (type === 'rollback') {
      if (this.signalingState !== 'have-local-offer')
        throw new Error('There is no offer of ours to take back');
      for (const transceiver of this.transceivers)
        if (transceiver.remote === undefined) transceiver.mid = null;
      this.local.pending = null;
      this.signal('stable');
      return;
    }
    const transport = this.ensureTransport(type === 'offer');
    if (type === 'offer') {
      if (this.signalingState === 'have-remote-offer')
        throw new Error('The offer of the other side is not answered');
      const { media, bundle } = readDescription(sdp);
      this.bundle = bundle;
      for (const [i, transceiver] of this.transceivers.entries()) transceiver.mid ??= media[i]?.mid ?? null;
      this.local.pending = { type, sdp };
      this.signal('have-local-offer');
    } else {
      if (this.offered === undefined) throw new Error('There is no offer to answer');
      this.local = { pending: null, current: { type, sdp } };
      this.remoteDescriptions = { pending: null, current: this.remoteDescriptions.pending };
      this.bundle = this.offered.bundle;
      this.signal('stable');
    }
    transport.ice.gather();
  }

  async setRemoteDescription({ type, sdp = '' }: Description): Promise<void> {
    this.checkOpen();
    if (type === 'rollback') {
      if (this.signalingState !== 'have-remote-offer') throw new Error('There is no offer to take back');
      this.remoteDescriptions.pending = null;
      this.offered = undefined;
      this.signal('stable');
      return;
    }
    const description = readDescription(sdp);
    const reason = unfitness(description);
    if (reason !== undefined) {
      PeerConnection.onUnfit?.(reason);
      throw new Error(reason);
    }
    if (type === 'offer') this.takeOffer(description, { type, sdp });
    else this.takeAnswer(description, { type, sdp });
    this.join(description);
  }

  async addIceCandidate(init?: CandidateInit | null): Promise<void> {
    this.checkOpen();
    const transport = this.transport;
    if (init === null || init === undefined) return;
    if (transport === undefined || this.remoteUfrag === undefined) {
      if (this.early.length < MAX_EARLY) this.early.push(init);
      return;
    }
    const { candidate = '', usernameFragment } = init;
    // Of an earlier generation, or of one whose description is still to come.
    if (usernameFragment && usernameFragment !== this.remoteUfrag) return;
    if (candidate === '') transport.ice.addRemoteCandidate(undefined);
    else this.addCandidate(transport, candidate);
  }

  async getStats(_selector?: unknown): Promise<Map<string, object>> {
    return statisticsOf(this.transport, this.transceivers, this.clock);
  }

  restartIce(transport = this.transport): void {
    if (transport === undefined) return;
    this.ownCandidates.length = 0;
    transport.ice.restart();
  }

  close(): void {
    if (this.signalingState === 'closed') return;
    this.clock.cancel(this.reports);
    this.sayGoodbye();
    for (const { sender, receiver } of this.transceivers) {
      sender.close();
      receiver.close();
    }
    this.bySsrc.clear();
    this.transport?.close();
    this.signalingState = 'closed';
    this.iceConnectionState = 'closed';
    this.connectionState = 'closed';
  }

  private checkOpen(): void {
    if (this.signalingState === 'closed') throw new Error('The connection is closed');
  }

  private makeDescription(): Promise<Description> {
    return this.signalingState === 'have-remote-offer' ? this.createAnswer() : this.createOffer();
  }

  private makeTransceiver(
    kind: string,
    direction: Direction,
    encodings?: readonly { maxBitrate?: number }[],
  ): Transceiver {
    const { native } = this;
    const transceiver = new Transceiver(
      kind,
      new AudioSender(native, encodings),
      new AudioReceiver(native),
      direction,
    );
    this.transceivers.push(transceiver);
    return transceiver;
  }

  private ensureTransport(isControlling: boolean): MediaTransport {
    if (this.transport !== undefined) return this.transport;
    const { native, clock } = this;
    certificate ??= native.makeCertificate();
    this.transport = new MediaTransport(
      {
        servers: this.configuration.iceServers ?? [],
        relayOnly: this.configuration.iceTransportPolicy === 'relay',
        isControlling,
        clock,
        native,
        certificate,
      },
      {
        candidate: (candidate) => this.announce(candidate),
        changed: () => this.heedTransport(),
        rtp: (packet, length) => this.takeRtp(packet, length),
        rtcp: (packet, length) => this.takeRtcp(packet, length),
      },
    );
    return this.transport;
  }

  private write(
    transport: MediaTransport,
    setup: 'actpass' | 'active' | 'passive',
    media: readonly OwnSection[],
  ): string {
    this.session.version += 1;
    const { ufrag, pwd } = transport.ice.local;
    const fingerprint = { algorithm: 'sha-256', value: (certificate as Certificate).fingerprint };
    return writeDescription(
      this.session,
      { ufrag, pwd, setup, fingerprint, candidates: this.ownCandidates },
      media,
    );
  }

  private offerOf(transceiver: Transceiver): OwnSection {
    const { kind, sender, direction, isMute } = transceiver;
    const mid = transceiver.mid ?? this.freeMid();
    const sends = direction === 'sendonly' || direction === 'sendrecv';
    const isOffered = !isMute && sends;
    return {
      kind,
      protocol: PROTOCOL,
      mid,
      direction,
      codecs: isMute ? [VP8] : [OPUS, RED],
      extensions: new Map(
        isMute
          ? []
          : [
              [AUDIO_LEVEL, 1],
              [MID, 2],
            ],
      ),
      ssrcs: isOffered ? [sender.ssrc] : [],
      streamId: isOffered ? (transceiver.streamId ?? '-') : undefined,
      trackId: sender.track?.id ?? mid,
    };
  }

  private freeMid(): string {
    const taken = new Set(this.transceivers.map(({ mid }) => mid));
    while (taken.has(String(this.nextMid))) this.nextMid += 1;
    return String(this.nextMid++);
  }

  private answerOf(section: MediaSection): OwnSection {
    const { opus, red } = codecsOf(section);
    const isHeard = section.kind === 'audio' && opus !== undefined && sendsTo(section);
    const isRejected = section.isRejected || (section.kind !== 'video' && opus === undefined);
    const codecs =
      opus === undefined ? section.codecs.slice(0, 1) : [...(red === undefined ? [] : [red]), opus];
    const first = section.codecs[0]?.name === 'red' ? codecs : [...codecs].reverse();
    return {
      kind: section.kind,
      protocol: section.protocol,
      isRejected,
      mid: section.mid,
      direction: isHeard ? 'recvonly' : 'inactive',
      codecs: first.map((codec) => ({
        ...codec,
        feedback: codec.feedback.filter((each) => each === 'nack'),
      })),
      extensions: new Map([...section.extensions].filter(([uri]) => uri === MID)),
      ssrcs: [],
      streamId: undefined,
    };
  }

  private takeOffer(description: SessionDescription, told: Description): void {
    if (this.signalingState === 'have-local-offer') throw new Error('An offer of ours is not answered');
    this.ensureTransport(false);
    this.offered = description;
    this.remoteDescriptions.pending = told;
    for (const section of description.media) {
      let transceiver = this.transceivers.find(({ mid }) => mid === section.mid);
      if (transceiver === undefined) {
        transceiver = this.makeTransceiver(section.kind, 'recvonly');
        transceiver.mid = section.mid;
      }
      this.hear(transceiver, section);
    }
    this.signal('have-remote-offer');
  }

  /** Takes what the other side sends on an m-line from now on. */
  private hear(transceiver: Transceiver, section: MediaSection): void {
    const { receiver, isMute } = transceiver;
    const before = transceiver.remote;
    const { opus, red } = codecsOf(section);
    transceiver.remote = section;
    const isHeard = !isMute && opus !== undefined && sendsTo(section);
    transceiver.currentDirection = isHeard ? 'recvonly' : 'inactive';
    if (!isHeard) return;
    receiver.opusType = opus.payloadType;
    receiver.redType = red?.payloadType ?? -1;
    receiver.asks = opus.feedback.includes('nack');
    this.midId = section.extensions.get(MID) ?? -1;
    for (const ssrc of section.ssrcs) this.assign(ssrc, receiver);
    if (before !== undefined && sendsTo(before) && before.streamId === section.streamId) return;
    if (before !== undefined) receiver.renew();
    const { track } = receiver;
    const streams = [new MediaStream([track], section.streamId)];
    this.dispatchEvent(new ConnectionEvent('track', { track, streams, receiver, transceiver }));
  }

  private assign(ssrc: number, receiver: AudioReceiver): void {
    if (this.bySsrc.size >= MAX_SSRCS && !this.bySsrc.has(ssrc)) {
      for (const oldest of this.bySsrc.keys()) {
        this.bySsrc.delete(oldest);
        break;
      }
    }
    this.bySsrc.set(ssrc, receiver);
  }

  private takeAnswer(description: SessionDescription, told: Description): void {
    if (this.signalingState !== 'have-local-offer') throw new Error('There is no offer of ours to answer');
    this.local = { pending: null, current: this.local.pending };
    this.remoteDescriptions = { pending: null, current: told };
    for (const section of description.media) {
      const transceiver = this.transceivers.find(({ mid }) => mid === section.mid);
      if (transceiver === undefined || this.transport === undefined) continue;
      transceiver.remote = section;
      const { opus, red, isRedFirst } = codecsOf(section);
      const isTaken =
        !section.isRejected && (section.direction === 'recvonly' || section.direction === 'sendrecv');
      if (!transceiver.isMute && opus !== undefined && isTaken && transceiver.direction.startsWith('send')) {
        transceiver.currentDirection = 'sendonly';
        transceiver.sender.start(this.transport, section, opus, isRedFirst ? red : undefined);
      } else {
        transceiver.currentDirection = 'inactive';
        transceiver.sender.pause();
      }
    }
    this.signal('stable');
  }

  /** Lets ICE and DTLS go to the other side. */
  private join({ transport: remote, media }: SessionDescription): void {
    const { transport } = this;
    if (remote === undefined || transport === undefined) return;
    const isRestart = this.remoteUfrag !== undefined && this.remoteUfrag !== remote.ufrag;
    // The other side's restart is answered by one of ours; an answer to our own is none.
    if (isRestart && this.signalingState === 'have-remote-offer') this.restartIce(transport);
    this.remoteUfrag = remote.ufrag;
    transport.setRemote(remote);
    for (const candidate of media.flatMap(({ candidates }) => candidates))
      this.addCandidate(transport, candidate);
    for (const init of this.early.splice(0)) void this.addIceCandidate(init);
  }

  /** What cannot be read is left out. */
  private addCandidate(transport: MediaTransport, text: string): void {
    const candidate = parseCandidate(text);
    if (candidate !== undefined) transport.ice.addRemoteCandidate(candidate);
  }

  private announce(candidate: IceCandidate | undefined): void {
    const { transport } = this;
    if (transport === undefined) return;
    this.heedGathering();
    if (candidate === undefined) {
      this.dispatchEvent(new ConnectionEvent('icecandidate', { candidate: null }));
      return;
    }
    const text = formatCandidate(candidate);
    this.ownCandidates.push(text);
    const init = {
      candidate: text,
      sdpMid: this.bundle[0] ?? '0',
      sdpMLineIndex: 0,
      usernameFragment: transport.ice.local.ufrag,
    };
    this.dispatchEvent(new ConnectionEvent('icecandidate', { candidate: { ...init, toJSON: () => init } }));
  }

  private heedGathering(): void {
    const state = this.transport?.ice.gatheringState ?? 'new';
    if (state === this.iceGatheringState) return;
    this.iceGatheringState = state;
    this.dispatchEvent(new ConnectionEvent('icegatheringstatechange'));
  }

  private heedTransport(): void {
    const { transport } = this;
    if (transport === undefined || this.signalingState === 'closed') return;
    this.heedGathering();
    const { ice, dtlsState } = transport;
    if (ice.state !== this.iceConnectionState) {
      this.iceConnectionState = ice.state;
      this.dispatchEvent(new ConnectionEvent('iceconnectionstatechange'));
    }
    const state = stateOf(ice.state, dtlsState);
    if (state !== this.connectionState) {
      this.connectionState = state;
      this.dispatchEvent(new ConnectionEvent('connectionstatechange'));
    }
    if (dtlsState === 'connected') this.reports ??= this.clock.every(REPORT_MS, () => this.report());
  }

  private signal(state: 'stable' | 'have-local-offer' | 'have-remote-offer'): void {
    if (this.signalingState === state) return;
    this.signalingState = state;
    this.dispatchEvent(new ConnectionEvent('signalingstatechange'));
  }

  private takeRtp(packet: Uint8Array, length: number): void {
    const { header } = this;
    if (!header.read(packet, length)) return;
    const receiver = this.bySsrc.get(header.ssrc) ?? this.claim(packet, header);
    if (receiver === undefined) return;
    const missing = receiver.take(packet, header, this.clock.now());
    if (missing.length > 0) this.ask(header.ssrc, missing);
  }

  /** Whose a packet of an unknown stream is: by its mid (RFC 8843 section 9.2), or the only one there is. */
  private claim(packet: Uint8Array, header: RtpHeader): AudioReceiver | undefined {
    const mid = this.midId < 0 ? undefined : header.extension(packet, this.midId);
    const heard = this.transceivers.filter(({ currentDirection }) => currentDirection === 'recvonly');
    const found =
      mid === undefined
        ? heard.length === 1
          ? heard[0]
          : undefined
        : heard.find((each) => each.mid === mid);
    if (found !== undefined) this.assign(header.ssrc, found.receiver);
    return found?.receiver;
  }

  private ask(source: number, missing: readonly number[]): void {
    const { control } = this;
    const length = writeReport(control, undefined, this.ownSsrc, [], this.session.cname, this.clock.date());
    this.transport?.sendRtcp(control, appendNack(control, length, this.ownSsrc, source, missing));
  }

  private get ownSsrc(): number {
    return this.transceivers[0]?.sender.ssrc ?? 1;
  }

  private takeRtcp(packet: Uint8Array, length: number): void {
    const nowMs = this.clock.now();
    readRtcp(packet, length, {
      senderReport: (ssrc, middle) => this.bySsrc.get(ssrc)?.heed(middle, nowMs),
      reportBlock: (block) => this.senderOf(block.ssrc)?.heed(block, this.roundTripOf(block)),
      nack: (ssrc, sequence) => this.senderOf(ssrc)?.repeat(sequence),
      goodbye: () => {},
    });
  }

  private senderOf(ssrc: number): AudioSender | undefined {
    return this.transceivers.find(({ sender }) => sender.ssrc === ssrc)?.sender;
  }

  /** RFC 3550 section 6.4.1. */
  private roundTripOf({ lastReport, delay }: ReportBlock): number | undefined {
    if (lastReport === 0) return undefined;
    const seconds = ((ntpMiddle(this.clock.date()) - lastReport - delay) | 0) / 65_536;
    return seconds >= 0 && seconds < 60 ? seconds : undefined;
  }

  private report(): void {
    const { transport, control } = this;
    if (transport === undefined || !transport.isOpen) return;
    const nowMs = this.clock.now();
    const blocks = this.transceivers.flatMap(({ receiver }) => receiver.report(nowMs) ?? []);
    const facts = this.transceivers.flatMap(({ sender }) => sender.facts ?? []);
    const date = this.clock.date();
    const { cname } = this.session;
    if (facts.length === 0 && blocks.length === 0) return;
    if (facts.length === 0)
      transport.sendRtcp(control, writeReport(control, undefined, this.ownSsrc, blocks, cname, date));
    for (const [i, each] of facts.entries()) {
      transport.sendRtcp(control, writeReport(control, each, each.ssrc, i === 0 ? blocks : [], cname, date));
    }
  }

  private sayGoodbye(): void {
    const { transport, control } = this;
    if (transport === undefined || !transport.isOpen) return;
    for (const { sender } of this.transceivers) {
      const { facts } = sender;
      if (facts === undefined) continue;
      const length = writeReport(control, facts, facts.ssrc, [], this.session.cname, this.clock.date());
      transport.sendRtcp(control, appendGoodbye(control, length, facts.ssrc));
    }
  }
}

/** Why a description asks for what this cannot do; `undefined` if it does not. */
function unfitness({ transport, bundle, media }: SessionDescription): string | undefined {
  if (transport === undefined) return 'The description has no ICE parameters';
  if (transport.fingerprints.length === 0) return 'The description has no fingerprint of a certificate';
  const live = media.filter(
    ({ kind, isRejected, direction }) => kind === 'audio' && !isRejected && direction !== 'inactive',
  );
  if (live.length > 1 && live.some(({ mid }) => !bundle.includes(mid)))
    return 'The description has audio outside its bundle';
  if (live.some((section) => codecsOf(section).opus === undefined))
    return 'The description has audio that is not Opus';
  return undefined;
}

function sendsTo({ direction, isRejected }: MediaSection): boolean {
  return !isRejected && (direction === 'sendonly' || direction === 'sendrecv');
}

function codecsOf({ codecs }: MediaSection) {
  const opus = codecs.find(({ name }) => name === 'opus');
  const red = codecs.find(({ name, clockRate }) => name === 'red' && clockRate === 48_000);
  return { opus, red, isRedFirst: red !== undefined && codecs[0] === red };
}

function stateOf(ice: IceState, dtls: MediaTransport['dtlsState']): ConnectionState {
  if (dtls === 'failed' || ice === 'failed') return 'failed';
  if (ice === 'disconnected') return 'disconnected';
  if (dtls === 'connected' && (ice === 'connected' || ice === 'completed')) return 'connected';
  if (ice === 'new') return 'new';
  return 'connecting';
}
