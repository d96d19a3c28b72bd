import { GatewayError } from '../errors.js';
import { printableUrl } from './printable-url.js';

/**
 * Maps a server's public name to its real address. URLs are signed and checked by their public name;
 * connections go to `target`, as through a reverse proxy between Twilio and the server.
 */
export interface DialMapping {
  /** Public https origin, with its path prefix if there is one: `https://voice.example.com/prefix`. */
  readonly publicUrl: string;
  /** What to connect to: `http://127.0.0.1:3000` or `https://…`. */
  readonly target: string;
  /** Take the prefix of `publicUrl` off the path, as most proxies do; default true. */
  readonly stripPrefix?: boolean;
  /** Send what a proxy sends: the public Host, X-Forwarded-Proto, X-Forwarded-Host; default true. */
  readonly proxyHeaders?: boolean;
  /** PEM of an authority to trust besides the usual ones. Like Twilio, no unknown certificate is accepted. */
  readonly ca?: string;
}

/** One request's real destination. */
export interface Destination {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly ca: string | undefined;
  /** Name for TLS, where the target is not the public host itself. */
  readonly servername: string | undefined;
}

/** Where a public URL (http, https, ws or wss) is connected to; unmapped ones are dialled as they are. */
export function destinationOf(publicUrl: string, dial: DialMapping | undefined): Destination {
  const url = new URL(publicUrl);
  if (dial === undefined) return { url, headers: {}, ca: undefined, servername: undefined };
  const base = parse(dial.publicUrl, 'dial.publicUrl');
  if (url.host !== base.host || isSecure(url) !== isSecure(base)) {
    return { url, headers: {}, ca: dial.ca, servername: undefined };
  }
  const target = parse(dial.target, 'dial.target');
  const prefix = base.pathname.replace(/\/+$/, '');
  const strip =
    dial.stripPrefix !== false && (url.pathname === prefix || url.pathname.startsWith(`${prefix}/`));
  const path = strip ? url.pathname.slice(prefix.length) || '/' : url.pathname;
  const real = new URL(target.origin);
  real.protocol = url.protocol.startsWith('ws') ? (isSecure(target) ? 'wss:' : 'ws:') : target.protocol;
  real.pathname = target.pathname.replace(/\/+$/, '') + path;
  real.search = url.search;
  const headers =
    dial.proxyHeaders === false
      ? {}
      : {
          host: url.host,
          'x-forwarded-proto': isSecure(url) ? 'https' : 'http',
          'x-forwarded-host': url.host,
        };
  return { url: real, headers, ca: dial.ca, servername: isSecure(target) ? base.hostname : undefined };
}

/** Whether a host is this machine, where Twilio's demand for TLS is waived. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\./.test(hostname);
}

function isSecure(url: URL): boolean {
  return url.protocol === 'https:' || url.protocol === 'wss:';
}

function parse(text: string, subject: string): URL {
  if (!URL.canParse(text)) {
    throw new GatewayError(
      'GW_SIM_OPTIONS',
      `Expected an absolute URL for ${subject} but received "${printableUrl(text)}"`,
    );
  }
  return new URL(text);
}
