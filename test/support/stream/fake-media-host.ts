import type { MediaHost } from '../../../src/bridge/stream/media-host.js';
import type {
  Departure,
  MutedBy,
  ParticipantListener,
  ParticipantRequest,
  PlacedParticipant,
} from '../../../src/bridge/stream/participant.js';
import type { Clock, Timer } from '../../../src/clock.js';
import { FRAME_SAMPLES } from '../../../src/media/frame.js';
import { ingressNow } from '../../../src/telemetry/ingress-time.js';
import type { StreamApp } from './app.js';
import type { CallState } from './call-state.js';
import type { CoordinatorEvent, MediaServers } from './coordinator-sockets.js';
import { FakeAgent } from './fake-agent.js';
import { Recording } from './recording.js';
import { verifyToken } from './token.js';

const FRAME_MS = 20;

/** What becomes of a participant that joins: it is in, it hears nothing for ever, or it is not in for a reason. */
export type Fate = 'joins' | 'waits' | Departure;

/**
 * Media workers and Stream's media servers in one, without WebRTC and in the time of the test: phones of a bridge and agents
 * meet in the calls of an app. Who may join, who is there, events and frames are as of the real ones.
 */
export class FakeMediaHost implements MediaHost, MediaServers {
  /** Every participant that was placed, in order. */
  readonly placed: FakeParticipant[] = [];
  readonly agents: FakeAgent[] = [];
  /** The result of the next joins, and how long they take. */
  fate: Fate = 'joins';
  joinMs = 100;
  /** The same for the preparation, which is invisible in the call. */
  readiness: Fate = 'joins';
  readyMs = 50;
  isOpen = false;
  onJoined: MediaServers['onJoined'] = () => {};
  onLeft: MediaServers['onLeft'] = () => {};
  private readonly frame = new Int16Array(FRAME_SAMPLES);
  private timer: Timer | undefined;

  constructor(
    readonly app: StreamApp,
    readonly clock: Clock,
  ) {}

  async open(): Promise<void> {
    this.isOpen = true;
  }

  place(request: ParticipantRequest, listener: ParticipantListener): FakeParticipant {
    const participant = new FakeParticipant(this, request, listener);
    this.placed.push(participant);
    void participant.prepare();
    return participant;
  }

  async close(): Promise<void> {
    this.isOpen = false;
    await Promise.all(this.placed.map((participant) => participant.leave()));
    this.clock.cancel(this.timer);
  }

  /** Somebody with an app of their own joins a call, which is made if there is none. */
  join(cid: string, userId: string): FakeAgent {
    this.app.users.upsert({ id: userId, name: userId });
    const [type = '', id = ''] = cid.split(':');
    if (!this.app.calls.has(cid)) this.app.create(type, id, userId);
    const agent = new FakeAgent(this, cid, userId);
    this.agents.push(agent);
    this.timer ??= this.clock.every(FRAME_MS, () => this.tick());
    this.count(cid);
    return agent;
  }

  /** Phones that are in a call. */
  phonesIn(cid: string): FakeParticipant[] {
    return this.placed.filter((participant) => participant.isIn && participant.cid === cid);
  }

  agentsIn(cid: string): FakeAgent[] {
    return this.agents.filter((agent) => agent.isIn && agent.cid === cid);
  }

  /** Who is in a call, by user. */
  userIds(cid = 'default:room'): string[] {
    return [...this.phonesIn(cid), ...this.agentsIn(cid)].map(({ userId }) => userId).sort();
  }

  /** Reports the number of others to everybody. */
  count(cid: string): void {
    const others = this.userIds(cid);
    for (const { userId, listener } of this.phonesIn(cid)) {
      listener.others(others.filter((id) => id !== userId).length);
    }
  }

  /** An event of the coordinator's reaches those in the call, as it does over the wire. */
  told(cid: string, event: CoordinatorEvent): void {
    if (event.type !== 'custom') return;
    const { custom, user } = JSON.parse(JSON.stringify(event)) as {
      custom: Record<string, unknown>;
      user: { id: string };
    };
    for (const agent of this.agentsIn(cid)) agent.events.push({ userId: user.id, custom });
    const role = this.app.users.find(user.id)?.role ?? 'user';
    for (const { listener } of this.phonesIn(cid)) listener.event(custom, user.id, role);
  }

  end(cid: string): void {
    for (const agent of this.agentsIn(cid)) agent.leave();
    for (const participant of this.phonesIn(cid)) participant.depart('ended', 'the call was ended');
  }

  kick(cid: string, userId: string): void {
    for (const participant of this.phonesIn(cid)) {
      if (participant.userId === userId) participant.depart('ended', 'the phone was removed');
    }
  }

  mute(cid: string, isMeant: (userId: string) => boolean): void {
    for (const participant of this.phonesIn(cid)) {
      if (isMeant(participant.userId)) participant.turn(true, 'moderator');
    }
  }

  credentials(): never {
    throw new Error('Expected nobody to ask for a media server');
  }

  /** 20 ms: everybody in a call hears all agents in it. */
  private tick(): void {
    for (const agent of this.agents) agent.speak();
    for (const participant of this.placed) {
      if (!participant.isIn) continue;
      const agents = this.agentsIn(participant.cid);
      if (agents.length === 0) continue;
      for (let i = 0; i < FRAME_SAMPLES; i++) {
        this.frame[i] = agents.reduce((sum, { frame }) => sum + (frame[i] as number), 0);
      }
      participant.listener.write(this.frame, ingressNow(this.clock));
    }
  }
}

/** A phone in a call, as its bridge placed it. */
export class FakeParticipant implements PlacedParticipant {
  readonly cid: string;
  readonly userId: string;
  /** What the phone said in the call: silence while it is muted. */
  readonly recording: Recording;
  frames = 0;
  readonly placedAt: number;
  /** Told of each frame; the samples are only lent. */
  onFrame: ((frame: Int16Array) => void) | undefined;
  /** What the bridge asked for, in order. */
  readonly tones: string[] = [];
  readonly mutes: boolean[] = [];
  isIn = false;
  private isOver = false;
  private isDue = false;
  isReady = false;
  private isMuted = false;
  private isSilenced = false;
  private maySpeak = true;
  private readonly silence = new Int16Array(FRAME_SAMPLES);

  constructor(
    private readonly host: FakeMediaHost,
    readonly request: ParticipantRequest,
    readonly listener: ParticipantListener,
  ) {
    this.cid = `${request.callType}:${request.callId}`;
    this.userId = request.userId;
    this.placedAt = host.clock.now();
    this.recording = new Recording(host.clock);
  }

  async prepare(): Promise<void> {
    const { app, clock, readiness, readyMs } = this.host;
    await clock.sleep(readyMs);
    if (this.isOver || readiness === 'waits') return;
    if (readiness !== 'joins') {
      this.depart(readiness, 'planned');
      return;
    }
    // By this the client makes its user known.
    const { userId: id, userName: name } = this.request;
    app.users.upsert({ id, name });
    this.isReady = true;
    if (this.isDue) void this.join();
    else this.listener.prepared();
  }

  appear(): void {
    if (this.isDue) return;
    this.isDue = true;
    if (this.isReady) void this.join();
  }

  private async join(): Promise<void> {
    const { app, clock } = this.host;
    await clock.sleep(this.host.joinMs);
    const claims = verifyToken(await this.listener.token(), app.apiSecret, clock.date().getTime() / 1000);
    const call = app.calls.get(this.cid);
    const { fate } = this.host;
    if (this.isOver || fate === 'waits') return;
    if (fate !== 'joins') this.depart(fate, 'planned');
    else if (call?.endedAt !== undefined) this.depart('ended', 'the call was ended');
    else if (claims.user_id !== this.userId || !isOpenTo(call, this.userId))
      this.depart('refused', 'not allowed');
    else this.enter();
  }

  write(frame: Int16Array): void {
    if (!this.isIn) return;
    this.frames += 1;
    const said = this.isMuted ? this.silence : frame;
    this.recording.write(said);
    this.onFrame?.(said);
  }

  playTones(digits: string): void {
    this.tones.push(digits);
  }

  mute(isMuted: boolean): void {
    this.mutes.push(isMuted);
    this.isSilenced = isMuted;
    this.turn(isMuted, 'leg');
  }

  /** Turns its microphone off or on, and tells the leg by whom. */
  turn(isMuted: boolean, by: MutedBy, userId?: string): void {
    if (by === 'permission') {
      this.maySpeak = !isMuted;
      this.listener.muted(isMuted, by);
    }
    const wasMuted = this.isMuted;
    this.isMuted = !this.maySpeak || (by === 'permission' ? this.isSilenced : isMuted);
    if (by !== 'permission' && this.isMuted !== wasMuted) this.listener.muted(isMuted, by, userId);
  }

  async leave(): Promise<void> {
    if (this.isOver) return;
    this.isOver = true;
    if (!this.isIn) return;
    this.isIn = false;
    this.host.count(this.cid);
  }

  /** It is out of its call, not by the bridge's own wish. */
  depart(departure: Departure, reason = 'planned'): void {
    if (this.isOver) return;
    void this.leave();
    this.listener.departed(departure, reason);
  }

  private enter(): void {
    this.isIn = true;
    this.host.count(this.cid);
    this.listener.joined();
  }
}

function isOpenTo(call: CallState | undefined, userId: string): boolean {
  return call !== undefined && !call.blockedUserIds.has(userId);
}
