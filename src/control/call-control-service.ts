import { EventEmitter } from 'node:events';
import type { Bridge } from '../bridge/bridge.js';
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
import type { TwilioRest } from '../twilio/rest.js';
import { CallAudio, type PlayResult } from './call-audio.js';
import type { CallControl } from './call-control.js';
import type { Clip } from './clip.js';
import { Clips } from './clips.js';
import type { PlayStarted } from './controls.js';
import { endedCall } from './ended-call.js';
import { holdTone } from './hold-tone.js';
import { LatestWins } from './latest-wins.js';
import { checkRequest, type Operation, type RequestOf } from './requests.js';
import { Transfers } from './transfers.js';
import { Uploads } from './uploads.js';

/** Ended calls of which it is still known that there was one. */
const MAX_ENDED = 1_000;
/** Another node goes on with the call after these. */
const MOVING_CAUSES: ReadonlySet<EndCause> = new Set(['handed-over', 'moved']);

export interface CallControlServiceOptions {
  readonly switchboard: Switchboard;
  readonly bridge: Bridge;
  readonly leadMs: number;
  /** Where files to play are; none can be without it. */
  readonly playDir: string | undefined;
  /** Absent where no Twilio account is configured. */
  readonly rest: TwilioRest | undefined;
  readonly place: (request: PlaceCallRequest) => Promise<PlacedCall>;
  readonly frameClock: FrameClock;
  readonly log: Logger;
}

interface CallControlEvents {
  /** A mark that was asked for came back. */
  mark: [call: PhoneCall, echo: MarkEcho];
  played: [call: PhoneCall, result: PlayResult];
}

/** One call as the callControl has it. */
interface ControlState {
  readonly session: Session;
  readonly audio: CallAudio;
  /** Marks that were asked for and have not come back, by name. */
  readonly marks: Map<string, number>;
  readonly plays: LatestWins;
  readonly holds: LatestWins;
}

type Performers = {
  readonly [O in Operation]: (of: ControlState, request: RequestOf<O>) => unknown;
};

/** Carries out what is asked of the running calls of this process. */
export class CallControlService extends EventEmitter<CallControlEvents> implements CallControl {
  private readonly clips: Clips;
  private readonly transfers: Transfers;
  /** Calls of which something was asked. */
  private readonly states = new Map<string, ControlState>();
  private readonly ended = new Set<string>();
  private readonly uploads = new Uploads();
  private readonly performers: Performers;

  constructor(private readonly options: CallControlServiceOptions) {
    super();
    const { switchboard, bridge, rest, log } = options;
    this.clips = new Clips(options.playDir);
    this.transfers = new Transfers(bridge, rest, log);
    switchboard.on('call', ({ callId }) => this.begin(callId));
    switchboard.on('over', ({ call }, cause) => {
      if (!MOVING_CAUSES.has(cause)) this.remember(call.callId);
    });
    this.performers = {
      clear: ({ session, plays }) => {
        plays.take(plays.ask());
        return roundedAll(session.clear());
      },
      mark: (of, { name }) => this.mark(of, name),
      dtmf: (of, request) => this.dial(of, request),
      play: (of, request) => this.play(of, request),
      stopPlay: (of) => this.stopPlay(of),
      hold: (of, { file }) => this.hold(of, file),
      unhold: (of) => {
        of.holds.take(of.holds.ask());
        of.audio.unhold();
        this.note(of.session, { hold: undefined });
        return { held: false };
      },
      mute: ({ session, audio }, { voice = 'caller' }) => {
        audio.mute(voice);
        this.note(session, { mute: voice });
        return { muted: voice };
      },
      unmute: ({ session, audio }) => {
        audio.mute(undefined);
        this.note(session, { mute: undefined });
        return { muted: null };
      },
      transfer: async ({ session }, request) => {
        const answer = await this.transfers.perform(session, request);
        if (answer.room !== undefined) switchboard.emit('change', session);
        return answer;
      },
      addLeg: ({ session }, request) => this.addLeg(session, request),
    };
  }

  /** @throws GatewayError `GW_PLAY_DIR` */
  open(): void {
    this.clips.check();
  }

  /** Whether there was such a call here not long ago. */
  hasEnded(callId: string): boolean {
    return this.ended.has(callId);
  }

  async control<O extends Operation>(callId: string, operation: O, request: unknown): Promise<unknown> {
    const checked = checkRequest(operation, request);
    return this.performers[operation](this.liveState(callId), checked);
  }

  /** @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED`, `GW_CALL_NOT_LIVE` (409) */
  private liveState(callId: string): ControlState {
    const { switchboard } = this.options;
    if (switchboard.session(callId) === undefined && this.ended.has(callId)) throw endedCall(callId);
    const session = switchboard.requireSession(callId);
    if (session.isLive) return this.stateOf(session);
    const message = `Expected call ${callId} to be live but received one that is ${session.call.state}`;
    throw new GatewayError('GW_CALL_NOT_LIVE', message);
  }

  /** What was decided of it, or done to it at another node, holds from its first frame on. */
  private begin(callId: string): void {
    const session = this.options.switchboard.session(callId);
    session?.decided.then(
      async (decision) => {
        if (session.call.state === 'ended' || 'refuse' in decision) return;
        const { hold = false, mute } = decision;
        if (mute !== undefined) this.stateOf(session).audio.mute(mute);
        if (hold === false) return;
        const { audio, holds } = this.stateOf(session);
        const turn = holds.ask();
        // Neither side hears the other while a file is read.
        audio.hold(holdTone());
        if (hold === true) return;
        const music = await this.musicOf(hold.file, callId);
        if (holds.take(turn)) audio.hold(music);
      },
      () => {},
    );
  }

  /** A call that is to be held is held, also where its music is missing at this node. */
  private async musicOf(file: string, callId: string): Promise<Clip> {
    try {
      return await this.clips.get(file);
    } catch (error) {
      this.options.log.warn({ callId, err: error }, 'the music of a call on hold could not be read');
      return holdTone();
    }
  }

  private stateOf(session: Session): ControlState {
    const { call, stream } = session;
    const known = this.states.get(call.callId);
    if (known !== undefined) return known;
    const played = (result: PlayResult) => {
      this.uploads.over(result.playId);
      this.tell(() => this.emit('played', call, result), call);
    };
    const { leadMs, frameClock } = this.options;
    const audio = new CallAudio(stream, leadMs, played, frameClock);
    const made: ControlState = {
      session,
      audio,
      marks: new Map(),
      plays: new LatestWins(),
      holds: new LatestWins(),
    };
    this.states.set(call.callId, made);
    stream.on('mark', (echo) => {
      const left = made.marks.get(echo.name);
      if (left === undefined) return;
      if (left === 1) made.marks.delete(echo.name);
      else made.marks.set(echo.name, left - 1);
      this.tell(() => this.emit('mark', call, echo), call);
    });
    call.onEnd(() => {
      this.states.delete(call.callId);
      audio.close();
    });
    return made;
  }

  private mark({ session, marks }: ControlState, name: string): unknown {
    session.mark(name);
    marks.set(name, (marks.get(name) ?? 0) + 1);
    return { name };
  }

  private dial({ audio }: ControlState, { digits, toneMs, pauseMs }: RequestOf<'dtmf'>): unknown {
    try {
      return { durationMs: audio.dial(digits, toneMs, pauseMs) };
    } catch (error) {
      if ((error as { code?: string }).code !== 'GW_DTMF_QUEUE_FULL') throw error;
      const message = 'Expected at most 64 keys waiting to be dialled but received more';
      throw new GatewayError('GW_DTMF_QUEUE_FULL', message);
    }
  }

  private async play(of: ControlState, request: RequestOf<'play'>): Promise<PlayStarted> {
    const { file, wav } = request;
    const turn = of.plays.ask();
    if (wav === undefined) return this.startPlay(of, turn, await this.clips.get(file as string), request);
    const clip = await this.uploads.read(wav);
    try {
      const started = this.startPlay(of, turn, clip, request);
      this.uploads.play(started.playId, clip);
      return started;
    } catch (error) {
      this.uploads.drop(clip);
      throw error;
    }
  }

  private startPlay(of: ControlState, turn: number, clip: Clip, request: RequestOf<'play'>): PlayStarted {
    const { loop = 1, gain = 0, over = false } = request;
    this.demandTurn(of, 'plays', turn);
    const { playId, durationMs } = of.audio.start(clip, {
      loop: loop === 0 ? Number.POSITIVE_INFINITY : loop,
      gain,
      over,
    });
    return { playId, durationMs: Number.isFinite(durationMs) ? durationMs : null };
  }

  private stopPlay({ audio, plays }: ControlState): unknown {
    // Also of a play whose file is still read.
    plays.take(plays.ask());
    const result = audio.stop();
    if (result !== undefined) return result;
    const message = 'Expected a call that something is played to but received another';
    throw new GatewayError('GW_PLAY_NONE', message);
  }

  private async hold(of: ControlState, file: string | undefined): Promise<unknown> {
    const turn = of.holds.ask();
    const music = file === undefined ? holdTone() : await this.clips.get(file);
    this.demandTurn(of, 'holds', turn);
    of.audio.hold(music);
    this.note(of.session, { hold: file === undefined ? true : { file } });
    return { held: true };
  }

  /**
   * The call may have ended, or been told otherwise, while a sound was read.
   * @throws GatewayError `GW_CALL_ENDED`, `GW_SUPERSEDED` (409)
   */
  private demandTurn(of: ControlState, what: 'plays' | 'holds', turn: number): void {
    const { callId } = of.session.call;
    if (this.liveState(callId) !== of) throw endedCall(callId);
    if (of[what].take(turn)) return;
    const message = `Expected no later word on the ${what} of call ${callId} while a sound was read but received one`;
    throw new GatewayError('GW_SUPERSEDED', message);
  }

  private async addLeg(session: Session, request: RequestOf<'addLeg'>): Promise<unknown> {
    const { decision } = session;
    if (decision === undefined || 'refuse' in decision || decision.bridge === false) {
      throw legImpossible('is in none');
    }
    if (this.transfers.isUnderWay(session)) throw legImpossible('is on its way to another room');
    const { room } = session;
    const placed = await this.options.place({ ...request, room } as unknown as PlaceCallRequest);
    const { callId, endCause } = session.call;
    if (endCause !== undefined && MOVING_CAUSES.has(endCause)) return placed;
    if (endCause === undefined && session.room === room) return placed;
    await this.takeBack(placed);
    throw endCause === undefined ? legImpossible('went to another room meanwhile') : endedCall(callId);
  }

  /** Nobody is rung up to talk to nobody. */
  private async takeBack(placed: PlacedCall): Promise<void> {
    const { switchboard } = this.options;
    // It may be another node's by now.
    await switchboard.hangUp(placed.callId).catch(() => switchboard.hangUpAtTwilio(placed));
  }

  /** What is done to a call becomes part of its decision, which goes with it to another node. */
  private note(session: Session, change: { hold?: Admission['hold']; mute?: Admission['mute'] }): void {
    const { decision } = session;
    if (decision === undefined || 'refuse' in decision) return;
    session.decision = Object.fromEntries(
      Object.entries({ ...decision, ...change }).filter(([, value]) => value !== undefined),
    );
    this.options.switchboard.emit('change', session);
  }

  /** A listener's fault is none of the call's, or of others on the same clock. */
  private tell(emit: () => void, { callId }: PhoneCall): void {
    try {
      emit();
    } catch (error) {
      this.options.log.error({ callId, err: error }, 'a listener of "mark" or "played" failed');
    }
  }

  private remember(callId: string): void {
    this.ended.delete(callId);
    this.ended.add(callId);
    const [oldest] = this.ended;
    if (this.ended.size > MAX_ENDED && oldest !== undefined) this.ended.delete(oldest);
  }
}

function roundedAll({ playedMs, discardedMs }: { playedMs: number; discardedMs: number }) {
  return { playedMs: Math.round(playedMs), discardedMs: Math.round(discardedMs) };
}

function legImpossible(why: string): GatewayError {
  const message = `Expected a call in a room for a second leg but received one that ${why}`;
  return new GatewayError('GW_LEG_IMPOSSIBLE', message);
}
