import { randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks.js';
import { type Clock, systemClock } from '../clock.js';
import { type DialMapping, destinationOf } from './dial.js';
import { twilioError } from './errors.js';
import { printableUrl } from './printable-url.js';

/** Twilio waits this long for an answer. */
const ANSWER_TIMEOUT_MS = 15_000;
/** Longest answer read; Twilio's limit for TwiML. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** Answers of 1xx before the one that counts. */
const MAX_HINTS = 16;
const MAX_REDIRECTS = 10;

/** Who placed a call, in Twilio's terms. */
export type CallDirection = 'inbound' | 'outbound-api';
/** The status of a call. Source: twilio.com/docs/voice/api/call-resource#call-status-values. */
export type CallStatus =
  | 'queued'
  | 'initiated'
  | 'ringing'
  | 'in-progress'
  | 'completed'
  | 'busy'
  | 'failed'
  | 'no-answer'
  | 'canceled';

/** What a webhook says about a call. */
export interface WebhookCall {
  readonly callSid: string;
  readonly accountSid: string;
  readonly from: string;
  readonly to: string;
  readonly direction: CallDirection;
}

/** How requests to the server under test are made. */
export interface WebhookOptions {
  /** Signs the request; `undefined` sends no signature. */
  readonly authToken: string | undefined;
  readonly dial?: DialMapping | undefined;
  readonly method?: 'GET' | 'POST';
  /** Milliseconds to wait for an answer; default 15,000, as Twilio does. */
  readonly timeoutMs?: number;
  /** Default {@link systemClock}. */
  readonly clock?: Clock;
  /** Gives the request up. */
  readonly signal?: AbortSignal;
}

/** What the server answered. */
export interface WebhookAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** The URL that answered in the end, after redirects. */
  readonly url: string;
}

/** Number plan area of the made-up caller and callee; Twilio looks them up for NANP numbers. */
const PLACES = {
  from: { City: 'SEATTLE', State: 'WA', Zip: '98101', Country: 'US' },
  to: { City: 'SAN FRANCISCO', State: 'CA', Zip: '94103', Country: 'US' },
} as const;

/**
 * All parameters of a voice webhook, as Twilio names and spells them.
 * Source: twilio.com/docs/voice/twiml#request-parameters.
 */
export function webhookParameters(
  call: WebhookCall,
  status: CallStatus,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const parameters: Record<string, string> = {
    AccountSid: call.accountSid,
    ApiVersion: '2010-04-01',
    CallSid: call.callSid,
    CallStatus: status,
    Called: call.to,
    Caller: call.from,
    Direction: call.direction,
    From: call.from,
    To: call.to,
  };
  for (const [name, value] of Object.entries(PLACES.from)) {
    parameters[`From${name}`] = value;
    parameters[`Caller${name}`] = value;
  }
  for (const [name, value] of Object.entries(PLACES.to)) {
    parameters[`To${name}`] = value;
    parameters[`Called${name}`] = value;
  }
  if (call.direction === 'inbound') parameters.StirVerstat = 'TN-Validation-Passed-A';
  return { ...parameters, ...extra };
}

/**
 * Parameters of a call status callback.
 * Source: twilio.com/docs/voice/api/call-resource#statuscallback.
 * @param sequenceNumber order of this call's callbacks, from 0
 * @param seconds length of the call; sent with final statuses only
 */
export function statusParameters(
  call: WebhookCall,
  status: CallStatus,
  sequenceNumber: number,
  seconds?: number,
): Record<string, string> {
  const final = seconds !== undefined;
  return webhookParameters(call, status, {
    CallbackSource: 'call-progress-events',
    SequenceNumber: String(sequenceNumber),
    Timestamp: rfc2822(systemClock.date()),
    ...(final ? { CallDuration: String(seconds), SipResponseCode: SIP_RESPONSES[status] ?? '200' } : {}),
    ...(status === 'completed' ? { Duration: String(Math.ceil((seconds ?? 0) / 60)) } : {}),
  });
}

const SIP_RESPONSES: Readonly<Partial<Record<CallStatus, string>>> = {
  busy: '486',
  failed: '404',
  'no-answer': '480',
  canceled: '487',
};

/** Twilio's callbacks about a stream. Source: twilio.com/docs/voice/twiml/stream#statuscallback. */
export type StreamEvent = 'stream-started' | 'stream-stopped' | 'stream-error';

/**
 * Parameters of a stream status callback.
 * Source: twilio.com/docs/voice/twiml/stream#attributes-statuscallback.
 */
export function streamStatusParameters(
  stream: { accountSid: string; callSid: string; streamSid: string; name: string },
  event: StreamEvent,
  error?: string,
): Record<string, string> {
  return {
    AccountSid: stream.accountSid,
    CallSid: stream.callSid,
    StreamEvent: event,
    StreamName: stream.name,
    StreamSid: stream.streamSid,
    Timestamp: systemClock.date().toISOString(),
    ...(error === undefined ? {} : { StreamError: error }),
  };
}

/**
 * Twilio's signature of a request. Over https the port and any user info are left out, over http the user
 * info; a `wss://` URL is signed exactly as it stands in the TwiML.
 * Source: twilio.com/docs/usage/security#validating-requests.
 */
export function signatureOf(
  authToken: string,
  url: string,
  parameters: Readonly<Record<string, string>> = {},
): string {
  const hidden = url.startsWith('https:')
    ? /^(https:\/\/)(?:[^/?#@]*@)?([^/?#:]+|\[[^\]]+\])(?::\d+)?/
    : /^(http:\/\/)(?:[^/?#@]*@)()/;
  return getExpectedTwilioSignature(authToken, url.replace(hidden, '$1$2'), parameters);
}

/**
 * Sends one signed form request and follows redirects as Twilio does (at most 10).
 * @returns the answer, whatever its status
 * @throws GatewayError `GW_SIM_11200` (no answer in time), `GW_SIM_11205` (no connection), `GW_SIM_11215`
 */
export async function sendWebhook(
  url: string,
  parameters: Readonly<Record<string, string>>,
  options: WebhookOptions,
): Promise<WebhookAnswer> {
  let method = options.method ?? 'POST';
  let at = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await request(at, method, parameters, options);
    if (answer.location === undefined) return answer;
    at = new URL(answer.location, at).href;
    // Twilio repeats 307 and 308 as they were and fetches the others.
    if (answer.status < 307) method = 'GET';
  }
  throw twilioError(
    11215,
    `Expected at most ${MAX_REDIRECTS} redirects for ${printableUrl(url)} but received more`,
  );
}

/** CallbackQueue of one call, sent one after the other so that they arrive in order. */
export class CallbackQueue {
  /** Those that were not answered with 2xx. */
  readonly failed: string[] = [];
  private latest: Promise<void> = Promise.resolve();
  private readonly requests = new AbortController();

  constructor(private readonly options: Pick<WebhookOptions, 'authToken' | 'dial' | 'clock'>) {}

  send(url: string, parameters: Readonly<Record<string, string>>, method: 'GET' | 'POST'): void {
    const { signal } = this.requests;
    this.latest = this.latest
      .then(() => sendWebhook(url, parameters, { ...this.options, method, signal }))
      .then(
        ({ status }) => {
          if (status < 200 || status > 299) this.failed.push(`${printableUrl(url)} answered ${status}`);
        },
        (error: Error) => {
          this.failed.push(error.message);
        },
      );
  }

  /** Resolves when all that were sent are answered; never rejects. */
  get settled(): Promise<void> {
    return this.latest;
  }

  /** Gives up those under way. */
  abort(): void {
    this.requests.abort();
  }
}

function request(
  url: string,
  method: 'GET' | 'POST',
  parameters: Readonly<Record<string, string>>,
  options: WebhookOptions,
): Promise<WebhookAnswer & { location: string | undefined }> {
  const form = new URLSearchParams(parameters).toString();
  const signedUrl = method === 'POST' ? url : `${url}${url.includes('?') ? '&' : '?'}${form}`;
  const { url: real, headers, ca, servername } = destinationOf(signedUrl, options.dial);
  const timeout = options.timeoutMs ?? ANSWER_TIMEOUT_MS;
  const { clock = systemClock, signal } = options;
  let stop = () => {};
  const ask = (late: AbortSignal) =>
    new Promise<WebhookAnswer & { location: string | undefined }>((resolve, reject) => {
      const sent = (real.protocol === 'https:' ? https : http).request(
        real,
        {
          method,
          agent: false,
          signal: late,
          headers: {
            ...headers,
            accept: '*/*',
            'cache-control': 'max-age=259200',
            'user-agent': 'TwilioProxy/1.1',
            'i-twilio-idempotency-token': randomUUID(),
            ...(method === 'POST'
              ? {
                  'content-type': 'application/x-www-form-urlencoded; charset=UTF-8',
                  'content-length': Buffer.byteLength(form),
                }
              : {}),
            ...(options.authToken === undefined
              ? {}
              : {
                  'x-twilio-signature': signatureOf(
                    options.authToken,
                    signedUrl,
                    method === 'POST' ? parameters : {},
                  ),
                }),
          },
          ...(ca === undefined ? {} : { ca }),
          ...(servername === undefined ? {} : { servername }),
        },
        (response) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          response.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk);
            else response.destroy(new Error(`more than ${MAX_ANSWER_BYTES} bytes`));
          });
          response.on('error', fail);
          response.on('end', () => {
            const status = response.statusCode ?? 0;
            resolve({
              status,
              contentType: response.headers['content-type'] ?? '',
              body: Buffer.concat(chunks).toString('utf8'),
              url: signedUrl,
              location: status >= 301 && status <= 308 ? response.headers.location : undefined,
            });
          });
        },
      );
      stop = () => sent.destroy(signal?.reason);
      signal?.addEventListener('abort', stop);
      if (signal?.aborted) stop();
      sent.on('error', fail);
      let hints = 0;
      sent.on('information', () => {
        hints += 1;
        if (hints > MAX_HINTS) sent.destroy(new Error(`more than ${MAX_HINTS} answers of 1xx`));
      });
      sent.on('upgrade', (_, socket) => {
        socket.destroy();
        fail(new Error('status 101'));
      });
      sent.end(method === 'POST' ? form : undefined);

      function fail(cause: Error & { code?: string }): void {
        const refused = cause.code === 'ECONNREFUSED' || cause.code === 'ENOTFOUND';
        const received = late.aborted ? `none within ${timeout} ms` : cause.message;
        reject(
          twilioError(
            refused ? 11205 : 11200,
            `Expected an answer from ${printableUrl(url)} but received ${received}`,
            {
              cause,
            },
          ),
        );
      }
    });
  // The signal may live longer than the call: nothing is left at it.
  return clock.limited(timeout, ask).finally(() => signal?.removeEventListener('abort', stop));
}

/** A date as Twilio writes it, with a numeric zone. */
export function rfc2822(date: Date): string;
export function rfc2822(date: Date | undefined): string | null;
export function rfc2822(date: Date | undefined): string | null {
  return date === undefined ? null : date.toUTCString().replace('GMT', '+0000');
}
