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

/** What a captured request was signed for, and whether the gateway of this environment takes it. */
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
      says: 'The request has no X-Twilio-Signature: it is not from Twilio, or something on its way drops headers',
      set: 'the proxy to pass all headers on',
    };
  }
  if (authTokens.length === 0)
    return { mark, says: 'There is no auth token to compare with', set: 'TWILIO_AUTH_TOKEN' };
  const configured = config.publicUrl === undefined ? undefined : parsePublicUrl(config.publicUrl);
  const known = [configured, at].filter((each) => each !== undefined);
  const signed = findSignedUrl(request, authTokens, known);
  if (signed === undefined) return unknown(context, request);
  const said: Result = {
    mark: 'ok',
    says: `It was signed for ${signed.url}, with token ${signed.token + 1} of TWILIO_AUTH_TOKEN`,
  };
  const wrong = [...shapeFaults(request, signed), ...urlFaults(context, request, signed, configured)];
  return wrong.length > 0 ? [said, ...wrong] : [said, { mark: 'ok', says: 'The gateway takes it as it is' }];
}

/** What the gateway would not answer, whatever the signature. */
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
        says: 'The upgrade has an Origin header, which the gateway takes for a browser’s',
        set: 'no Origin header at the proxy',
      });
    }
  } else {
    if (request.method !== 'POST') {
      faults.push({
        mark: 'fail',
        says: `The webhook asks by ${request.method}, which the gateway does not answer`,
        set: 'HTTP POST at the number in Twilio’s console, and no redirect before the gateway',
      });
    } else if (request.body !== '' && !hasForm(request)) {
      faults.push({
        mark: 'fail',
        says: 'The body is no form: its Content-Type was changed on its way',
        set: 'the proxy to pass all headers on',
      });
    }
    if (!isWebhookQuery(search.slice(1))) {
      faults.push({
        mark: 'fail',
        says: 'Twilio was told a URL with a query string that no route knows',
        set: `${signed.url.replace(/\?.*$/, '')} in Twilio’s console`,
      });
    }
    if (signed.url.startsWith('http:')) {
      faults.push({
        mark: 'fail',
        says: 'Twilio was told an http URL: calls in the clear, and streams need wss',
        set: `${signed.url.replace(/^http:/, 'https:')} in Twilio’s console`,
      });
    }
  }
  if (pathname.endsWith('/')) {
    faults.push({
      mark: 'fail',
      says: 'Twilio was told a URL with a trailing slash, which is no route of the gateway',
      set: `${signed.url.replace(/\/(\?|$)/, '$1')} in Twilio’s console`,
    });
  }
  return faults;
}

/** Whether the gateway would come to the URL that was signed. */
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
        says: 'The signature does not cover the body: Twilio sent another one, or by GET',
        set: 'the proxy (or what kept the request) to pass the body on unchanged',
      },
    ];
  }
  const [believed = signed.url] = candidates(context, request, configured);
  const parts = differences(signed.url, believed);
  // A webhook's http is told of already; a query string of an upgrade, too.
  const base =
    publicUrl ?? new URL(signed.url).origin.replace(/^(ws|http):/, 'https:').replace(/^wss:/, 'https:');
  return [
    {
      mark: 'fail',
      says: `Wrong ${parts.join(' and ') || 'address'}: this environment’s gateway takes itself for ${believed}`,
      set: `PUBLIC_URL=${base}`,
    },
  ];
}

/** Whether the gateway has a route where the request came to. */
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
      says: `Wrong path: this environment’s gateway has no route ${path}, for it knows of no such path prefix`,
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

/** As the gatekeeper finds them. */
function candidates(
  { config }: Context,
  request: CapturedRequest,
  configured: PublicOrigin | undefined,
): string[] {
  const [, path = '/', query] =
    /^([^?#]*)(?:\?([^#]*))?/.exec(request.url.replace(/^\w+:\/\/[^/]*/, '')) ?? [];
  // What was kept as an absolute URL may have lost its headers.
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
      says: 'The request is of another account than TWILIO_ACCOUNT_SID (a subaccount?), which signs with a token of its own',
      set: 'TWILIO_AUTH_TOKEN with that account’s token added, after a comma',
    };
  }
  if (region !== undefined && region.toLowerCase() !== 'us1') {
    return {
      mark,
      says: `None of the ${authTokens.length} tokens signed it; it comes from Region ${region.toUpperCase()}, which has tokens of its own`,
      set: `TWILIO_AUTH_TOKEN with the token of ${region.toUpperCase()} added, after a comma`,
    };
  }
  return {
    mark,
    says: `None of the ${authTokens.length} tokens signed it, for any variant of its URL: a rotated token, a Region’s, another account’s, or the body was changed`,
    set: 'TWILIO_AUTH_TOKEN to the primary token in Twilio’s console, or --url to the address that Twilio was told',
  };
}
