import type { PublicOrigin } from '../twilio/public-url.js';

/** Routes below a public URL that Twilio requests. */
const ROUTE = /\/twilio\/(voice|next|status|stream-status|amd|media\/[^/]+\/[^/]+)\/?$/;

/** Origin and prefix as text, in the format of PUBLIC_URL. */
export function baseText({ origin, prefix }: PublicOrigin): string {
  return origin + prefix;
}

/**
 * The PUBLIC_URL of a URL that Twilio requested: always https, because Twilio must never get another.
 * `undefined` if it is not a URL of the gateway.
 */
export function publicUrlOf(url: string): string | undefined {
  const { host, pathname } = new URL(url);
  if (!ROUTE.test(pathname)) return undefined;
  return `https://${host}${pathname.replace(ROUTE, '')}`;
}

/** Names the parts in which two URLs differ; empty if they are equal. */
export function differences(one: string, other: string): string[] {
  const [a, b] = [new URL(one), new URL(other)];
  const words: string[] = [];
  if (a.protocol !== b.protocol) words.push('scheme');
  if (a.hostname !== b.hostname) words.push('host');
  if (a.port !== b.port) words.push('port');
  if (a.pathname !== b.pathname) {
    words.push(withoutSlash(a.pathname) === withoutSlash(b.pathname) ? 'trailing slash' : 'path');
  }
  if (a.search !== b.search) words.push('query string');
  return words;
}

/** All combinations without duplicates, the likeliest first. */
export function basesOf(
  hosts: readonly string[],
  prefixes: readonly string[],
  schemes: readonly string[] = ['https', 'http'],
): PublicOrigin[] {
  const bases = new Map<string, PublicOrigin>();
  for (const host of hosts) {
    for (const prefix of prefixes) {
      for (const scheme of schemes) {
        const origin = `${scheme}://${host}`;
        if (URL.canParse(origin)) bases.set(origin + prefix, { origin, prefix });
      }
    }
  }
  return [...bases.values()];
}

/** A path and each of its possible prefixes: `/a/b` gives `/a/b`, `/a` and the empty one. */
export function beginningsOf(path: string): string[] {
  const parts = withoutSlash(path).split('/');
  return parts.map((_, i) => parts.slice(0, parts.length - i).join('/'));
}

function withoutSlash(path: string): string {
  return path.replace(/\/+$/, '');
}
