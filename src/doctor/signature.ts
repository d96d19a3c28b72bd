import { parseForm } from '../twilio/form.js';
import {
  isWebhookQuery,
  originFromHeaders,
  type PublicOrigin,
  parsePublicUrl,
  signedUrlCandidates,
  webSocketOrigin,
} from '../twilio/public-url.js';
import { TwilioSignatureVerifier } from '../twilio/signature.js';
import type { CapturedRequest } from './captured-request.js';
import type { Check, Result } from './check.js';
import type { Context } from './context.js';
import { differences, publicUrlOf } from './public-base.js';
import { findSignedUrl, hasForm, isUpgrade, type SignedFor } from './signed-url.js';

/** Finds what a captured request was signed for, and whether the gateway accepts it. */
export function signatureOfRequest(request: CapturedRequest): Check {
  return { name: 'signature', run: async (context) => verdict(context, request) };
}

function verdict(context: Context, request: CapturedRequest): Result | Result[] {
  const { config, at } = context;
  const { authTokens } = config.twilio;
  const { headers } = request;
  const mark = 'fail';
  if (!headers['x-twilio-signature']) {
    return {
      mark,
      says: 'The request has no X-Twilio-Signature: it is not from Twilio, or a proxy drops headers',
      set: 'the proxy to forward all headers',
    };
  }
  if (authTokens.length === 0)
    return { mark, says: 'There is no auth token to verify with', set: 'TWILIO_AUTH_TOKEN' };
  const configured = config.publicUrl === undefined ? undefined : parsePublicUrl(config.publicUrl);
  const known = [configured, at].filter((each) => each !== undefined);
  const signed = findSignedUrl(request, authTokens, known);
  if (signed === undefined) return unknown(context, request);
  const said: Result = {
    mark: 'ok',
    says: `It was signed for ${signed.url}, with token ${signed.token + 1} of TWILIO_AUTH_TOKEN`,
  };
  const wrong = [...shapeFaults(request, signed), ...urlFaults(context, request, signed, configured)];
  return wrong.length > 0 ? [said, ...wrong] : [said, { mark: 'ok', says: 'The gateway accepts it' }];
}

/** What the gateway would reject regardless of the signature. */
function shapeFaults(request: CapturedRequest, signed: SignedFor): Result[] {
  const { pathname, search } = new URL(signed.url);
  const faults: Result[] = [];
  if (isUpgrade(request)) {
    if (/\?/.test(request.url) || search !== '') {
      faults.push({
        mark: 'fail',
        says: 'The stream URL has a query string, which Twilio does not support (its error 31920)',
        set: 'no query string in <Stream url>: <Parameter> carries values; and none added by the proxy',
      });
    }
    if (request.headers.origin !== undefined) {
      faults.push({
        mark: 'fail',
        says: 'The upgrade has an Origin header, so the gateway treats it as a browser’s',
        set: 'no Origin header at the proxy',
      });
    }
  } else {
    if (request.method !== 'POST') {
      faults.push({
        mark: 'fail',
        says: `The webhook uses ${request.method}, which the gateway does not answer`,
        set: 'HTTP POST at the number in Twilio’s console, and no redirect before the gateway',
      });
    } else if (request.body !== '' && !hasForm(request)) {
      faults.push({
        mark: 'fail',
        says: 'The body is not a form: something changed its Content-Type',
        set: 'the proxy to forward all headers',
      });
    }
    if (!isWebhookQuery(search.slice(1))) {
      faults.push({
        mark: 'fail',
        says: 'Twilio’s URL has a query string, which no route accepts',
        set: `${signed.url.replace(/\?.*$/, '')} in Twilio’s console`,
      });
    }
    if (signed.url.startsWith('http:')) {
      faults.push({
        mark: 'fail',
        says: 'Twilio’s URL is http: the call data is unencrypted, and streams need wss',
        set: `${signed.url.replace(/^http:/, 'https:')} in Twilio’s console`,
      });
    }
  }
  if (pathname.endsWith('/')) {
    faults.push({
      mark: 'fail',
      says: 'Twilio’s URL has a trailing slash, so it is no route of the gateway',
      set: `${signed.url.replace(/\/(\?|$)/, '$1')} in Twilio’s console`,
    });
  }
  return faults;
}

/** Whether the gateway would reconstruct the URL that was signed. */
function urlFaults(
  context: Context,
  request: CapturedRequest,
  signed: SignedFor,
  configured: PublicOrigin | undefined,
): Result[] {
  const publicUrl = publicUrlOf(signed.url.replace(/^ws/, 'http'));
  if (isTaken(context, request, configured)) return routeFaults(request, configured, publicUrl);
  if (!signed.withForm && request.body !== '') {
    return [
      {
        mark: 'fail',
        says: 'The signature does not cover the body: Twilio sent a different one, or used GET',
        set: 'the proxy (or the capture) to leave the body unchanged',
      },
    ];
  }
  const [believed = signed.url] = candidates(context, request, configured);
  const parts = differences(signed.url, believed);
  // A webhook's http and an upgrade's query string are reported separately.
  const base =
    publicUrl ?? new URL(signed.url).origin.replace(/^(ws|http):/, 'https:').replace(/^wss:/, 'https:');
  return [
    {
      mark: 'fail',
      says: `Wrong ${parts.join(' and ') || 'address'}: this environment’s gateway believes its URL is ${believed}`,
      set: `PUBLIC_URL=${base}`,
    },
  ];
}

/** Whether the gateway has a route for the request's path. */
function routeFaults(
  { url }: CapturedRequest,
  configured: PublicOrigin | undefined,
  publicUrl: string | undefined,
): Result[] {
  const path = url.replace(/^\w+:\/\/[^/]*/, '').replace(/[?#].*$/, '');
  const prefix = configured?.prefix ?? '';
  const isRoute = [path, path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path].some((each) =>
    each.startsWith('/twilio/'),
  );
  if (isRoute) return [];
  return [
    {
      mark: 'fail',
      says: `Wrong path: this environment’s gateway has no route ${path}, because it has no such path prefix`,
      set: publicUrl === undefined ? 'a URL of the gateway in Twilio’s console' : `PUBLIC_URL=${publicUrl}`,
    },
  ];
}

function isTaken(context: Context, request: CapturedRequest, configured: PublicOrigin | undefined): boolean {
  const verifier = new TwilioSignatureVerifier(context.config.twilio.authTokens);
  return verifier.isValid({
    signature: request.headers['x-twilio-signature'],
    urls: candidates(context, request, configured),
    ...(isUpgrade(request) ? {} : { parameters: parseForm(request.body), rawBody: request.body }),
  });
}

/** The candidates as the request authenticator finds them. */
function candidates(
  { config }: Context,
  request: CapturedRequest,
  configured: PublicOrigin | undefined,
): string[] {
  const [, path = '/', query] =
    /^([^?#]*)(?:\?([^#]*))?/.exec(request.url.replace(/^\w+:\/\/[^/]*/, '')) ?? [];
  // A capture with an absolute URL may have no Host header.
  const header = (name: string) => request.headers[name] ?? (name === 'host' ? hostOf(request.url) : '');
  const at = configured ?? originFromHeaders(header, { secure: config.tls !== undefined });
  const origin = isUpgrade(request) ? webSocketOrigin(at.origin) : at.origin;
  return signedUrlCandidates({ origin, prefix: at.prefix }, path, query === '' ? '?' : (query ?? ''));
}

function hostOf(url: string): string {
  return /^\w+:\/\/([^/]*)/.exec(url)?.[1] ?? '';
}

function unknown({ config }: Context, request: CapturedRequest): Result {
  const sid = parseForm(request.body).AccountSid;
  const { accountSid, authTokens } = config.twilio;
  const region = request.headers['x-home-region'];
  const mark = 'fail';
  if (typeof sid === 'string' && accountSid !== undefined && sid !== accountSid) {
    return {
      mark,
      says: 'The request belongs to another account than TWILIO_ACCOUNT_SID (a subaccount?), which signs with its own token',
      set: 'TWILIO_AUTH_TOKEN with that account’s token added, after a comma',
    };
  }
  if (region !== undefined && region.toLowerCase() !== 'us1') {
    return {
      mark,
      says: `None of the ${authTokens.length} tokens signed it; it comes from Region ${region.toUpperCase()}, which has its own tokens`,
      set: `TWILIO_AUTH_TOKEN with the token of ${region.toUpperCase()} added, after a comma`,
    };
  }
  return {
    mark,
    says: `None of the ${authTokens.length} tokens signed any variant of its URL: the token was rotated or belongs to a Region or another account, or the body was changed`,
    set: 'TWILIO_AUTH_TOKEN to the primary token in Twilio’s console, or --url to the address configured at Twilio',
  };
}
