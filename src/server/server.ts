import uWS, {
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_listen_socket,
} from 'uWebSockets.js';
import { readFileSync } from 'node:fs';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Descriptors } from '../telemetry/descriptors.js';
import type { Logger } from '../telemetry/log.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { CallService } from './call-service.js';
import type { CallControl } from './control/call-control.js';
import { CallControlRoutes, CONTROL_ROUTES } from './control/routes.js';
import { ControlRoutes } from './control-routes.js';
import type { EventRoutes } from './event-routes.js';
import { Exchange } from './exchange.js';
import type { Fleet } from './fleet/fleet.js';
import type { Gatekeeper } from './gatekeeper.js';
import { LegRoute } from './legs/leg-route.js';
import type { Legs } from './legs/legs.js';
import { DashboardRoutes } from './live/dashboard-routes.js';
import type { LiveRoutes } from './live/live-routes.js';
import { Lobby, type Room } from './lobby.js';
import { MediaRoute } from './media-route.js';
import { openApiDocument } from './openapi/document.js';
import { type HealthFacts, OperationsRoutes } from './operations-routes.js';
import { RecordingRoutes } from './recording/recording-routes.js';
import type { RecordingService } from './recording/recordings.js';
import type { Switchboard } from './switchboard.js';
import { TwilioRoutes } from './twilio-routes.js';
import { UpgradeCork } from './upgrade-cork.js';

export interface ServerOptions {
  readonly calls: CallService;
  readonly switchboard: Switchboard;
  /** Absent where this gateway stands alone. */
  readonly fleet: Fleet | undefined;
  readonly legs: Legs;
  readonly recordings: RecordingService;
  readonly control: CallControl;
  readonly gatekeeper: Gatekeeper;
  readonly events: EventRoutes;
  readonly live: LiveRoutes;
  readonly metrics: Metrics;
  readonly facts: HealthFacts;
  readonly log: Logger;
  readonly clock: Clock;
  readonly descriptors: Descriptors;
  /** Certificate and key files; the server speaks https and wss itself where they are given. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
}

type Handler = (exchange: Exchange) => void | Promise<void>;

/** What uWebSockets.js offers and its types leave out. */
interface FullApp {
  /** Hands new connections on to other apps, to each in turn, in place of taking them itself. */
  addChildAppDescriptor(descriptor: unknown): void;
  removeChildAppDescriptor(descriptor: unknown): void;
  getDescriptor(): unknown;
  listen(
    host: string,
    port: number,
    options: number,
    callback: (listener: us_listen_socket | false) => void,
  ): void;
}
const EXCLUSIVE = (uWS as unknown as { LIBUS_LISTEN_EXCLUSIVE_PORT: number }).LIBUS_LISTEN_EXCLUSIVE_PORT;
const SHARED = 0;

/** A turn of the event loop that is no longer leaves hardly anybody waiting to be accepted. */
const QUIET_MS = 0.05;
/** So many turns are looked at for a quiet one. */
const TURNS = 1_000;

/** The uWebSockets.js application: which route leads where. */
export class Server implements Room {
  /** What is answered: `get /v1/calls/:id`, and so on. */
  readonly routes: string[] = [];
  private readonly app: TemplatedApp;
  private readonly switchboard: Switchboard;
  private readonly legs: Legs;
  private readonly log: Logger;
  private readonly clock: Clock;
  private readonly events: EventRoutes;
  private readonly live: LiveRoutes;
  /** Connections that came and did not go; one that became a WebSocket does not count as gone. */
  connections = 0;
  hasSockets = false;
  private listener: us_listen_socket | undefined;
  /** What the certificate's files held. */
  private readonly certificate: string;
  /** Which take connections that this one listens for: with a renewed certificate, or as rooms of the lobby. */
  private readonly others: Server[] = [];
  /** The one with the last certificate. */
  private latest: Server = this;
  /** Who takes new connections. */
  private taker: Server = this;
  private readonly lobby: Lobby<Server>;
  /** A connection has come. */
  private onEntered: () => void = () => {};
  /** Whether a token is asked for elsewhere, so that upgrades wait. */
  private readonly upgradesLate: boolean;

  constructor(
    private readonly options: ServerOptions,
    private readonly cork = new UpgradeCork(),
  ) {
    const {
      calls,
      switchboard,
      fleet,
      legs,
      recordings,
      gatekeeper,
      events,
      live,
      metrics,
      facts,
      log,
      tls,
    } = options;
    this.switchboard = switchboard;
    this.legs = legs;
    this.log = log;
    this.clock = options.clock;
    this.events = events;
    this.live = live;
    this.upgradesLate = fleet !== undefined;
    this.certificate = tls === undefined ? '' : certificateOf(tls);
    this.app = withSockets(tls === undefined ? uWS.App() : secureApp(tls), () => {
      this.hasSockets = true;
    });
    this.app.filter((_, change) => this.count(Number(change)));
    this.lobby = new Lobby(
      Math.max(2, options.descriptors.reserve >> 2),
      () => this.room(),
      (room) => this.direct(room ?? this.latest),
    );
    const twilio = new TwilioRoutes(calls, gatekeeper);
    const control = new ControlRoutes(calls, gatekeeper);
    const media = new MediaRoute(calls, gatekeeper, log, this.cork, options.clock);
    const operations = new OperationsRoutes(switchboard, fleet, metrics, facts);

    // A proxy may strip the public path prefix or pass it on: both are answered.
    for (const prefix of new Set(['', gatekeeper.prefix])) {
      this.post(`${prefix}/twilio/voice`, (exchange) => twilio.voice(exchange));
      this.post(`${prefix}/twilio/next`, (exchange) => twilio.next(exchange));
      this.post(`${prefix}/twilio/status`, (exchange) => twilio.status(exchange));
      this.post(`${prefix}/twilio/stream-status`, (exchange) => twilio.streamStatus(exchange));
      this.post(`${prefix}/twilio/amd`, (exchange) => twilio.amd(exchange));
      media.addTo(this.app, prefix);
    }
    this.post('/v1/calls', (exchange) => control.place(exchange));
    this.get('/v1/calls', (exchange) => control.list(exchange));
    this.get('/v1/calls/:id', (exchange) => control.inspect(exchange));
    this.route('del', '/v1/calls/:id', (exchange) => control.hangUp(exchange));
    this.get('/v1/events', (exchange) => events.follow(exchange));
    const recording = new RecordingRoutes(recordings, gatekeeper);
    this.post('/v1/calls/:id/recording', (exchange) => recording.start(exchange));
    this.get('/v1/calls/:id/recording', (exchange) => recording.inspect(exchange));
    this.route('del', '/v1/calls/:id/recording', (exchange) => recording.stop(exchange));
    const running = new CallControlRoutes(options.control, gatekeeper);
    for (const route of CONTROL_ROUTES) {
      this.route(route.method, `/v1/calls/:id/${route.name}`, (exchange) => running.perform(route, exchange));
    }
    this.get('/v1/live', (exchange) => live.watch(exchange));
    const dashboard = new DashboardRoutes(gatekeeper);
    for (const path of dashboard.paths) {
      this.get(`/dashboard${path}`, (exchange) => dashboard.answer(exchange, path));
    }
    new LegRoute(legs, gatekeeper, log, (callId) => switchboard.requireSession(callId)).addTo(this.app);
    this.routes.push('get /v1/rooms/:room/leg', 'get /v1/calls/:id/leg');
    this.get('/v1/openapi.json', (exchange) => {
      gatekeeper.checkControl(exchange.header);
      exchange.json(200, openApiDocument);
    });
    this.get('/health', (exchange) => operations.health(exchange));
    this.get('/ready', (exchange) => operations.ready(exchange));
    this.get('/metrics', (exchange) => operations.metrics(exchange));
    this.route('any', '/*', (exchange) => {
      throw new GatewayError('GW_NOT_FOUND', `Expected a known route but received ${exchange.path}`, {
        status: 404,
      });
    });
  }

  /**
   * Begins to listen; answers the port, which is another one where 0 was asked for.
   * @param isShared whether other processes of this host may listen on it as well
   * @throws GatewayError `GW_LISTEN_FAILED`
   */
  async listen(host: string, port: number, isShared: boolean): Promise<number> {
    if (this.upgradesLate) await this.cork.open();
    return new Promise((resolve, reject) => {
      this.fullApp.listen(host, port, isShared ? SHARED : EXCLUSIVE, (listener) => {
        if (listener) {
          this.listener = listener;
          this.options.descriptors.onChange = (isShort) => (isShort ? this.lobby.open() : this.lobby.close());
          resolve(uWS.us_socket_local_port(listener));
        } else {
          // It would keep a process alive that cannot serve.
          this.cork.close();
          reject(
            new GatewayError(
              'GW_LISTEN_FAILED',
              `Expected a free address to listen on but received ${host}:${port}, which is taken or not ours`,
            ),
          );
        }
      });
    });
  }

  /**
   * A server with another certificate or key, where the files hold another than new connections get.
   * @throws GatewayError `GW_TLS_FILE`
   */
  renewed(tls: NonNullable<ServerOptions['tls']>): Server | undefined {
    if (certificateOf(tls) === this.latest.certificate) return undefined;
    return new Server({ ...this.options, tls }, this.cork);
  }

  /**
   * New connections are another server's from now on; this one listens for it and keeps those it has. So nobody is refused
   * meanwhile, whatever name they ask for.
   */
  handOn(next: Server): void {
    this.others.push(next);
    const isCrowded = this.taker !== this.latest;
    this.latest = next;
    if (isCrowded) this.lobby.renew();
    else this.direct(next);
  }

  clear(): void {
    this.app.close();
  }

  private count(change: number): void {
    this.connections += change;
    if (change < 0) return;
    this.options.descriptors.opened();
    this.onEntered();
  }

  /** A room for the lobby. */
  private room(): Server | undefined {
    try {
      const room = new Server(this.latest.options, this.cork);
      room.onEntered = () => this.lobby.entered(room);
      this.others.push(room);
      return room;
    } catch (error) {
      this.log.error({ err: error }, 'no room for new connections');
      return undefined;
    }
  }

  private direct(taker: Server): void {
    if (taker === this.taker) return;
    if (taker !== this) this.fullApp.addChildAppDescriptor(taker.fullApp.getDescriptor());
    if (this.taker !== this) this.fullApp.removeChildAppDescriptor(this.taker.fullApp.getDescriptor());
    this.taker = taker;
  }

  private get fullApp(): FullApp {
    return this.app as unknown as FullApp;
  }

  /**
   * Stops listening, so that new connections come to the others who share the port; what is connected goes on. Linux resets
   * what waits to be accepted at a listener that is closed: it is closed in a moment when all were.
   */
  async leave(): Promise<void> {
    for (let turn = 0, ms = QUIET_MS; turn < TURNS && ms >= QUIET_MS; turn++) {
      const begun = this.clock.now();
      await new Promise((resolve) => setImmediate(resolve));
      ms = this.clock.now() - begun;
    }
    if (this.listener === undefined) return;
    uWS.us_listen_socket_close(this.listener);
    this.listener = undefined;
    this.log.info('left the port to the others');
  }

  /** Stops listening and cuts what is still connected. */
  close(): void {
    this.events.close();
    this.live.close();
    this.legs.close();
    this.cork.close();
    for (const server of [this, ...this.others]) server.clear();
  }

  private get(path: string, handler: Handler): void {
    this.route('get', path, handler);
  }

  private post(path: string, handler: Handler): void {
    this.route('post', path, handler);
  }

  private route(method: 'get' | 'post' | 'del' | 'any', path: string, handler: Handler): void {
    this.routes.push(`${method === 'del' ? 'delete' : method} ${path}`);
    const parameters = path.split('/:').length - 1;
    this.app[method](path, (response: HttpResponse, request: HttpRequest) => {
      const exchange = new Exchange(response, request, parameters);
      // Whoever asks again connects to those who stay.
      exchange.isLast = this.switchboard.draining;
      this.handle(exchange, handler);
    });
  }

  private async handle(exchange: Exchange, handler: Handler): Promise<void> {
    try {
      await handler(exchange);
    } catch (error) {
      if (!(error instanceof GatewayError))
        this.log.error({ path: exchange.path, err: error }, 'request failed');
      exchange.error(error);
    }
  }
}

/** An app that tells of its WebSockets. */
function withSockets(app: TemplatedApp, onOpen: () => void): TemplatedApp {
  const ws = app.ws.bind(app);
  app.ws = (path, behavior) =>
    ws(path, {
      ...behavior,
      open(socket) {
        onOpen();
        return behavior.open?.(socket);
      },
    });
  return app;
}

/** uWebSockets.js only says that it failed; which file it could not read is told here. */
function certificateOf(tls: NonNullable<ServerOptions['tls']>): string {
  let text = '';
  for (const [what, file] of [
    ['a certificate', tls.certFile],
    ['a private key', tls.keyFile],
  ] as const) {
    try {
      text += readFileSync(file, 'utf8');
    } catch (cause) {
      const message = `Expected a readable file for ${what} but received ${JSON.stringify(file)}`;
      throw new GatewayError('GW_TLS_FILE', message, { cause });
    }
  }
  return text;
}

function secureApp(tls: NonNullable<ServerOptions['tls']>): TemplatedApp {
  try {
    return uWS.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
  } catch (cause) {
    const message = `Expected a certificate and its private key in PEM but received ${tls.certFile} and ${tls.keyFile}`;
    throw new GatewayError('GW_TLS_FILE', message, { cause });
  }
}
