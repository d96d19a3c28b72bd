import type { AnsweredFacts, Bridge, BridgeLeg, PhoneLine } from '../bridge/bridge.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { FrameSink } from '../media/frame.js';
import {
  type MediaStreamOptions,
  type StreamEnd,
  type StreamStart,
  TwilioMediaStream,
} from '../phone/media-stream.js';
import type { IngressTime } from '../telemetry/ingress-time.js';
import type { Logger } from '../telemetry/log.js';
import { createRefusalTwiml, createTransferTwiml } from '../twilio/twiml.js';
import type { EndCause } from './call.js';
import type { Admission, CallDecision, PhoneCall } from './decision.js';
import { checkDecision, inPlace, roomOf } from './decision-check.js';
import { LegLine } from './leg-line.js';
import { userOf } from './phone-user.js';

/** Maximum time for the hook: Twilio waits 15 seconds for a webhook's answer. */
const DECISION_TIMEOUT_MS = 10_000;

/** WebSocket close code and reason for each end cause. */
const CLOSE_CODES: Partial<Record<EndCause, [code: number, reason: string]>> = {
  drain: [1001, 'going away'],
  'handed-over': [1001, 'call moved to another node'],
  silent: [1001, 'no messages from Twilio'],
  protocol: [1008, 'protocol violation'],
  failed: [1011, 'internal error'],
  internal: [1011, 'internal error'],
};

/** Discards the audio of a stream that is left to the user's own code. */
const DISCARD: FrameSink = { write() {} };

const END_CAUSES: Record<StreamEnd, EndCause> = {
  stop: 'stop',
  'socket-closed': 'socket-closed',
  protocol: 'protocol',
  closed: 'hangup',
};

/** Words that Twilio speaks to the caller; `language` as in Twilio's `<Say>`. */
export type Apology = { readonly say: string; readonly language?: string };

export interface SessionOptions {
  readonly bridge: Bridge;
  readonly log: Logger;
  /** The room of a call whose hook chose none. */
  readonly defaultRoom: (call: Pick<PhoneCall, 'callId' | 'to'>) => string;
  /** Sets Twilio's CallSid when the stream is the first to report it. */
  readonly bindSid: (call: PhoneCall, callSid: string) => void;
  /** Called when audio starts to flow. */
  readonly onAnswered: (facts: AnsweredFacts) => void;
  /** Whether another node handled the call before. */
  readonly isContinued: boolean;
  /**
   * Sets the TwiML that follows the stream.
   * @returns false if Twilio has no continuation URL for a call of this decision
   */
  readonly continueWith: (call: PhoneCall, decision: CallDecision | undefined, twiml: string) => boolean;
  /** What a caller hears if the bridge fails. */
  readonly apology: Apology;
  /** The only account whose streams are accepted; any if undefined. */
  readonly accountSid: string | undefined;
  readonly clock: Clock;
  readonly stream: Pick<MediaStreamOptions, 'leadMs' | 'latencies' | 'frameClock'>;
}

/**
 * Ties together one call's registry entry, media stream and bridge leg. When any side ends the call, all of
 * them are freed.
 */
export class Session implements PhoneLine {
  readonly stream: TwilioMediaStream;
  /** The hook's decision; rejects if the hook failed. */
  readonly decided: Promise<CallDecision>;
  /** Settles when the bridge leg of an ended call is closed. */
  ending: Promise<void> = Promise.resolve();
  /** Settles when audio flows to and from the bridge, or never will. */
  joined: Promise<void> = Promise.resolve();
  /** The settled value of `decided`. */
  decision: CallDecision | undefined;
  private leg: BridgeLeg | undefined;
  /** Line of the current bridge leg. */
  private line = new LegLine(this);
  /** Whether a redirect requested from Twilio succeeds. While pending, the end of the stream is ambiguous. */
  private redirecting: Promise<boolean> | undefined;
  private begun = false;
  /** Resolves when audio flows, or with `undefined` if it never will. */
  private readonly answered: Promise<AnsweredFacts | undefined>;
  private readonly gone = new AbortController();

  constructor(
    readonly call: PhoneCall,
    private readonly options: SessionOptions,
  ) {
    this.stream = new TwilioMediaStream({
      ...options.stream,
      clock: options.clock,
      checkStart: (start) => this.checkStart(start),
    });
    // Another node may have started the call.
    const begunAt =
      options.clock.now() - Math.max(0, options.clock.date().getTime() - call.startedAt.getTime());
    let answer: (facts: AnsweredFacts | undefined) => void = () => {};
    this.answered = new Promise((resolve) => {
      answer = resolve;
    });
    this.stream.on('start', ({ callSid }) => {
      // The callee may answer before Twilio responds to our REST request.
      if (call.callSid === undefined) options.bindSid(call, callSid);
      call.goLive();
      const facts: AnsweredFacts = {
        direction: call.direction,
        ...(options.isContinued
          ? {}
          : { ringSeconds: Math.round((options.clock.now() - begunAt) / 100) / 10 }),
        isContinued: options.isContinued,
      };
      answer(facts);
      options.onAnswered(facts);
    });
    this.stream.on('dtmf', (digit) => this.leg?.dtmf(digit));
    this.stream.on('mark', (echo) => this.leg?.marked?.(echo));
    this.stream.on('fault', (error) => {
      options.log.error({ callId: call.callId, err: error }, 'the bridge threw on an audio frame');
      call.end('internal');
    });
    this.stream.on('end', (end, reason) => {
      if (end === 'protocol') options.log.warn({ callId: call.callId, reason }, 'stream ended');
      if (this.redirecting === undefined) call.end(END_CAUSES[end]);
      else void this.redirecting.then((isGone) => call.end(isGone ? 'transferred' : END_CAUSES[end]));
    });
    const { gone } = this;
    call.onEnd((cause) => this.stream.close(...(CLOSE_CODES[cause] ?? [1000, ''])));
    // A separate finaliser, so that a bridge leg that fails to close does not keep the socket open.
    call.onEnd(() => {
      gone.abort();
      answer(undefined);
      const { leg } = this;
      this.leg = undefined;
      this.ending = Promise.resolve(leg?.close());
    });
    this.decided = this.decide(gone.signal);
  }

  /** Whether the call is only announced here, waiting to learn which node gets its socket. */
  get isDormant(): boolean {
    return !this.begun;
  }

  /** Joins the bridge, while the phone still rings if possible, so that nobody's first word is lost. */
  begin(): void {
    if (this.begun) return;
    this.begun = true;
    const { signal } = this.gone;
    this.joined = this.join(signal).catch((error) => {
      if (!signal.aborted) this.fail(error);
    });
  }

  get isLive(): boolean {
    return this.stream.isConnected;
  }

  get leadMs(): number {
    const { stream } = this;
    return stream.isWritable ? stream.leadMs + stream.waitingMs : Number.POSITIVE_INFINITY;
  }

  write(frame: Int16Array, stamp: IngressTime): void {
    this.stream.play(frame, stamp);
  }

  clear(): { playedMs: number; discardedMs: number } {
    return this.stream.clear();
  }

  mark(name: string): void {
    this.stream.mark(name);
  }

  hangUp({ now = false }: { readonly now?: boolean } = {}): void {
    if (now) this.call.end('bridge');
    else this.stream.whenHeard(() => this.call.end('bridge'));
  }

  transfer(to: string): void {
    const twiml = createTransferTwiml(to);
    if (!this.isLive || !this.redirectTo(twiml, true)) {
      throw new GatewayError(
        'GW_TRANSFER_IMPOSSIBLE',
        'This call cannot be transferred: it has no continuation URL',
      );
    }
  }

  /**
   * Hands the caller over to TwiML by closing the stream.
   * @param whenHeard wait until the caller has heard all audio sent so far
   * @returns false, with nothing changed, if the call has no continuation URL
   */
  redirectTo(twiml: string, whenHeard = false): boolean {
    const { call, options, decision } = this;
    if (call.callSid === undefined) return false;
    // A stream of the user's own code may have no continuation.
    if (decision === undefined || 'refuse' in decision || decision.bridge === false) return false;
    if (!options.continueWith(call, decision, twiml)) return false;
    if (whenHeard) this.stream.whenHeard(() => call.end('transferred'));
    else call.end('transferred');
    return true;
  }

  /**
   * Ends the call as transferred once Twilio confirms the redirect.
   * @param asked rejects if Twilio refuses; the call then continues
   */
  async endAfterRedirect(asked: Promise<unknown>): Promise<void> {
    const leaving = asked.then(
      () => true,
      () => false,
    );
    this.redirecting = leaving;
    try {
      await asked;
      this.call.end('transferred');
    } finally {
      if (this.redirecting === leaving) this.redirecting = undefined;
    }
  }

  /** Whether the call is in its room of the bridge. */
  get isJoined(): boolean {
    return this.leg !== undefined;
  }

  /** The call's current or intended room in the bridge. */
  get room(): string {
    const { decision } = this;
    const room = decision === undefined || 'refuse' in decision ? undefined : roomOf(decision);
    return room ?? this.options.defaultRoom(this.call);
  }

  /**
   * Moves the call to another room of the bridge. The caller stays on the phone, and stays in the old room
   * until the new one has accepted them.
   * @throws GatewayError `GW_TRANSFER_IMPOSSIBLE` (409) if the call is in no room, `GW_CALL_ENDED` (409), or
   *   the bridge's error; the call then stays in its room
   */
  async moveTo(place: Pick<Admission, 'room' | 'streamCall'>): Promise<void> {
    await this.joined;
    const { signal } = this.gone;
    const { leg, decision } = this;
    if (signal.aborted) throw ended();
    if (leg === undefined || decision === undefined || 'refuse' in decision) {
      throw new GatewayError('GW_TRANSFER_IMPOSSIBLE', 'This call cannot be transferred: it is in no room');
    }
    const moved = inPlace(decision, place);
    const isElsewhere = roomOf(moved) !== this.room;
    if (isElsewhere) {
      const line = new LegLine(this);
      const next = await this.joinAnswered(moved, line, signal).catch((error) => {
        throw signal.aborted ? ended() : error;
      });
      if (signal.aborted) {
        void this.closeLeg(next);
        throw ended();
      }
      this.line.retire();
      this.line = line;
      this.leg = next;
      this.stream.connect(next);
      line.activate();
      void this.closeLeg(leg);
    }
    // Hold and mute may have changed meanwhile; keep them.
    if (this.decision !== undefined && !('refuse' in this.decision)) {
      const placed = inPlace(this.decision, place);
      // Agents do not follow, not even to another node.
      this.decision = isElsewhere ? { ...placed, agent: false } : placed;
    }
  }

  /**
   * Leaves the call to another node, which joins it to another room.
   * @param write tells the other nodes of the call as it is now: with its new room
   * @throws GatewayError `GW_TRANSFER_IMPOSSIBLE`, `GW_CALL_ENDED` (409), or what `write` throws; the call then
   *   stays in its room
   */
  async handOverTo(
    place: Pick<Admission, 'room' | 'streamCall'>,
    write: () => Promise<unknown>,
  ): Promise<void> {
    await this.joined;
    const { decision } = this;
    if (this.gone.signal.aborted) throw ended();
    const isThere = this.leg !== undefined && this.call.callSid !== undefined;
    if (!isThere || decision === undefined || 'refuse' in decision) {
      throw new GatewayError('GW_TRANSFER_IMPOSSIBLE', 'This call cannot be transferred: it is in no room');
    }
    // Agents do not follow.
    this.decision = { ...inPlace(decision, place), agent: false };
    try {
      await write();
    } catch (error) {
      this.decision = decision;
      throw error;
    }
    if (this.gone.signal.aborted) throw ended();
    this.call.end('handed-over');
  }

  /** Avoids dead air: a caller who is connected, or about to be, hears the apology. */
  fail(error: unknown, what = 'failed to join the bridge'): void {
    const { call, options } = this;
    options.log.error({ callId: call.callId, err: error }, what);
    const isComing = call.state !== 'live' && call.direction !== 'outbound-api';
    const continues = options.continueWith(call, this.decision, createRefusalTwiml(options.apology));
    // Twilio requests the continuation when a stream ends, not when its socket is rejected.
    if (continues && isComing) this.stream.once('start', () => call.end('failed'));
    else call.end('failed');
  }

  private async decide(signal: AbortSignal): Promise<CallDecision> {
    this.decision = checkDecision(
      await withTimeout(DECISION_TIMEOUT_MS, this.call.awaitPrepare(), signal, this.options.clock),
    );
    return this.decision;
  }

  private async join(signal: AbortSignal): Promise<void> {
    // The webhook or REST path reports a failed decision.
    const decision = await this.decided.catch(() => undefined);
    if (decision === undefined || 'refuse' in decision || signal.aborted) return;
    if (decision.bridge === false) {
      if (!this.stream.hasAudioSink) this.stream.connect(DISCARD);
      return;
    }
    this.line.activate();
    const leg = await this.joinLeg(decision, this.line, signal);
    if (signal.aborted) {
      void this.closeLeg(leg);
      return;
    }
    this.leg = leg;
    if (leg.answered !== undefined) {
      const facts = await this.answered;
      if (facts === undefined) return;
      await leg.answered(facts);
      if (signal.aborted) return;
    }
    this.stream.connect(leg);
  }

  /** Joins as a phone that has already been answered. */
  private async joinAnswered(decision: Admission, line: LegLine, signal: AbortSignal): Promise<BridgeLeg> {
    const leg = await this.joinLeg(decision, line, signal);
    try {
      const facts = await this.answered;
      if (facts !== undefined) await leg.answered?.(facts);
    } catch (error) {
      void this.closeLeg(leg);
      throw error;
    }
    return leg;
  }

  private joinLeg(decision: Admission, line: LegLine, signal: AbortSignal): Promise<BridgeLeg> {
    const { call, options } = this;
    const room = roomOf(decision) ?? options.defaultRoom(call);
    return options.bridge.join(
      { callId: call.callId, room, user: userOf(call, decision.user), signal },
      line,
    );
  }

  /** Closes a leg in the background, so that nobody waits for a room the call has left. */
  private async closeLeg(leg: BridgeLeg): Promise<void> {
    try {
      await leg.close();
    } catch (error) {
      this.options.log.warn(
        { callId: this.call.callId, err: error },
        'failed to close the previous bridge leg',
      );
    }
  }

  /** Rejects a stream that does not belong to the call its URL was made for. */
  private checkStart(start: StreamStart): string | undefined {
    const { call } = this;
    if (call.callSid !== undefined && start.callSid !== call.callSid) {
      return `Expected CallSid ${call.callSid} in start but received another`;
    }
    const accountSid = call.accountSid ?? this.options.accountSid;
    if (accountSid !== undefined && start.accountSid !== accountSid) {
      return `Expected AccountSid ${accountSid} in start but received another`;
    }
    return undefined;
  }
}

function ended(): GatewayError {
  return new GatewayError('GW_CALL_ENDED', 'The call has already ended');
}

/**
 * Awaits work with a time limit.
 * @throws GatewayError `GW_PREPARE_TIMEOUT`, or `GW_CALL_ENDED` if the signal aborts first
 */
async function withTimeout<T>(ms: number, work: Promise<T>, signal: AbortSignal, clock: Clock): Promise<T> {
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    const late = () =>
      reject(new GatewayError('GW_PREPARE_TIMEOUT', `prepareCall did not decide within ${ms} ms`));
    const timeout = clock.timeout(ms, late);
    stop = () => {
      timeout.cancel();
      reject(new GatewayError('GW_CALL_ENDED', 'The call ended before prepareCall decided'));
    };
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}
