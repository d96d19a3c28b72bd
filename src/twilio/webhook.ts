import { type FormParameters, formOf, type WebhookRequest } from './form.js';

/**
 * What Twilio says about a call in a voice webhook or status callback. Twilio's set grows without notice, so
 * every parameter stays readable through `parameters`; the named ones are the documented ones.
 * Source: twilio.com/docs/voice/twiml#request-parameters.
 */
export class CallWebhookInput {
  constructor(readonly parameters: FormParameters) {}

  /**
   * Reads a webhook of a server of your own: a `Request` of Fetch, a request of Node, Express or Fastify (whether its body was
   * parsed or not), or a parsed body alone. At most 16 KiB and 200 parameters are taken. A name that came several times keeps
   * all its values: {@link get} answers the first. Of a GET it is the query that counts.
   *
   * It says nothing about who asks: see `verifyTwilioRequest`.
   * @throws GatewayError `GW_NOT_A_FORM` (415; 400 for a parsed body with anything but texts), `GW_BODY_TOO_LARGE` (413),
   * `GW_TOO_MANY_PARAMETERS` (413), `GW_CLIENT_GONE` (400)
   * @throws TypeError where somebody has read the body before
   */
  static async from(request: WebhookRequest): Promise<CallWebhookInput> {
    return new CallWebhookInput(await formOf(request));
  }

  /** First value of any parameter by Twilio's own name, `undefined` where it was not sent. */
  get(name: string): string | undefined {
    const value = Object.hasOwn(this.parameters, name) ? this.parameters[name] : undefined;
    return Array.isArray(value) ? value[0] : value;
  }

  get callSid(): string {
    return this.get('CallSid') ?? '';
  }
  get accountSid(): string {
    return this.get('AccountSid') ?? '';
  }
  /** E.164, `client:name`, `sip:…` or descriptive text such as `anonymous`. */
  get from(): string {
    return this.get('From') ?? '';
  }
  get to(): string {
    return this.get('To') ?? '';
  }
  get callStatus(): string {
    return this.get('CallStatus') ?? '';
  }
  get direction(): string {
    return this.get('Direction') ?? '';
  }
  get apiVersion(): string {
    return this.get('ApiVersion') ?? '2010-04-01';
  }
  get caller(): string {
    return this.get('Caller') ?? '';
  }
  get called(): string {
    return this.get('Called') ?? '';
  }
  get callerName(): string | undefined {
    return this.get('CallerName');
  }
  get forwardedFrom(): string | undefined {
    return this.get('ForwardedFrom');
  }
  get parentCallSid(): string | undefined {
    return this.get('ParentCallSid');
  }
  get callToken(): string | undefined {
    return this.get('CallToken');
  }
  get stirVerstat(): string | undefined {
    return this.get('StirVerstat');
  }
  get answeredBy(): string | undefined {
    return this.get('AnsweredBy');
  }
  get callerCity(): string | undefined {
    return this.get('CallerCity');
  }
  get callerState(): string | undefined {
    return this.get('CallerState');
  }
  get callerZip(): string | undefined {
    return this.get('CallerZip');
  }
  get callerCountry(): string | undefined {
    return this.get('CallerCountry');
  }
  get calledCity(): string | undefined {
    return this.get('CalledCity');
  }
  get calledState(): string | undefined {
    return this.get('CalledState');
  }
  get calledZip(): string | undefined {
    return this.get('CalledZip');
  }
  get calledCountry(): string | undefined {
    return this.get('CalledCountry');
  }
  /** Seconds, on the callback of a call's end only. */
  get callDuration(): number | undefined {
    return this.number('CallDuration');
  }
  /** Order of status callbacks, from 0; they may arrive out of order. */
  get sequenceNumber(): number | undefined {
    return this.number('SequenceNumber');
  }
  get fromCity(): string | undefined {
    return this.get('FromCity');
  }
  get fromState(): string | undefined {
    return this.get('FromState');
  }
  get fromZip(): string | undefined {
    return this.get('FromZip');
  }
  get fromCountry(): string | undefined {
    return this.get('FromCountry');
  }
  get toCity(): string | undefined {
    return this.get('ToCity');
  }
  get toState(): string | undefined {
    return this.get('ToState');
  }
  get toZip(): string | undefined {
    return this.get('ToZip');
  }
  get toCountry(): string | undefined {
    return this.get('ToCountry');
  }
  /** All `SipHeader_*` parameters, by their name without the prefix. */
  get sipHeaders(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const name of Object.keys(this.parameters)) {
      if (name.startsWith('SipHeader_')) headers[name.slice(10)] = this.get(name) ?? '';
    }
    return headers;
  }

  /** A whole number from 0, or `undefined` for anything else. */
  private number(name: string): number | undefined {
    const text = this.get(name);
    return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
  }
}

/** Statuses after which Twilio will not say anything more about a call. */
const FINAL_STATUSES = new Set(['completed', 'busy', 'failed', 'no-answer', 'canceled']);

/** Whether `CallStatus` is one of a call's last. Source: twilio.com/docs/voice/api/call-resource#call-status-values. */
export function isFinalStatus(callStatus: string): boolean {
  return FINAL_STATUSES.has(callStatus);
}
