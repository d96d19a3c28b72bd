/** Reads a request header by its lower-case name; empty text where it is absent. */
export type HeaderReader = (name: string) => string;

/** What a signature is checked by, of a request that reached us. */
export interface RequestHead {
  readonly path: string;
  /** Without its `?`; empty text where there is none. */
  readonly query: string;
  /** Whether the URL ends in a `?`. */
  readonly hasBareQuery?: boolean;
  readonly header: HeaderReader;
}

/** Where Twilio reaches this gateway. */
export interface PublicOrigin {
  /** `https://host[:port]` (or `http://` in development). */
  readonly origin: string;
  /** Path prefix in front of every route, without a trailing slash; empty text where there is none. */
  readonly prefix: string;
}

/** Where nothing is configured: what a server knows of itself, and requests do not tell. */
export interface ToldOrigin {
  /** Whether it speaks TLS itself. */
  readonly secure: boolean;
  readonly prefix?: string;
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/**
 * Whether a text can be a public URL: https (http for a loopback host), without credentials, query or fragment,
 * and without `:` or `*` in its path, which mean something to the router.
 */
export function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') return false;
  if (/[:*]/.test(url.pathname)) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname));
}

/** Splits a public URL such as `https://voice.example.com/phones/` into origin and prefix. */
export function parsePublicUrl(publicUrl: string): PublicOrigin {
  const url = new URL(publicUrl);
  return { origin: `${url.protocol}//${url.host}`, prefix: url.pathname.replace(/\/+$/, '') };
}

/**
 * The origin a request was sent to, as told by a proxy or, without one, by the request itself: written as a configured one
 * is, or `https://` alone where no host was told. Only used where no public URL is configured: a forged header merely makes
 * the signature fail.
 */
export function originFromHeaders(header: HeaderReader, { secure, prefix = '' }: ToldOrigin): PublicOrigin {
  const first = (name: string) => header(name).split(',')[0]?.trim() ?? '';
  const proto = first('x-forwarded-proto') || (secure ? 'https' : 'http');
  const host = first('x-forwarded-host') || header('host');
  const scheme = proto === 'http' || proto === 'ws' ? 'http://' : 'https://';
  const told = scheme + host;
  const isOrigin = URL.canParse(told) && !/[/?#@\\]/.test(host);
  return { origin: isOrigin ? scheme + new URL(told).host : 'https://', prefix };
}

/** The same origin for a WebSocket: https becomes wss, http becomes ws. */
export function webSocketOrigin(origin: string): string {
  return origin.replace(/^http/, 'ws');
}

/**
 * Every URL that Twilio may have signed for a request.
 * @param at the public origin as configured, or whether this server itself speaks TLS; then the request tells the rest
 * @param scheme {@link webSocketOrigin} for an upgrade
 */
export function signedUrlsOf(
  head: RequestHead,
  at: PublicOrigin | ToldOrigin,
  scheme: (origin: string) => string = (origin) => origin,
): string[] {
  const { origin, prefix } = 'origin' in at ? at : originFromHeaders(head.header, at);
  return signedUrlCandidates(
    { origin: scheme(origin), prefix },
    head.path,
    head.hasBareQuery ? '?' : head.query,
  );
}

/** What our own URLs carry behind their paths. */
const OWN_QUERY = /^(callId=[\w-]{1,64}|again=\d{1,9})?$/;

/** Whether a webhook may have this query: what no route asks for costs a forger's victim, and nobody else needs it. */
export function isWebhookQuery(query: string): boolean {
  return OWN_QUERY.test(query);
}

/**
 * Every URL that Twilio may have signed for a request that reached us at `path`: with the path prefix (a proxy may
 * have stripped it), with and without a trailing slash. Ports are left to the verifier. A forger makes us try them
 * all: they are four only beneath a prefix that routes begin with, where nothing tells whether it was stripped.
 * @param query without its `?`; `?` alone for a URL that ends in one, which is the URL without it
 */
export function signedUrlCandidates({ origin, prefix }: PublicOrigin, path: string, query: string): string[] {
  if (origin.endsWith('//')) return [];
  const isPassedOn = path.startsWith(`${prefix}/`);
  const isStripped = !path.startsWith(`${prefix}/twilio/`);
  const paths = new Set([...(isPassedOn ? [path] : []), ...(isStripped ? [prefix + path] : [])]);
  return [...paths].flatMap((each) => {
    const url = origin + each;
    if (query === '?') return [url, `${url}?`];
    const other = url.endsWith('/') ? url.slice(0, -1) : `${url}/`;
    return query === '' ? [url, other] : [`${url}?${query}`, `${other}?${query}`];
  });
}
