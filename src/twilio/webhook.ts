import { isAscii } from 'node:buffer';
import { GatewayError } from '../errors.js';

/** Form parameters as they came: untrimmed, nothing dropped; a repeated name keeps all its values. */
export type FormParameters = Readonly<Record<string, string | string[]>>;

/**
 * Parses `application/x-www-form-urlencoded` text as `URLSearchParams` does, only faster: what is forged is parsed too.
 * @param body bytes of it are decoded where they are
 * @param most parameters that are taken
 * @throws GatewayError `GW_TOO_MANY_PARAMETERS` (413) where there are more
 */
export function parseForm(body: string | Buffer, most = Number.POSITIVE_INFINITY): FormParameters {
  const form: Record<string, string | string[]> = Object.create(null);
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const ends = decodePieces(bytes, most);
  const length = ends.at(-1) ?? 0;
  const isPlain = isAscii(bytes.subarray(0, length));
  // A part of a longer string costs least, but long ones are slow to sort: what repeats has strings of its own.
  const whole = isPlain ? bytes.toString('latin1', 0, length) : undefined;
  const own = (from: number, to: number) => bytes.toString(isPlain ? 'latin1' : 'utf8', from, to);
  for (let i = 0, from = 0; i < ends.length; i += 2) {
    const [middle = 0, end = 0] = [ends[i], ends[i + 1]];
    const name = whole?.slice(from, middle) ?? own(from, middle);
    const before = form[name];
    if (before === undefined) form[name] = whole?.slice(middle, end) ?? own(middle, end);
    else if (Array.isArray(before)) before.push(own(middle, end));
    else form[name] = [before, own(middle, end)];
    from = end;
  }
  return form;
}

const AND = 0x26;
const EQUALS = 0x3d;
const PLUS = 0x2b;
const PERCENT = 0x25;

/** Decodes all names and values in place, without what separates them; answers where each ends. */
function decodePieces(bytes: Buffer, most: number): number[] {
  const ends: number[] = [];
  const { length } = bytes;
  let to = 0;
  for (let at = 0; at < length; at++) {
    const start = at;
    let hasName = false;
    for (; at < length && bytes[at] !== AND; at++) {
      const byte = bytes[at] as number;
      if (byte === EQUALS && !hasName) {
        ends.push(to);
        hasName = true;
      } else if (byte === PERCENT && at + 2 < length) {
        const code = (hexDigit(bytes[at + 1] as number) << 4) | hexDigit(bytes[at + 2] as number);
        bytes[to++] = code < 0 ? PERCENT : code;
        if (code >= 0) at += 2;
      } else bytes[to++] = byte === PLUS ? 0x20 : byte;
    }
    // What is empty is no parameter; what has no "=" is a name alone.
    if (hasName) ends.push(to);
    else if (at > start) ends.push(to, to);
    if (ends.length > most * 2) {
      throw new GatewayError(
        'GW_TOO_MANY_PARAMETERS',
        `Expected at most ${most} parameters for a webhook but received more`,
        { status: 413 },
      );
    }
  }
  return ends;
}

/** -1 for what is none. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/**
 * What Twilio says about a call in a voice webhook or status callback. Twilio's set grows without notice, so
 * every parameter stays readable through `parameters`; the named ones are the documented ones.
 * Source: twilio.com/docs/voice/twiml#request-parameters.
 */
export class CallWebhookInput {
  constructor(readonly parameters: FormParameters) {}

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
