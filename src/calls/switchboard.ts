import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { AnsweredFacts, Bridge } from '../bridge/bridge.js';
import type { Clock } from '../clock.js';
import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError } from '../errors.js';
import type { FrameClock } from '../media/frame-clock.js';
import type { TwilioMediaStream } from '../phone/media-stream.js';
import { EventLoopDelay } from '../telemetry/event-loop-delay.js';
import { Latencies } from '../telemetry/latencies.js';
import { type Logger, maskNumber } from '../telemetry/log.js';
import { Traffic } from '../telemetry/traffic.js';
import { webSocketOrigin } from '../twilio/public-url.js';
import type { TwilioRest } from '../twilio/rest.js';
import { createHangupTwiml, createMediaStreamTwiml, createRefusalTwiml } from '../twilio/twiml.js';
import { type CallVerb, longestSeconds } from '../twilio/verbs.js';
import { type CallWebhookInput, isFinalStatus } from '../twilio/webhook.js';
import { AdmissionControl, type AdmissionGauges, type AdmissionLimits } from './admission.js';
import type { EndCause } from './call.js';
import { type CallReport, logOf, reportOf } from './call-report.js';
import type { CallService, PlacedCall } from './call-service.js';
import { type CallView, viewOf } from './call-view.js';
import { type CallbackKind, Callbacks } from './callbacks.js';
import { Continuations, continuationTwiml } from './continuation.js';
import type { CallDecision, PhoneCall, PrepareCallHook } from './decision.js';
import { inRoom } from './decision-check.js';
import { PastCalls } from './past-calls.js';
import type { PlaceCallRequest } from './place-call.js';
import type { TwilioCallRegistry } from './registry.js';
import { CALL_RESULTS, type CallResult } from './result.js';
import { type Apology, Session } from './session.js';
import { CallWatchdog, type StuckKind } from './watchdog.js';

export interface SwitchboardOptions {
  readonly registry: TwilioCallRegistry<CallDecision | undefined>;
  readonly bridge: Bridge;
  readonly log: Logger;
  readonly clock: Clock;
  readonly limits: AdmissionLimits;
  /** Longest silence of a live call, and longest end, in milliseconds. */
  readonly stuckMs: number;
  readonly leadMs: number;
  readonly frameClock: FrameClock;
  readonly defaultRoom: (call: PhoneCall) => string;
  readonly prepareCall: PrepareCallHook | undefined;
  readonly accountSid: string | undefined;
  /** Absent where no Twilio account is configured: calls can then not be placed. */
  readonly rest: TwilioRest | undefined;
  /** Caller id of outbound calls that name none. */
  readonly from: string | undefined;
  readonly apology: Apology;
  /** Whether Twilio is told to ask what comes after every stream: another node may go on with the call. */
  readonly hasContinuation?: boolean;
  /** Whether Twilio tells of every stream's start, stop and failures. */
  readonly streamStatus?: boolean;
  /** Whether the process can open hardly anything more. */
  readonly isShortOfDescriptors: () => boolean;
}

/** How a call begins that other nodes may take. */
export interface SharedEntry {
  /** Leaves the call alone until its socket is here: that may come to another node. */
  readonly isDormant: boolean;
  /** Tells the others of it, before Twilio learns where to connect it. */
  announce(call: PhoneCall, decision: CallDecision): Promise<void>;
}

/** A call that another node knew. */
export interface Adoption {
  readonly callId: string;
  readonly webhook: CallWebhookInput | undefined;
  readonly decision: CallDecision;
  readonly direction: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly callSid: string | undefined;
  readonly startedAt: Date;
  /** Whether it was live there. */
  readonly isContinued: boolean;
}

interface SwitchboardEvents {
  /** A call is known; it has no audio yet. */
  call: [call: PhoneCall, stream: TwilioMediaStream, isContinued: boolean];
  /** Somebody is on the phone: audio flows. */
  answered: [call: PhoneCall, stream: TwilioMediaStream, facts: AnsweredFacts];
  /** Twilio found out who or what answered a call that we placed. */
  answeredBy: [call: PhoneCall, answeredBy: string, afterMs: number | undefined];
  end: [call: PhoneCall, cause: EndCause, report: CallReport];
  /** As `end`, and of every call: also of those that never came to be more than announced. */
  over: [session: Session, cause: EndCause];
  /** A running call's decision is another one from now on. */
  change: [session: Session];
  /** The last call has ended. */
  idle: [];
}

/** From answer to socket Twilio needs a moment, on top of the ringing. */
const CONNECT_ALLOWANCE_MS = 15_000;
const DEFAULT_RING_SECONDS = 60;
/** The callee of a call that ended so is on the phone all the same. */
const CONTINUING_CAUSES: ReadonlySet<EndCause> = new Set(['handed-over', 'moved', 'transferred']);

/** Answers, places, connects and ends the calls of one gateway. Knows nothing of HTTP. */
export class Switchboard extends EventEmitter<SwitchboardEvents> implements CallService {
  readonly eventLoopDelay: EventLoopDelay;
  readonly admission: AdmissionControl;
  readonly endedCalls = new Map<string, number>();
  readonly results = new Map<CallResult, number>(CALL_RESULTS.map((result) => [result, 0]));
  private readonly watchdog: CallWatchdog;
  private readonly callbacks: Callbacks;
  private readonly sessions = new Map<string, Session>();
  /** What webhooks were answered, as long as their calls are remembered. */
  private readonly answers = new WeakMap<PhoneCall, Promise<string>>();
  /** Webhooks whose answers are not decided yet. */
  private readonly answering = new Set<Promise<string>>();
  /** Requests to Twilio under way: a gateway that closes must not leave a phone ringing behind it. */
  private readonly placing = new Set<Promise<PlacedCall>>();
  /** What Twilio is told to do with callers whose streams are over. */
  readonly next: Continuations;
  /** Calls that have ended, and must not ring again. */
  readonly past: PastCalls;
  private readonly pastTraffic = new Traffic();
  private readonly times = new Latencies();
  private isDraining = false;

  constructor(private readonly options: SwitchboardOptions) {
    super();
    const { clock } = options;
    this.eventLoopDelay = new EventLoopDelay(clock);
    this.next = new Continuations(options.limits.maxCalls, clock);
    this.past = new PastCalls(clock);
    this.callbacks = new Callbacks(
      options.registry,
      options.log,
      (...who) => this.emit('answeredBy', ...who),
      clock,
    );
    const gauges: AdmissionGauges = {
      activeCalls: () => this.sessions.size,
      isDraining: () => this.isDraining,
      isBridgeOverloaded: () => options.bridge.isOverloaded === true,
      isShortOfDescriptors: options.isShortOfDescriptors,
      loopDelayMs: () => this.eventLoopDelay.recentMs,
      cpuMs: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1_000;
      },
    };
    this.admission = new AdmissionControl(options.limits, gauges, clock);
    this.watchdog = new CallWatchdog(
      options.stuckMs,
      () => this.sessions.values(),
      (session, way) => this.onStuck(session, way),
      clock,
    );
  }

  /** Begins to watch load and calls. */
  open(): void {
    this.eventLoopDelay.start();
    this.admission.start();
    this.watchdog.start();
  }

  /** Stops watching. */
  close(): void {
    this.eventLoopDelay.stop();
    this.admission.stop();
    this.watchdog.stop();
  }

  get draining(): boolean {
    return this.isDraining;
  }

  get activeCalls(): number {
    return this.sessions.size;
  }

  /** Calls found stuck so far. */
  get stuckCalls(): ReadonlyMap<string, number> {
    return this.watchdog.found;
  }

  /** Everything that came and went, in calls past and present. */
  get traffic(): Traffic {
    const total = new Traffic();
    total.add(this.pastTraffic);
    for (const session of this.sessions.values()) total.add(session.stream.counts());
    return total;
  }

  /** Where the time of all calls' frames went, past and present. */
  get latencies(): Latencies {
    for (const { stream } of this.sessions.values()) stream.latencies.settle();
    return this.times;
  }

  /** As {@link latencies}, but for what calls keep yet: costs nothing, and is late by at most two seconds. */
  get countedLatencies(): Latencies {
    return this.times;
  }

  session(callId: string): Session | undefined {
    return this.sessions.get(callId);
  }

  /** @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED` (409) */
  requireSession(callId: string): Session {
    this.options.registry.require(callId);
    const session = this.sessions.get(callId);
    if (session !== undefined) return session;
    const message = `Expected call ${callId} to last but received its end`;
    throw new GatewayError('GW_CALL_ENDED', message);
  }

  /** Whether the call is known here and has not ended. */
  has(callId: string): boolean {
    const call = this.options.registry.get(callId);
    return call !== undefined && call.state !== 'ended';
  }

  /** Calls that have not ended. */
  list(): CallView[] {
    return this.options.registry.listActive().map((call) => this.view(call));
  }

  /** @throws GatewayError `GW_CALL_UNKNOWN` (404) */
  inspect(callId: string): CallView {
    return this.view(this.options.registry.require(callId));
  }

  private view(call: PhoneCall): CallView {
    return viewOf(call, this.sessions.get(call.callId));
  }

  /**
   * Answers an inbound webhook with TwiML; a repeat of the same CallSid gets the same.
   * @param publicBase `https://host/prefix` under which Twilio finds our routes
   */
  answer(input: CallWebhookInput, publicBase: string): Promise<string> {
    const answered = this.answered(input.callSid);
    if (answered !== undefined) return answered;
    const hangup = this.answerReplay(input);
    if (hangup !== undefined) return Promise.resolve(hangup);
    if (this.admission.refuse() !== undefined) return Promise.resolve(createRefusalTwiml('busy'));
    return this.answerAs(randomUUID(), input, publicBase);
  }

  /** What a webhook is answered whose call has ended; `undefined` for any other. */
  answerReplay(input: CallWebhookInput): string | undefined {
    const replays = this.past.replayOf(input);
    if (replays === 0) return undefined;
    const { callSid, callStatus } = input;
    if (replays === 1)
      this.options.log.warn({ callSid, callStatus }, 'a webhook of a call that has ended came again');
    return createHangupTwiml();
  }

  /** What the webhook of a call that is remembered was answered. */
  answered(callSid: string): Promise<string> | undefined {
    const known = this.options.registry.getBySid(callSid);
    return known && this.answers.get(known);
  }

  /** Answers the webhook of a new call that is admitted. */
  answerAs(
    callId: string,
    input: CallWebhookInput,
    publicBase: string,
    shared?: SharedEntry,
  ): Promise<string> {
    const call = this.options.registry.create(callId, input, this.preparation());
    const answer = this.answerTo(this.register(call, shared), publicBase, shared);
    this.answers.set(call, answer);
    this.answering.add(answer);
    void answer.finally(() => this.answering.delete(answer));
    return answer;
  }

  /**
   * Places a call.
   * @throws GatewayError `GW_DRAINING`, `GW_FULL`, `GW_OVERLOADED`, `GW_TWILIO_NOT_CONFIGURED` (503), `GW_CALL_REFUSED` (403),
   * `GW_FROM_MISSING` (400), `GW_CALL_EXISTS` and `GW_CALL_ENDED` (409), `GW_TWILIO_REFUSED` (502)
   */
  async place(request: PlaceCallRequest, publicBase: string, shared?: SharedEntry): Promise<PlacedCall> {
    const placing = this.placeCall(request, publicBase, shared);
    this.placing.add(placing);
    try {
      return await placing;
    } finally {
      this.placing.delete(placing);
    }
  }

  private async placeCall(
    request: PlaceCallRequest,
    publicBase: string,
    shared: SharedEntry | undefined,
  ): Promise<PlacedCall> {
    const { rest, registry } = this.options;
    const from = request.from ?? this.options.from;
    this.checkAdmission();
    if (rest === undefined) {
      throw unavailable('GW_TWILIO_NOT_CONFIGURED', 'TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN', 'none');
    }
    if (from === undefined) {
      throw new GatewayError(
        'GW_FROM_MISSING',
        'Expected a caller id for "from" (or TWILIO_FROM) but received none',
      );
    }
    const ringTimeoutSeconds = request.ringTimeoutSeconds ?? DEFAULT_RING_SECONDS;
    const call = registry.create(request.callId ?? randomUUID(), undefined, {
      ...this.preparation(request.room),
      direction: 'outbound-api',
      from,
      to: request.to,
      timeToLiveMs: ringTimeoutSeconds * 1000 + CONNECT_ALLOWANCE_MS,
    });
    const session = this.register(call, shared);
    try {
      const decision = await session.decided;
      if ('refuse' in decision) {
        call.end('refused');
        throw new GatewayError(
          'GW_CALL_REFUSED',
          `Expected prepareCall to admit call ${call.callId} but received a refusal`,
        );
      }
      const { before = [] } = decision;
      call.extend(longestSeconds(before) * 1_000);
      await shared?.announce(call, decision);
      const callSid = await rest.createCall({
        to: request.to,
        from,
        twiml: this.streamTwiml(call, decision, publicBase, before),
        statusCallback: `${publicBase}/twilio/status?callId=${call.callId}`,
        amdCallback: `${publicBase}/twilio/amd?callId=${call.callId}`,
        ringTimeoutSeconds,
        options: request,
      });
      registry.bindSid(call, callSid);
      // Its callee may have been faster than Twilio's answer to us, and be elsewhere by now.
      if (call.endCause !== undefined && !CONTINUING_CAUSES.has(call.endCause)) {
        // It was hung up while Twilio was still being asked; a call that Twilio itself ended needs no more.
        if (call.endCause !== 'status') await this.hangUpAtTwilio(call);
        throw new GatewayError(
          'GW_CALL_ENDED',
          `Expected call ${call.callId} to be wanted until it was placed but received a hang-up`,
        );
      }
      return { callId: call.callId, callSid };
    } catch (error) {
      call.end('failed');
      throw error;
    }
  }

  private checkAdmission(): void {
    switch (this.admission.refuse()) {
      case 'draining':
        throw unavailable('GW_DRAINING', 'a gateway that takes calls', 'one that is shutting down');
      case 'full':
        throw unavailable('GW_FULL', `fewer than ${this.admission.maxCalls} calls`, 'one more');
      case 'media':
      case 'descriptors':
      case 'loop_delay':
      case 'cpu':
        throw unavailable('GW_OVERLOADED', 'a gateway with time to spare', 'one under load');
    }
  }

  /**
   * Takes a call's socket: the token is used up.
   * @throws GatewayError 404, 401, 409, 410 as the registry says, 503 while draining
   */
  connect(callId: string, token: string): Session {
    if (this.isDraining)
      throw unavailable('GW_DRAINING', 'a gateway that takes calls', 'one that is shutting down');
    return this.sessionOf(this.options.registry.claim(callId, token));
  }

  /** Takes a call's socket whose token was used up elsewhere; `undefined` where no such call rings here. */
  takeRinging(callId: string): Session | undefined {
    const call = this.options.registry.get(callId);
    if (call?.state !== 'ringing' || call.isExpired) return undefined;
    call.connect();
    return this.sessionOf(call);
  }

  /** Takes the socket of a call that another node knew. */
  adopt({ callId, webhook, decision, callSid, isContinued, ...facts }: Adoption): Session {
    const { registry } = this.options;
    const { direction, from, to, startedAt } = facts;
    const call = registry.adopt(callId, webhook, {
      prepare: () => decision,
      startedAt,
      ...(direction === undefined ? {} : { direction }),
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    });
    if (callSid !== undefined && call.callSid === undefined) registry.bindSid(call, callSid);
    call.connect();
    return this.register(call, undefined, isContinued);
  }

  /** A call that was registered by hand, e.g. placed with a Twilio client of one's own, is taken like any other. */
  private sessionOf(call: PhoneCall): Session {
    const session = this.sessions.get(call.callId);
    if (session === undefined) return this.register(call);
    if (session.isDormant) this.begin(session);
    return session;
  }

  /** Answers Twilio, which asks what comes after a stream, with TwiML. */
  continueCall(input: CallWebhookInput): string {
    return this.next.twimlFor(input.callSid);
  }

  handleCallback(kind: CallbackKind, input: CallWebhookInput, callId: string | undefined): boolean {
    if (kind === 'status' && isFinalStatus(input.callStatus)) this.past.add(input.callSid, true);
    return this.callbacks.handle(kind, input, callId);
  }

  /**
   * Hangs a call up, at Twilio too where there is an account.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404)
   */
  async hangUp(callId: string): Promise<CallView> {
    const call = this.options.registry.require(callId);
    call.end('hangup');
    await this.hangUpAtTwilio(call);
    return this.view(call);
  }

  /** Ends a call at Twilio, where there is an account; its refusal is logged. */
  async hangUpAtTwilio({ callId, callSid }: Pick<PhoneCall, 'callId' | 'callSid'>): Promise<void> {
    if (this.options.rest === undefined || callSid === undefined) return;
    try {
      await this.options.rest.hangUp(callSid);
    } catch (error) {
      // The closed socket ends the call at Twilio as well, only less directly.
      this.options.log.warn({ callId, err: error }, 'Twilio did not take the hang-up');
    }
  }

  /** Takes no new calls from here on. */
  beginDrain(): void {
    this.isDraining = true;
  }

  /** Settled when every request to Twilio for a call is answered. */
  async placementsSettled(): Promise<void> {
    await Promise.allSettled(this.placing);
  }

  /** Settled when every webhook is answered; a hook has ten seconds. */
  async webhooksAnswered(): Promise<void> {
    await Promise.allSettled(this.answering);
  }

  /** Calls here, from the first that began. */
  get all(): readonly Session[] {
    return [...this.sessions.values()];
  }

  /** Fulfilled when no call is left or the time is over. */
  async idle(withinMs: number): Promise<void> {
    if (this.sessions.size === 0 || withinMs <= 0) return;
    const { clock } = this.options;
    await new Promise<void>((resolve) => {
      const done = () => {
        clock.cancel(timer);
        this.off('idle', done);
        resolve();
      };
      const timer = clock.after(withinMs, done);
      this.once('idle', done);
    });
  }

  /** Takes no new calls; is fulfilled when the running ones are over, or ends them when the grace is. */
  async drain(graceMs: number): Promise<void> {
    this.beginDrain();
    // Whoever still rings could only connect to a gateway that takes no more calls.
    const waiting = [...this.sessions.values()]
      .map(({ call }) => call)
      .filter((call) => call.state === 'ringing');
    for (const call of waiting) call.end('drain');
    await Promise.all(waiting.filter(isPlacedByUs).map((call) => this.hangUpAtTwilio(call)));
    if (this.sessions.size > 0 && graceMs > 0) {
      this.options.log.info({ calls: this.sessions.size, graceMs }, 'draining: waiting for calls to end');
      await this.idle(graceMs);
    }
    await this.endAll();
  }

  /** Ends all calls at once; fulfilled when every request to Twilio for one is answered. */
  async endAll(): Promise<void> {
    this.beginDrain();
    for (const { call } of this.all) call.end('drain');
    await this.placementsSettled();
  }

  private preparation(room?: string) {
    const { prepareCall } = this.options;
    return {
      prepare: async (call: PhoneCall, signal: AbortSignal): Promise<CallDecision | undefined> => {
        const decision = await prepareCall?.(call, signal);
        return room === undefined ? decision : inRoom(decision, room);
      },
    };
  }

  private register(call: PhoneCall, shared?: SharedEntry, isContinued = false): Session {
    const { bridge, log, leadMs, defaultRoom, accountSid, apology } = this.options;
    // Finalisers run last in, first out: this one sees the call when all of it is freed.
    call.onEnd((cause) => this.onCallEnded(session, cause));
    const session: Session = new Session(call, {
      bridge,
      log,
      clock: this.options.clock,
      defaultRoom,
      bindSid: (call, callSid) => this.options.registry.bindSid(call, callSid),
      onAnswered: (facts) => this.emitAnswered(session, facts),
      isContinued,
      accountSid,
      apology,
      continueWith: this.hasContinuation
        ? ({ callSid }, twiml) => {
            if (callSid !== undefined) this.next.set(callSid, twiml);
          }
        : undefined,
      stream: { leadMs, latencies: this.times, frameClock: this.options.frameClock },
    });
    this.sessions.set(call.callId, session);
    if (shared?.isDormant !== true) this.begin(session, isContinued);
    return session;
  }

  private begin(session: Session, isContinued = false): void {
    const { call, stream } = session;
    const { callId, callSid, direction } = call;
    const { log } = this.options;
    log.info({ callId, callSid, direction, from: maskNumber(call.from) }, 'call');
    session.begin();
    try {
      this.emit('call', call, stream, isContinued);
    } catch (error) {
      // A listener's fault ends its call; it must not leave one behind that nobody answers for.
      log.error({ callId, err: error }, 'a listener of "call" failed');
      call.end('internal');
    }
  }

  private emitAnswered({ call, stream }: Session, facts: AnsweredFacts): void {
    try {
      this.emit('answered', call, stream, facts);
    } catch (error) {
      this.options.log.error({ callId: call.callId, err: error }, 'a listener of "answered" failed');
    }
  }

  private onCallEnded(session: Session, cause: EndCause): void {
    const { call, stream } = session;
    this.sessions.delete(call.callId);
    if (call.callSid !== undefined && cause !== 'handed-over' && cause !== 'moved')
      this.past.add(call.callSid, false);
    const after = continuationTwiml(session.decision, cause);
    if (after !== undefined && call.callSid !== undefined) this.next.set(call.callSid, after);
    this.emit('over', session, cause);
    // A call that was no more than announced here is told of where its socket is.
    if (cause !== 'moved' || !session.isDormant) this.report(session, cause);
    // A phone that we made ring is not left ringing for a call that has failed or is over.
    if ((cause === 'failed' || cause === 'bridge') && isPlacedByUs(call) && stream.streamSid === undefined) {
      void this.hangUpAtTwilio(call);
    }
    if (this.sessions.size === 0) this.emit('idle');
  }

  private report(session: Session, cause: EndCause): void {
    const { call } = session;
    const report = reportOf(session, cause);
    this.pastTraffic.add(report.traffic);
    this.endedCalls.set(cause, (this.endedCalls.get(cause) ?? 0) + 1);
    // How a call went is known where it ends.
    if (cause !== 'handed-over' && cause !== 'moved') {
      this.results.set(report.result, (this.results.get(report.result) ?? 0) + 1);
    }
    this.options.log.info({ callId: call.callId, callSid: call.callSid, ...logOf(report) }, 'call ended');
    this.watchdog.watchEnd(session, session.ending);
    if (session.isDormant) return;
    try {
      this.emit('end', call, cause, report);
    } catch (error) {
      this.options.log.error({ callId: call.callId, err: error }, 'a listener of "end" failed');
    }
  }

  private onStuck({ call, stream }: Session, way: StuckKind): void {
    const { callId, callSid } = call;
    this.options.log.error({ callId, callSid, way, seconds: this.options.stuckMs / 1_000 }, 'call stuck');
    if (way === 'silent' && !stream.isEnded) call.end('silent');
  }

  private get hasContinuation(): boolean {
    return this.options.hasContinuation === true || this.options.bridge.continuesCalls === true;
  }

  /**
   * TwiML that connects a call to its stream.
   * @param before what comes first
   */
  streamTwiml(
    { callId, token }: { readonly callId: string; readonly token: string },
    decision: CallDecision,
    publicBase: string,
    before: readonly CallVerb[] = [],
  ): string {
    const url = `${webSocketOrigin(publicBase)}/twilio/media/${callId}/${token}`;
    const { parameters, after, bridge = true } = 'refuse' in decision ? {} : decision;
    const asksNext = this.options.hasContinuation || (bridge && this.hasContinuation);
    return createMediaStreamTwiml(url, {
      before,
      ...(this.options.streamStatus ? { statusCallback: `${publicBase}/twilio/stream-status` } : {}),
      ...(parameters === undefined ? {} : { parameters }),
      ...(asksNext ? { next: `${publicBase}/twilio/next` } : after === undefined ? {} : { after }),
    });
  }

  private async answerTo(session: Session, publicBase: string, shared?: SharedEntry): Promise<string> {
    const { call } = session;
    try {
      const decision = await session.decided;
      if ('refuse' in decision) {
        call.end('refused');
        return createRefusalTwiml(decision.refuse);
      }
      const { before = [] } = decision;
      call.extend(longestSeconds(before) * 1_000);
      await shared?.announce(call, decision);
      return this.streamTwiml(call, decision, publicBase, before);
    } catch (error) {
      // A caller who has gone needs no answer; any other may try again.
      if (call.state !== 'ended')
        this.options.log.error({ callId: call.callId, err: error }, 'the call could not be answered');
      call.end('failed');
      return createRefusalTwiml('busy');
    }
  }
}

function isPlacedByUs(call: PhoneCall): boolean {
  return call.direction === 'outbound-api';
}

function unavailable(code: ErrorCode, what: string, received: string): GatewayError {
  return new GatewayError(code, `Expected ${what} for a new call but received ${received}`);
}
