import { type Clock, systemClock, type Timer } from '../clock.js';
import { expected, GatewayError } from '../errors.js';
import type { CallWebhookInput } from '../twilio/webhook.js';
import { type CallOptions, TwilioCall } from './call.js';
import { sameToken } from './token.js';

/** Optional settings of a {@link TwilioCallRegistry}. */
export interface RegistryOptions {
  /** Lifetime of a token in milliseconds, more than 0; default 60,000. */
  readonly timeToLiveMs?: number;
  /** Measures token lifetimes; default {@link systemClock}. */
  readonly clock?: Clock;
}

/** Optional settings of a call in a {@link TwilioCallRegistry}. */
export type CreateCallOptions<T> = Partial<Omit<CallOptions<T>, 'clock'>>;

const CALL_ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Default lifetime of a token in milliseconds. */
export const DEFAULT_TIME_TO_LIVE_MS = 60_000;

/**
 * The calls of one gateway, in memory. A call that never connects ends when its token expires and is
 * forgotten after the same time again, so that a late socket gets 410 (expired) rather than 404 (unknown).
 */
export class TwilioCallRegistry<T = unknown> {
  private readonly calls = new Map<string, TwilioCall<T>>();
  private readonly bySid = new Map<string, TwilioCall<T>>();
  private readonly timeToLiveMs: number;
  private readonly clock: Clock;
  private sweeper: Timer | undefined;

  /** @throws TypeError for a lifetime that is not positive */
  constructor(options: RegistryOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.timeToLiveMs = options.timeToLiveMs ?? DEFAULT_TIME_TO_LIVE_MS;
    if (!(this.timeToLiveMs > 0)) throw expected('a positive number', 'timeToLiveMs', this.timeToLiveMs);
  }

  /**
   * Registers a call and starts its `prepare` in the background.
   * @param callId 1 to 64 characters of `A–Z a–z 0–9 _ -`, because it is part of a URL
   * @throws TypeError for an invalid callId, GatewayError `GW_CALL_EXISTS` (409) for one already in use
   */
  create(callId: string, webhookData?: CallWebhookInput, options: CreateCallOptions<T> = {}): TwilioCall<T> {
    if (typeof callId !== 'string' || !CALL_ID.test(callId)) {
      throw expected('1 to 64 letters, digits, "_" or "-"', 'callId', callId);
    }
    if (this.calls.has(callId)) {
      throw new GatewayError('GW_CALL_EXISTS', `Call id ${callId} is already in use`);
    }
    const timeToLiveMs = options.timeToLiveMs ?? this.timeToLiveMs;
    const call = new TwilioCall<T>(callId, webhookData, { ...options, timeToLiveMs, clock: this.clock });
    this.calls.set(callId, call);
    if (call.callSid !== undefined) this.bySid.set(call.callSid, call);
    // Expired and refused calls stay until the sweep, so that a late socket or a repeated webhook gets the
    // right error.
    call.onEnd((cause) => {
      if (cause !== 'expired' && cause !== 'refused') this.forget(call);
    });
    this.sweepSoon();
    return call;
  }

  /**
   * Registers a call that another node has handed over; replaces an ended call of the same id.
   * @throws TypeError for an invalid callId, GatewayError `GW_CALL_EXISTS` (409) if a call of the same id has not ended
   */
  adopt(
    callId: string,
    webhookData: CallWebhookInput | undefined,
    options: CreateCallOptions<T>,
  ): TwilioCall<T> {
    const left = this.calls.get(callId);
    if (left?.state === 'ended') this.forget(left);
    return this.create(callId, webhookData, options);
  }

  /** Indexes a call by Twilio's CallSid, once known. */
  bindSid(call: TwilioCall<T>, callSid: string): void {
    if (call.callSid !== undefined && this.bySid.get(call.callSid) === call) this.bySid.delete(call.callSid);
    call.noteSid(callSid);
    if (call.state !== 'ended') this.bySid.set(callSid, call);
  }

  /** The call with this id, if known. */
  get(callId: string): TwilioCall<T> | undefined {
    return this.calls.get(callId);
  }

  /** The call with Twilio's CallSid, if known. */
  getBySid(callSid: string): TwilioCall<T> | undefined {
    return this.bySid.get(callSid);
  }

  /** The call with this id. @throws GatewayError `GW_CALL_UNKNOWN` (404) */
  require(callId: string): TwilioCall<T> {
    const call = this.calls.get(callId);
    if (call === undefined) {
      throw new GatewayError(
        'GW_CALL_UNKNOWN',
        `Expected the id of a known call but received ${JSON.stringify(callId)}`,
      );
    }
    return call;
  }

  /**
   * Returns the call if the token is its own. Does not use up the token; {@link claim} does.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_TOKEN_INVALID` (401)
   */
  validate(callId: string, token: string): TwilioCall<T> {
    const call = this.require(callId);
    if (typeof token !== 'string' || !sameToken(call.token, token)) {
      throw new GatewayError(
        'GW_TOKEN_INVALID',
        `Expected the token of call ${callId} but received another one`,
      );
    }
    return call;
  }

  /**
   * Like {@link validate}, but uses up the token.
   * @throws GatewayError also `GW_TOKEN_USED` (409), `GW_TOKEN_EXPIRED` (410)
   */
  claim(callId: string, token: string): TwilioCall<T> {
    const call = this.validate(callId, token);
    call.connect();
    return call;
  }

  /** Ends a call and removes it. */
  remove(callId: string): TwilioCall<T> | undefined {
    const call = this.calls.get(callId);
    if (call === undefined) return undefined;
    call.end('hangup');
    this.forget(call);
    return call;
  }

  /** Calls that have not ended. */
  listActive(): TwilioCall<T>[] {
    return [...this.calls.values()].filter((call) => call.state !== 'ended');
  }

  /** Number of entries, including calls that never connected and are about to be forgotten. */
  get size(): number {
    return this.calls.size;
  }

  /** Ends every call and stops the sweep. */
  close(): void {
    this.clock.cancel(this.sweeper);
    this.sweeper = undefined;
    for (const call of [...this.calls.values()]) {
      call.end('drain');
      this.forget(call);
    }
  }

  private forget(call: TwilioCall<T>): void {
    if (this.calls.get(call.callId) === call) this.calls.delete(call.callId);
    if (call.callSid !== undefined && this.bySid.get(call.callSid) === call) this.bySid.delete(call.callSid);
  }

  /** One timer for all calls, running only while there are any; it does not keep the process alive. */
  private sweepSoon(): void {
    if (this.sweeper !== undefined) return;
    const interval = Math.min(1_000, Math.max(25, this.timeToLiveMs / 4));
    this.sweeper = this.clock.after(interval, () => {
      this.sweeper = undefined;
      this.sweep();
      if (this.calls.size > 0) this.sweepSoon();
    });
    this.sweeper.unref();
  }

  private sweep(): void {
    for (const call of this.calls.values()) {
      if (call.isExpired) call.end('expired');
      if (call.state === 'ended' && call.overdueMs > this.timeToLiveMs) this.forget(call);
    }
  }
}
