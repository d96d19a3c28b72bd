import { createHash, createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { parse, stringify } from 'node:querystring';
import { expected, GatewayError } from '../errors.js';
import type { FormParameters } from './form.js';

/** Base64 of an HMAC-SHA1, which has 20 bytes. */
const SIGNATURE = /^[A-Za-z0-9+/]{27}=$/;

/** Schemes whose default port is 443. */
const SECURE = new Set(['https://', 'wss://']);

/** A request as Twilio signed it. */
export interface SignedRequest {
  /** The `X-Twilio-Signature` header; empty or absent where Twilio (or somebody else) sent none. */
  readonly signature: string | undefined;
  /** Absolute URLs the request may have been signed for; more than one behind proxies. */
  readonly urls: readonly string[];
  /** Form parameters; empty for a WebSocket upgrade or a JSON body. */
  readonly parameters?: FormParameters;
  /** Raw body, needed where a URL carries `bodySHA256` (Twilio's JSON webhooks). */
  readonly rawBody?: string;
}

/**
 * Checks Twilio's request signatures against any of several auth tokens (rotation, regions).
 * HMAC-SHA1 over the URL and the sorted parameters, each URL with and without its default port; a JSON body
 * by its `bodySHA256`. Source: twilio.com/docs/usage/security#validating-requests.
 */
export class TwilioSignatureVerifier {
  private readonly keys: readonly KeyObject[];

  /**
   * @param authTokens one token, or several; the default is `TWILIO_AUTH_TOKEN` (a comma list is allowed)
   * @throws GatewayError `GW_AUTH_TOKEN_MISSING` without a token; TypeError if one is not a string
   */
  constructor(authTokens: string | readonly string[] = process.env.TWILIO_AUTH_TOKEN ?? '') {
    const list = typeof authTokens === 'string' ? authTokens.split(',') : authTokens;
    if (!Array.isArray(list) || list.some((token) => typeof token !== 'string')) {
      throw expected('a string or an array of strings', 'authTokens', authTokens);
    }
    const tokens = list.map((token) => token.trim()).filter((token) => token !== '');
    if (tokens.length === 0) {
      throw new GatewayError(
        'GW_AUTH_TOKEN_MISSING',
        'Expected at least one Twilio auth token for signature checks but received none; set TWILIO_AUTH_TOKEN',
      );
    }
    this.keys = tokens.map((token) => createSecretKey(token, 'utf8'));
  }

  /** Whether any token signed any of the URLs. Never throws on what a client sent. */
  isValid(request: SignedRequest): boolean {
    const received = digestOf(request.signature ?? '');
    if (received === undefined) return false;
    // Made once, however many URLs and tokens there are: a forged request is compared with them all.
    const form = signedForm(request.parameters ?? {});
    return request.urls.some((url) => {
      if (!URL.canParse(url)) return false;
      const { href, searchParams } = new URL(url);
      const bodyHash = searchParams.get('bodySHA256');
      if (bodyHash !== null && bodyHash !== sha256(request.rawBody ?? '')) return false;
      const signed = bodyHash === null ? form : NOTHING;
      return spellings(url, href).some((spelling) =>
        this.keys.some((key) => {
          const digest = createHmac('sha1', key).update(spelling).update(signed).digest();
          return timingSafeEqual(digest, received);
        }),
      );
    });
  }

  /**
   * Refuses what no body could make valid, before that is read.
   * @throws GatewayError `GW_SIGNATURE_MISSING` or `GW_SIGNATURE_INVALID`, both with status 403
   */
  checkHeader(signature: string | undefined): void {
    if (!signature) {
      throw new GatewayError(
        'GW_SIGNATURE_MISSING',
        'Expected an X-Twilio-Signature header for this request but received none',
      );
    }
    if (digestOf(signature) === undefined) throw invalid();
  }

  /**
   * As {@link isValid}, throwing instead.
   * @throws GatewayError `GW_SIGNATURE_MISSING` or `GW_SIGNATURE_INVALID`, both with status 403
   */
  verify(request: SignedRequest): void {
    this.checkHeader(request.signature);
    if (!this.isValid(request)) throw invalid();
  }
}

const NOTHING = Buffer.alloc(0);

function invalid(): GatewayError {
  return new GatewayError(
    'GW_SIGNATURE_INVALID',
    'Expected a signature made with the auth token for this URL but received another one; check PUBLIC_URL',
  );
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The bytes of a signature; `undefined` for any text that Twilio would not write. */
function digestOf(signature: string): Buffer | undefined {
  if (!SIGNATURE.test(signature)) return undefined;
  const digest = Buffer.from(signature, 'base64');
  // The last character has two bits to spare, which Twilio leaves at 0.
  return digest.toString('base64') === signature ? digest : undefined;
}

/** Names and values in the order of names, as they are signed: of a name that comes again, each value once. */
function signedForm(parameters: FormParameters): Buffer {
  let text = '';
  for (const name of Object.keys(parameters).sort()) {
    const value = parameters[name];
    if (!Array.isArray(value)) text += name + value;
    else {
      let before: string | undefined;
      for (const each of [...value].sort()) {
        if (each !== before) text += name + each;
        before = each;
      }
    }
  }
  return Buffer.from(text);
}

/**
 * How a URL may have been signed: as it came, normalized, and with its query encoded anew; each without a port and with one.
 * A plain URL, as nearly all are, has only two spellings.
 */
function spellings(url: string, normalized: string): string[] {
  const found = new Set<string>();
  for (const each of [url, normalized, encodedAnew(normalized)]) {
    const [, scheme, user = '', host = '', port, rest] = URL_PARTS.exec(each) ?? [];
    if (scheme === undefined) found.add(each);
    else {
      found.add(scheme + user + host + rest);
      found.add(scheme + user + host + (port || (SECURE.has(scheme.toLowerCase()) ? ':443' : ':80')) + rest);
    }
  }
  return [...found];
}

/** Scheme, user, host (in brackets where it is IPv6), port and all else. */
const URL_PARTS = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*@)?((?:[^/?#@]*\])?[^:/?#@]*)(:[^/?#@]*)?(.*)$/is;

/** Some of Twilio's own services sign a query in the manner of Node's `querystring`. */
function encodedAnew(url: string): string {
  const at = url.indexOf('?') + 1;
  return at === 0 || at === url.length ? url : url.slice(0, at) + stringify(parse(url.slice(at)));
}

/** Checks one request with the tokens of `TWILIO_AUTH_TOKEN`, as the function of that name in Vision Agents does. */
export function verifyTwilioSignature(request: SignedRequest): boolean {
  return new TwilioSignatureVerifier().isValid(request);
}
