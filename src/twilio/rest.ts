import twilio from 'twilio';
import { GatewayError } from '../errors.js';
import { MAX_INLINE_TWIML } from './twiml.js';

export interface TwilioRestOptions {
  readonly accountSid: string;
  readonly authToken: string;
  /** Another origin than `https://api.twilio.com`, e.g. of a Twilio-compatible service or a test double. */
  readonly apiUrl?: string;
}

/** A call to place. Ranges are Twilio's: twilio.com/docs/voice/api/call-resource#create-a-call-resource. */
export interface OutboundCallRequest {
  readonly to: string;
  readonly from: string;
  /** At most 4,000 characters. */
  readonly twiml: string;
  /** Absolute URL; gets initiated, ringing, answered and completed. */
  readonly statusCallback: string;
  /** Seconds to let it ring, 1…600. */
  readonly ringTimeoutSeconds: number;
}

/** The part of Twilio's REST API that a gateway needs, over Twilio's own SDK. */
export class TwilioRest {
  private readonly client: ReturnType<typeof twilio>;

  constructor(options: TwilioRestOptions) {
    this.client = twilio(options.accountSid, options.authToken, {
      timeout: 10_000,
      autoRetry: true,
      maxRetries: 2,
    });
    if (options.apiUrl !== undefined) this.client.api.baseUrl = options.apiUrl.replace(/\/+$/, '');
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
        { status: 400 },
      );
    }
    const call = await refusalsTranslated('placing the call', () =>
      this.client.calls.create({
        to: request.to,
        from: request.from,
        twiml: request.twiml,
        timeout: request.ringTimeoutSeconds,
        statusCallback: request.statusCallback,
        statusCallbackMethod: 'POST',
        statusCallbackEvent: ['initiated', 'ringing', 'answered', 'completed'],
      }),
    );
    return call.sid;
  }

  /** Ends a call in whatever state it is: `completed` also takes back one that still rings. */
  async hangUp(callSid: string): Promise<void> {
    await refusalsTranslated('hanging up', () => this.client.calls(callSid).update({ status: 'completed' }));
  }
}

async function refusalsTranslated<T>(doing: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    const { code, message } = error as { code?: number | string; message?: string };
    throw new GatewayError(
      'GW_TWILIO_REFUSED',
      `Expected Twilio to accept ${doing} but received ${code ?? 'no code'}: ${message ?? 'no answer'}`,
      // Without the SDK's error as its cause: that one holds the request, and so the auth token.
      { status: 502 },
    );
  }
}
