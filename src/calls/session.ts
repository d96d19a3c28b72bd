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

/** Longest time the hook may take: Twilio waits fifteen seconds for a webhook's answer. */
const DECISION_TIMEOUT_MS = 10_000;

/** How a WebSocket is closed for each way a call may end. */
const CLOSE_CODES: Partial<Record<EndCause, [code: number, reason: string]>> = {
  drain: [1001, 'going away'],
  'handed-over': [1001, 'another node goes on'],
  silent: [1001, 'nothing came'],
  protocol: [1008, 'protocol violation'],
  failed: [1011, 'internal error'],
  internal: [1011, 'internal error'],
};

/** Takes the audio of a stream that is left to the user's own code. */
const DISCARD: FrameSink = { write() {} };

const END_CAUSES: Record<StreamEnd, EndCause> = {
  stop: 'stop',
  'socket-closed': 'socket-closed',
  protocol: 'protocol',
  closed: 'hangup',
};

/** Words for a caller, spoken by Twilio; `language` as in its `<Say>`. */
export type Apology = { readonly say: string; readonly language?: string };

export interface SessionOptions {
  readonly bridge: Bridge;
  readonly log: Logger;
  /** The room of a call whose hook named none. */
  readonly defaultRoom: (call: PhoneCall) => string;
  /** Notes what Twilio calls the call, where its stream is the first to tell. */
  readonly bindSid: (call: PhoneCall, callSid: string) => void;
  /** Told when somebody is on the phone. */
  readonly onAnswered: (facts: AnsweredFacts) => void;
  /** Whether another node had the call before. */
  readonly isContinued: boolean;
  /**
   * Says what Twilio shall do with the caller when the stream is over; `undefined` where Twilio was not told to ask.
   */
  readonly continueWith: ((call: PhoneCall, twiml: string) => void) | undefined;
  /** What a caller hears whose bridge failed. */
  readonly apology: Apology;
  /** The only account whose streams are taken; any where absent. */
  readonly accountSid: string | undefined;
  readonly clock: Clock;
  readonly stream: Pick<MediaStreamOptions, 'leadMs' | 'latencies' | 'frameClock'>;
}

/**
 * One call's parts held together: its entry in the registry, its media stream, its bridge leg. When the call
 * ends, from whichever side, all of them are freed.
 */
export class Session implements PhoneLine {
  readonly stream: TwilioMediaStream;
  /** What the hook decided; rejects where it failed. */
  readonly decided: Promise<CallDecision>;
  /** Settled when the bridge has let go of an ended call. */
  ending: Promise<void> = Promise.resolve();
  /** Settled when audio goes to the bridge and back, or never will. */
  joined: Promise<void> = Promise.resolve();
  /** As `decided`, once it is. */
  decision: CallDecision | undefined;
  private leg: BridgeLeg | undefined;
  /** Of the leg that is heard. */
  private line = new LegLine(this);
  /** Whether Twilio takes the caller elsewhere, once it has said so: until then an end of the stream is not understood. */
  private redirecting: Promise<boolean> | undefined;
  private begun = false;
  /** Fulfilled when somebody is on the phone, or never will be: then without facts. */
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
    // Another node may have had it first.
    const begunAt =
      options.clock.now() - Math.max(0, options.clock.date().getTime() - call.startedAt.getTime());
    let answer: (facts: AnsweredFacts | undefined) => void = () => {};
    this.answered = new Promise((resolve) => {
      answer = resolve;
    });
    this.stream.on('start', ({ callSid }) => {
      // A callee may be faster than Twilio's answer to whoever placed the call.
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
      options.log.error({ callId: call.callId, err: error }, 'the bridge failed on a frame');
      call.end('internal');
    });
    this.stream.on('end', (end, reason) => {
      if (end === 'protocol') options.log.warn({ callId: call.callId, reason }, 'stream ended');
      if (this.redirecting === undefined) call.end(END_CAUSES[end]);
      else void this.redirecting.then((isGone) => call.end(isGone ? 'transferred' : END_CAUSES[end]));
    });
    const { gone } = this;
    call.onEnd((cause) => this.stream.close(...(CLOSE_CODES[cause] ?? [1000, ''])));
    // A finaliser of its own: a bridge that fails to let go must not keep the socket open.
    call.onEnd(() => {
      gone.abort();
      answer(undefined);
      const { leg } = this;
      this.leg = undefined;
      this.ending = Promise.resolve(leg?.close());
    });
    this.decided = this.decide(gone.signal);
  }

  /** Whether the call waits here for no more than being told where its socket goes. */
  get isDormant(): boolean {
    return !this.begun;
  }

  /** Joins the bridge: while the phone still rings, where that may be, so that nobody's first word is lost. */
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
        'Expected a connected call that Twilio comes back for but received another',
      );
    }
  }

  /**
   * Leaves the caller to TwiML by closing the stream.
   * @param whenHeard not before the caller has heard what was said so far
   * @returns false, with nothing changed, where Twilio was not told to ask what comes next
   */
  redirectTo(twiml: string, whenHeard = false): boolean {
    const { call, options, decision } = this;
    if (call.callSid === undefined) return false;
    // A stream of the user's own code may be one that nothing comes after.
    if (options.continueWith === undefined || decision === undefined || 'refuse' in decision) return false;
    if (decision.bridge === false) return false;
    options.continueWith(call, twiml);
    if (whenHeard) this.stream.whenHeard(() => call.end('transferred'));
    else call.end('transferred');
    return true;
  }

  /**
   * Leaves the caller to Twilio, where that was asked to take over.
   * @param asked rejects where Twilio refuses, and the call goes on
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

  /** Whether it is in its bridge. */
  get isJoined(): boolean {
    return this.leg !== undefined;
  }

  /** Where the call is, or would be, in its bridge. */
  get room(): string {
    const { decision } = this;
    const room = decision === undefined || 'refuse' in decision ? undefined : roomOf(decision);
    return room ?? this.options.defaultRoom(this.call);
  }

  /**
   * Goes to another room of the bridge; the caller stays on the phone, and in the old room until the new one has them.
   * @throws GatewayError `GW_TRANSFER_IMPOSSIBLE` (409) where the call has no place in a bridge, `GW_CALL_ENDED` (409), and
   * what the bridge throws: the call then stays where it is
   */
  async moveTo(place: Pick<Admission, 'room' | 'streamCall'>): Promise<void> {
    await this.joined;
    const { signal } = this.gone;
    const { leg, decision } = this;
    if (signal.aborted) throw ended();
    if (leg === undefined || decision === undefined || 'refuse' in decision) {
      throw new GatewayError(
        'GW_TRANSFER_IMPOSSIBLE',
        'Expected a call in a room for a transfer to another but received one that is in none',
      );
    }
    const moved = inPlace(decision, place);
    if (roomOf(moved) !== this.room) {
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
    // What was done to the call meanwhile stays done.
    if (this.decision !== undefined && !('refuse' in this.decision)) {
      this.decision = inPlace(this.decision, place);
    }
  }

  /** No dead air: whoever is on the phone is told, and whoever is about to be waits no longer than for that. */
  fail(error: unknown): void {
    const { call, options } = this;
    options.log.error({ callId: call.callId, err: error }, 'the call could not be joined to the bridge');
    const isComing = call.state !== 'live' && call.direction !== 'outbound-api';
    options.continueWith?.(call, createRefusalTwiml(options.apology));
    // Twilio asks what comes next when a stream ends, not when it is refused one.
    if (options.continueWith !== undefined && isComing) this.stream.once('start', () => call.end('failed'));
    else call.end('failed');
  }

  private async decide(signal: AbortSignal): Promise<CallDecision> {
    this.decision = checkDecision(
      await withTimeout(DECISION_TIMEOUT_MS, this.call.awaitPrepare(), signal, this.options.clock),
    );
    return this.decision;
  }

  private async join(signal: AbortSignal): Promise<void> {
    // Whoever asked for the decision deals with its failure: they owe the caller an answer.
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

  /** As somebody who is on the phone already. */
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

  /** Nobody is kept waiting by a room that the call is not in. */
  private async closeLeg(leg: BridgeLeg): Promise<void> {
    try {
      await leg.close();
    } catch (error) {
      this.options.log.warn({ callId: this.call.callId, err: error }, 'a leg that was left did not close');
    }
  }

  /** A stream may only carry the call its URL was made for. */
  private checkStart(start: StreamStart): string | undefined {
    const { call } = this;
    if (call.callSid !== undefined && start.callSid !== call.callSid) {
      return `Expected the start of ${call.callSid} but received another CallSid`;
    }
    const accountSid = call.accountSid ?? this.options.accountSid;
    if (accountSid !== undefined && start.accountSid !== accountSid) {
      return `Expected a start from ${accountSid} but received another AccountSid`;
    }
    return undefined;
  }
}

function ended(): GatewayError {
  return new GatewayError('GW_CALL_ENDED', 'Expected a call that lasts for a transfer but received its end');
}

/**
 * The work's result.
 * @throws GatewayError `GW_PREPARE_TIMEOUT`, or `GW_CALL_ENDED` where the signal comes first
 */
async function withTimeout<T>(ms: number, work: Promise<T>, signal: AbortSignal, clock: Clock): Promise<T> {
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    const late = () =>
      reject(
        new GatewayError(
          'GW_PREPARE_TIMEOUT',
          `Expected a decision of prepareCall within ${ms} ms but received none`,
        ),
      );
    const timeout = clock.timeout(ms, late);
    stop = () => {
      timeout.cancel();
      reject(
        new GatewayError(
          'GW_CALL_ENDED',
          'Expected a call that lasts until it is decided on but received its end',
        ),
      );
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
