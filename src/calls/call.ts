import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { CallWebhookInput } from '../twilio/webhook.js';
import { CallHistory } from './history.js';
import { createToken } from './token.js';

/**
 * Where a call is in its life. It only ever moves down this list:
 * - `ringing`: known from a webhook or placed by us; no socket yet
 * - `connecting`: its token was used, the socket is open, `start` has not come
 * - `live`: audio flows
 * - `ended`: everything of it is freed
 */
export type CallState = 'ringing' | 'connecting' | 'live' | 'ended';

/** Why a call ended; the first reason wins. */
export type EndCause =
  | 'stop' // Twilio said stop: the caller hung up
  | 'socket-closed' // the socket went away without a stop
  | 'status' // a status callback said completed, busy, failed, no-answer or canceled
  | 'bridge' // the other side ended it
  | 'transferred' // the caller was connected with another number
  | 'hangup' // somebody ended it through the control API or the library
  | 'refused' // prepareCall turned it away
  | 'expired' // no socket came within the token's life
  | 'protocol' // the peer broke the protocol
  | 'silent' // nothing came from Twilio any more
  | 'failed' // placing or preparing it failed
  | 'drain' // the gateway shuts down
  | 'handed-over' // another node of the fleet goes on with it
  | 'moved' // its socket came to another node of the fleet
  | 'internal'; // a fault of ours

/** Work that begins with the call; the signal is aborted when the call ends before it is done. */
export type PrepareCall<T> = (call: TwilioCall<T>, signal: AbortSignal) => Promise<T> | T;

export interface CallOptions<T> {
  /** Begins at once and in the background; its result is had by {@link TwilioCall.awaitPrepare}. */
  readonly prepare?: PrepareCall<T>;
  /** Milliseconds until the token can no longer be used. */
  readonly timeToLiveMs: number;
  readonly clock: Clock;
  /** `outbound-api` for calls we place; otherwise what the webhook says. */
  readonly direction?: string;
  readonly from?: string;
  readonly to?: string;
  /** When it began, where that was not just now. */
  readonly startedAt?: Date;
}

/**
 * One phone call, from webhook (or REST request) to end. It ends exactly once, from whichever side is first,
 * and then runs every finaliser that was registered, so that nothing of the call is left.
 */
export class TwilioCall<T = unknown> {
  readonly callId: string;
  readonly webhookData: CallWebhookInput | undefined;
  readonly startedAt: Date;
  /** What Twilio told of it. */
  readonly history = new CallHistory();
  /** Who or what answered, where that was asked: `human`, `machine_start`, `fax`, `unknown`, … */
  answeredBy: string | undefined;

  // Truly private: whoever prints or logs a call must not print its secret.
  readonly #token = createToken();
  #callSid: string | undefined;
  #endedAt: Date | undefined;
  #endCause: EndCause | undefined;
  private current: CallState = 'ringing';
  private readonly clock: Clock;
  private readonly begunAt: number;
  private lastedMs: number | undefined;
  /** As {@link Clock.runningMs} counts: a socket that came while this process stood still is not late. */
  private expiresAt: number;
  private readonly preparing: AbortController | undefined;
  private readonly prepared: Promise<T> | undefined;
  private readonly finalisers: ((cause: EndCause) => void)[] = [];
  private readonly placed: { direction?: string; from?: string; to?: string };
  private latestStatus: { status: string; sequence: number } | undefined;

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
      // Whoever awaits it gets the error; a call that nobody awaits must not end the process.
      this.prepared.catch(() => {});
    }
  }

  /** Single-use secret in the media URL. Never log it. */
  get token(): string {
    return this.#token;
  }
  /** Twilio's id; of an outbound call known once Twilio has answered the request. */
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
  /** The latest status by Twilio's own order, also of callbacks that arrived out of order. */
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
  /** Seconds from first to last; `null` while the call is not ended. */
  get durationSeconds(): number | null {
    return this.lastedMs === undefined ? null : this.lastedMs / 1000;
  }
  get isExpired(): boolean {
    return this.current === 'ringing' && this.clock.runningMs() >= this.expiresAt;
  }

  /** Milliseconds since the token's life was over; negative while it lasts. */
  get overdueMs(): number {
    return this.clock.runningMs() - this.expiresAt;
  }

  /** Lengthens the token's life: its socket is not due yet. */
  extend(ms: number): void {
    this.expiresAt += ms;
  }

  /** The token, or another one in its place, is good for so many milliseconds from now at least. */
  keepRinging(ms: number): void {
    this.expiresAt = Math.max(this.expiresAt, this.clock.runningMs() + ms);
  }

  /** The result of `prepare`, or its error; `undefined` where there is none. May be awaited many times. */
  async awaitPrepare(): Promise<T | undefined> {
    return this.prepared;
  }

  /**
   * Uses up the token.
   * @throws GatewayError `GW_TOKEN_USED` (409) or `GW_TOKEN_EXPIRED` (410)
   */
  connect(): void {
    if (this.current === 'connecting' || this.current === 'live') {
      throw new GatewayError(
        'GW_TOKEN_USED',
        `Expected an unused token for call ${this.callId} but received one used before`,
      );
    }
    if (this.current === 'ended' || this.isExpired) {
      throw new GatewayError(
        'GW_TOKEN_EXPIRED',
        `Expected a token within its life for call ${this.callId} but received an expired one`,
      );
    }
    this.current = 'connecting';
  }

  /** Twilio's `start` has come; audio flows from here. */
  goLive(): void {
    if (this.current === 'connecting') this.current = 'live';
  }

  /** Notes Twilio's id. The registry's `bindSid` does, and makes the call findable by it. */
  noteSid(callSid: string): void {
    this.#callSid = callSid;
  }

  /** Notes a status callback; an older one than already noted changes nothing. */
  noteStatus(status: string, sequence = 0): void {
    if (this.latestStatus === undefined || sequence >= this.latestStatus.sequence) {
      this.latestStatus = { status, sequence };
    }
  }

  /** Runs `finaliser` when the call ends; at once if it has ended. */
  onEnd(finaliser: (cause: EndCause) => void): void {
    if (this.#endCause !== undefined) finaliser(this.#endCause);
    else this.finalisers.push(finaliser);
  }

  /** Ends the call. Every call after the first changes nothing. */
  end(cause: EndCause = 'hangup'): void {
    if (this.#endCause !== undefined) return;
    this.#endCause = cause;
    this.#endedAt = this.clock.date();
    // Not the difference of the dates: a wall clock may be set while somebody talks.
    this.lastedMs = this.clock.now() - this.begunAt;
    this.current = 'ended';
    this.preparing?.abort();
    // Last registered, first freed; one that fails must not keep the others from running.
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
