import { randomBytes } from 'node:crypto';
import { SfuEvents, SfuModels } from '@stream-io/video-client';
import type { WebSocket } from 'ws';
import type { StreamApp } from './app.js';
import type { SessionParticipant } from './call-state.js';
import { Impairment } from './impairment.js';
import { Network } from './network.js';
import type { Peer } from './peer.js';
import { SfuCall } from './sfu-call.js';
import { SfuParticipant, type SfuShared } from './sfu-participant.js';
import { signToken, verifyToken } from './token.js';

const { SfuEvent, SfuRequest } = SfuEvents;
const { CallEndedReason, ErrorCode, WebsocketReconnectStrategy: Strategy } = SfuModels;

/** An error as the SFU reports it, with what the client shall do about it. */
export interface SfuFailure {
  readonly code: SfuModels.ErrorCode;
  readonly strategy: SfuModels.WebsocketReconnectStrategy;
  readonly message?: string;
  readonly shouldRetry?: boolean;
}

/** A relay, as Stream names one to its clients. */
export interface IceServer {
  readonly urls: readonly string[];
  readonly username: string;
  readonly password: string;
}

const EDGES = ['sfu-double-a', 'sfu-double-b', 'sfu-double-c', 'sfu-double-d'];
const TOKEN_SECONDS = 24 * 3600;
/** Longest wait for the first packet on the new SFU before a migration counts as complete. */
const MIGRATION_MS = 2_000;
/** Time for a client to leave by itself after it was asked to. */
const LINGER_MS = 1_000;

/** Opus is all that is published here. */
const PUBLISH_OPTIONS = [SfuModels.TrackType.AUDIO, SfuModels.TrackType.SCREEN_SHARE_AUDIO].map(
  (trackType, i) =>
    SfuModels.PublishOption.create({
      trackType,
      id: i + 1,
      codec: { payloadType: 111, name: 'opus', clockRate: 48_000, encodingParameters: '2', fmtp: '' },
      bitrate: 64_000,
    }),
);

/** Stream's media servers, which forward audio and report participants. All edges are this one. */
export class Sfu {
  readonly calls = new Map<string, SfuCall>();
  readonly peers = new Set<Peer>();
  readonly counter = { forwarded: 0 };
  readonly impairment = new Impairment();
  readonly network = new Network();
  onJoined: (cid: string, participant: SessionParticipant) => void = () => {};
  onLeft: (cid: string, participant: SessionParticipant) => void = () => {};
  /** How many joins shall still be refused because the SFU is full. */
  fullFor = 0;
  /** Relays that clients may use, besides its own address. */
  iceServers: readonly IceServer[] = [];
  /** Origin by which clients reach this. */
  origin = '';
  private readonly secret = randomBytes(32).toString('hex');
  private readonly sockets = new Set<WebSocket>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly graces = new Map<SfuParticipant, NodeJS.Timeout>();

  constructor(
    private readonly app: StreamApp,
    /** How long a client may resume its session after its socket broke. */
    private readonly fastReconnectSeconds: number,
  ) {}

  get socketCount(): number {
    return this.sockets.size;
  }

  /** With what a client reaches an edge; not one that it comes from. */
  credentials(cid: string, userId: string, avoided: readonly string[]) {
    const edge = EDGES.find((name) => !avoided.includes(name)) ?? (EDGES[0] as string);
    const iat = Math.floor(Date.now() / 1000);
    const token = signToken({ user_id: userId, cid, iat, exp: iat + TOKEN_SECONDS }, this.secret);
    const url = `${this.origin}/sfu/${edge}`;
    return {
      ice_servers: this.iceServers,
      server: { edge_name: edge, url, ws_endpoint: `${url.replace(/^http/, 'ws')}/ws` },
      token,
    };
  }

  /** Whether a request of the signalling API comes from somebody with credentials. */
  admits(token: string): boolean {
    try {
      verifyToken(token, this.secret);
      return true;
    } catch {
      return false;
    }
  }

  find(edge: string, sessionId: string): SfuParticipant | undefined {
    for (const { participants } of this.calls.values()) {
      for (const one of participants) if (one.edge === edge && one.sessionId === sessionId) return one;
    }
    return undefined;
  }

  /** All sessions of a user, in all calls. */
  sessionsOf(userId: string): SfuParticipant[] {
    return [...this.calls.values()].flatMap((call) => call.find(userId));
  }

  accept(socket: WebSocket, edge: string, cid: string): void {
    this.sockets.add(socket);
    let me: SfuParticipant | undefined;
    socket.on('error', () => {});
    socket.on('message', (data: Buffer) => {
      const { requestPayload: request } = SfuRequest.fromBinary(new Uint8Array(data));
      if (request.oneofKind === 'joinRequest') {
        me = this.join(socket, edge, cid, request.joinRequest);
      } else if (request.oneofKind === 'healthCheckRequest') {
        const participantCount = this.calls.get(cid)?.count();
        const healthCheckResponse = SfuEvents.HealthCheckResponse.create(
          participantCount === undefined ? {} : { participantCount },
        );
        me?.send({ oneofKind: 'healthCheckResponse', healthCheckResponse });
      } else if (request.oneofKind === 'leaveCallRequest' && me !== undefined) {
        this.leave(cid, me);
      }
    });
    socket.on('close', (code) => {
      this.sockets.delete(socket);
      // A replaced socket says nothing about the participant.
      if (me === undefined || me.socket !== socket) return;
      if (code === 1000) this.leave(cid, me);
      else this.waitFor(cid, me);
    });
  }

  /** Ends a call for everybody in it. */
  end(cid: string): void {
    const call = this.calls.get(cid);
    call?.tell({ oneofKind: 'callEnded', callEnded: { reason: CallEndedReason.ENDED } });
    for (const participant of call?.participants ?? []) this.expel(cid, participant);
  }

  kick(cid: string, userId: string): void {
    for (const participant of this.calls.get(cid)?.find(userId) ?? []) {
      participant.send({ oneofKind: 'callEnded', callEnded: { reason: CallEndedReason.KICKED } });
      this.expel(cid, participant);
    }
  }

  mute(cid: string, isMeant: (userId: string) => boolean): void {
    for (const participant of this.calls.get(cid)?.participants ?? []) {
      if (!isMeant(participant.userId)) continue;
      participant.setMuted(SfuModels.TrackType.AUDIO, true, SfuModels.TrackUnpublishReason.MODERATION);
    }
  }

  async close(): Promise<void> {
    for (const timer of [...this.timers, ...this.graces.values()]) clearTimeout(timer);
    this.impairment.close();
    for (const socket of this.sockets) socket.terminate();
    const participants = [...this.calls.values()].flatMap((call) => [...call.participants]);
    await Promise.all(participants.map((participant) => participant.close()));
    await Promise.all([...this.peers].map((peer) => peer.close()));
    this.calls.clear();
  }

  private join(
    socket: WebSocket,
    edge: string,
    cid: string,
    request: SfuEvents.JoinRequest,
  ): SfuParticipant | undefined {
    const { reconnectDetails, sessionId } = request;
    let userId: string;
    try {
      const claims = verifyToken(request.token, this.secret);
      if (claims.cid !== cid) throw new Error('the token is for another call');
      userId = claims.user_id as string;
    } catch (error) {
      const code = ErrorCode.UNAUTHENTICATED;
      refuse(socket, { code, strategy: Strategy.DISCONNECT, message: String(error) });
      return undefined;
    }
    if (this.app.calls.get(cid)?.endedAt !== undefined || !this.app.calls.has(cid)) {
      refuse(socket, {
        code: ErrorCode.CALL_NOT_FOUND,
        strategy: Strategy.DISCONNECT,
        message: 'call not found',
      });
      return undefined;
    }
    if (this.fullFor > 0) {
      this.fullFor -= 1;
      refuse(socket, {
        code: ErrorCode.SFU_FULL,
        strategy: Strategy.MIGRATE,
        message: 'sfu is full',
        shouldRetry: true,
      });
      return undefined;
    }
    const known = this.find(edge, sessionId);
    if (request.fastReconnect) {
      if (known === undefined || known.isGhost) {
        refuse(socket, {
          code: ErrorCode.PARTICIPANT_NOT_FOUND,
          strategy: Strategy.REJOIN,
          message: 'participant not found',
        });
        return undefined;
      }
      return this.resume(cid, known, socket);
    }
    const { strategy, previousSessionId } = reconnectDetails ?? {};
    const isMigrating = strategy === Strategy.MIGRATE;
    const previous = [...this.callOf(cid).participants].find((one) =>
      isMigrating ? one.sessionId === sessionId : one.sessionId === previousSessionId,
    );
    if (previous !== undefined && !isMigrating) this.leave(cid, previous);
    const call = this.callOf(cid);
    const participant = this.admit(call, userId, sessionId, edge, socket);
    this.welcome(call, participant, false);
    call.hearAll(participant);
    if (previous !== undefined && isMigrating) this.migrate(call, previous, participant);
    return participant;
  }

  private callOf(cid: string): SfuCall {
    let call = this.calls.get(cid);
    if (call === undefined) {
      call = new SfuCall(cid);
      this.calls.set(cid, call);
    }
    return call;
  }

  private admit(
    call: SfuCall,
    userId: string,
    sessionId: string,
    edge: string,
    socket: WebSocket,
  ): SfuParticipant {
    const { peers, counter, impairment, network } = this;
    const shared: SfuShared = { peers, counter, impairment, network };
    const name = this.app.users.find(userId)?.name ?? userId;
    const participant: SfuParticipant = new SfuParticipant(userId, sessionId, edge, name, socket, shared, {
      published: (track) => call.published(participant, track),
      announced: (track, isOn, cause) => call.announced(participant, track, isOn, cause),
      wanted: () => call.follow(participant),
    });
    call.join(participant);
    this.onJoined(call.cid, participant);
    return participant;
  }

  private welcome(call: SfuCall, participant: SfuParticipant, reconnected: boolean): void {
    participant.send({
      oneofKind: 'joinResponse',
      joinResponse: {
        callState: call.toProto(),
        reconnected,
        fastReconnectDeadlineSeconds: this.fastReconnectSeconds,
        publishOptions: PUBLISH_OPTIONS,
      },
    });
    participant.joined();
  }

  /** The same client on another socket, with the connections it had. */
  private resume(cid: string, participant: SfuParticipant, socket: WebSocket): SfuParticipant {
    clearTimeout(this.graces.get(participant));
    this.graces.delete(participant);
    participant.socket = socket;
    this.welcome(this.callOf(cid), participant, true);
    participant.subscriber.resume();
    return participant;
  }

  /** The old socket is notified when the new SFU has taken over; the session stays the same for the others. */
  private migrate(call: SfuCall, previous: SfuParticipant, next: SfuParticipant): void {
    const complete = () => {
      clearTimeout(timer);
      this.timers.delete(timer);
      next.publisher.onFirstPacket = undefined;
      call.forget(previous);
      previous.send({ oneofKind: 'participantMigrationComplete', participantMigrationComplete: {} });
      this.later(() => void previous.close());
    };
    const timer = setTimeout(complete, MIGRATION_MS);
    this.timers.add(timer);
    next.publisher.onFirstPacket = complete;
  }

  /** The socket broke: the client may reconnect. */
  private waitFor(cid: string, participant: SfuParticipant): void {
    if (!this.calls.get(cid)?.participants.has(participant)) return;
    const timer = setTimeout(() => this.leave(cid, participant), (this.fastReconnectSeconds + 2) * 1000);
    this.graces.set(participant, timer);
  }

  private leave(cid: string, participant: SfuParticipant): void {
    clearTimeout(this.graces.get(participant));
    this.graces.delete(participant);
    const call = this.calls.get(cid);
    if (call === undefined || !call.participants.has(participant)) return;
    void participant.close();
    if (participant.isGhost) return;
    call.leave(participant);
    this.onLeft(cid, participant);
    if (call.participants.size === 0) this.calls.delete(cid);
  }

  /** A client that was asked to leave has a moment to do so. */
  private expel(cid: string, participant: SfuParticipant): void {
    participant.isGhost = false;
    const { socket } = participant;
    this.leave(cid, participant);
    this.later(() => socket.close(1000));
  }

  private later(work: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      work();
    }, LINGER_MS);
    this.timers.add(timer);
  }
}

/** An `error` event, the only answer to a join that is refused. */
export function failureEvent({ code, strategy, message = '', shouldRetry = false }: SfuFailure) {
  return {
    oneofKind: 'error' as const,
    error: { error: { code, message, shouldRetry }, reconnectStrategy: strategy },
  };
}

function refuse(socket: WebSocket, failure: SfuFailure): void {
  socket.send(SfuEvent.toBinary({ eventPayload: failureEvent(failure) }));
}
