import { isAscii } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { expected, GatewayError } from '../errors.js';
import { Body } from './body.js';

/** Most parameters that are taken. Twilio sends some forty, and one for each SIP header. */
export const MAX_PARAMETERS = 200;
/** Most bytes of a form that are taken. Twilio's have one to three kilobytes. */
export const MAX_FORM_BYTES = 16 * 1024;
const FORM = 'application/x-www-form-urlencoded';

/** @throws GatewayError `GW_NOT_A_FORM` (415) for any other media type @param type without its parameters, in lower case */
export function checkFormType(type: string): void {
  if (type === FORM) return;
  throw new GatewayError('GW_NOT_A_FORM', `Expected ${FORM} for a webhook but received ${type || 'no type'}`);
}

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
      throw tooManyParameters(most);
    }
  }
  return ends;
}

function tooManyParameters(most: number): GatewayError {
  const message = `Expected at most ${most} parameters for a webhook but received more`;
  return new GatewayError('GW_TOO_MANY_PARAMETERS', message);
}

/** -1 for an invalid digit. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** A body as a parser of forms leaves it: `request.body` of Express or Fastify. */
export type ParsedForm = Readonly<Record<string, unknown>>;

/** A request whose body a parser has read: of Express, or of Fastify. */
export interface ParsedRequest {
  readonly headers: object;
  readonly body?: unknown;
  /** Node's own, of Fastify. */
  readonly raw?: IncomingMessage;
}

/** All forms in which a server may pass a webhook. */
export type WebhookRequest = Request | IncomingMessage | ParsedRequest | ParsedForm;

/**
 * Reads a webhook's form from what your own server provides.
 * @throws as `CallWebhookInput.from`
 */
export async function formOf(request: WebhookRequest): Promise<FormParameters> {
  if (typeof request !== 'object' || request === null) {
    throw expected('a request or its parsed body', 'a webhook', request);
  }
  if (isFetchRequest(request)) return parseForm(await fetchBody(request), MAX_PARAMETERS);
  const { body, raw } = request as Partial<ParsedRequest>;
  const message = isIncomingMessage(raw) ? raw : request;
  // No parser of bodies makes functions: what has none is a form, whatever its parameters are called.
  if (!isIncomingMessage(message)) return checkedForm(request as ParsedForm);
  if (message.method === 'GET') return parseForm(queryOf(message.url ?? ''), MAX_PARAMETERS);
  if (typeof body === 'object' && body !== null && !ArrayBuffer.isView(body)) {
    checkFormType(mediaType(message.headers['content-type'] ?? ''));
    return checkedForm(body as ParsedForm);
  }
  if (typeof body === 'string' || body instanceof Uint8Array) {
    checkFormType(mediaType(message.headers['content-type'] ?? ''));
    checkLength(body.length);
    return parseForm(Buffer.from(body as Uint8Array), MAX_PARAMETERS);
  }
  return parseForm(await messageBody(message), MAX_PARAMETERS);
}

function isFetchRequest(request: object): request is Request {
  return (
    typeof (request as Request).arrayBuffer === 'function' && typeof (request as Request).url === 'string'
  );
}

function isIncomingMessage(request: unknown): request is IncomingMessage {
  return typeof (request as IncomingMessage | undefined)?.on === 'function';
}

/** Without its parameters, in lower case. */
function mediaType(header: string): string {
  return (header.split(';')[0] ?? '').trim().toLowerCase();
}

function queryOf(url: string): string {
  const at = url.indexOf('?') + 1;
  return at === 0 ? '' : url.slice(at);
}

/** A form that somebody else has parsed, as it would be if we had. */
function checkedForm(body: ParsedForm): FormParameters {
  const form: Record<string, string | string[]> = Object.create(null);
  let count = 0;
  for (const [name, value] of Object.entries(body)) {
    const values: unknown[] = Array.isArray(value) ? value : [value];
    count += values.length;
    if (count > MAX_PARAMETERS) throw tooManyParameters(MAX_PARAMETERS);
    if (!areTexts(values)) {
      throw new GatewayError(
        'GW_NOT_A_FORM',
        'Expected a text, or several, for each parameter of a webhook but received another value; parse it as a plain form',
        { status: 400 },
      );
    }
    const [first] = values;
    if (first !== undefined) form[name] = values.length === 1 ? first : values;
  }
  return form;
}

function areTexts(values: unknown[]): values is string[] {
  return values.every((each) => typeof each === 'string');
}

async function fetchBody(request: Request): Promise<Buffer> {
  if (request.method === 'GET') return Buffer.from(queryOf(request.url));
  checkFormType(mediaType(request.headers.get('content-type') ?? ''));
  if (request.bodyUsed) throw alreadyRead();
  const body = new Body();
  checkLength(Number(request.headers.get('content-length') ?? 0));
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = request.body?.getReader();
  for (let next = await reader?.read(); next !== undefined && !next.done; next = await reader?.read()) {
    if (body.length + next.value.byteLength > MAX_FORM_BYTES) {
      void reader?.cancel().catch(() => {});
      checkLength(body.length + next.value.byteLength);
    }
    body.add(next.value);
  }
  return body.whole;
}

function messageBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    checkFormType(mediaType(request.headers['content-type'] ?? ''));
    checkLength(Number(request.headers['content-length'] ?? 0));
    if (request.readableEnded || request.readableDidRead) throw alreadyRead();
    const body = new Body();
    const onData = (chunk: Buffer) => {
      const length = body.length + chunk.length;
      if (length <= MAX_FORM_BYTES) body.add(chunk);
      else settle(() => checkLength(length));
    };
    const onEnd = () => settle(() => resolve(body.whole));
    const onGone = () =>
      settle(() => {
        const message = 'Expected a client that waits for its answer but it has gone';
        throw new GatewayError('GW_CLIENT_GONE', message);
      });
    const settle = (done: () => void) => {
      request.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone);
      // The rest of what is too long is thrown away: it would stand in the way of the connection's next request.
      request.resume();
      try {
        done();
      } catch (error) {
        reject(error);
      }
    };
    request.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone);
    if (request.destroyed) onGone();
  });
}

function checkLength(bytes: number): void {
  if (!(bytes > MAX_FORM_BYTES)) return;
  const message = `Expected a body of at most ${MAX_FORM_BYTES} bytes but received more`;
  throw new GatewayError('GW_BODY_TOO_LARGE', message);
}

function alreadyRead(): TypeError {
  return expected(
    'a request whose body nobody has read, or its parsed body',
    'a webhook',
    'one that was read',
  );
}
