import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { CallWebhookInput } from '../twilio/webhook.js';
import { CallHistory } from './history.js';
import { createToken } from './token.js';

/**
 * The state of a call. It only moves down this list:
 * - `ringing`: known from a webhook or placed by us; no socket yet
 * - `connecting`: the token is used and the socket is open, but `start` has not arrived
 * - `live`: audio flows
 * - `ended`: all its resources are freed
 */
export type CallState = 'ringing' | 'connecting' | 'live' | 'ended';

/** Why a call ended. The first cause wins. */
export type EndCause =
  | 'stop' // Twilio sent stop: the caller hung up
  | 'socket-closed' // the socket closed without a stop
  | 'status' // a status callback reported completed, busy, failed, no-answer or canceled
  | 'bridge' // the other side ended it
  | 'transferred' // the caller was transferred to another number
  | 'hangup' // the control API or the library hung up
  | 'refused' // prepareCall refused it
  | 'expired' // no socket connected before the token expired
  | 'protocol' // the peer broke the protocol
  | 'silent' // Twilio stopped sending messages
  | 'failed' // placing or preparing it failed
  | 'drain' // the gateway is shutting down
  | 'handed-over' // another node of the fleet took over
  | 'moved' // its socket connected to another node of the fleet
  | 'internal'; // an internal error

/** Work that starts with the call. The signal aborts if the call ends first. */
export type PrepareCall<T> = (call: TwilioCall<T>, signal: AbortSignal) => Promise<T> | T;

export interface CallOptions<T> {
  /** Starts immediately in the background; {@link TwilioCall.awaitPrepare} returns its result. */
  readonly prepare?: PrepareCall<T>;
  /** Lifetime of the token in milliseconds. */
  readonly timeToLiveMs: number;
  readonly clock: Clock;
  /** `outbound-api` for calls we place; otherwise the webhook decides. */
  readonly direction?: string;
  readonly from?: string;
  readonly to?: string;
  /** When the call started; default now. */
  readonly startedAt?: Date;
}

/**
 * One phone call from its webhook (or REST request) to its end. It ends exactly once, whichever side is
 * first, and then runs every registered finaliser, so that nothing of the call is left behind.
 */
export class TwilioCall<T = unknown> {
  readonly callId: string;
  readonly webhookData: CallWebhookInput | undefined;
  readonly startedAt: Date;
  /** Twilio's callbacks about this call. */
  readonly history = new CallHistory();
  /**
   * Who or what answered, if machine detection was requested: `human`, `machine_start`, `fax`, `unknown`, …
   */
  answeredBy: string | undefined;

  // Truly private, so that printing or logging a call never reveals its secret.
  readonly #token = createToken();
  #callSid: string | undefined;
  #endedAt: Date | undefined;
  #endCause: EndCause | undefined;
  private current: CallState = 'ringing';
  private readonly clock: Clock;
  private readonly begunAt: number;
  private lastedMs: number | undefined;
  /**
   * Measured in {@link Clock.runningMs}: a socket is not late if this process was stalled when it arrived.
   */
  private expiresAt: number;
  private readonly preparing: AbortController | undefined;
  private readonly prepared: Promise<T> | undefined;
  private readonly finalisers: ((cause: EndCause) => void)[] = [];
  private readonly placed: { direction?: string; from?: string; to?: string };
  private latestStatus: { status: string; sequence: number } | undefined;

  /** @internal */
  constructor(callId: string, webhookData: CallWebhookInput | undefined, options: CallOptions<T>) {
    this.callId = callId;
    this.webhookData = webhookData;
    this.#callSid = webhookData?.callSid || undefined;
    this.placed = options;
    this.clock = options.clock;
    this.startedAt = options.startedAt ?? this.clock.date();
    this.begunAt = this.clock.now();
    this.expiresAt = this.clock.runningMs(this.begunAt) + options.timeToLiveMs;
    if (options.prepare !== undefined) {
      const { prepare } = options;
      const preparing = new AbortController();
      this.preparing = preparing;
      this.prepared = Promise.resolve().then(() => prepare(this, preparing.signal));
      // Callers of awaitPrepare get the error; without one, it must not crash the process.
      this.prepared.catch(() => {});
    }
  }

  /** Single-use secret in the media URL. Never log it. */
  get token(): string {
    return this.#token;
  }
  /** Twilio's call id. For an outbound call, known once Twilio has answered our request. */
  get callSid(): string | undefined {
    return this.#callSid;
  }
  get endedAt(): Date | undefined {
    return this.#endedAt;
  }
  get endCause(): EndCause | undefined {
    return this.#endCause;
  }
  get state(): CallState {
    return this.current;
  }
  get from(): string | undefined {
    return this.webhookData?.from ?? this.placed.from;
  }
  get to(): string | undefined {
    return this.webhookData?.to ?? this.placed.to;
  }
  get direction(): string | undefined {
    return this.webhookData?.direction ?? this.placed.direction;
  }
  /** The latest status by Twilio's sequence number, even if callbacks arrived out of order. */
  get callStatus(): string | undefined {
    return this.latestStatus?.status ?? this.webhookData?.callStatus;
  }
  get caller(): string | undefined {
    return this.webhookData?.caller;
  }
  get callerCity(): string | undefined {
    return this.webhookData?.callerCity;
  }
  get callerState(): string | undefined {
    return this.webhookData?.callerState;
  }
  get callerCountry(): string | undefined {
    return this.webhookData?.callerCountry;
  }
  get stirVerstat(): string | undefined {
    return this.webhookData?.stirVerstat;
  }
  get accountSid(): string | undefined {
    return this.webhookData?.accountSid || undefined;
  }
  /** Duration in seconds; `null` until the call has ended. */
  get durationSeconds(): number | null {
    return this.lastedMs === undefined ? null : this.lastedMs / 1000;
  }
  get isExpired(): boolean {
    return this.current === 'ringing' && this.clock.runningMs() >= this.expiresAt;
  }

  /** Milliseconds since the token expired; negative while it is valid. */
  get overdueMs(): number {
    return this.clock.runningMs() - this.expiresAt;
  }

  /** Extends the token's lifetime, because its socket is not due yet. */
  extend(ms: number): void {
    this.expiresAt += ms;
  }

  /** Keeps the token, or its replacement, valid for at least `ms` milliseconds from now. */
  keepRinging(ms: number): void {
    this.expiresAt = Math.max(this.expiresAt, this.clock.runningMs() + ms);
  }

  /** The result of `prepare`, or its error; `undefined` without `prepare`. May be awaited many times. */
  async awaitPrepare(): Promise<T | undefined> {
    return this.prepared;
  }

  /**
   * Uses up the token.
   * @throws GatewayError `GW_TOKEN_USED` (409) or `GW_TOKEN_EXPIRED` (410)
   */
  connect(): void {
    if (this.current === 'connecting' || this.current === 'live') {
      throw new GatewayError('GW_TOKEN_USED', `The token of call ${this.callId} has already been used`);
    }
    if (this.current === 'ended' || this.isExpired) {
      throw new GatewayError('GW_TOKEN_EXPIRED', `The token of call ${this.callId} has expired`);
    }
    this.current = 'connecting';
  }

  /** Twilio's `start` has arrived; audio flows from here on. */
  goLive(): void {
    if (this.current === 'connecting') this.current = 'live';
  }

  /** Sets Twilio's call id. Use the registry's `bindSid`, which also indexes the call by it. */
  noteSid(callSid: string): void {
    this.#callSid = callSid;
  }

  /** Records a status callback; ignores one older than the latest. */
  noteStatus(status: string, sequence = 0): void {
    if (this.latestStatus === undefined || sequence >= this.latestStatus.sequence) {
      this.latestStatus = { status, sequence };
    }
  }

  /** Runs `finaliser` when the call ends; immediately if it already has. */
  onEnd(finaliser: (cause: EndCause) => void): void {
    if (this.#endCause !== undefined) finaliser(this.#endCause);
    else this.finalisers.push(finaliser);
  }

  /** Ends the call. Has no effect after the first time. */
  end(cause: EndCause = 'hangup'): void {
    if (this.#endCause !== undefined) return;
    this.#endCause = cause;
    this.#endedAt = this.clock.date();
    // Not the difference of the dates: the wall clock may be adjusted during a call.
    this.lastedMs = this.clock.now() - this.begunAt;
    this.current = 'ended';
    this.preparing?.abort();
    // Last registered, first run. One that throws must not stop the others.
    const errors: unknown[] = [];
    for (const finaliser of this.finalisers.splice(0).reverse()) {
      try {
        finaliser(cause);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) {
      const reasons = errors.map(String).join('; ');
      process.emitWarning(new AggregateError(errors, `Finalisers of call ${this.callId} failed: ${reasons}`));
    }
  }
}
