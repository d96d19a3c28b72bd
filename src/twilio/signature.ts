import { timingSafeEqual } from 'node:crypto';
import {
  getExpectedTwilioSignature,
  validateRequest,
  validateRequestWithBody,
} from 'twilio/lib/webhooks/webhooks.js';
import { expected, GatewayError } from '../errors.js';
import type { FormParameters } from './webhook.js';

/** Base64 of an HMAC-SHA1. */
const SIGNATURE_LENGTH = 28;

const SECURE = new Set(['https', 'wss']);

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
  private readonly tokens: readonly string[];

  /** @param authTokens one token, or several; the default is `TWILIO_AUTH_TOKEN` (a comma list is allowed). */
  constructor(authTokens: string | readonly string[] = process.env.TWILIO_AUTH_TOKEN ?? '') {
    const list = typeof authTokens === 'string' ? authTokens.split(',') : authTokens;
    if (!Array.isArray(list) || list.some((token) => typeof token !== 'string')) {
      throw expected('a string or an array of strings', 'authTokens', authTokens);
    }
    this.tokens = list.map((token) => token.trim()).filter((token) => token !== '');
    if (this.tokens.length === 0) {
      throw new GatewayError(
        'GW_AUTH_TOKEN_MISSING',
        'Expected at least one Twilio auth token for signature checks but received none; set TWILIO_AUTH_TOKEN',
      );
    }
  }

  /** Whether any token signed any of the URLs. Never throws on what a client sent. */
  isValid(request: SignedRequest): boolean {
    const signature = request.signature ?? '';
    if (signature.length !== SIGNATURE_LENGTH) return false;
    return request.urls.some((url) => {
      const plain = plainSpellings(url);
      if (plain !== undefined) {
        return this.tokens.some((token) =>
          plain.some((each) => signedPlain(token, signature, each, request)),
        );
      }
      return withSecurePort(url).some(
        (each) => URL.canParse(each) && this.tokens.some((token) => signed(token, signature, each, request)),
      );
    });
  }

  /**
   * As {@link isValid}, throwing instead.
   * @throws GatewayError `GW_SIGNATURE_MISSING` or `GW_SIGNATURE_INVALID`, both with status 403
   */
  verify(request: SignedRequest): void {
    if (!request.signature) {
      throw new GatewayError(
        'GW_SIGNATURE_MISSING',
        'Expected an X-Twilio-Signature header for this request but received none',
        { status: 403 },
      );
    }
    if (!this.isValid(request)) {
      throw new GatewayError(
        'GW_SIGNATURE_INVALID',
        'Expected a signature made with the auth token for this URL but received another one; check PUBLIC_URL',
        { status: 403 },
      );
    }
  }
}

/**
 * How a URL without a query, user or anything to be escaped may have been signed: without a port and with one. The SDK tries
 * six spellings, whatever the URL; a plain one, as nearly all are, has these two, and forgeries cost no more than they must.
 */
function plainSpellings(url: string): [string, string] | undefined {
  const parts = /^(https?|wss?)(:\/\/[a-z0-9.-]+)(:\d+)?(\/[\w/-]*)$/.exec(url);
  if (parts === null || !URL.canParse(url)) return undefined;
  const [, scheme = '', host = '', port = SECURE.has(scheme) ? ':443' : ':80', path = ''] = parts;
  return [scheme + host + path, scheme + host + port + path];
}

function signedPlain(
  token: string,
  signature: string,
  url: string,
  { parameters = {} }: SignedRequest,
): boolean {
  const expectedSignature = Buffer.from(getExpectedTwilioSignature(token, url, parameters));
  const received = Buffer.from(signature);
  return received.length === expectedSignature.length && timingSafeEqual(received, expectedSignature);
}

/** The SDK tries a URL with and without its default port, but takes 80 for that of `wss`. */
function withSecurePort(url: string): string[] {
  const isSecure = /^wss:\/\/[^/:]+\//.test(url);
  return isSecure ? [url, url.replace(/^(wss:\/\/[^/]+)/, '$1:443')] : [url];
}

function signed(token: string, signature: string, url: string, request: SignedRequest): boolean {
  if (new URL(url).searchParams.has('bodySHA256')) {
    return validateRequestWithBody(token, signature, url, request.rawBody ?? '');
  }
  return validateRequest(token, signature, url, request.parameters ?? {});
}

/** Checks one request with the tokens of `TWILIO_AUTH_TOKEN`; the original's function of that name. */
export function verifyTwilioSignature(request: SignedRequest): boolean {
  return new TwilioSignatureVerifier().isValid(request);
}
