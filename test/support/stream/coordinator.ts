import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebSocket } from 'ws';
import { type Clock, systemClock } from '../../../src/clock.js';
import { ApiError } from './api-error.js';
import type { StreamApp } from './app.js';
import { addCallRoutes } from './call-routes.js';
import { Calls } from './calls.js';
import { CoordinatorSockets, type MediaServers } from './coordinator-sockets.js';
import { type Caller, Gate } from './gate.js';
import { RestFaults } from './rest-faults.js';
import { Router } from './router.js';
import { serverJson } from './server-json.js';
import { addUserRoutes } from './user-routes.js';

/** A request to the API, checked and taken apart. */
export interface ApiRequest {
  readonly caller: Caller;
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Answers a request; what it throws as an {@link ApiError} goes to the client. */
export type ApiHandler = (request: ApiRequest) => object | Promise<object>;

/** Largest body that is read. */
const MAX_BODY = 1_000_000;

/** What the handlers work with. */
export interface CoordinatorParts {
  readonly app: StreamApp;
  readonly sockets: CoordinatorSockets;
  readonly faults: RestFaults;
  readonly sfu: MediaServers;
  readonly calls: Calls;
}

/** Stream's coordinator: the REST API of clients (`/video`) and servers (`/api/v2`), and the WebSocket of events. */
export class Coordinator {
  readonly faults: RestFaults;
  readonly gate: Gate;
  readonly sockets: CoordinatorSockets;
  readonly calls: Calls;
  /** How often each route was asked for. */
  readonly requestCounts = new Map<string, number>();
  /** Requests for which there was no route, at most 100 kinds. */
  readonly unknownRoutes = new Set<string>();
  private readonly router = new Router<ApiHandler>();

  constructor(app: StreamApp, sfu: MediaServers, clock: Clock = systemClock) {
    this.faults = new RestFaults(clock);
    this.gate = new Gate(app);
    this.sockets = new CoordinatorSockets(app, this.gate);
    this.calls = new Calls(app, this.sockets, sfu);
    const { sockets, faults, calls } = this;
    const parts: CoordinatorParts = { app, sockets, faults, sfu, calls };
    addUserRoutes(this.router, parts);
    addCallRoutes(this.router, parts);
  }

  acceptSocket(socket: WebSocket, url: URL): void {
    this.sockets.accept(socket, url.searchParams.get('api_key'));
  }

  async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    try {
      const answer = await this.answer(request, url);
      const isServer = url.pathname.startsWith('/api/');
      sendJson(response, request.method === 'POST' ? 201 : 200, isServer ? serverJson(answer) : answer);
    } catch (error) {
      if (!(error instanceof ApiError)) console.error('stream double:', error);
      const failure = error instanceof ApiError ? error : new ApiError(500, -1, String(error));
      sendJson(response, failure.status, failure, failure.headers);
    }
  }

  private async answer(request: IncomingMessage, url: URL): Promise<object> {
    const { method = 'GET' } = request;
    const body = await readJson(request);
    const route = this.router.match(method, url.pathname);
    if (route === undefined) {
      if (this.unknownRoutes.size < 100) this.unknownRoutes.add(`${method} ${url.pathname}`);
      throw ApiError.notFound(`the path ${url.pathname} was not found`);
    }
    this.requestCounts.set(route.name, (this.requestCounts.get(route.name) ?? 0) + 1);
    this.faults.check(method, url.pathname);
    // Clients report about themselves before they have a token.
    if (url.pathname === '/video/call_client_event') return { duration: '0.00ms' };
    const caller = this.gate.caller(url.searchParams.get('api_key'), request.headers.authorization ?? '');
    const isServerPath = url.pathname.startsWith('/api/');
    if (!isServerPath) this.checkUser(caller, url);
    return route.handler({ caller, parameters: route.parameters, query: url.searchParams, body });
  }

  private checkUser({ userId }: Caller, url: URL): void {
    const claimed = url.searchParams.get('user_id');
    if (userId === undefined || claimed === null || claimed === userId) return;
    throw ApiError.unauthenticated(`user_id ${claimed} does not match the token's`);
  }
}

export const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': '*',
  'access-control-allow-methods': '*',
  'access-control-expose-headers': '*',
  'access-control-max-age': '600',
};

export function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...CORS, ...headers });
  response.end(JSON.stringify(body));
}

export async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw new ApiError(413, 22, 'the payload is too big');
    chunks.push(chunk);
  }
  if (size === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
  } catch {
    throw ApiError.input('failed to parse the body as JSON');
  }
}
