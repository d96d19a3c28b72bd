import { type Clock, systemClock, type Timer } from '../clock.js';
import { expected, GatewayError } from '../errors.js';
import type { CallWebhookInput } from '../twilio/webhook.js';
import { type CallOptions, TwilioCall } from './call.js';
import { sameToken } from './token.js';

export interface RegistryOptions {
  /** Life of a token in milliseconds; default 60,000. */
  readonly timeToLiveMs?: number;
  /** Tells the life of tokens; default {@link systemClock}. */
  readonly clock?: Clock;
}

export type CreateCallOptions<T> = Partial<Omit<CallOptions<T>, 'clock'>>;

const CALL_ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Life of a token, in milliseconds. */
export const DEFAULT_TIME_TO_LIVE_MS = 60_000;

/**
 * The calls of one gateway, in memory. Calls that never connect are ended when their token expires and
 * forgotten after as long again, so that a late socket learns that it is late (410) and not unknown (404).
 */
export class TwilioCallRegistry<T = unknown> {
  private readonly calls = new Map<string, TwilioCall<T>>();
  private readonly bySid = new Map<string, TwilioCall<T>>();
  private readonly timeToLiveMs: number;
  private readonly clock: Clock;
  private sweeper: Timer | undefined;

  constructor(options: RegistryOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.timeToLiveMs = options.timeToLiveMs ?? DEFAULT_TIME_TO_LIVE_MS;
    if (!(this.timeToLiveMs > 0)) throw expected('a positive number', 'timeToLiveMs', this.timeToLiveMs);
  }

  /**
   * Registers a call and starts its `prepare` in the background.
   * @param callId 1…64 of `A–Z a–z 0–9 _ -`: it stands in a URL
   * @throws TypeError for another callId, GatewayError `GW_CALL_EXISTS` (409) for one that is taken
   */
  create(callId: string, webhookData?: CallWebhookInput, options: CreateCallOptions<T> = {}): TwilioCall<T> {
    if (typeof callId !== 'string' || !CALL_ID.test(callId)) {
      throw expected('1 to 64 letters, digits, "_" or "-"', 'callId', callId);
    }
    if (this.calls.has(callId)) {
      throw new GatewayError(
        'GW_CALL_EXISTS',
        `Expected a new id for the call but received ${callId}, which is taken`,
      );
    }
    const timeToLiveMs = options.timeToLiveMs ?? this.timeToLiveMs;
    const call = new TwilioCall<T>(callId, webhookData, { ...options, timeToLiveMs, clock: this.clock });
    this.calls.set(callId, call);
    if (call.callSid !== undefined) this.bySid.set(call.callSid, call);
    // What expired or was refused keeps its place until the sweep, so that a late socket or a repeat is told so.
    call.onEnd((cause) => {
      if (cause !== 'expired' && cause !== 'refused') this.forget(call);
    });
    this.sweepSoon();
    return call;
  }

  /** Registers a call that another node knew under this id; what is left of one that has ended makes room. */
  adopt(
    callId: string,
    webhookData: CallWebhookInput | undefined,
    options: CreateCallOptions<T>,
  ): TwilioCall<T> {
    const left = this.calls.get(callId);
    if (left?.state === 'ended') this.forget(left);
    return this.create(callId, webhookData, options);
  }

  /** Makes a call findable by Twilio's id, once that is known. */
  bindSid(call: TwilioCall<T>, callSid: string): void {
    if (call.callSid !== undefined && this.bySid.get(call.callSid) === call) this.bySid.delete(call.callSid);
    call.noteSid(callSid);
    if (call.state !== 'ended') this.bySid.set(callSid, call);
  }

  get(callId: string): TwilioCall<T> | undefined {
    return this.calls.get(callId);
  }

  getBySid(callSid: string): TwilioCall<T> | undefined {
    return this.bySid.get(callSid);
  }

  /** @throws GatewayError `GW_CALL_UNKNOWN` (404) */
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
   * The call of that id, if the token is its own. Does not use the token up: {@link claim} does.
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
   * As {@link validate}, and uses the token up.
   * @throws GatewayError also `GW_TOKEN_USED` (409), `GW_TOKEN_EXPIRED` (410)
   */
  claim(callId: string, token: string): TwilioCall<T> {
    const call = this.validate(callId, token);
    call.connect();
    return call;
  }

  /** Ends a call and forgets it. */
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

  /** Entries, including those of calls that never connected and are soon forgotten. */
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

  /** One timer for all calls, only while there are any; it does not keep the process alive. */
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
