import type { HttpRequest, HttpResponse, TemplatedApp } from 'uWebSockets.js';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Descriptors } from '../telemetry/descriptors.js';
import type { Logger } from '../telemetry/log.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Answers } from './answers.js';
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
import { MediaRoute } from './media-route.js';
import { openApiDocument } from './openapi/document.js';
import { type HealthFacts, OperationsRoutes } from './operations-routes.js';
import { type Certificate, Port } from './port.js';
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
  readonly answers: Answers;
  readonly metrics: Metrics;
  readonly facts: HealthFacts;
  readonly log: Logger;
  readonly clock: Clock;
  /** Certificate and key files; the server speaks https and wss itself where they are given. */
  readonly tls: Certificate | undefined;
  readonly descriptors: Descriptors;
  /** Whether operators have a port of their own. */
  readonly isSplit: boolean;
}

type Handler = (exchange: Exchange) => void | Promise<void>;

/** As uWebSockets.js calls them. */
type Method = 'get' | 'post' | 'del';

/** Who may ask: anybody, whom the handler itself checks, or who has the control key. */
type For = 'anybody' | 'operators';

/** The uWebSockets.js application: which route leads where. */
export class Server {
  /** What is answered: `get /v1/calls/:id`, and so on. */
  readonly routes = new Set<string>();
  /** Where carriers ask. */
  private readonly calls: Port;
  /** Where operators ask; the same one where they have none of their own. */
  private readonly operations: Port;
  private readonly ports: readonly Port[];
  private readonly switchboard: Switchboard;
  private readonly legs: Legs;
  private readonly log: Logger;
  private readonly events: EventRoutes;
  private readonly live: LiveRoutes;
  private readonly answers: Answers;
  private readonly gatekeeper: Gatekeeper;
  private readonly cork = new UpgradeCork();

  constructor(options: ServerOptions) {
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
      clock,
    } = options;
    this.legs = legs;
    this.log = log;
    this.events = events;
    this.live = live;
    this.gatekeeper = gatekeeper;
    this.answers = options.answers;
    this.switchboard = switchboard;
    const twilio = new TwilioRoutes(calls, gatekeeper);
    const control = new ControlRoutes(calls, gatekeeper);
    const media = new MediaRoute(calls, gatekeeper, log, this.cork, this.answers, clock);
    const operations = new OperationsRoutes(switchboard, fleet, metrics, facts, clock);
    const recording = new RecordingRoutes(recordings);
    const running = new CallControlRoutes(options.control);
    const dashboard = new DashboardRoutes(gatekeeper);
    const leg = new LegRoute(
      legs,
      gatekeeper,
      log,
      this.answers,
      (callId) => switchboard.requireSession(callId),
      clock,
    );

    const addCarriers = (app: TemplatedApp) => {
      // A proxy may strip the public path prefix or pass it on: both are answered.
      for (const prefix of new Set(['', gatekeeper.prefix])) {
        this.answer(app, {
          [`${prefix}/twilio/voice`]: { post: (exchange) => twilio.voice(exchange) },
          [`${prefix}/twilio/next`]: { post: (exchange) => twilio.next(exchange) },
          [`${prefix}/twilio/status`]: { post: (exchange) => twilio.status(exchange) },
          [`${prefix}/twilio/stream-status`]: { post: (exchange) => twilio.streamStatus(exchange) },
          [`${prefix}/twilio/amd`]: { post: (exchange) => twilio.amd(exchange) },
        });
        media.addTo(app, prefix);
      }
    };
    const addOperators = (app: TemplatedApp) => {
      this.answer(
        app,
        {
          '/v1/calls': {
            post: (exchange) => control.place(exchange),
            get: (exchange) => control.list(exchange),
          },
          '/v1/calls/:id': {
            get: (exchange) => control.inspect(exchange),
            del: (exchange) => control.hangUp(exchange),
          },
          '/v1/calls/:id/recording': {
            post: (exchange) => recording.start(exchange),
            get: (exchange) => recording.inspect(exchange),
            del: (exchange) => recording.stop(exchange),
          },
          ...byPath(CONTROL_ROUTES, (route) => (exchange) => running.perform(route, exchange)),
          '/v1/events': { get: (exchange) => events.follow(exchange) },
          '/v1/live': { get: (exchange) => live.watch(exchange) },
          '/v1/openapi.json': { get: (exchange) => exchange.json(200, openApiDocument) },
        },
        'operators',
      );
      for (const path of dashboard.paths) {
        this.answer(app, {
          [`/dashboard${path}`]: { get: (exchange) => dashboard.answer(exchange, path) },
        });
      }
      leg.addTo(app);
      for (const path of ['/v1/rooms/:room/leg', '/v1/calls/:id/leg']) this.routes.add(`get ${path}`);
      this.answer(app, {
        '/health': { get: probe((exchange) => operations.health(exchange)) },
        '/ready': { get: probe((exchange) => operations.ready(exchange)) },
        '/metrics': {
          get: (exchange) => {
            exchange.isKnown = gatekeeper.checkMetrics(exchange.header);
            return operations.metrics(exchange);
          },
        },
      });
    };
    const port = (...parts: readonly ((app: TemplatedApp) => void)[]) =>
      new Port({
        tls: options.tls,
        descriptors: options.descriptors,
        log,
        clock,
        // The rooms of all lobbies together take half of what is kept.
        seats: Math.max(2, options.descriptors.reserve >> (options.isSplit ? 3 : 2)),
        addRoutes: (app) => {
          for (const add of parts) add(app);
          this.route(app, 'any', '/*', (exchange) => {
            const message = `Expected a known route but received ${exchange.path}`;
            throw new GatewayError('GW_NOT_FOUND', message, { status: 404 });
          });
        },
      });
    this.calls = options.isSplit ? port(addCarriers) : port(addCarriers, addOperators);
    this.operations = options.isSplit ? port(addOperators) : this.calls;
    this.ports = options.isSplit ? [this.calls, this.operations] : [this.calls];
    options.descriptors.onChange = (isShort) => {
      for (const each of this.ports) each.crowded(isShort);
    };
  }

  /**
   * Begins to listen; answers the ports, which are others where 0 was asked for.
   * @param operationsPort where operators have one of their own
   * @param isShared whether other processes of this host may listen there as well
   * @throws GatewayError `GW_LISTEN_FAILED`
   */
  async listen(
    host: string,
    port: number,
    operationsPort: number | undefined,
    isShared: boolean,
  ): Promise<{ port: number; operationsPort: number | undefined }> {
    await this.cork.open();
    try {
      return {
        operationsPort:
          operationsPort === undefined
            ? undefined
            : await this.operations.listen(host, operationsPort, isShared),
        port: await this.calls.listen(host, port, isShared),
      };
    } catch (error) {
      // What is open would keep a process alive that cannot serve.
      this.cork.close();
      for (const each of this.ports) each.close();
      throw error;
    }
  }

  /**
   * Where the files hold another certificate or key than new connections get: what gives them that one.
   * @throws GatewayError `GW_TLS_FILE`, and nothing changes
   */
  renewed(tls: Certificate): (() => void) | undefined {
    const steps = this.ports.map((port) => port.renewed(tls));
    if (steps.includes(undefined)) return undefined;
    return () => {
      for (const step of steps) step?.();
    };
  }

  /** Stops listening, so that new connections come to the others who share the port; what is connected goes on. */
  async leave(): Promise<void> {
    for (const port of this.ports) await port.leave();
    this.log.info('left the port to the others');
  }

  /** Settled when whatever was answered so far has been handed to its socket. */
  answered(): Promise<void> {
    return new Promise((resolve) => this.answers.turns.add(resolve));
  }

  /** Stops listening and cuts what is still connected. */
  close(): void {
    this.events.close();
    this.live.close();
    this.legs.close();
    this.cork.close();
    for (const port of this.ports) port.close();
  }

  /** Answers paths by method: `HEAD` where there is a `GET`, `OPTIONS`, and 405 to any other. */
  private answer(
    app: TemplatedApp,
    paths: Readonly<Record<string, Partial<Record<Method, Handler>>>>,
    who: For = 'anybody',
  ): void {
    for (const [path, handlers] of Object.entries(paths)) {
      const allowed = ['OPTIONS'];
      for (const [method, handler] of Object.entries(handlers) as [Method, Handler][]) {
        const names = { get: ['GET', 'HEAD'], post: ['POST'], del: ['DELETE'] }[method];
        allowed.push(...names);
        this.routes.add(`${names[0]?.toLowerCase()} ${path}`);
        this.route(app, method, path, handler, who);
        if (method === 'get') this.route(app, 'head', path, handler, who);
      }
      const allow = [['allow', allowed.join(', ')]] as const;
      this.route(app, 'options', path, (exchange) => exchange.answer(204, undefined, '', allow), who);
      this.route(
        app,
        'any',
        path,
        (exchange) => {
          const message = `Expected ${allowed.join(', ')} for ${exchange.path} but received another method`;
          exchange.error(new GatewayError('GW_METHOD_NOT_ALLOWED', message, { status: 405 }), allow);
        },
        who,
      );
    }
  }

  private route(
    app: TemplatedApp,
    method: Method | 'head' | 'options' | 'any',
    path: string,
    handler: Handler,
    who: For = 'anybody',
  ): void {
    const parameters = path.split('/:').length - 1;
    app[method](path, (response: HttpResponse, request: HttpRequest) => {
      const exchange = new Exchange(response, request, this.answers, parameters);
      // Whoever asks again connects to those who stay.
      exchange.isLast = this.switchboard.draining;
      if (exchange.isDone) return;
      // A body is only lent while it comes. All else waits for a turn, by when whoever sends request upon request is gone.
      if (method === 'post') void this.handle(exchange, handler, who);
      else {
        this.answers.turns.add(() => {
          if (!exchange.isGone) void this.handle(exchange, handler, who);
        });
      }
    });
  }

  private async handle(exchange: Exchange, handler: Handler, who: For): Promise<void> {
    try {
      if (who === 'operators') {
        this.gatekeeper.checkControl(exchange.header);
        exchange.isKnown = true;
      }
      await handler(exchange);
    } catch (error) {
      if (!(error instanceof GatewayError))
        this.log.error({ path: exchange.path, err: error }, 'request failed');
      exchange.error(error);
    }
  }
}

function probe(handler: (exchange: Exchange) => void): Handler {
  return (exchange) => {
    exchange.isProbe = true;
    handler(exchange);
  };
}

/** Routes below a call, by path and method. */
function byPath<T extends { readonly name: string; readonly method: Method }>(
  routes: readonly T[],
  handlerOf: (route: T) => Handler,
): Record<string, Partial<Record<Method, Handler>>> {
  const paths: Record<string, Partial<Record<Method, Handler>>> = {};
  for (const route of routes) {
    const path = `/v1/calls/:id/${route.name}`;
    paths[path] = { ...paths[path], [route.method]: handlerOf(route) };
  }
  return paths;
}
