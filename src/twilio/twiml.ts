import VoiceResponse from 'twilio/lib/twiml/VoiceResponse.js';
import { z } from 'zod';
import { expected, GatewayError, mistakesOf } from '../errors.js';
import { addVerbs, type CallVerb } from './verbs.js';
import { isXmlText } from './xml-text.js';

/** Longest TwiML that Twilio's REST API takes inline. Source: twilio.com/docs/voice/api/call-resource. */
export const MAX_INLINE_TWIML = 4000;
/** Longest TwiML that Twilio reads from a webhook, in bytes. Source: twilio.com/docs/api/errors/11750. */
export const MAX_TWIML_BYTES = 64 * 1024;

/** Optional parts of the TwiML of a media stream. */
export interface MediaStreamTwimlOptions {
  /** Sent back by Twilio as `start.customParameters`; name and value together under 500 characters. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Unique name of the stream within the call. */
  readonly name?: string;
  /** Absolute URL for stream-started, stream-stopped and stream-error callbacks. */
  readonly statusCallback?: string;
  /** Absolute URL that Twilio asks for more TwiML when the stream is over and the caller still there. */
  readonly next?: string;
  /** What Twilio does with the caller before the stream begins. */
  readonly before?: readonly CallVerb[];
  /** What Twilio does when the stream is over and the caller still there; then the call ends. */
  readonly after?: readonly CallVerb[];
}

/** How a call is rejected: before it is answered (`busy`, `rejected`: not billed), or after an announcement. */
export type Refusal = 'busy' | 'rejected' | { readonly say: string; readonly language?: string };

/**
 * Any spelling of a media URL as `wss://…`: `https://` and `http://` become `wss://`, also behind a doubled
 * scheme (`wss://https://host`), and a bare host gets one. `ws://` stays: it is meant, on loopback.
 */
export function normalizeWebSocketUrl(url: string): string {
  const text = url.trim();
  if (/^ws:\/\//i.test(text)) return text;
  return `wss://${text.replace(/^(?:wss:\/\/)?(?:https?:\/\/)?/i, '')}`;
}

/**
 * TwiML that connects the call to a bidirectional media stream.
 * Source: twilio.com/docs/voice/twiml/stream (`<Connect><Stream>`).
 * @param url of your WebSocket endpoint: `wss://…`; `https://` and a bare host become that
 * @throws TypeError for an empty URL
 * @throws GatewayError `GW_TWIML_INVALID` (400) for a query string in the URL (Twilio refuses it, error 31920), a
 * parameter of 500 characters or more, characters that XML cannot carry, or verbs that Twilio would not take
 */
export function createMediaStreamTwiml(url: string, options: MediaStreamTwimlOptions = {}): string {
  if (typeof url !== 'string' || url.trim() === '') throw expected('a WebSocket URL', 'url', url);
  if (url.includes('?')) {
    throw invalid('a media stream URL without a query string', 'url', 'one with; use parameters instead');
  }
  const response = new VoiceResponse();
  addVerbs(response, options.before ?? []);
  const stream = response.connect().stream({
    url: normalizeWebSocketUrl(url),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.statusCallback === undefined ? {} : { statusCallback: options.statusCallback }),
  });
  const parameters = StreamParameters.safeParse(options.parameters ?? {});
  if (!parameters.success) {
    throw invalid(
      'what Twilio takes',
      'the parameters of a stream',
      mistakesOf(parameters.error, 'the whole'),
    );
  }
  for (const [name, value] of Object.entries(parameters.data)) stream.parameter({ name, value });
  addVerbs(response, options.after ?? []);
  if (options.next !== undefined) response.redirect({ method: 'POST' }, options.next);
  return response.toString();
}

/**
 * {@link createMediaStreamTwiml} as a web-standard response: 200, `text/xml`.
 * @throws GatewayError `GW_TWIML_INVALID`, TypeError: see {@link createMediaStreamTwiml}
 */
export function createMediaStreamResponse(url: string, options?: MediaStreamTwimlOptions): Response {
  return new Response(createMediaStreamTwiml(url, options), { headers: { 'content-type': 'text/xml' } });
}

/**
 * TwiML that turns a call away. Source: twilio.com/docs/voice/twiml/reject.
 * @throws GatewayError `GW_TWIML_INVALID` (400) for words with characters that XML cannot carry
 */
export function createRefusalTwiml(refusal: Refusal): string {
  if (typeof refusal === 'string') return REJECTIONS[refusal] ?? rejection(refusal);
  const response = new VoiceResponse();
  checkCharacters(refusal.say, 'say');
  // The SDK types every language Twilio lists; the list grows, so any tag is passed on.
  response.say(refusal.language === undefined ? {} : { language: refusal.language as never }, refusal.say);
  response.hangup();
  return response.toString();
}

function rejection(reason: 'busy' | 'rejected'): string {
  const response = new VoiceResponse();
  response.reject({ reason });
  return response.toString();
}

/** Built once: under overload this is the most frequent response. */
const REJECTIONS = { busy: rejection('busy'), rejected: rejection('rejected') };

/** TwiML that ends a call. Source: twilio.com/docs/voice/twiml/hangup. */
export function createHangupTwiml(): string {
  const response = new VoiceResponse();
  response.hangup();
  return response.toString();
}

/**
 * TwiML that has Twilio ask again, perhaps after a while. Source: twilio.com/docs/voice/twiml/pause, …/redirect.
 * @param seconds whole seconds, which the caller waits; the pause answers a call that still rings, none does not
 */
export function createAgainTwiml(url: string, seconds = 0): string {
  const response = new VoiceResponse();
  if (seconds > 0) response.pause({ length: seconds });
  response.redirect({ method: 'POST' }, url);
  return response.toString();
}

/**
 * TwiML that connects the caller with somebody else. Source: twilio.com/docs/voice/twiml/dial.
 * @param to a number as E.164 writes it, or a SIP address
 * @throws GatewayError `GW_TRANSFER_TO` for anything else
 */
export function createTransferTwiml(to: string): string {
  const response = new VoiceResponse();
  if (/^\+[1-9]\d{1,14}$/.test(to)) response.dial({}, to);
  else if (/^sips?:[^\s<>"]{1,250}$/.test(to) && isXmlText(to)) response.dial({}).sip(to);
  else {
    throw new GatewayError(
      'GW_TRANSFER_TO',
      'Expected an E.164 number or a SIP address for a transfer but received another text',
    );
  }
  return response.toString();
}

/** Twilio refuses a document with characters that XML cannot carry (error 12100). */
function checkCharacters(text: string, subject: string): void {
  if (!isXmlText(text)) throw invalid('characters that XML can carry', subject, 'others');
}

function invalid(what: string, subject: string, received: string): GatewayError {
  return new GatewayError('GW_TWIML_INVALID', `Expected ${what} for ${subject} but received ${received}`);
}

/** Name and value together stay below this. Source: twilio.com/docs/voice/twiml/stream#custom-parameters. */
const TOO_LONG = 500;

/** Checks the custom parameters of a stream; no name or value is shown beyond its place. */
export const StreamParameters = z.record(z.string(), z.string()).superRefine((parameters, context) => {
  for (const [name, value] of Object.entries(parameters)) {
    const length = name.length + value.length;
    const refuse = (message: string) =>
      context.addIssue({ code: 'custom', path: [name.slice(0, 60)], message });
    if (name === '') refuse('a parameter without a name');
    if (!isXmlText(name + value)) refuse('characters that XML cannot carry');
    if (length >= TOO_LONG) refuse(`${length} characters with its name, not fewer than ${TOO_LONG}`);
  }
});
