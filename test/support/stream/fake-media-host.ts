import { loudnessOf, packLoudness } from '../../../src/bridge/stream/loudness.js';
import type { MediaHost } from '../../../src/bridge/stream/media-host.js';
import {
  type Departure,
  LISTENER_PREFIX,
  type MutedBy,
  type ParticipantListener,
  type ParticipantRequest,
  type PlacedParticipant,
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
const SILENCE = new Int16Array(FRAME_SAMPLES);

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
  /** How long audio of one participant takes to another; as long as it is undefined they hear agents only. */
  transitMs: number | undefined;
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
    if (this.transitMs !== undefined) this.startTicking();
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
    this.startTicking();
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
    const others = this.userIds(cid).filter((id) => !id.startsWith(LISTENER_PREFIX));
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

  private startTicking(): void {
    this.timer ??= this.clock.every(FRAME_MS, () => this.tick());
  }

  /** 20 ms: everybody in a call hears all agents in it, and the other participants. */
  private tick(): void {
    const present = this.placed.filter(({ isIn }) => isIn);
    for (const agent of this.agents) agent.speak();
    for (const participant of present) participant.speak(this.clock.now() - (this.transitMs ?? 0));
    for (const participant of present) {
      const others = present.filter((other) => participant.hears(other));
      const voices = [...this.agentsIn(participant.cid), ...(this.transitMs === undefined ? [] : others)];
      if (voices.length === 0) continue;
      const heard = voices.filter(({ userId }) => !participant.isHushed(userId));
      for (let i = 0; i < FRAME_SAMPLES; i++) {
        this.frame[i] = heard.reduce((sum, { frame }) => sum + (frame[i] as number), 0);
      }
      const [program] = voices.filter(({ userId }) => participant.programs.includes(userId));
      participant.listener.write(this.frame, ingressNow(this.clock), program ? packed(program.frame) : 0);
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
  clears = 0;
  programs: readonly string[] = [];
  /** The 20 ms of it that arrive at the others. */
  frame: Int16Array = SILENCE;
  private said: { readonly frame: Int16Array; readonly at: number }[] = [];
  private hushed: { readonly userId: string; readonly until: number } | undefined;
  isIn = false;
  private isOver = false;
  private isDue = false;
  isReady = false;
  private isMuted = false;
  private isSilenced = false;
  private maySpeak = true;

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
    const said = this.isMuted ? SILENCE : frame;
    this.recording.write(said);
    if (this.host.transitMs !== undefined) this.said.push({ frame: said.slice(), at: this.host.clock.now() });
    this.onFrame?.(said);
  }

  /** Another 20 ms have passed: what it said before `until` arrives. */
  speak(until: number): void {
    const isDue = this.said[0] !== undefined && this.said[0].at <= until;
    this.frame = isDue ? (this.said.shift()?.frame ?? SILENCE) : SILENCE;
  }

  hears(other: FakeParticipant): boolean {
    return other !== this && other.cid === this.cid && !other.request.onlyListens;
  }

  clear(): void {
    this.clears += 1;
  }

  followPrograms(userIds: readonly string[]): void {
    this.programs = userIds;
  }

  hush(userId: string, ms: number): void {
    this.hushed = { userId, until: this.host.clock.now() + ms };
  }

  isHushed(userId: string): boolean {
    return this.hushed?.userId === userId && this.host.clock.now() < this.hushed.until;
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

function packed(frame: Int16Array): number {
  const half = FRAME_SAMPLES / 2;
  return packLoudness(loudnessOf(frame.subarray(0, half)), loudnessOf(frame.subarray(half)));
}

function isOpenTo(call: CallState | undefined, userId: string): boolean {
  return call !== undefined && !call.blockedUserIds.has(userId);
}
