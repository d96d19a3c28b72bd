import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Bridge } from '../bridge/bridge.js';
import type { EndCause } from '../calls/call.js';
import type { TwilioCallRegistry } from '../calls/registry.js';
import { CALL_RESULTS, type CallResult } from '../calls/result.js';
import { GatewayError } from '../errors.js';
import { EventLoopDelay } from '../telemetry/event-loop-delay.js';
import { Latencies } from '../telemetry/latencies.js';
import { type Logger, maskNumber } from '../telemetry/log.js';
import { Traffic } from '../telemetry/traffic.js';
import { webSocketOrigin } from '../twilio/public-url.js';
import type { TwilioRest } from '../twilio/rest.js';
import { createMediaStreamTwiml, createRefusalTwiml } from '../twilio/twiml.js';
import { type CallWebhookInput, isFinalStatus } from '../twilio/webhook.js';
import { Admission, type AdmissionLimits } from './admission.js';
import { type CallReport, logOf, reportOf } from './call-report.js';
import type { CallDecision, PhoneCall, PrepareCallHook } from './decision.js';
import type { TwilioMediaStream } from './media-stream.js';
import { NextVerbs } from './next-verbs.js';
import type { PlaceCallRequest } from './place-call.js';
import { type Apology, Session } from './session.js';
import { type StuckWay, Watchdog } from './watchdog.js';

export interface SwitchboardOptions {
  readonly registry: TwilioCallRegistry<CallDecision | undefined>;
  readonly bridge: Bridge;
  readonly log: Logger;
  readonly limits: AdmissionLimits;
  /** Longest silence of a live call, and longest end, in milliseconds. */
  readonly stuckMs: number;
  readonly leadMs: number;
  readonly defaultRoom: (call: PhoneCall) => string;
  readonly prepareCall: PrepareCallHook | undefined;
  readonly accountSid: string | undefined;
  /** Absent where no Twilio account is configured: calls can then not be placed. */
  readonly rest: TwilioRest | undefined;
  /** Caller id of outbound calls that name none. */
  readonly from: string | undefined;
  readonly apology: Apology;
}

export interface PlacedCall {
  readonly callId: string;
  readonly callSid: string;
}

interface SwitchboardEvents {
  /** A call is known; it has no audio yet. */
  call: [call: PhoneCall, stream: TwilioMediaStream];
  end: [call: PhoneCall, cause: EndCause, report: CallReport];
  /** The last call has ended. */
  idle: [];
}

/** From answer to socket Twilio needs a moment, on top of the ringing. */
const CONNECT_ALLOWANCE_MS = 15_000;
const DEFAULT_RING_SECONDS = 60;

/** Answers, places, connects and ends the calls of one gateway. Knows nothing of HTTP. */
export class Switchboard extends EventEmitter<SwitchboardEvents> {
  readonly latencies = new Latencies();
  readonly eventLoopDelay = new EventLoopDelay();
  readonly admission: Admission;
  readonly endedCalls = new Map<string, number>();
  readonly results = new Map<CallResult, number>(CALL_RESULTS.map((result) => [result, 0]));
  private readonly watchdog: Watchdog;
  private readonly sessions = new Map<string, Session>();
  /** What webhooks were answered, as long as their calls are remembered. */
  private readonly answers = new WeakMap<PhoneCall, Promise<string>>();
  /** Requests to Twilio under way: a gateway that closes must not leave a phone ringing behind it. */
  private readonly placing = new Set<Promise<PlacedCall>>();
  private readonly next: NextVerbs;
  private readonly past = new Traffic();
  private isDraining = false;

  constructor(private readonly options: SwitchboardOptions) {
    super();
    this.next = new NextVerbs(options.limits.maxCalls);
    this.admission = new Admission(options.limits, {
      activeCalls: () => this.sessions.size,
      isDraining: () => this.isDraining,
      loopDelayMs: () => this.eventLoopDelay.recentMs,
      cpuMs: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1_000;
      },
      now: () => performance.now(),
    });
    this.watchdog = new Watchdog(
      options.stuckMs,
      () => this.sessions.values(),
      (session, way) => this.stuck(session, way),
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
    total.add(this.past);
    for (const session of this.sessions.values()) total.add(session.stream.counts());
    return total;
  }

  session(callId: string): Session | undefined {
    return this.sessions.get(callId);
  }

  /** Calls that have not ended. */
  list(): PhoneCall[] {
    return this.options.registry.listActive();
  }

  /** @throws GatewayError `GW_CALL_UNKNOWN` (404) */
  require(callId: string): PhoneCall {
    return this.options.registry.require(callId);
  }

  /**
   * Answers an inbound webhook with TwiML; a repeat of the same CallSid gets the same.
   * @param publicBase `https://host/prefix` under which Twilio finds our routes
   */
  answer(input: CallWebhookInput, publicBase: string): Promise<string> {
    const known = this.options.registry.getBySid(input.callSid);
    const answered = known && this.answers.get(known);
    if (answered !== undefined) return answered;
    if (this.admission.refuse() !== undefined) return Promise.resolve(createRefusalTwiml('busy'));
    const session = this.register(this.options.registry.create(randomUUID(), input, this.preparation()));
    const answer = this.answerTo(session, publicBase);
    this.answers.set(session.call, answer);
    return answer;
  }

  /**
   * Places a call.
   * @throws GatewayError `GW_DRAINING`, `GW_FULL`, `GW_OVERLOADED`, `GW_TWILIO_NOT_CONFIGURED` (503), `GW_CALL_REFUSED` (403),
   * `GW_FROM_MISSING` (400), `GW_CALL_EXISTS` and `GW_CALL_ENDED` (409), `GW_TWILIO_REFUSED` (502)
   */
  async place(request: PlaceCallRequest, publicBase: string): Promise<PlacedCall> {
    const placing = this.placeCall(request, publicBase);
    this.placing.add(placing);
    try {
      return await placing;
    } finally {
      this.placing.delete(placing);
    }
  }

  private async placeCall(request: PlaceCallRequest, publicBase: string): Promise<PlacedCall> {
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
        {
          status: 400,
        },
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
    const session = this.register(call);
    try {
      const decision = await session.decided;
      if ('refuse' in decision) {
        call.end('refused');
        throw new GatewayError(
          'GW_CALL_REFUSED',
          `Expected prepareCall to admit call ${call.callId} but received a refusal`,
          { status: 403 },
        );
      }
      const callSid = await rest.createCall({
        to: request.to,
        from,
        twiml: this.streamTwiml(call, decision, publicBase),
        statusCallback: `${publicBase}/twilio/status?callId=${call.callId}`,
        ringTimeoutSeconds,
      });
      registry.bindSid(call, callSid);
      if (call.state === 'ended') {
        // It was hung up while Twilio was still being asked; a call that Twilio itself ended needs no more.
        if (call.endCause !== 'status') await this.hangUpAtTwilio(call);
        throw new GatewayError(
          'GW_CALL_ENDED',
          `Expected call ${call.callId} to be wanted until it was placed but received a hang-up`,
          { status: 409 },
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
    const call = this.options.registry.claim(callId, token);
    // A call that was registered by hand, e.g. placed with a Twilio client of one's own, is taken like any other.
    return this.sessions.get(call.callId) ?? this.register(call);
  }

  /** Answers Twilio, which asks what comes after a stream, with TwiML. */
  goOn(input: CallWebhookInput): string {
    return this.next.of(input.callSid);
  }

  /** Notes a status callback. A final one ends the call, or frees one that was never answered. */
  noteStatus(input: CallWebhookInput, callId: string | undefined): void {
    const { registry } = this.options;
    const call =
      registry.getBySid(input.callSid) ?? (callId === undefined ? undefined : registry.get(callId));
    if (call === undefined || (call.callSid !== undefined && call.callSid !== input.callSid)) return;
    call.noteStatus(input.callStatus, input.sequenceNumber);
    if (isFinalStatus(input.callStatus)) call.end('status');
  }

  /** Notes a stream status callback: the only place where Twilio tells of a failed handshake. */
  noteStreamStatus(input: CallWebhookInput): void {
    const callId = this.options.registry.getBySid(input.callSid)?.callId;
    const event = input.get('StreamEvent');
    const error = input.get('StreamError');
    if (error === undefined) this.options.log.debug({ callId, event }, 'stream status');
    else this.options.log.warn({ callId, event, error }, 'Twilio could not stream');
  }

  /** Hangs a call up, at Twilio too where there is an account. */
  async hangUp(call: PhoneCall): Promise<void> {
    call.end('hangup');
    await this.hangUpAtTwilio(call);
  }

  private async hangUpAtTwilio({ callId, callSid }: PhoneCall): Promise<void> {
    if (this.options.rest === undefined || callSid === undefined) return;
    try {
      await this.options.rest.hangUp(callSid);
    } catch (error) {
      // The closed socket ends the call at Twilio as well, only less directly.
      this.options.log.warn({ callId, err: error }, 'Twilio did not take the hang-up');
    }
  }

  /** Takes no new calls; is fulfilled when the running ones are over, or ends them when the grace is. */
  async drain(graceMs: number): Promise<void> {
    this.isDraining = true;
    // Whoever still rings could only connect to a gateway that takes no more calls.
    const waiting = [...this.sessions.values()]
      .map(({ call }) => call)
      .filter((call) => call.state === 'ringing');
    for (const call of waiting) call.end('drain');
    await Promise.all(waiting.filter(isPlacedByUs).map((call) => this.hangUpAtTwilio(call)));
    if (this.sessions.size > 0 && graceMs > 0) {
      this.options.log.info({ calls: this.sessions.size, graceMs }, 'draining: waiting for calls to end');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.once('idle', () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    for (const { call } of [...this.sessions.values()]) call.end('drain');
    await Promise.allSettled(this.placing);
  }

  private preparation(room?: string) {
    const { prepareCall } = this.options;
    return {
      prepare: async (call: PhoneCall, signal: AbortSignal): Promise<CallDecision | undefined> => {
        const decision = await prepareCall?.(call, signal);
        const isRefused = typeof decision === 'object' && decision !== null && 'refuse' in decision;
        return room === undefined || isRefused ? decision : { ...decision, room };
      },
    };
  }

  private register(call: PhoneCall): Session {
    const { callId, callSid, direction } = call;
    const { bridge, log, leadMs, defaultRoom, accountSid, apology } = this.options;
    // Finalisers run last in, first out: this one sees the call when all of it is freed.
    call.onEnd((cause) => this.ended(session, cause));
    const session: Session = new Session(call, {
      bridge,
      log,
      defaultRoom,
      accountSid,
      apology,
      goOn: bridge.goesOn
        ? ({ callSid }, twiml) => {
            if (callSid !== undefined) this.next.set(callSid, twiml);
          }
        : undefined,
      stream: { leadMs, latencies: this.latencies },
    });
    this.sessions.set(callId, session);
    log.info({ callId, callSid, direction, from: maskNumber(call.from) }, 'call');
    try {
      this.emit('call', call, session.stream);
    } catch (error) {
      // A listener's fault ends its call; it must not leave one behind that nobody answers for.
      log.error({ callId, err: error }, 'a listener of "call" failed');
      call.end('internal');
    }
    return session;
  }

  private ended(session: Session, cause: EndCause): void {
    const { call, stream } = session;
    this.sessions.delete(call.callId);
    const report = reportOf(session, cause);
    this.past.add(report.traffic);
    this.endedCalls.set(cause, (this.endedCalls.get(cause) ?? 0) + 1);
    this.results.set(report.result, (this.results.get(report.result) ?? 0) + 1);
    this.options.log.info({ callId: call.callId, callSid: call.callSid, ...logOf(report) }, 'call ended');
    this.watchdog.watchEnd(session, session.ending);
    try {
      this.emit('end', call, cause, report);
    } catch (error) {
      this.options.log.error({ callId: call.callId, err: error }, 'a listener of "end" failed');
    }
    // A phone that we made ring is not left ringing for a call that has failed or is over.
    if ((cause === 'failed' || cause === 'bridge') && isPlacedByUs(call) && stream.streamSid === undefined) {
      void this.hangUpAtTwilio(call);
    }
    if (this.sessions.size === 0) this.emit('idle');
  }

  private stuck({ call, stream }: Session, way: StuckWay): void {
    const { callId, callSid } = call;
    this.options.log.error({ callId, callSid, way, seconds: this.options.stuckMs / 1_000 }, 'call stuck');
    if (way === 'silent' && !stream.isEnded) call.end('silent');
  }

  private streamTwiml(call: PhoneCall, decision: CallDecision, publicBase: string): string {
    const url = `${webSocketOrigin(publicBase)}/twilio/media/${call.callId}/${call.token}`;
    const { parameters, bridge = true } = 'refuse' in decision ? {} : decision;
    return createMediaStreamTwiml(url, {
      ...(parameters === undefined ? {} : { parameters }),
      ...(bridge && this.options.bridge.goesOn ? { next: `${publicBase}/twilio/next` } : {}),
    });
  }

  private async answerTo(session: Session, publicBase: string): Promise<string> {
    const { call } = session;
    try {
      const decision = await session.decided;
      if ('refuse' in decision) {
        call.end('refused');
        return createRefusalTwiml(decision.refuse);
      }
      return this.streamTwiml(call, decision, publicBase);
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

function unavailable(code: `GW_${string}`, what: string, received: string): GatewayError {
  return new GatewayError(code, `Expected ${what} for a new call but received ${received}`, { status: 503 });
}
