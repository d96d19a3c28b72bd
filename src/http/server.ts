import type { Server as HttpServer } from 'node:http';
import type { CallService } from '../calls/call-service.js';
import type { Switchboard } from '../calls/switchboard.js';
import type { Clock } from '../clock.js';
import { type CallControl, OPERATIONS, type OperationName } from '../control/operations.js';
import { GatewayError } from '../errors.js';
import type { Fleet } from '../fleet/fleet.js';
import type { Legs } from '../legs/legs.js';
import type { RecordingService } from '../recording/recordings.js';
import type { Descriptors } from '../telemetry/descriptors.js';
import type { Logger } from '../telemetry/log.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Places } from '../workers/places.js';
import type { Answers } from './answers.js';
import { CallControlRoutes } from './call-control-routes.js';
import { ControlRoutes } from './control-routes.js';
import { DashboardRoutes } from './dashboard-routes.js';
import type { EventRoutes } from './event-routes.js';
import { LegRoute } from './leg-route.js';
import type { LiveRoutes } from './live-routes.js';
import { MediaRoute } from './media-route.js';
import { openApiDocument } from './openapi/document.js';
import { type HealthFacts, type MachineOperations, OperationsRoutes } from './operations-routes.js';
import { type OwnRoutes, ownPaths } from './own-routes.js';
import { RecordingRoutes } from './recording-routes.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import { RequestContext } from './request-context.js';
import { readCertificate } from './transport/certificate.js';
import { NodeMount } from './transport/node/mount.js';
import type { Certificate, Method, Port, PortOptions, Routes, Transport } from './transport/transport.js';
import { TwilioRoutes } from './twilio-routes.js';

export interface ServerOptions {
  readonly calls: CallService;
  readonly switchboard: Switchboard;
  /** Absent if this gateway stands alone. */
  readonly fleet: Fleet | undefined;
  readonly legs: Legs;
  readonly recordings: RecordingService;
  readonly control: CallControl;
  /** Where sockets are served, if there are several workers. */
  readonly places: Places | undefined;
  readonly authenticator: RequestAuthenticator;
  readonly events: EventRoutes;
  readonly live: LiveRoutes;
  readonly answers: Answers;
  readonly metrics: Metrics;
  /** Present where this is one of several workers. */
  readonly machine: MachineOperations | undefined;
  readonly facts: HealthFacts;
  readonly log: Logger;
  readonly clock: Clock;
  /** Certificate and key files; with them the server speaks https and wss itself. */
  readonly tls: Certificate | undefined;
  readonly descriptors: Descriptors;
  /** The user's own. */
  readonly routes: OwnRoutes;
  /** Whether operators have a port of their own. */
  readonly isSplit: boolean;
}

type Handler = (context: RequestContext) => void | Promise<void>;
type Paths = Readonly<Record<string, Partial<Record<Method, Handler>>>>;

/** Who may ask: `anybody`, checked by the handler; holders of the control key; or the user's own code decides. */
type For = 'anybody' | 'operators' | 'owner';

const BODILESS: ReadonlySet<string> = new Set(['get', 'head', 'options', 'any']);

/** All routes, and the ports or the user's server that lead to them. */
export class Server {
  /** Method and path of each, such as `get /v1/calls/:id`. */
  readonly routes = new Set<string>();
  /** The port of carriers, and of operators unless they have their own. */
  private calls: Port | undefined;
  private operations: Port | undefined;
  private mount: NodeMount | undefined;
  private readonly switchboard: Switchboard;
  private readonly legs: Legs;
  private readonly log: Logger;
  private readonly events: EventRoutes;
  private readonly live: LiveRoutes;
  private readonly answers: Answers;
  private readonly authenticator: RequestAuthenticator;
  private readonly media: MediaRoute;
  private readonly leg: LegRoute;
  private readonly carriers: Paths;
  private readonly probes: Paths;
  private readonly operators: Paths;
  private readonly own: Paths;

  /** @throws GatewayError `GW_TLS_FILE`; TypeError for invalid routes of the user */
  constructor(private readonly options: ServerOptions) {
    const {
      calls,
      switchboard,
      fleet,
      legs,
      recordings,
      authenticator,
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
    this.authenticator = authenticator;
    this.answers = options.answers;
    this.switchboard = switchboard;
    const twilio = new TwilioRoutes(calls, authenticator);
    const control = new ControlRoutes(calls, authenticator);
    const operations = new OperationsRoutes(switchboard, fleet, metrics, facts, clock, options.machine);
    const recording = new RecordingRoutes(recordings);
    const running = new CallControlRoutes(options.control);
    const dashboard = new DashboardRoutes(authenticator);
    if (options.tls !== undefined) readCertificate(options.tls);
    this.media = new MediaRoute(calls, authenticator, log, this.answers, clock, options.places);
    this.leg = new LegRoute(
      legs,
      authenticator,
      log,
      this.answers,
      (callId) => switchboard.requireSession(callId),
      clock,
      options.places,
    );
    this.carriers = {
      '/twilio/voice': { post: (context) => twilio.voice(context) },
      '/twilio/next': { post: (context) => twilio.next(context) },
      '/twilio/status': { post: (context) => twilio.status(context) },
      '/twilio/stream-status': { post: (context) => twilio.streamStatus(context) },
      '/twilio/amd': { post: (context) => twilio.amd(context) },
    };
    this.operators = {
      '/v1/calls': {
        post: (context) => control.place(context),
        get: (context) => control.list(context),
      },
      '/v1/calls/:id': {
        get: (context) => control.inspect(context),
        del: (context) => control.hangUp(context),
      },
      '/v1/calls/:id/recording': {
        post: (context) => recording.start(context),
        get: (context) => recording.inspect(context),
        del: (context) => recording.stop(context),
      },
      ...controlPaths((operation, context) => running.perform(operation, context)),
      '/v1/events': { get: (context) => events.follow(context) },
      '/v1/live': { get: (context) => live.watch(context) },
      '/v1/live/ended': { get: (context) => live.listEnded(context) },
      '/v1/live/calls/:id': { get: (context) => live.inspect(context) },
      '/v1/openapi.json': { get: (context) => context.json(200, openApiDocument) },
    };
    this.probes = {
      ...Object.fromEntries(
        dashboard.paths.map((path) => [
          `/dashboard${path}`,
          { get: (context: RequestContext) => dashboard.answer(context, path) },
        ]),
      ),
      '/health': { get: probe((context) => operations.health(context)) },
      '/ready': { get: probe((context) => operations.ready(context)) },
      '/metrics': {
        get: (context) => {
          context.isKnown = authenticator.checkMetrics(context.header);
          return operations.metrics(context);
        },
      },
    };
    const taken = new Set(Object.keys({ ...this.carriers, ...this.operators, ...this.probes }));
    this.own = ownPaths(
      options.routes,
      (path) => taken.has(path) || /^\/(twilio|v1|dashboard)(\/|$)/.test(path),
      options.tls === undefined ? 'http' : 'https',
    );
    options.descriptors.onChange = (isShort) => {
      for (const each of this.ports) each.crowded(isShort);
    };
  }

  private addCarriers(routes: Routes): void {
    // A proxy may strip the public path prefix or pass it on: accept both.
    for (const prefix of new Set(['', this.authenticator.prefix])) {
      for (const [path, handlers] of Object.entries(this.carriers))
        this.answer(routes, { [prefix + path]: handlers });
      this.media.addTo(routes, prefix);
    }
    this.answer(routes, this.own, 'owner');
  }

  private addOperators(routes: Routes): void {
    this.answer(routes, this.operators, 'operators');
    this.answer(routes, this.probes);
    this.leg.addTo(routes);
    for (const path of ['/v1/rooms/:room/leg', '/v1/calls/:id/leg']) this.routes.add(`get ${path}`);
  }

  private addRest(routes: Routes): void {
    this.route(routes, 'any', '/*', (context) => {
      throw new GatewayError('GW_NOT_FOUND', `No such route: ${context.path}`);
    });
  }

  private get ports(): readonly Port[] {
    return [this.calls, this.operations].filter((port) => port !== undefined);
  }

  private port(transport: Transport, addRoutes: PortOptions['addRoutes']): Port {
    const { tls, descriptors, log, clock, isSplit } = this.options;
    return transport.port({
      tls,
      descriptors,
      log,
      clock,
      addRoutes,
      // Idle connections of all ports together may take half of the reserve.
      seats: Math.max(2, descriptors.reserve >> (isSplit ? 3 : 2)),
    });
  }

  /**
   * Starts to listen.
   * @param operationsPort if operators have a port of their own
   * @param isShared whether other processes of this host may listen there too
   * @returns the ports, which the system chose for 0
   * @throws GatewayError `GW_LISTEN_FAILED`
   */
  async listen(
    transport: Transport,
    host: string,
    port: number,
    operationsPort: number | undefined,
    isShared: boolean,
  ): Promise<{ port: number; operationsPort: number | undefined }> {
    this.calls = this.port(transport, (routes) => {
      this.addCarriers(routes);
      if (operationsPort === undefined) this.addOperators(routes);
      this.addRest(routes);
    });
    if (operationsPort !== undefined) {
      this.operations = this.port(transport, (routes) => {
        this.addOperators(routes);
        this.addRest(routes);
      });
    }
    try {
      return {
        operationsPort: await this.operations?.listen(host, operationsPort as number, isShared),
        port: await this.calls.listen(host, port, isShared),
      };
    } catch (error) {
      // An open port would keep a process alive that cannot serve.
      for (const each of this.ports) each.close();
      throw error;
    }
  }

  /** Answers below a prefix of the user's server. */
  attach(server: HttpServer, prefix: string): void {
    const addRoutes = (routes: Routes) => {
      this.addCarriers(routes);
      this.addOperators(routes);
      if (prefix !== '') this.addRest(routes);
    };
    this.mount = new NodeMount(server, prefix, { ...this.options, addRoutes });
  }

  /**
   * @returns what installs the certificate and key of the files, if they differ from those in use
   * @throws GatewayError `GW_TLS_FILE`, and nothing changes
   */
  renewed(tls: Certificate): (() => void) | undefined {
    const steps = this.ports.map((port) => port.renewed(tls));
    if (steps.includes(undefined)) return undefined;
    return () => {
      for (const step of steps) step?.();
    };
  }

  /** Stops listening, so that new connections go to the processes that share the port. Open connections continue. */
  async leave(): Promise<void> {
    for (const port of this.ports) await port.leave();
    this.log.info('stopped listening; other processes keep the port');
  }

  /** Resolves when every answer so far has been handed to its socket. */
  answered(): Promise<void> {
    return new Promise((resolve) => this.answers.turns.add(resolve));
  }

  /** Stops listening and closes open connections. */
  close(): void {
    this.events.close();
    this.live.close();
    this.legs.close();
    for (const port of this.ports) port.close();
    this.mount?.close();
  }

  /** Adds paths by method: also `HEAD` for each `GET`, `OPTIONS`, and 405 for all others. */
  private answer(routes: Routes, paths: Paths, who: For = 'anybody'): void {
    for (const [path, handlers] of Object.entries(paths)) {
      const allowed = ['OPTIONS'];
      for (const [method, handler] of Object.entries(handlers) as [Method, Handler][]) {
        const names =
          method === 'get' ? ['GET', 'HEAD'] : [method === 'del' ? 'DELETE' : method.toUpperCase()];
        allowed.push(...names);
        this.routes.add(`${names[0]?.toLowerCase()} ${path}`);
        this.route(routes, method, path, handler, who);
        if (method === 'get') this.route(routes, 'head', path, handler, who);
      }
      const allow = [['allow', allowed.join(', ')]] as const;
      this.route(routes, 'options', path, (context) => context.answer(204, undefined, '', allow), who);
      this.route(
        routes,
        'any',
        path,
        (context) => {
          const message = `Expected ${allowed.join(', ')} for ${context.path} but received another method`;
          context.error(new GatewayError('GW_METHOD_NOT_ALLOWED', message), allow);
        },
        who,
      );
    }
  }

  private route(
    routes: Routes,
    method: Method | 'any',
    path: string,
    handler: Handler,
    who: For = 'anybody',
  ): void {
    const parameters = path.split('/:').length - 1;
    routes.on(method, path, (request, reply) => {
      const context = new RequestContext(reply, request, this.answers, parameters, who === 'owner');
      // While draining, the client's next request should reach another process.
      context.isLast = this.switchboard.draining;
      if (context.isDone) return;
      // A body must be read at once. Other requests wait for a turn: clients that flood us are dropped by then.
      if (method === 'post' || (who === 'owner' && !BODILESS.has(method)))
        void this.handle(context, handler, who);
      else {
        this.answers.turns.add(() => {
          if (!context.isGone) void this.handle(context, handler, who);
        });
      }
    });
  }

  private async handle(context: RequestContext, handler: Handler, who: For): Promise<void> {
    try {
      if (who === 'operators') {
        this.authenticator.checkControl(context.header);
        context.isKnown = true;
      }
      await handler(context);
    } catch (error) {
      if (!(error instanceof GatewayError))
        this.log.error({ path: context.path, err: error }, 'request failed');
      context.error(error);
    }
  }
}

function probe(handler: Handler): Handler {
  return (context) => {
    context.isProbe = true;
    return handler(context);
  };
}

/** The routes of all operations on running calls. */
function controlPaths(perform: (operation: OperationName, context: RequestContext) => Promise<void>): Paths {
  const paths: Record<string, Partial<Record<Method, Handler>>> = {};
  for (const [name, { method, path }] of Object.entries(OPERATIONS)) {
    const route = `/v1/calls/:id/${path}`;
    const handler: Handler = (context) => perform(name as OperationName, context);
    paths[route] = { ...paths[route], [method === 'delete' ? 'del' : method]: handler };
  }
  return paths;
}
