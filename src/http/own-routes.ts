import { validateHeaderValue } from 'node:http';
import { expected, GatewayError } from '../errors.js';
import { MAX_BODY_BYTES, type RequestContext } from './request-context.js';
import type { Method } from './transport/transport.js';

/** Handles a request with Fetch's `Request` and `Response`. An error it throws is logged and answered 500. */
export type OwnRoute = (request: Request) => Response | Promise<Response>;

/** Your own routes, such as `{ 'GET /prices/:id': handler }`. */
export type OwnRoutes = Readonly<Record<string, OwnRoute>>;

const METHODS: Readonly<Record<string, Method>> = {
  GET: 'get',
  POST: 'post',
  PUT: 'put',
  PATCH: 'patch',
  DELETE: 'del',
};
/** Headers that only the gateway sets. */
const OURS = new Set(['connection', 'content-length', 'content-type', 'keep-alive', 'transfer-encoding']);

/** Characters of a host, with IPv6 brackets and port. Others could hide a path, or a name and password. */
const HOST = /^[\w.:[\]~-]*$/;
/** Parts of a path that a URL parser would drop or change: the handler would see another path than the gateway. */
const MISLEADING = /[\\#]|\/(\.|%2e){1,2}(\/|$)/i;

type Handler = (context: RequestContext) => Promise<void>;

/**
 * Checks the user's routes and arranges them by path and method.
 * @param isTaken whether a path belongs to the gateway
 * @param scheme of the request URLs
 * @throws TypeError for a name that is no method and path, a handler that is no function, or a path that is taken
 */
export function ownPaths(
  routes: OwnRoutes,
  isTaken: (path: string) => boolean,
  scheme: 'http' | 'https',
): Record<string, Partial<Record<Method, Handler>>> {
  const paths: Record<string, Partial<Record<Method, Handler>>> = {};
  for (const [name, route] of Object.entries(routes)) {
    const [, verb = '', path = ''] = /^([A-Z]+) (\/[^\s?*]*)$/.exec(name) ?? [];
    const method = METHODS[verb];
    if (method === undefined || typeof route !== 'function') {
      throw new TypeError(
        `Expected "GET /path" and a function for a route but received ${JSON.stringify(name)}`,
      );
    }
    if (isTaken(path)) throw new TypeError(`Expected a free path for a route but received ${path}`);
    paths[path] = {
      ...paths[path],
      [method]: (context: RequestContext) => answer(context, verb, route, scheme),
    };
  }
  return paths;
}

async function answer(
  context: RequestContext,
  method: string,
  route: OwnRoute,
  scheme: string,
): Promise<void> {
  const body = method === 'GET' ? undefined : await context.bytes(MAX_BODY_BYTES);
  const { path, hasBareQuery, query } = context;
  const host = context.header('host') || 'localhost';
  const url = `${scheme}://${host}${path}${query || hasBareQuery ? '?' : ''}${query}`;
  if (!HOST.test(host) || MISLEADING.test(path) || !URL.canParse(url)) {
    throw new GatewayError(
      'GW_BAD_REQUEST',
      'Expected a plain path and host for a request but received others',
    );
  }
  const response = await route(
    new Request(url, {
      method,
      headers: context.allHeaders.map(([name, value]): [string, string] => [name, value]),
      ...(body === undefined || body.length === 0 ? {} : { body: new Uint8Array(body) }),
    }),
  );
  // The status of `Response.error()` is 0.
  if (!(response.status >= 200)) throw expected('a Response with a status', 'a route', response.status);
  for (const [name, value] of response.headers) validateHeaderValue(name, value);
  const headers = [...response.headers].filter(([name]) => !OURS.has(name));
  const bytes = new Uint8Array(await response.arrayBuffer());
  context.answer(response.status, response.headers.get('content-type') ?? undefined, bytes, headers);
}
