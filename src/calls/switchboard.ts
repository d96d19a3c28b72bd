import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { AnsweredFacts, Bridge } from '../bridge/bridge.js';
import type { Clock } from '../clock.js';
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
import type { AgentChoice, CallDecision, PhoneCall, PrepareCallHook } from './decision.js';
import { roomOf, withRequest } from './decision-check.js';
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
  /** Maximum silence of a live call, and maximum time to end one, in milliseconds. */
  readonly stuckMs: number;
  readonly leadMs: number;
  readonly frameClock: FrameClock;
  readonly defaultRoom: (call: Pick<PhoneCall, 'callId' | 'to'>) => string;
  readonly prepareCall: PrepareCallHook | undefined;
  readonly accountSid: string | undefined;
  /** Undefined without a Twilio account; calls then cannot be placed. */
  readonly rest: TwilioRest | undefined;
  /** Default caller id of outbound calls. */
  readonly from: string | undefined;
  readonly apology: Apology;
  /** Whether every stream gets a continuation URL, because another node may take over the call. */
  readonly hasContinuation?: boolean;
  /** Who answers calls whose decision names nobody. */
  readonly agent?: string | undefined;
  /** Throws if there is no such agent. */
  readonly checkAgent?: (to: string) => void;
  /** Whether Twilio sends callbacks about every stream's start, stop and errors. */
  readonly streamStatus?: boolean;
  /** Whether the process has almost run out of file descriptors. */
  readonly isShortOfDescriptors: () => boolean;
  /** Calls elsewhere that count against `maxCalls`, too; default none. */
  readonly otherCalls?: (() => number) | undefined;
}

/** How a call starts that other nodes may take over. */
export interface SharedEntry {
  /** Whether the call waits for its socket, which may connect to another node. */
  readonly isDormant: boolean;
  /** Announces the call to the other nodes before Twilio learns its URL. */
  announce(call: PhoneCall, decision: CallDecision): Promise<void>;
}

/** A call handed over by another node. */
export interface Adoption {
  readonly callId: string;
  readonly webhook: CallWebhookInput | undefined;
  readonly decision: CallDecision;
  readonly direction: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly callSid: string | undefined;
  readonly startedAt: Date;
  /** Whether the call was live on the other node. */
  readonly isContinued: boolean;
}

interface SwitchboardEvents {
  /** A call is known; audio does not flow yet. */
  call: [call: PhoneCall, stream: TwilioMediaStream, isContinued: boolean];
  /** Audio flows. */
  answered: [call: PhoneCall, stream: TwilioMediaStream, facts: AnsweredFacts];
  /** Twilio detected who or what answered an outbound call. */
  answeredBy: [call: PhoneCall, answeredBy: string, afterMs: number | undefined];
  end: [call: PhoneCall, cause: EndCause, report: CallReport];
  /** Like `end`, but for every call, including those that were only announced here. */
  over: [session: Session, cause: EndCause];
  /** The decision of a running call has changed. */
  change: [session: Session];
  /** The last call has ended. */
  idle: [];
}

/** Time Twilio needs from answer to socket, on top of the ringing. */
const CONNECT_ALLOWANCE_MS = 15_000;
const DEFAULT_RING_SECONDS = 60;
/** After these causes the callee is still on the phone. */
const CONTINUING_CAUSES: ReadonlySet<EndCause> = new Set(['handed-over', 'moved', 'transferred']);

/** Answers, places, connects and ends the calls of one gateway. Knows nothing about HTTP. */
export class Switchboard extends EventEmitter<SwitchboardEvents> implements CallService {
  readonly eventLoopDelay: EventLoopDelay;
  readonly admission: AdmissionControl;
  readonly endedCalls = new Map<string, number>();
  readonly results = new Map<CallResult, number>(CALL_RESULTS.map((result) => [result, 0]));
  private readonly watchdog: CallWatchdog;
  private readonly callbacks: Callbacks;
  private readonly sessions = new Map<string, Session>();
  /** Answers to webhooks, kept as long as their calls are. */
  private readonly answers = new WeakMap<PhoneCall, Promise<string>>();
  /** Webhook answers still pending. */
  private readonly answering = new Set<Promise<string>>();
  /** Requests to Twilio in flight: a closing gateway must not leave a phone ringing. */
  private readonly placing = new Set<Promise<PlacedCall>>();
  /** TwiML for callers whose streams have ended. */
  readonly next: Continuations;
  /** Ended calls, which must not ring again. */
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
      activeCalls: () => this.sessions.size + (options.otherCalls?.() ?? 0),
      isDraining: () => this.isDraining,
      isBridgeOverloaded: () => options.bridge.isOverloaded === true,
      isShortOfDescriptors: options.isShortOfDescriptors,
      loopDelayMs: () => this.eventLoopDelay.recentMs,
      cpuMs: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1_000;
      },
    };
    this.admission = new AdmissionControl(options.limits, gauges, clock, options.log);
    this.watchdog = new CallWatchdog(
      options.stuckMs,
      () => this.sessions.values(),
      (session, way) => this.onStuck(session, way),
      clock,
    );
  }

  /** Starts monitoring load and calls. */
  open(): void {
    this.eventLoopDelay.start();
    this.admission.start();
    this.watchdog.start();
  }

  /** Stops monitoring. */
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

  /** Calls found stuck so far, by kind. */
  get stuckCalls(): ReadonlyMap<string, number> {
    return this.watchdog.found;
  }

  /** Traffic counters of all calls, past and present. */
  get traffic(): Traffic {
    const total = new Traffic();
    total.add(this.pastTraffic);
    for (const session of this.sessions.values()) total.add(session.stream.counts());
    return total;
  }

  /** Frame latencies of all calls, past and present. */
  get latencies(): Latencies {
    for (const { stream } of this.sessions.values()) stream.latencies.settle();
    return this.times;
  }

  /**
   * Like {@link latencies}, without collecting what running calls still buffer: free, and at most two seconds
   * behind.
   */
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
    const message = `Call ${callId} has already ended`;
    throw new GatewayError('GW_CALL_ENDED', message);
  }

  /** Whether this gateway has the call and it has not ended. */
  has(callId: string): boolean {
    const call = this.options.registry.get(callId);
    return call !== undefined && call.state !== 'ended';
  }

  /** The bridge's room for a call of this decision; `undefined` if it joins none. */
  roomOf(decision: CallDecision, call: Pick<PhoneCall, 'callId' | 'to'>): string | undefined {
    if ('refuse' in decision || decision.bridge === false) return undefined;
    return roomOf(decision) ?? this.options.defaultRoom(call);
  }

  /** Lists all calls that have not ended. */
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
   * Answers an inbound webhook with TwiML. A repeat of the same CallSid gets the same answer.
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

  /** Answers a replayed webhook of an ended call; `undefined` for any other. */
  answerReplay(input: CallWebhookInput): string | undefined {
    const replays = this.past.replayOf(input);
    if (replays === 0) return undefined;
    const { callSid, callStatus } = input;
    if (replays === 1) this.options.log.warn({ callSid, callStatus }, 'webhook replayed for an ended call');
    return createHangupTwiml();
  }

  /** The earlier answer to this call's webhook, if the call is still known. */
  answered(callSid: string): Promise<string> | undefined {
    const known = this.options.registry.getBySid(callSid);
    return known && this.answers.get(known);
  }

  /** Answers the webhook of an admitted call. */
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
   * Places an outbound call.
   * @throws GatewayError `GW_AGENT_UNKNOWN` (400), `GW_AGENT_KEY_MISSING`,
   *   `GW_DRAINING`, `GW_FULL`, `GW_OVERLOADED`, `GW_TWILIO_NOT_CONFIGURED` (503),
   *   `GW_CALL_REFUSED` (403), `GW_FROM_MISSING` (400), `GW_CALL_EXISTS` and `GW_CALL_ENDED` (409),
   *   `GW_TWILIO_REFUSED` (502)
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
    if (request.agent) this.options.checkAgent?.(request.agent);
    if (rest === undefined) {
      throw new GatewayError(
        'GW_TWILIO_NOT_CONFIGURED',
        'Placing calls requires TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN',
      );
    }
    if (from === undefined) {
      throw new GatewayError(
        'GW_FROM_MISSING',
        'Expected a caller id for "from" (or TWILIO_FROM) but received none',
      );
    }
    const ringTimeoutSeconds = request.ringTimeoutSeconds ?? DEFAULT_RING_SECONDS;
    const call = registry.create(request.callId ?? randomUUID(), undefined, {
      ...this.preparation(request),
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
        throw new GatewayError('GW_CALL_REFUSED', `prepareCall refused call ${call.callId}`);
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
      // The callee may answer before Twilio responds to us, and may already be on another node.
      if (call.endCause !== undefined && !CONTINUING_CAUSES.has(call.endCause)) {
        // Hung up while the request was in flight. If Twilio itself ended the call, nothing is left to do.
        if (call.endCause !== 'status') await this.hangUpAtTwilio(call);
        throw new GatewayError('GW_CALL_ENDED', `Call ${call.callId} was hung up before it was placed`);
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
        throw shuttingDown();
      case 'full':
        throw new GatewayError('GW_FULL', `The gateway already has ${this.admission.maxCalls} calls`);
      case 'media':
      case 'descriptors':
      case 'loop_delay':
      case 'cpu':
        throw new GatewayError('GW_OVERLOADED', 'The gateway is overloaded');
    }
  }

  /**
   * Claims a call for its media socket. The token is used up.
   * @throws GatewayError as {@link TwilioCallRegistry.claim}; `GW_DRAINING` (503) while draining
   */
  connect(callId: string, token: string): Session {
    if (this.isDraining) throw shuttingDown();
    return this.sessionOf(this.options.registry.claim(callId, token));
  }

  /** Connects a ringing call whose token was used up elsewhere; `undefined` if no such call rings here. */
  takeRinging(callId: string): Session | undefined {
    const call = this.options.registry.get(callId);
    if (call?.state !== 'ringing' || call.isExpired) return undefined;
    call.connect();
    return this.sessionOf(call);
  }

  /** Connects a call handed over by another node. */
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

  /** A call registered by the user, e.g. placed with their own Twilio client, gets its session here. */
  private sessionOf(call: PhoneCall): Session {
    const session = this.sessions.get(call.callId);
    if (session === undefined) return this.register(call);
    if (session.isDormant) this.begin(session);
    return session;
  }

  /** Answers Twilio's request for TwiML after a media stream has ended. */
  continueCall(input: CallWebhookInput): string {
    return this.next.twimlFor(input.callSid);
  }

  handleCallback(kind: CallbackKind, input: CallWebhookInput, callId: string | undefined): boolean {
    if (kind === 'status' && isFinalStatus(input.callStatus)) this.past.add(input.callSid, true);
    return this.callbacks.handle(kind, input, callId);
  }

  /**
   * Hangs up a call, also at Twilio if an account is configured.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404)
   */
  async hangUp(callId: string): Promise<CallView> {
    const call = this.options.registry.require(callId);
    call.end('hangup');
    await this.hangUpAtTwilio(call);
    return this.view(call);
  }

  /** Ends a call at Twilio, if an account is configured. Logs a failure. */
  async hangUpAtTwilio({ callId, callSid }: Pick<PhoneCall, 'callId' | 'callSid'>): Promise<void> {
    if (this.options.rest === undefined || callSid === undefined) return;
    try {
      await this.options.rest.hangUp(callSid);
    } catch (error) {
      // Closing the socket also ends the call at Twilio, only less directly.
      this.options.log.warn({ callId, err: error }, 'Twilio rejected the hang-up');
    }
  }

  /** Rejects new calls from here on. */
  beginDrain(): void {
    this.isDraining = true;
  }

  /** Settles when every pending request to place a call has been answered. */
  async placementsSettled(): Promise<void> {
    await Promise.allSettled(this.placing);
  }

  /** Settles when every pending webhook has been answered; a hook takes at most ten seconds. */
  async webhooksAnswered(): Promise<void> {
    await Promise.allSettled(this.answering);
  }

  /** All sessions, the oldest first. */
  get all(): readonly Session[] {
    return [...this.sessions.values()];
  }

  /** Resolves when the last call has ended or the time is over. */
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

  /** Rejects new calls, waits up to `graceMs` milliseconds for running ones to end, then ends the rest. */
  async drain(graceMs: number): Promise<void> {
    this.beginDrain();
    // A ringing call could only connect to a gateway that rejects it.
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

  /** Ends all calls at once; resolves when pending requests to Twilio have been answered. */
  async endAll(): Promise<void> {
    this.beginDrain();
    for (const { call } of this.all) call.end('drain');
    await this.placementsSettled();
  }

  private preparation(request: Pick<PlaceCallRequest, 'room' | 'agent'> = {}) {
    const { prepareCall } = this.options;
    return {
      prepare: async (call: PhoneCall, signal: AbortSignal): Promise<CallDecision | undefined> => {
        const decision = await prepareCall?.(call, signal);
        return request.room === undefined && request.agent === undefined
          ? decision
          : withRequest(decision, request);
      },
    };
  }

  private register(call: PhoneCall, shared?: SharedEntry, isContinued = false): Session {
    const { bridge, log, leadMs, defaultRoom, accountSid, apology } = this.options;
    // Finalisers run last in, first out: this one runs when the rest of the call is freed.
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
      continueWith: ({ callSid }, decision, twiml) => {
        if (!this.mayContinue(decision)) return false;
        if (callSid !== undefined) this.next.set(callSid, twiml);
        return true;
      },
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
      // A throwing listener ends its call; otherwise nobody would handle the call.
      log.error({ callId, err: error }, 'a "call" listener threw');
      call.end('internal');
    }
  }

  private emitAnswered({ call, stream }: Session, facts: AnsweredFacts): void {
    try {
      this.emit('answered', call, stream, facts);
    } catch (error) {
      this.options.log.error({ callId: call.callId, err: error }, 'an "answered" listener threw');
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
    // A call that was only announced here is reported by the node that has its socket.
    if (cause !== 'moved' || !session.isDormant) this.report(session, cause);
    // Do not leave a phone ringing for an outbound call that has failed or ended.
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
    // The node where a call ends counts its result.
    if (cause !== 'handed-over' && cause !== 'moved') {
      this.results.set(report.result, (this.results.get(report.result) ?? 0) + 1);
    }
    this.options.log.info({ callId: call.callId, callSid: call.callSid, ...logOf(report) }, 'call ended');
    this.watchdog.watchEnd(session, session.ending);
    if (session.isDormant) return;
    try {
      this.emit('end', call, cause, report);
    } catch (error) {
      this.options.log.error({ callId: call.callId, err: error }, 'an "end" listener threw');
    }
  }

  private onStuck({ call, stream }: Session, way: StuckKind): void {
    const { callId, callSid } = call;
    this.options.log.error({ callId, callSid, way, seconds: this.options.stuckMs / 1_000 }, 'call stuck');
    if (way === 'silent' && !stream.isEnded) call.end('silent');
  }

  /** Whether Twilio may ask for the verbs of a running call once its stream has ended. */
  get owesVerbs(): boolean {
    for (const { decision } of this.sessions.values()) if (this.mayContinue(decision)) return true;
    return false;
  }

  /** Whether Twilio gets a continuation URL for a call of this decision. */
  private mayContinue(decision: CallDecision | undefined): boolean {
    const { hasContinuation, bridge } = this.options;
    if (hasContinuation) return true;
    if (decision !== undefined && ('refuse' in decision || decision.bridge === false)) return false;
    return bridge.continuesCalls === true || this.agentOf(decision) !== undefined;
  }

  /** The agent of a call, if it has one. */
  agentOf(decision: CallDecision | undefined): AgentChoice | undefined {
    if (decision !== undefined && ('refuse' in decision || decision.bridge === false)) return undefined;
    const agent = decision?.agent ?? this.options.agent ?? false;
    if (agent === false) return undefined;
    return typeof agent === 'string' ? { to: agent } : agent;
  }

  /**
   * TwiML that connects a call to its media stream.
   * @param before verbs that come first
   */
  streamTwiml(
    { callId, token }: { readonly callId: string; readonly token: string },
    decision: CallDecision,
    publicBase: string,
    before: readonly CallVerb[] = [],
  ): string {
    const url = `${webSocketOrigin(publicBase)}/twilio/media/${callId}/${token}`;
    const { parameters, after } = 'refuse' in decision ? {} : decision;
    return createMediaStreamTwiml(url, {
      before,
      ...(this.options.streamStatus ? { statusCallback: `${publicBase}/twilio/stream-status` } : {}),
      ...(parameters === undefined ? {} : { parameters }),
      ...(this.mayContinue(decision)
        ? { next: `${publicBase}/twilio/next` }
        : after === undefined
          ? {}
          : { after }),
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
      // A caller who has hung up needs no answer; any other may retry.
      if (call.state !== 'ended')
        this.options.log.error({ callId: call.callId, err: error }, 'failed to answer the call');
      call.end('failed');
      return createRefusalTwiml('busy');
    }
  }
}

function isPlacedByUs(call: PhoneCall): boolean {
  return call.direction === 'outbound-api';
}

function shuttingDown(): GatewayError {
  return new GatewayError('GW_DRAINING', 'The gateway is shutting down');
}
