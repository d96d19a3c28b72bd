/** Reads a request header by its lower-case name; empty text where it is absent. */
export type HeaderReader = (name: string) => string;

/** Where Twilio reaches this gateway. */
export interface PublicOrigin {
  /** `https://host[:port]` (or `http://` in development). */
  readonly origin: string;
  /** Path prefix in front of every route, without a trailing slash; empty text where there is none. */
  readonly prefix: string;
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
 * The origin a request was sent to, as told by a proxy or, without one, by the request itself. Only used
 * where no public URL is configured: a forged header merely makes the signature fail.
 */
export function originFromHeaders(header: HeaderReader, secure: boolean): PublicOrigin {
  const first = (name: string) => header(name).split(',')[0]?.trim() ?? '';
  const proto = first('x-forwarded-proto') || (secure ? 'https' : 'http');
  const host = first('x-forwarded-host') || header('host');
  return { origin: `${proto === 'http' || proto === 'ws' ? 'http' : 'https'}://${host}`, prefix: '' };
}

/** The same origin for a WebSocket: https becomes wss, http becomes ws. */
export function webSocketOrigin(origin: string): string {
  return origin.replace(/^http/, 'ws');
}

/**
 * Every URL that Twilio may have signed for a request that reached us at `path`: with and without the path
 * prefix (a proxy may strip it), with and without a trailing slash. Ports are left to the verifier.
 */
export function signedUrlCandidates(at: PublicOrigin, path: string, query: string): string[] {
  const paths = new Set<string>();
  for (const base of path.startsWith(`${at.prefix}/`) ? [path, at.prefix + path] : [at.prefix + path]) {
    paths.add(base);
    paths.add(base.endsWith('/') ? base.slice(0, -1) : `${base}/`);
  }
  return [...paths].map((each) => at.origin + each + (query === '' ? '' : `?${query}`));
}
