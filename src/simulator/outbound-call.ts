import type { Timer } from '../clock.js';
import type { AudioSource } from './audio.js';
import type { PhoneClock } from './clock.js';
import type { DialMapping } from './dial.js';
import { newSid } from './identifiers.js';
import type { LineProfile } from './line.js';
import { type PhoneFaults, SimulatedPhone } from './phone.js';
import { RestCall } from './resources.js';
import { CallbackQueue, type CallStatus, statusParameters } from './webhook.js';

/** Behaviour of a callee. */
export interface Callee {
  /**
   * `answer` after `afterMs`; `busy` and `failed` without ringing; `no-answer` after the call's own timeout;
   * `canceled` after `afterMs`, as if the call had been cancelled.
   */
  readonly does: 'answer' | 'busy' | 'no-answer' | 'failed' | 'canceled';
  /** Milliseconds of ringing; default 50. */
  readonly afterMs?: number;
  /** What the callee says, and how; see {@link SimulatedPhone}. */
  readonly audio?: AudioSource;
  readonly profile?: LineProfile;
  readonly faults?: PhoneFaults;
  readonly record?: boolean | number;
  /** Milliseconds after which the callee hangs up; default never. */
  readonly talkMs?: number;
  /** What answering machine detection finds, where it is asked; default `human`. */
  readonly answeredBy?: string;
  /** Milliseconds from the answer to that result; default 300. */
  readonly answeredByAfterMs?: number;
}

/** Values of `StatusCallbackEvent`, each standing for the statuses that it reports. */
export type StatusEvent = 'initiated' | 'ringing' | 'answered' | 'completed';

/** A call placed by REST. */
export interface OutboundRequest {
  readonly from: string;
  readonly to: string;
  readonly twiml: string | undefined;
  readonly url: string | undefined;
  readonly method: 'GET' | 'POST';
  readonly statusCallback: string | undefined;
  readonly statusCallbackMethod: 'GET' | 'POST';
  readonly statusCallbackEvents: ReadonlySet<string>;
  readonly timeoutSeconds: number;
  /** Callback URL of answering machine detection; `undefined` without it. */
  readonly amdCallback: string | undefined;
  readonly sendDigits: string | undefined;
  /** Seconds after which the call is ended. */
  readonly timeLimitSeconds: number;
  /** All recording parameters, one that comes more than once with spaces between; nothing is recorded. */
  readonly recording: Readonly<Record<string, string>>;
}

export interface OutboundContext {
  readonly accountSid: string;
  readonly authToken: string;
  readonly dial: DialMapping | undefined;
  readonly clock: PhoneClock;
  readonly callee: Callee;
  readonly onAnswer: (phone: SimulatedPhone) => void;
}

const RING_MS = 50;
const AMD_MS = 300;

/** One call from the REST API to a callee: rings, is answered or not, streams, ends; tells its callback. */
export class OutboundCall {
  readonly sid = newSid('CA');
  readonly direction = 'outbound-api';
  /** Resolves when the call is over and its callbacks are answered; never rejects. */
  readonly ended: Promise<void>;
  readonly facts: RestCall;
  private answeredPhone: SimulatedPhone | undefined;
  private readonly waiting = new AbortController();
  private readonly callbacks: CallbackQueue;
  private sequence = 0;

  constructor(
    private readonly request: OutboundRequest,
    private readonly context: OutboundContext,
  ) {
    const { from, to } = request;
    const { accountSid, clock } = context;
    const { authToken, dial } = context;
    this.callbacks = new CallbackQueue({ authToken, dial, clock: clock.time });
    this.facts = new RestCall(this.sid, accountSid, from, to, this.direction, 'queued', clock.time);
    this.ended = this.runCall();
  }

  get status(): CallStatus {
    return this.facts.status;
  }

  /** The callee's phone, once answered. */
  get phone(): SimulatedPhone | undefined {
    return this.answeredPhone;
  }

  /** Ends a call that rings (`canceled`) or talks (`completed`). */
  hangUp(): void {
    this.waiting.abort();
    void this.answeredPhone?.hangUp();
  }

  /** Other TwiML for a live call. */
  redirect(twiml: string): void {
    this.answeredPhone?.redirect(twiml);
  }

  /** Ends at once, without waiting for anybody's answer. */
  close(): void {
    this.callbacks.abort();
    this.waiting.abort();
    this.answeredPhone?.close();
  }

  private async runCall(): Promise<void> {
    // The REST answer says `queued` and leaves first.
    await this.wait(1);
    this.become('initiated', 'initiated');
    const final = await this.ring();
    if (final !== undefined) this.become(final, 'completed', 0);
    else await this.talk();
    await this.callbacks.settled;
  }

  /** @returns the final status where nobody answered */
  private async ring(): Promise<CallStatus | undefined> {
    const { does, afterMs = RING_MS } = this.context.callee;
    if (does === 'busy' || does === 'failed') return (await this.wait(afterMs)) ? does : 'canceled';
    this.become('ringing', 'ringing');
    const timeoutMs = this.request.timeoutSeconds * 1000;
    const patience = does === 'no-answer' ? timeoutMs : Math.min(afterMs, timeoutMs);
    if (!(await this.wait(patience))) return 'canceled';
    if (does === 'canceled') return 'canceled';
    return does === 'no-answer' || afterMs > timeoutMs ? 'no-answer' : undefined;
  }

  private async talk(): Promise<void> {
    const { accountSid, authToken, dial, clock, callee, onAnswer } = this.context;
    const { from, to, twiml, url, method } = this.request;
    const phone = new SimulatedPhone({
      ...callee,
      accountSid,
      authToken,
      dial,
      clock,
      from,
      to,
      twiml,
      webhookUrl: url,
      webhookMethod: method,
      direction: this.direction,
      callSid: this.sid,
    });
    this.answeredPhone = phone;
    this.become('in-progress', 'answered');
    onAnswer(phone);
    phone.dial();
    const { time } = clock;
    const hangUp = () => void phone.hangUp();
    const timers = [time.after(this.request.timeLimitSeconds * 1_000, hangUp)];
    if (callee.talkMs !== undefined) timers.push(time.after(callee.talkMs, hangUp));
    timers.push(...this.detectMachine());
    const outcome = await phone.ended;
    for (const timer of timers) time.cancel(timer);
    this.become('completed', 'completed', outcome.seconds);
  }

  /** Source: twilio.com/docs/voice/answering-machine-detection#asyncamdstatuscallback. */
  private detectMachine(): Timer[] {
    const { amdCallback } = this.request;
    if (amdCallback === undefined) return [];
    const { accountSid, callee } = this.context;
    const { answeredBy = 'human', answeredByAfterMs = AMD_MS } = callee;
    const parameters = {
      AccountSid: accountSid,
      AnsweredBy: answeredBy,
      CallSid: this.sid,
      MachineDetectionDuration: String(answeredByAfterMs),
    };
    const { time } = this.context.clock;
    return [time.after(answeredByAfterMs, () => this.callbacks.send(amdCallback, parameters, 'POST'))];
  }

  private become(status: CallStatus, event: StatusEvent, seconds?: number): void {
    this.facts.become(status);
    if (seconds !== undefined) this.facts.end(seconds);
    const { statusCallback, statusCallbackMethod: method, statusCallbackEvents, from, to } = this.request;
    if (statusCallback === undefined || !statusCallbackEvents.has(event)) return;
    const { accountSid } = this.context;
    const call = { callSid: this.sid, accountSid, from, to, direction: this.direction } as const;
    const parameters = statusParameters(call, status, this.sequence, seconds);
    this.sequence += 1;
    this.callbacks.send(statusCallback, parameters, method);
  }

  /** @returns false where the call was ended meanwhile */
  private async wait(milliseconds: number): Promise<boolean> {
    const { signal } = this.waiting;
    await this.context.clock.time.sleep(milliseconds, signal);
    return !signal.aborted;
  }
}
