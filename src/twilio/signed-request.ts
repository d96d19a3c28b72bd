import { expected } from '../errors.js';
import type { FormParameters } from './form.js';
import {
  type HeaderReader,
  isPublicUrl,
  parsePublicUrl,
  type RequestHead,
  signedUrlsOf,
  webSocketOrigin,
} from './public-url.js';
import { TwilioSignatureVerifier } from './signature.js';

/** A request of Node, Express or Fastify, as far as its signature goes. */
export interface NodeRequestHead {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** Of Express and Fastify: whole, where `url` lacks what a router took off. */
  readonly originalUrl?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket?: object | null;
}

/** How {@link verifyTwilioRequest} checks a request. */
export interface SignedRequestOptions {
  /** Auth tokens that may have signed, one or several; default those of `TWILIO_AUTH_TOKEN` (a comma list). */
  readonly authTokens?: string | readonly string[];
  /**
   * Where Twilio reaches this server: `https://host`, with the path in front of all routes that a proxy takes off. Default
   * `PUBLIC_URL`; where that is not set either, `X-Forwarded-Proto`, `X-Forwarded-Host` and `Host` tell.
   */
  readonly publicUrl?: string;
  /** The form of a webhook: `input.parameters` of a `CallWebhookInput`. Those of a GET are in its URL, and need not be given. */
  readonly parameters?: FormParameters;
  /** The body as it came, for Twilio's webhooks with JSON (their URL carries `bodySHA256`). */
  readonly rawBody?: string;
}

/**
 * Refuses a request that Twilio did not sign: a webhook by its parameters, or the upgrade to a WebSocket (over its `wss://`
 * URL). Fails closed: a webhook whose parameters are not handed over is refused.
 * @param request of Fetch, Node, Express or Fastify
 * @throws GatewayError `GW_SIGNATURE_MISSING` or `GW_SIGNATURE_INVALID`, both with status 403; `GW_AUTH_TOKEN_MISSING`
 * @throws TypeError for a `publicUrl` that is none
 */
export function verifyTwilioRequest(
  request: Request | NodeRequestHead,
  options: SignedRequestOptions = {},
): void {
  const { parameters, rawBody, authTokens, publicUrl = process.env.PUBLIC_URL } = options;
  const verifier = new TwilioSignatureVerifier(authTokens);
  const configured = originOf(publicUrl);
  const { head, secure } = isFetchRequest(request) ? fetchHead(request) : nodeHead(request);
  const signature = head.header('x-twilio-signature');
  verifier.checkHeader(signature);
  const { method } = request;
  // For any other request these would accept unsigned data.
  const isUpgrade =
    (method === 'GET' || method === undefined) && head.header('upgrade').toLowerCase() === 'websocket';
  verifier.verify({
    signature,
    urls: signedUrlsOf(head, configured ?? { secure }, isUpgrade ? webSocketOrigin : undefined),
    ...(parameters === undefined || method === 'GET' ? {} : { parameters }),
    ...(rawBody === undefined ? {} : { rawBody }),
  });
}

function originOf(publicUrl: string | undefined) {
  if (publicUrl === undefined || publicUrl === '') return undefined;
  if (!isPublicUrl(publicUrl)) {
    throw expected('an https URL without credentials, query or fragment', 'publicUrl', publicUrl);
  }
  return parsePublicUrl(publicUrl);
}

interface Received {
  readonly head: RequestHead;
  /** Whether it came over TLS. */
  readonly secure: boolean;
}

function isFetchRequest(request: Request | NodeRequestHead): request is Request {
  return typeof (request as Request).headers?.get === 'function';
}

function fetchHead(request: Request): Received {
  const { host, protocol } = new URL(request.url);
  const header: HeaderReader = (name) => request.headers.get(name) ?? (name === 'host' ? host : '');
  return { head: headOf(request.url, header), secure: protocol === 'https:' || protocol === 'wss:' };
}

function nodeHead(request: NodeRequestHead): Received {
  const { headers, socket } = request;
  if (typeof headers !== 'object' || headers === null) {
    throw expected('a request', 'verifyTwilioRequest', request);
  }
  const header: HeaderReader = (name) => {
    // HTTP/2 has another name for it.
    const value = headers[name] ?? (name === 'host' ? headers[':authority'] : undefined) ?? '';
    return typeof value === 'string' ? value : value.join(',');
  };
  const secure = (socket as { encrypted?: unknown } | null | undefined)?.encrypted === true;
  return { head: headOf(request.originalUrl ?? request.url ?? '/', header), secure };
}

/** @param url with its origin or without */
function headOf(url: string, header: HeaderReader): RequestHead {
  const target = url.replace(/^[a-z]+:\/\/[^/?#]*/i, '').replace(/#.*$/, '');
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  const query = at < 0 ? '' : target.slice(at + 1);
  return {
    path: path.startsWith('/') ? path : `/${path}`,
    query,
    hasBareQuery: at >= 0 && query === '',
    header,
  };
}
