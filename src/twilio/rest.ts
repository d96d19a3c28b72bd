import type { Twilio } from 'twilio';
import { type Clock, systemClock } from '../clock.js';
import type { ErrorCode } from '../error-catalogue.js';
import { expected, GatewayError } from '../errors.js';
import { type OutboundOptions, twilioOptions } from './outbound-options.js';
import { MAX_INLINE_TWIML } from './twiml.js';

export interface TwilioRestOptions {
  readonly accountSid: string;
  readonly authToken: string;
  /** Another origin than `https://api.twilio.com`, e.g. of a Twilio-compatible service or a test double. */
  readonly apiUrl?: string;
  /** Default {@link systemClock}. */
  readonly clock?: Clock;
}

/** A call to place. Ranges are Twilio's: twilio.com/docs/voice/api/call-resource#create-a-call-resource. */
export interface OutboundCallRequest {
  readonly to: string;
  readonly from: string;
  /** At most 4,000 characters. */
  readonly twiml: string;
  /** Absolute URL; gets initiated, ringing, answered and completed. */
  readonly statusCallback: string;
  /** Absolute callback URL for the result of answering machine detection, if requested. */
  readonly amdCallback: string;
  /** Seconds to let it ring, 1…600. */
  readonly ringTimeoutSeconds: number;
  readonly options: OutboundOptions;
}

/** A number of the account, and what it asks when somebody calls it; empty text for nothing. */
export interface IncomingNumber {
  readonly phoneNumber: string;
  readonly voiceUrl: string;
  readonly voiceMethod: string;
}

/** Longest wait for an answer, including the SDK's retries while Twilio is busy. */
const ANSWER_MS = 15_000;
/** The SDK counts time in which this process stood still, and minds only silence: ours comes before. */
const ABANDONED_MS = 600_000;
/** A thousand numbers come in five answers of 200. */
const MAX_ANSWER_BYTES = 4 * 2 ** 20;

/** Numbers that are looked at. */
const MAX_NUMBERS = 1_000;

/** The part of Twilio's REST API that a gateway needs, over Twilio's own SDK. */
export class TwilioRest {
  private loaded: Promise<Twilio> | undefined;
  private authToken: string;

  /** @throws TypeError for an `accountSid` that is none */
  constructor(private readonly options: TwilioRestOptions) {
    if (!options.accountSid.startsWith('AC')) throw expected('AC…', 'accountSid', 'another text');
    this.authToken = options.authToken;
  }

  /** Made once it is opened, or with the first request: the SDK is large, and who only imports us needs none. */
  private get client(): Promise<Twilio> {
    this.loaded ??= this.load();
    return this.loaded;
  }

  /** Loads the SDK now: no running call is to wait for that when the first request is made. */
  async open(): Promise<void> {
    await this.client;
  }

  /** Another token counts from the next request on. */
  rekey(authToken: string): void {
    if (authToken === this.authToken) return;
    this.authToken = authToken;
    if (this.loaded !== undefined) this.loaded = this.load();
  }

  private async load(): Promise<Twilio> {
    const { accountSid, apiUrl, clock = systemClock } = this.options;
    const { default: twilio } = await import('twilio');
    const client = twilio(accountSid, this.authToken, {
      timeout: ABANDONED_MS,
      autoRetry: true,
      maxRetries: 2,
    });
    client.httpClient.axios.interceptors.request.use((config) => {
      const late = new AbortController();
      clock.timeout(ANSWER_MS, () => late.abort()).unref();
      return Object.assign(config, { signal: late.signal, maxContentLength: MAX_ANSWER_BYTES });
    });
    if (apiUrl !== undefined) client.api.baseUrl = apiUrl.replace(/\/+$/, '');
    return client;
  }

  /**
   * Places a call and answers its CallSid.
   * @throws GatewayError `GW_TWIML_TOO_LONG` (400), `GW_TWILIO_REFUSED` (502) with Twilio's own code and text
   */
  async createCall(request: OutboundCallRequest): Promise<string> {
    if (request.twiml.length > MAX_INLINE_TWIML) {
      throw new GatewayError(
        'GW_TWIML_TOO_LONG',
        `Expected at most ${MAX_INLINE_TWIML} characters for inline TwiML but received ${request.twiml.length}`,
      );
    }
    const call = await this.ask('placing the call', (client) =>
      client.calls.create({
        to: request.to,
        from: request.from,
        twiml: request.twiml,
        timeout: request.ringTimeoutSeconds,
        statusCallback: request.statusCallback,
        statusCallbackMethod: 'POST',
        statusCallbackEvent: ['initiated', 'ringing', 'answered', 'completed'],
        ...twilioOptions(request.options, request.amdCallback),
      }),
    );
    return call.sid;
  }

  /** Has Twilio go on with a running call by other TwiML; its stream ends. */
  async redirect(callSid: string, twiml: string): Promise<void> {
    await this.ask('the transfer', (client) => client.calls(callSid).update({ twiml }));
  }

  /** Ends a call in any state: `completed` also cancels one that rings. */
  async hangUp(callSid: string): Promise<void> {
    await this.ask('hanging up', (client) => client.calls(callSid).update({ status: 'completed' }));
  }

  /**
   * The account's status: `active`, `suspended` or `closed`.
   * @throws GatewayError `GW_TWILIO_CREDENTIALS` where Twilio does not know the token, `GW_TWILIO_REFUSED`
   */
  async accountStatus(): Promise<string> {
    const account = await this.ask(
      'the account',
      (client) => client.api.v2010.accounts(this.options.accountSid).fetch(),
      (status) => (status === 401 ? 'GW_TWILIO_CREDENTIALS' : 'GW_TWILIO_REFUSED'),
    );
    return account.status;
  }

  /** The account's phone numbers, at most 1,000. */
  async incomingNumbers(): Promise<IncomingNumber[]> {
    const numbers = await this.ask('the question for numbers', (client) =>
      client.incomingPhoneNumbers.list({ limit: MAX_NUMBERS, pageSize: 200 }),
    );
    return numbers.map(({ phoneNumber, voiceUrl, voiceMethod, voiceApplicationSid, trunkSid }) => ({
      phoneNumber,
      // An application's or a trunk's takes precedence and is not told here.
      voiceUrl: voiceApplicationSid || trunkSid ? '' : (voiceUrl ?? ''),
      voiceMethod: voiceMethod ?? 'POST',
    }));
  }

  /** Asks by the SDK, whose refusals become errors of ours. */
  private async ask<T>(
    doing: string,
    request: (client: Twilio) => Promise<T>,
    codeOf: (status: number | undefined) => ErrorCode = () => 'GW_TWILIO_REFUSED',
  ): Promise<T> {
    const client = await this.client;
    const { clock = systemClock } = this.options;
    try {
      const answer = await clock.within(ANSWER_MS, request(client));
      if (answer === undefined) throw new Error(`no answer within ${ANSWER_MS / 1_000} s`);
      return answer;
    } catch (error) {
      const { code, message, status } = error as {
        code?: number | string;
        message?: string;
        status?: number;
      };
      // Without the SDK's error as its cause: that one holds the request, and so the auth token.
      throw new GatewayError(
        codeOf(status),
        `Twilio rejected ${doing} (${code ?? 'no code'}): ${message ?? 'no answer'}`,
      );
    }
  }
}
