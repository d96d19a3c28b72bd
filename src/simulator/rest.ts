import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError } from '../errors.js';
import type { OutboundRequest } from './outbound-call.js';
import { accountResource, callResource, type NumberFacts, numbersPage, type RestCall } from './resources.js';

const MAX_BODY_BYTES = 64 * 1024;
const MAX_INLINE_TWIML = 4000;
const E164 = /^\+[1-9]\d{6,14}$/;
const EVENTS = new Set(['initiated', 'ringing', 'answered', 'completed']);
const FINAL = new Set(['completed', 'busy', 'failed', 'no-answer', 'canceled']);

/** A call that the REST API can look up and end. */
export interface ManagedCall {
  readonly facts: RestCall;
  hangUp(): void;
  redirect(twiml: string): void;
}

/** What the API acts on. */
export interface CallSwitchboard {
  place(request: OutboundRequest): ManagedCall;
  find(sid: string): ManagedCall | undefined;
}

/** A refusal in Twilio's JSON. Source: twilio.com/docs/usage/twilios-response#response-formats-exceptions. */
class RestRefusal extends Error {
  constructor(
    readonly httpStatus: number,
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

/**
 * The calls part of Twilio's REST API, 2010-04-01; of account and phone numbers, what can be read.
 * Source: twilio.com/docs/voice/api/call-resource.
 */
export class CallsApi {
  constructor(
    private readonly accountSid: string,
    private readonly authToken: string,
    private readonly switchboard: CallSwitchboard,
    private readonly numbers: readonly NumberFacts[] = [],
  ) {}

  /** Answers one request; never throws. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const form = await readForm(request);
      const [status, body] = this.answer(request, form);
      send(response, status, body);
    } catch (error) {
      const refusal =
        error instanceof RestRefusal ? error : new RestRefusal(500, 20500, 'Internal Server Error');
      send(response, refusal.httpStatus, {
        code: refusal.code,
        message: refusal.message,
        more_info: `https://www.twilio.com/docs/errors/${refusal.code}`,
        status: refusal.httpStatus,
      });
    }
  }

  private answer(request: IncomingMessage, form: URLSearchParams): [number, Record<string, unknown>] {
    const { pathname: path, searchParams } = new URL(request.url ?? '/', 'http://api');
    const [, account, resource, sid] =
      /^\/2010-04-01\/Accounts\/([^/.]+)(?:\/(Calls|IncomingPhoneNumbers)(?:\/([^/]+))?)?\.json$/.exec(
        path,
      ) ?? [];
    this.authenticate(request, account ?? this.accountSid);
    if (account === undefined) throw notFound(path);
    if (resource !== 'Calls') {
      if (sid !== undefined) throw notFound(path);
      if (request.method !== 'GET') throw new RestRefusal(405, 20004, 'Method not allowed');
      return [
        200,
        resource === undefined ? accountResource(account) : numbersPage(account, this.numbers, searchParams),
      ];
    }
    if (sid === undefined) {
      if (request.method !== 'POST') throw new RestRefusal(405, 20004, 'Method not allowed');
      return [201, callResource(this.switchboard.place(outboundRequestOf(form)).facts)];
    }
    const call = this.switchboard.find(sid);
    if (call === undefined) throw notFound(path);
    if (request.method === 'POST') update(call, form);
    else if (request.method !== 'GET') throw new RestRefusal(405, 20004, 'Method not allowed');
    return [200, callResource(call.facts)];
  }

  private authenticate(request: IncomingMessage, account: string): void {
    const expected = Buffer.from(`Basic ${btoa(`${this.accountSid}:${this.authToken}`)}`);
    const received = Buffer.from(request.headers.authorization ?? '');
    const same = expected.length === received.length && timingSafeEqual(expected, received);
    if (!same || account !== this.accountSid) throw new RestRefusal(401, 20003, 'Authenticate');
  }
}

function outboundRequestOf(form: URLSearchParams): OutboundRequest {
  const text = (name: string) => form.get(name) || undefined;
  const to = text('To');
  const from = text('From');
  const twiml = text('Twiml');
  const url = text('Url');
  if (to === undefined) throw new RestRefusal(400, 21201, "No 'To' number is specified");
  if (!isAddress(to)) throw new RestRefusal(400, 21211, `Invalid 'To' Phone Number: ${to}`);
  if (from === undefined)
    throw new RestRefusal(400, 21213, "'From' phone number is required to create a call");
  if (!isAddress(from)) throw new RestRefusal(400, 21212, `Invalid 'From' Phone Number: ${from}`);
  if (twiml === undefined && (url === undefined || !isWebUrl(url))) {
    throw new RestRefusal(400, 21205, `Url is not a valid URL: ${url ?? ''}`);
  }
  if (twiml !== undefined && twiml.length > MAX_INLINE_TWIML) {
    throw new RestRefusal(400, 21605, `Twiml must be at most ${MAX_INLINE_TWIML} characters`);
  }
  const statusCallback = text('StatusCallback');
  if (statusCallback !== undefined && !isWebUrl(statusCallback)) {
    throw new RestRefusal(400, 21609, `Invalid 'StatusCallback' URL: ${statusCallback}`);
  }
  const events = form.getAll('StatusCallbackEvent').flatMap((event) => event.split(/[ ,]+/));
  const unknown = events.find((event) => !EVENTS.has(event));
  if (unknown !== undefined) throw new RestRefusal(400, 21626, `Invalid StatusCallbackEvent: ${unknown}`);
  const timeoutSeconds = Number(text('Timeout') ?? 60);
  if (!(timeoutSeconds >= 0 && timeoutSeconds <= 600)) {
    throw new RestRefusal(400, 20001, `Timeout must be between 0 and 600: ${text('Timeout')}`);
  }
  return {
    to,
    from,
    twiml,
    url: twiml === undefined ? url : undefined,
    method: methodOf(text('Method')),
    statusCallback,
    statusCallbackMethod: methodOf(text('StatusCallbackMethod')),
    statusCallbackEvents: new Set(events.length === 0 ? ['completed'] : events),
    timeoutSeconds,
    amdCallback: amdCallbackOf(form),
    sendDigits: sendDigitsOf(text('SendDigits')),
    timeLimitSeconds: inRange(form, 'TimeLimit', 1, 86_400) ?? 14_400,
    recording: Object.fromEntries(
      [...form.keys()]
        .filter((name) => name.startsWith('Record') || name === 'Trim')
        .map((name) => [name, form.getAll(name).join(' ')]),
    ),
  };
}

/** Source: twilio.com/docs/voice/answering-machine-detection#optional-api-tuning-parameters. */
function amdCallbackOf(form: URLSearchParams): string | undefined {
  const mode = form.get('MachineDetection');
  if (mode !== null && mode !== 'Enable' && mode !== 'DetectMessageEnd') {
    throw new RestRefusal(400, 20001, `MachineDetection must be Enable or DetectMessageEnd: ${mode}`);
  }
  inRange(form, 'MachineDetectionTimeout', 3, 59);
  inRange(form, 'MachineDetectionSpeechThreshold', 1_000, 6_000);
  inRange(form, 'MachineDetectionSpeechEndThreshold', 500, 5_000);
  inRange(form, 'MachineDetectionSilenceTimeout', 2_000, 10_000);
  const callback = form.get('AsyncAmdStatusCallback');
  if (callback !== null && !isWebUrl(callback)) {
    throw new RestRefusal(400, 21609, `Invalid 'AsyncAmdStatusCallback' URL: ${callback}`);
  }
  // With digits to dial there is no detection.
  if (mode === null || form.get('AsyncAmd') !== 'true' || form.has('SendDigits')) return undefined;
  return callback ?? undefined;
}

function sendDigitsOf(digits: string | undefined): string | undefined {
  if (digits === undefined || /^[0-9A-D*#wW]{1,32}$/.test(digits)) return digits;
  throw new RestRefusal(400, 21214, `Invalid 'SendDigits': ${digits}`);
}

function inRange(form: URLSearchParams, name: string, least: number, most: number): number | undefined {
  const text = form.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RestRefusal(400, 20001, `${name} must be between ${least} and ${most}: ${text}`);
}

function update(call: ManagedCall, form: URLSearchParams): void {
  const status = form.get('Status');
  const twiml = form.get('Twiml');
  const now = call.facts.status;
  if (FINAL.has(now)) {
    throw new RestRefusal(
      400,
      21220,
      `Call is not in-progress. Cannot ${status === null ? 'redirect' : 'end'}.`,
    );
  }
  if (status === null && twiml === null) {
    throw new RestRefusal(400, 21205, 'Status or Twiml is required; Url is not carried out by the simulator');
  }
  if (status !== null && status !== 'completed' && status !== 'canceled') {
    throw new RestRefusal(400, 21219, `Status must be completed or canceled: ${status}`);
  }
  // `canceled` cancels a ringing call and does not affect a live one.
  if (status === 'completed' || (status === 'canceled' && now !== 'in-progress')) {
    call.hangUp();
  } else if (twiml !== null) {
    try {
      call.redirect(twiml);
    } catch (error) {
      throw new RestRefusal(
        400,
        12100,
        error instanceof GatewayError ? error.message : 'Document parse failure',
      );
    }
  }
}

function isAddress(text: string): boolean {
  return E164.test(text) || /^(?:client|sips?):\S+$/.test(text);
}

function isWebUrl(text: string): boolean {
  return /^https?:\/\//.test(text) && URL.canParse(text);
}

function methodOf(text: string | undefined): 'GET' | 'POST' {
  const method = text?.toUpperCase() ?? 'POST';
  if (method === 'GET' || method === 'POST') return method;
  throw new RestRefusal(400, 21403, `Method must be GET or POST: ${method}`);
}

function notFound(path: string): RestRefusal {
  return new RestRefusal(404, 20404, `The requested resource ${path} was not found`);
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new RestRefusal(413, 20413, 'Request entity too large');
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}

function send(response: ServerResponse, status: number, body: Record<string, unknown>): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
