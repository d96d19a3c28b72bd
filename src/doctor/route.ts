import { randomBytes } from 'node:crypto';
import type { Check, Result } from './check.js';
import type { Context } from './context.js';
import { listenUrl } from './listener.js';
import { baseText, differences } from './public-base.js';
import { type ProbeAnswer, reasonOf } from './wire.js';

/** Finds what the proxy does to a request's path: the gateway returns the path in its 404. */
export const route: Check = {
  name: 'proxy',
  async run(context) {
    const { at, wire } = context;
    if (at === undefined) return { mark: 'skip', says: 'There is no public URL to check' };
    const path = `/twilio/doctor-${randomBytes(8).toString('hex')}`;
    const base = baseText(at);
    try {
      const answer = await wire.ask(base + path);
      const seen = / (\/\S*)$/.exec(answer.message ?? '')?.[1];
      if (answer.code === 'GW_NOT_FOUND' && seen !== undefined) return asSeen(at.prefix, path, seen);
      return elsewhere(context, base + path, answer);
    } catch (error) {
      return {
        mark: 'fail',
        says: `Nothing answers at ${base}: ${reasonOf(error)}`,
        set: 'PUBLIC_URL to the address of the proxy or tunnel, and start that',
      };
    }
  },
};

/** Result if the gateway answered. */
function asSeen(prefix: string, path: string, seen: string): Result {
  if (seen === path || seen === prefix + path) {
    const way =
      prefix === '' ? '' : seen === path ? ', which strips the path prefix' : ', including the path prefix';
    return { mark: 'ok', says: `The proxy reaches a gateway${way}` };
  }
  const shown = seen.replace(path, '/twilio/voice');
  if (seen === `${path}/` || seen === `${prefix}${path}/`) {
    return {
      mark: 'fail',
      says: `The proxy adds a trailing slash: the gateway gets ${shown}, which is not a route`,
      set: 'no rewrite of paths at the proxy',
    };
  }
  return {
    mark: 'fail',
    says: `The proxy changes the path: ${prefix}/twilio/voice becomes ${shown}`,
    set: 'the proxy to forward the path unchanged, or to strip only the prefix of PUBLIC_URL',
  };
}

/** Result if something else answered. */
function elsewhere({ config, at }: Context, url: string, { status, headers }: ProbeAnswer): Result {
  const mark = 'fail';
  const host = at === undefined ? '' : new URL(at.origin).host;
  const { location } = headers;
  if (status >= 300 && status < 400 && typeof location === 'string' && URL.canParse(location, url)) {
    const to = new URL(location, url).href;
    const parts = differences(url, to);
    const slash = parts.includes('trailing slash');
    const { origin, pathname } = new URL(to);
    const prefix = pathname.replace(/\/twilio\/.*$/, '');
    return {
      mark,
      says: `A redirect to another ${parts.join(' and ') || 'place'} answers${status < 307 ? ', which turns a webhook’s POST into a GET' : '; a media socket does not follow redirects'}`,
      set: slash
        ? 'no redirect to a trailing slash at the proxy'
        : `PUBLIC_URL=${origin}${prefix}, here and in Twilio’s console`,
    };
  }
  if (status === 505) {
    return {
      mark,
      says: 'The proxy uses HTTP/1.0, but the gateway needs 1.1, and so do WebSockets',
      set: 'nginx: proxy_http_version 1.1; HAProxy: ver HTTP/1.1 in its check',
    };
  }
  if (typeof headers['ngrok-error-code'] === 'string') {
    return {
      mark,
      says: `ngrok answers ${headers['ngrok-error-code']}: its tunnel is not running or leads nowhere`,
      set: `NGROK_URL to the host that ngrok prints; ngrok http ${config.port}`,
    };
  }
  if (status >= 502 && status <= 504) {
    return {
      mark,
      says: `The proxy answers ${status}: it does not reach the gateway`,
      set: `the proxy to ${listenUrl(config) ?? 'where the gateway listens'}, and start the gateway`,
    };
  }
  return {
    mark,
    says: `${host} answers ${status} to ${new URL(url).pathname.replace(/doctor-\w+$/, '…')}, which is not the gateway’s answer`,
    set: 'PUBLIC_URL with the path prefix under which the proxy has the gateway, and the proxy to forward all of /twilio/',
  };
}
