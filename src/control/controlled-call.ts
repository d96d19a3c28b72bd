import type { EndCause } from '../calls/call.js';
import type { PlacedCall } from '../calls/call-service.js';
import type { Admission, PhoneCall } from '../calls/decision.js';
import type { PlaceCallRequest } from '../calls/place-call.js';
import type { Session } from '../calls/session.js';
import type { Switchboard } from '../calls/switchboard.js';
import { GatewayError } from '../errors.js';
import type { FrameClock } from '../media/frame-clock.js';
import type { MarkEcho } from '../phone/marks.js';
import type { Logger } from '../telemetry/log.js';
import { CallAudio, type PlayOptions, type PlayResult, type Voices } from './call-audio.js';
import type { Clip } from './clip.js';
import type { Clips } from './clips.js';
import { holdTone } from './hold-tone.js';
import type { DtmfRequest, PlayStarted, SoundRequest, TransferRequest, Transferred } from './requests.js';
import { callEnded, type Transfers } from './transfers.js';
import type { Uploads } from './uploads.js';

/** Another node continues the call after these. */
export const MOVING_CAUSES: ReadonlySet<EndCause> = new Set(['handed-over', 'moved']);

/** What the controlled calls of a gateway share. */
export interface ControlContext {
  readonly options: {
    readonly switchboard: Switchboard;
    readonly leadMs: number;
    readonly place: (request: PlaceCallRequest) => Promise<PlacedCall>;
    readonly frameClock: FrameClock;
    readonly log: Logger;
  };
  readonly clips: Clips;
  readonly uploads: Uploads;
  readonly transfers: Transfers;
  /** @throws GatewayError if the call is not live */
  requireLive(callId: string): ControlledCall;
  publishMark(call: PhoneCall, echo: MarkEcho): void;
  publishPlayed(call: PhoneCall, result: PlayResult): void;
}

/** A running call and everything that operations can do with it. */
export class ControlledCall {
  private readonly audio: CallAudio;
  /** Requested marks that Twilio has not returned, by name. */
  private readonly marks = new Map<string, number>();
  private readonly plays = new LatestWins();
  private readonly holds = new LatestWins();

  constructor(
    readonly session: Session,
    private readonly context: ControlContext,
  ) {
    const { call, stream } = session;
    const { leadMs, frameClock } = context.options;
    this.audio = new CallAudio(stream, leadMs, (result) => context.publishPlayed(call, result), frameClock);
    stream.on('mark', (echo) => {
      const left = this.marks.get(echo.name);
      if (left === undefined) return;
      if (left === 1) this.marks.delete(echo.name);
      else this.marks.set(echo.name, left - 1);
      context.publishMark(call, echo);
    });
    call.onEnd(() => this.audio.close());
  }

  /** Applies the hold and mute of a decision, which may come from another node. */
  async apply({ hold = false, mute }: Admission): Promise<void> {
    if (mute !== undefined) this.audio.mute(mute);
    if (hold === false) return;
    const ticket = this.holds.issue();
    // Neither side may hear the other while the file is read.
    this.audio.hold(holdTone());
    if (hold === true) return;
    const music = await this.musicOf(hold.file);
    if (this.holds.apply(ticket)) this.audio.hold(music);
  }

  /** A call stays on hold even if this node lacks its music. */
  private async musicOf(file: string): Promise<Clip> {
    try {
      return await this.context.clips.get(file);
    } catch (error) {
      const { callId } = this.session.call;
      this.context.options.log.warn({ callId, err: error }, 'cannot read the music of a call on hold');
      return holdTone();
    }
  }

  clear(): { playedMs: number; discardedMs: number } {
    this.plays.supersede();
    const { playedMs, discardedMs } = this.session.clear();
    return { playedMs: Math.round(playedMs), discardedMs: Math.round(discardedMs) };
  }

  mark(name: string): { name: string } {
    this.session.mark(name);
    this.marks.set(name, (this.marks.get(name) ?? 0) + 1);
    return { name };
  }

  dial({ digits, toneMs, pauseMs }: DtmfRequest): { durationMs: number } {
    try {
      return { durationMs: this.audio.dial(digits, toneMs, pauseMs) };
    } catch (error) {
      if ((error as { code?: string }).code !== 'GW_DTMF_QUEUE_FULL') throw error;
      throw new GatewayError('GW_DTMF_QUEUE_FULL', 'More than 64 keys would wait to be dialled');
    }
  }

  async play(request: SoundRequest): Promise<PlayStarted> {
    const { clips, uploads } = this.context;
    const { file, wav } = request;
    const ticket = this.plays.issue();
    if (wav === undefined) return this.startPlay(ticket, await clips.get(file as string), request);
    const clip = await uploads.read(wav);
    try {
      const started = this.startPlay(ticket, clip, request);
      uploads.play(started.playId, clip);
      return started;
    } catch (error) {
      uploads.drop(clip);
      throw error;
    }
  }

  private startPlay(
    ticket: number,
    clip: Clip,
    { loop = 1, gain = 0, over = false }: SoundRequest,
  ): PlayStarted {
    this.requireLatest('play', this.plays, ticket);
    return this.begin(clip, { loop: loop === 0 ? Number.POSITIVE_INFINITY : loop, gain, over });
  }

  /** Plays a clip now, in place of the current play and of those whose files are still being read. */
  playClip(clip: Clip): PlayStarted {
    this.plays.supersede();
    return this.begin(clip, { loop: 1, gain: 0, over: false });
  }

  private begin(clip: Clip, options: PlayOptions): PlayStarted {
    const { playId, durationMs } = this.audio.start(clip, options);
    return { playId, durationMs: Number.isFinite(durationMs) ? durationMs : null };
  }

  stopPlay(): PlayResult {
    // Also cancels a play whose file is still being read.
    this.plays.supersede();
    const result = this.audio.stop();
    if (result !== undefined) return result;
    throw new GatewayError('GW_PLAY_NONE', `Nothing is playing on call ${this.session.call.callId}`);
  }

  async hold(file: string | undefined): Promise<{ held: boolean }> {
    const ticket = this.holds.issue();
    const music = file === undefined ? holdTone() : await this.context.clips.get(file);
    this.requireLatest('hold', this.holds, ticket);
    this.audio.hold(music);
    this.amendDecision({ hold: file === undefined ? true : { file } });
    return { held: true };
  }

  unhold(): { held: boolean } {
    this.holds.supersede();
    this.audio.unhold();
    this.amendDecision({ hold: undefined });
    return { held: false };
  }

  mute(voice: Voices | undefined): { muted: Voices | null } {
    this.audio.mute(voice);
    this.amendDecision({ mute: voice });
    return { muted: voice ?? null };
  }

  async transfer(request: TransferRequest): Promise<Transferred> {
    const answer = await this.context.transfers.perform(this.session, request);
    if (answer.room !== undefined) this.context.options.switchboard.emit('change', this.session);
    return answer;
  }

  /** Places a call into this call's room, and hangs it up again if this call has left the room by then. */
  async addLeg(request: Omit<PlaceCallRequest, 'room' | 'agent'>): Promise<PlacedCall> {
    const { session } = this;
    const { switchboard, place } = this.context.options;
    const { decision } = session;
    if (decision === undefined || 'refuse' in decision || decision.bridge === false) {
      throw this.legImpossible('is in no room');
    }
    if (this.context.transfers.isUnderWay(session)) throw this.legImpossible('is being transferred');
    const { room } = session;
    // Whoever is called is to talk to those in the room, not to an agent of their own.
    const placed = await place({ ...request, room, agent: false });
    const { callId, endCause } = session.call;
    if (endCause !== undefined && MOVING_CAUSES.has(endCause)) return placed;
    if (endCause === undefined && session.room === room) return placed;
    // The new call may have moved to another node.
    await switchboard.hangUp(placed.callId).catch(() => switchboard.hangUpAtTwilio(placed));
    throw endCause === undefined ? this.legImpossible('moved to another room meanwhile') : callEnded(callId);
  }

  private legImpossible(why: string): GatewayError {
    return new GatewayError('GW_LEG_IMPOSSIBLE', `Cannot add a leg: call ${this.session.call.callId} ${why}`);
  }

  /**
   * The call may have ended, or another request may have won, while a sound was read.
   * @throws GatewayError `GW_CALL_ENDED`, `GW_SUPERSEDED` (409)
   */
  private requireLatest(what: 'play' | 'hold', requests: LatestWins, ticket: number): void {
    const { callId } = this.session.call;
    if (this.context.requireLive(callId) !== this) throw callEnded(callId);
    if (requests.apply(ticket)) return;
    const request = what === 'play' ? 'Play' : 'Hold';
    throw new GatewayError(
      'GW_SUPERSEDED',
      `${request} request for call ${callId} was superseded by a later one`,
    );
  }

  /** Operations become part of the decision, which follows the call to another node. */
  private amendDecision(change: { hold?: Admission['hold']; mute?: Admission['mute'] }): void {
    const { session } = this;
    const { decision } = session;
    if (decision === undefined || 'refuse' in decision) return;
    session.decision = Object.fromEntries(
      Object.entries({ ...decision, ...change }).filter(([, value]) => value !== undefined),
    );
    this.context.options.switchboard.emit('change', session);
  }
}

/** Orders requests that may wait for a file: one that is ready after a later one was applied is dropped. */
class LatestWins {
  private issued = 0;
  private applied = 0;

  /** A request has arrived: its ticket. */
  issue(): number {
    this.issued += 1;
    return this.issued;
  }

  /**
   * Applies a request; one that fails before this point does not affect earlier ones.
   * @returns false if a later one has been applied
   */
  apply(ticket: number): boolean {
    if (ticket < this.applied) return false;
    this.applied = ticket;
    return true;
  }

  /** Drops every request that is not applied yet. */
  supersede(): void {
    this.applied = this.issue();
  }
}
