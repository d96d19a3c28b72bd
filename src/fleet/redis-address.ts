import { isIP } from 'node:net';

/** One server. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** A parsed REDIS_URL. */
export interface RedisAddress {
  /** The server, or its sentinels. */
  readonly endpoints: readonly [Endpoint, ...Endpoint[]];
  /** The primary's name at the sentinels; undefined if the URL names the server itself. */
  readonly primary?: string;
  readonly isSecure: boolean;
  readonly username?: string;
  readonly password?: string;
  readonly database: number;
}

const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;
const SENTINEL = /^(rediss?)-sentinel:\/\/((?:[^/@]*@)?)([^/@?#]+)\/([\w.-]+)(\/\d*)?$/;

/**
 * Parses `redis://[user:password@]host[:port][/db]`,
 * `redis-sentinel://[user:password@]host[:port][,host[:port]…]/name[/db]`, or either with TLS (`rediss…`);
 * `undefined` for anything else.
 */
export function parseRedisUrl(url: string): RedisAddress | undefined {
  const sentinel = SENTINEL.exec(url);
  if (sentinel === null) return parseServer(url, REDIS_PORT);
  const [, scheme, credentials = '', hosts = '', primary = '', database = ''] = sentinel;
  const each = hosts
    .split(',')
    .map((host) => parseServer(`${scheme}://${credentials}${host}${database}`, SENTINEL_PORT));
  const [first] = each;
  if (first === undefined || each.includes(undefined)) return undefined;
  const endpoints = each.flatMap((address) => address?.endpoints ?? []);
  return { ...first, endpoints: endpoints as [Endpoint, ...Endpoint[]], primary };
}

/** Whether {@link parseRedisUrl} accepts a URL. */
export function isRedisUrl(url: string): boolean {
  return parseRedisUrl(url) !== undefined;
}

/** Server names for display, without credentials. */
export function nameOf({ endpoints, primary }: RedisAddress): string {
  const hosts = endpoints.map(({ host, port }) => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`);
  return primary === undefined ? hosts.join(',') : `${hosts.join(',')} (sentinels of ${primary})`;
}

function parseServer(url: string, usualPort: number): RedisAddress | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, hostname, port, pathname, username, password } = new URL(url);
  if (!/^rediss?:$/.test(protocol) || hostname === '' || !/^\/?\d*$/.test(pathname)) return undefined;
  try {
    return {
      endpoints: [{ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || usualPort) }],
      isSecure: protocol === 'rediss:',
      ...(username && { username: decodeURIComponent(username) }),
      ...(password && { password: decodeURIComponent(password) }),
      database: Number(pathname.slice(1)),
    };
  } catch {
    return undefined;
  }
}
