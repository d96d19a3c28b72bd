import { EventEmitter } from 'node:events';
import { Server as HttpServer } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import { hostname } from 'node:os';
import { Agents } from './agents/agents.js';
import type { AnsweredFacts, Bridge } from './bridge/bridge.js';
import { LocalBridge } from './bridge/local/bridge.js';
import { StreamBridge } from './bridge/stream/bridge.js';
import type { EndCause } from './calls/call.js';
import type { CallReport } from './calls/call-report.js';
import type { PlacedCall } from './calls/call-service.js';
import type { CallDecision, PhoneCall } from './calls/decision.js';
import { checkPlaceCall, type PlaceCallRequest } from './calls/place-call.js';
import { DEFAULT_TIME_TO_LIVE_MS, TwilioCallRegistry } from './calls/registry.js';
import type { Apology } from './calls/session.js';
import { Switchboard } from './calls/switchboard.js';
import { type Clock, systemClock } from './clock.js';
import type { PlayResult } from './control/call-audio.js';
import { CallControlService } from './control/call-control-service.js';
import { Controls } from './control/controls.js';
import { expected, GatewayError } from './errors.js';
import { writeCallEvents } from './events/call-events.js';
import { EventLog } from './events/event-log.js';
import { EventWebhooks } from './events/event-webhooks.js';
import { Fleet, type Handover } from './fleet/fleet.js';
import { fleetMetrics } from './fleet/fleet-metrics.js';
import { type LinkEvents, RedisLink } from './fleet/redis.js';
import { RegistryTrial } from './fleet/registry-trial.js';
import { type CompleteOptions, completeOptions, type GatewayOptions } from './gateway-options.js';
import { Answers } from './http/answers.js';
import { EventRoutes } from './http/event-routes.js';
import { LiveRoutes } from './http/live-routes.js';
import { type HealthFacts, healthOf } from './http/operations-routes.js';
import { RequestAuthenticator } from './http/request-authenticator.js';
import { Server } from './http/server.js';
import { Strangers } from './http/strangers.js';
import { chooseTransport } from './http/transport/choice.js';
import { attachedOrigin } from './http/transport/node/transport.js';
import { Legs } from './legs/legs.js';
import { CallJournal } from './live/call-journal.js';
import { DashboardFeed } from './live/dashboard-feed.js';
import { FrameClock } from './media/frame-clock.js';
import { core } from './media/thread-core.js';
import type { MarkEcho } from './phone/marks.js';
import type { TwilioMediaStream } from './phone/media-stream.js';
import type { RecordingResult } from './recording/recording.js';
import {
  checkRecordRequest,
  MAX_RECORDINGS,
  Recordings,
  type RecordingView,
  type RecordRequest,
} from './recording/recordings.js';
import { CallRouter } from './router/call-router.js';
import { Descriptors } from './telemetry/descriptors.js';
import type { LatencySummary } from './telemetry/histogram.js';
import type { LatencySummaries } from './telemetry/latencies.js';
import { createLog, type Logger } from './telemetry/log.js';
import { Metrics } from './telemetry/metrics.js';
import type { TrafficCounts } from './telemetry/traffic.js';
import { parsePublicUrl } from './twilio/public-url.js';
import { TwilioRest } from './twilio/rest.js';
import { VERSION } from './version.js';
import { CallCounts } from './workers/call-counts.js';
import { MachineLink } from './workers/machine-link.js';
import type { MachineViews } from './workers/machine-views.js';
import type { Places } from './workers/places.js';

interface GatewayEvents {
  /** A call has started and its stream exists; audio flows from the stream's `start`. */
  call: [call: PhoneCall, stream: TwilioMediaStream];
  /** The phone was answered and audio flows. Emitted once a call, in a fleet by the node where that happened. */
  answered: [call: PhoneCall, facts: AnsweredFacts];
  /** A call has ended and everything is freed; with its report. */
  end: [call: PhoneCall, cause: EndCause, report: CallReport];
  /** A recording has ended for any reason, and its file on this node is closed. */
  recording: [result: RecordingResult];
  /** A mark of `control.mark` was heard, or dropped. */
  mark: [call: PhoneCall, echo: MarkEcho];
  /** A play has ended; emitted by the node that has the call. */
  played: [call: PhoneCall, result: PlayResult];
  /** A call of another node continues here; its `call` was emitted before. */
  handover: [handover: Handover];
}

/** Counters and current state of a gateway. */
export interface GatewayStats {
  readonly activeCalls: number;
  readonly traffic: TrafficCounts;
  readonly latency: LatencySummaries & {
    /** Event-loop delay of the last one to two minutes. */
    readonly eventLoopDelay: LatencySummary;
    /** From a caller's message to the message that a raw leg or an agent gets. */
    readonly legHeard: LatencySummary;
  };
}

/** Twilio asks for the next verbs well within this time. */
const NEXT_MS = 1_000;

/** How long `closeNow` waits in total, and for the event receiver. */
const NOW_MS = 1_000;
const NOW_EVENTS_MS = 500;

const DEFAULT_APOLOGY: Apology = {
  say: 'We are sorry, your call cannot be connected right now. Please try again later.',
};

/** The composition root: one registry, one bridge, one switchboard, one server. */
export class Gateway extends EventEmitter<GatewayEvents> {
  /** Every call, by id. */
  readonly calls: TwilioCallRegistry<CallDecision | undefined>;
  /** The events of the calls, as sent by webhooks and `GET /v1/events`. */
  readonly events: EventLog;
  /** Controls running calls. */
  readonly control: Controls;
  private readonly bridge: Bridge;
  private readonly rest: TwilioRest | undefined;
  private readonly router: CallRouter | undefined;
  private readonly eventWebhooks: EventWebhooks | undefined;
  private readonly switchboard: Switchboard;
  private readonly fleet: Fleet | undefined;
  /** Where sockets are served, if there are several workers. */
  private readonly places: Places | undefined;
  private readonly authenticator: RequestAuthenticator;
  private readonly legs: Legs;
  private readonly agents: Agents;
  private readonly recordings: Recordings;
  private readonly callControl: CallControlService;
  private readonly server: Server;
  /** What shows all workers of the machine, if this is one of several. */
  private readonly views: MachineViews | undefined;
  /** Its part of `/health`. */
  private readonly facts: { -readonly [K in keyof HealthFacts]: HealthFacts[K] };
  private readonly descriptors: Descriptors;
  /** Of the other workers, if this is one. */
  private readonly callCounts: CallCounts | undefined;
  private readonly log: Logger;
  private readonly clock: Clock;
  private readonly options: CompleteOptions;
  private isListening = false;
  private leaving: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  constructor(given: GatewayOptions) {
    super();
    const options = completeOptions(given);
    this.options = options;
    const { twilio, tls, publicUrl, controlApiKey, localRoom, prepareCall, leadMs } = options;
    const { authTokens, validate } = twilio;
    const { clock = systemClock, apology = DEFAULT_APOLOGY } = options;
    const stuckMs = options.stuckSeconds * 1_000;
    this.log = options.log ?? createLog(options.logLevel);
    this.clock = clock;
    const frameClock = new FrameClock(clock);
    this.descriptors = new Descriptors(this.log, clock);
    this.calls = new TwilioCallRegistry({
      clock,
      ...(options.tokenTimeToLiveMs === undefined ? {} : { timeToLiveMs: options.tokenTimeToLiveMs }),
    });
    const { stream, redis, workers } = options;
    const link =
      redis === undefined
        ? workers && ((events: LinkEvents) => new MachineLink(workers.peers, events))
        : (events: LinkEvents) =>
            new RedisLink({ url: redis.url, clock, trial: new RegistryTrial(clock), ...events });
    this.bridge =
      options.bridge ??
      (stream === undefined
        ? new LocalBridge(leadMs)
        : new StreamBridge({ log: this.log, clock, ...stream }));
    this.authenticator = new RequestAuthenticator({
      secure: tls !== undefined,
      ...(publicUrl === undefined ? {} : { publicUrl }),
      ...(validate ? { authTokens } : {}),
      ...(controlApiKey === undefined ? {} : { controlApiKey }),
      ...(options.metricsApiKey === undefined ? {} : { metricsApiKey: options.metricsApiKey }),
    });
    const [authToken] = authTokens;
    const router = options.router && new CallRouter(options.router, this.log, clock);
    this.router = router;
    this.rest =
      twilio.accountSid === undefined || authToken === undefined
        ? undefined
        : new TwilioRest({
            accountSid: twilio.accountSid,
            authToken,
            clock,
            ...(twilio.apiUrl === undefined ? {} : { apiUrl: twilio.apiUrl }),
          });
    this.switchboard = new Switchboard({
      registry: this.calls,
      bridge: this.bridge,
      log: this.log,
      clock,
      limits: {
        maxCalls: options.maxCalls,
        maxLoopDelayMs: options.maxLoopDelayMs,
        maxCpuPercent: options.maxCpuPercent,
      },
      stuckMs,
      leadMs,
      frameClock,
      defaultRoom: (call) =>
        this.bridge.roomOf?.(call.callId) ??
        (localRoom === 'to' && call.to ? `to:${call.to}` : `call:${call.callId}`),
      prepareCall: router === undefined ? prepareCall : (call, signal) => router.decide(call, signal),
      accountSid: twilio.accountSid,
      rest: this.rest,
      from: twilio.from,
      apology,
      hasContinuation: link !== undefined,
      agent: options.agent,
      checkAgent: (to) => this.agents.check(to),
      streamStatus: options.streamStatus,
      isShortOfDescriptors: () => this.descriptors.isShort,
      otherCalls: workers && (() => this.callCounts?.others ?? 0),
    });
    this.callCounts = workers && new CallCounts(workers.peers, () => this.switchboard.activeCalls, clock);
    this.recordings = new Recordings(
      options.recordDir,
      leadMs,
      (callId) => this.switchboard.requireSession(callId),
      this.log,
      (call, result) => {
        const { callId: _, error: __, ...data } = result;
        this.events.publish('call.recorded', call, data);
        this.emit('recording', result);
      },
      clock,
    );
    this.callControl = new CallControlService({
      switchboard: this.switchboard,
      bridge: this.bridge,
      leadMs,
      playDir: options.playDir,
      rest: this.rest,
      place: (request) => this.placeCall(request),
      frameClock,
      log: this.log,
      moveTo: (session, place) =>
        this.places === undefined ? session.moveTo(place) : this.places.move(session, place),
    });
    this.legs = new Legs(this.bridge, options.maxLegs, clock, frameClock);
    this.agents = new Agents(options.agent, options.agents, {
      switchboard: this.switchboard,
      legs: this.legs,
      clips: this.callControl.clips,
      clock,
      frameClock,
      log: this.log,
      publish: (call, state) => this.events.publish('call.agent', call, state),
    });
    this.fleet =
      link &&
      new Fleet({
        link,
        nodeId: nodeIdOf(options),
        isLeaving: (node) =>
          workers?.isMachineDraining?.() === true && node.startsWith(`${machineIdOf(options)}-w`),
        isLast: () => redis === undefined && workers?.isMachineDraining?.() === true,
        switchboard: this.switchboard,
        recordings: this.recordings,
        callControl: this.callControl,
        log: this.log,
        clock,
        timeToLiveMs: options.tokenTimeToLiveMs ?? DEFAULT_TIME_TO_LIVE_MS,
        stuckMs,
        apology,
        onRelieved: () => this.leave(),
      });
    this.places =
      this.fleet &&
      workers?.places?.({
        switchboard: this.switchboard,
        fleet: this.fleet,
        hasLocalRooms: !(this.bridge instanceof StreamBridge),
        clock,
        log: this.log,
      });
    this.fleet?.on('handover', (handover) => this.emit('handover', handover));
    this.control = new Controls(this.fleet?.control ?? this.callControl);
    this.events = new EventLog(this.log, clock);
    this.callControl.on('mark', (call, echo) => {
      this.events.publish('call.mark', call, echo);
      this.emit('mark', call, echo);
    });
    this.callControl.on('played', (call, result) => {
      this.events.publish('call.played', call, result);
      this.emit('played', call, result);
    });
    const journal = new CallJournal(this.switchboard, (listener) => this.events.subscribe(listener), clock);
    const feed = new DashboardFeed({
      switchboard: this.switchboard,
      journal,
      fleet: this.fleet,
      facts: { version: VERSION, bridge: this.bridge.name },
      node: hostname(),
      deaf: deafness(this.bridge),
      clock,
    });
    this.views = workers?.views?.({
      events: this.events,
      feed,
      journal,
      health: () => healthOf(this.switchboard, this.fleet),
      clock,
    });
    const eventRoutes = new EventRoutes(this.events, clock, this.views?.events);
    const live = new LiveRoutes(this.views?.feed ?? feed, this.views?.journal ?? journal, clock);
    writeCallEvents(this.events, this.switchboard, this.fleet);
    this.eventWebhooks =
      options.eventWebhooks &&
      new EventWebhooks(
        options.eventWebhooks,
        this.events,
        this.log,
        clock,
        workers && { place: workers.peers.place, count: workers.count },
      );
    if (router !== undefined) {
      this.switchboard.on('call', (call, stream) =>
        stream.on('dtmf', (digit) => this.tellRouter(call, digit)),
      );
    }
    this.switchboard.on('call', (call, stream) => this.emit('call', call, stream));
    this.switchboard.on('answered', (call, _, facts) => {
      if (!facts.isContinued) this.emit('answered', call, facts);
    });
    this.switchboard.on('end', (call, cause, report) => this.emit('end', call, cause, report));
    const warnings: string[] = [];
    if (!validate) warnings.push('TWILIO_VALIDATE=off: anybody may place calls here; for development only');
    // A better one failed to load: this is not a choice.
    if (core.origin.includes('; '))
      warnings.push(`audio runs on a slower core than it could: ${core.origin}`);
    const { limit, reserve } = this.descriptors;
    const needed = descriptorsFor(options) + reserve;
    if (limit !== undefined && limit < needed) {
      warnings.push(
        `${options.maxCalls} calls may take ${needed} descriptors, but no more than ${limit} can be open: ` +
          'raise the limit (ulimit -n), or lower MAX_CALLS',
      );
    }
    for (const warning of warnings) this.log.warn(warning);
    const { bridge } = this;
    this.facts = {
      version: VERSION,
      transcoder: core.backend,
      kernels: core.kernels,
      core: core.origin,
      server: undefined,
      transport: undefined,
      bridge: this.bridge.name,
      // Known once there is a media worker.
      get webrtc() {
        return bridge.webrtc;
      },
      warnings,
    };
    const { trustedProxies } = options;
    const probes = new Strangers(trustedProxies, PROBES_PER_SECOND);
    const answers = new Answers(new Strangers(trustedProxies), probes, this.log, clock);
    const metrics = new Metrics(this.switchboard, [
      ...(this.bridge.metrics ?? []),
      ...fleetMetrics(this.switchboard, this.fleet),
      ...(this.places?.metrics ?? []),
      ...answers.metrics,
      ...eventRoutes.metrics,
      ...live.metrics,
      ...(this.eventWebhooks?.metrics ?? []),
      ...(router?.metrics ?? []),
      ...this.legs.metrics,
      ...this.agents.metrics,
      ...this.switchboard.past.metrics,
      ...this.recordings.metrics,
    ]);
    this.server = new Server({
      answers,
      calls: this.fleet ?? this.switchboard,
      switchboard: this.switchboard,
      fleet: this.fleet,
      legs: this.legs,
      recordings: this.fleet?.recordings ?? this.recordings,
      control: this.fleet?.control ?? this.callControl,
      places: this.places,
      authenticator: this.authenticator,
      events: eventRoutes,
      live,
      metrics,
      machine: this.views && { health: this.views.health, metrics: this.views.addMetrics(metrics) },
      facts: this.facts,
      log: this.log,
      clock,
      descriptors: this.descriptors,
      routes: options.routes ?? {},
      tls,
      isSplit: options.operationsPort !== undefined,
    });
  }

  /**
   * Starts accepting calls, as soon as the bridge is ready.
   * @returns `url` for carriers, and `operationsUrl`: the same without `operationsPort`
   * @throws GatewayError `GW_LISTEN_FAILED`; `GW_LISTENING` if it listens already or has been closed; `GW_TLS_FILE`, `GW_RECORD_DIR`,
   * `GW_PLAY_DIR`, `GW_SPOOL_DIR`, `GW_SPOOL_TAKEN`, `GW_DEAD_LETTER_FILE`, `GW_SERVER_MISSING`, `GW_REDIS_REFUSED` for settings
   * that do not work here; what the bridge's `open` throws
   */
  async listen(): Promise<{ host: string; port: number; url: string; operationsUrl: string }> {
    const { host, port, tls } = this.options;
    const ports = await this.open('listen', async () => {
      const transport = chooseTransport(this.options.server);
      const found = await this.server.listen(
        transport,
        host,
        port,
        this.options.operationsPort,
        this.isShared,
      );
      this.facts.server = transport.name;
      this.facts.transport = transport.origin;
      return found;
    });
    const address = host.includes(':') ? `[${host}]` : host;
    const urlOf = (port: number) => `${tls === undefined ? 'http' : 'https'}://${address}:${port}`;
    const url = urlOf(ports.port);
    const operationsUrl = urlOf(ports.operationsPort ?? ports.port);
    const { warnings: _, ...facts } = this.facts;
    this.log.info(
      { url, ...(ports.operationsPort === undefined ? {} : { operationsUrl }), ...facts },
      'listening',
    );
    return { host, port: ports.port, url, operationsUrl };
  }

  /**
   * Serves within your HTTP server, below a prefix: webhooks, media sockets, `/v1`, `/dashboard`, `/health` and
   * `/metrics`. All other requests go to your own listeners, which never see ours. The server may listen already or later,
   * and stays open when the gateway is closed. Signatures are checked against `publicUrl`, which ends in the prefix;
   * without it, against the host of the request and the prefix.
   * @param server a server of `createServer`, of Express' `listen`, or Fastify's `server`
   * @param options `prefix` such as `/phone`; without it, the gateway handles only its own paths
   * @throws TypeError for an invalid prefix, and for a `publicUrl`, `operationsPort` or `tls` that conflicts with it; GatewayError
   * `GW_LISTENING` if it listens already or was closed, and others of {@link listen}
   */
  async attach(
    server: HttpServer | HttpsServer,
    { prefix = '' }: { readonly prefix?: string } = {},
  ): Promise<void> {
    const isSecure = server instanceof HttpsServer;
    // An Express app looks like a server, but would never get a request here.
    if (!isSecure && !(server instanceof HttpServer))
      throw expected('a server of node:http or node:https (createServer(app), app.server)', 'server', server);
    if (prefix !== '' && !/^(\/[\w.~-]+)+$/.test(prefix))
      throw expected('a path like /phone', 'prefix', prefix);
    const { publicUrl, operationsPort, tls, sharePort } = this.options;
    if (publicUrl !== undefined && !parsePublicUrl(publicUrl).prefix.endsWith(prefix)) {
      throw expected(`a URL that ends in ${prefix}, where the gateway is attached,`, 'publicUrl', publicUrl);
    }
    for (const [name, value] of Object.entries({ operationsPort, tls, sharePort: sharePort || undefined })) {
      if (value !== undefined)
        throw new TypeError(`Expected no ${name} for a gateway in another server but received one`);
    }
    await this.open('attach', async () => {
      this.authenticator.mount(prefix, isSecure);
      this.server.attach(server, prefix);
      this.facts.server = 'node';
      this.facts.transport = attachedOrigin();
    });
    const { warnings: _, ...facts } = this.facts;
    this.log.info({ prefix, ...facts }, 'attached');
  }

  /** Whether other processes listen on the same port. */
  private get isShared(): boolean {
    return this.options.sharePort || this.options.workers !== undefined;
  }

  /** @param serve starts to answer requests */
  private async open<T>(what: 'listen' | 'attach', serve: () => Promise<T>): Promise<T> {
    if (this.isListening || this.closing !== undefined) throw this.notNew(what);
    this.isListening = true;
    try {
      return await this.openAndServe(what, serve);
    } catch (error) {
      this.isListening = false;
      throw error;
    }
  }

  private notNew(what: string): GatewayError {
    const state = this.closing === undefined ? 'serves already' : 'has been closed';
    return new GatewayError('GW_LISTENING', `The gateway ${state}: ${what} needs a new one`);
  }

  private async openAndServe<T>(what: string, serve: () => Promise<T>): Promise<T> {
    this.recordings.open();
    this.callControl.open();
    await this.agents.open();
    this.eventWebhooks?.open();
    await this.rest?.open();
    await this.bridge.open?.();
    try {
      await this.fleet?.open();
      await this.views?.open();
      if (this.options.controlApiKey !== undefined) await this.legs.prepare();
      await this.places?.open();
      const served = await serve();
      // Anything opened after `close` would never be closed.
      if (this.closing !== undefined) {
        this.server.close();
        throw this.notNew(what);
      }
      this.switchboard.open();
      this.descriptors.start();
      this.callCounts?.open();
      await this.fleet?.serve();
      this.eventWebhooks?.start();
      return served;
    } catch (error) {
      // If it cannot serve, nothing that has started may keep the process alive.
      this.places?.close();
      await this.fleet?.close();
      await this.bridge.close();
      throw error;
    }
  }

  /**
   * Applies new auth tokens, webhook secrets, keys, certificate and log level while running; all other options need a
   * new gateway. Running calls and connections are not affected. The certificate is read from its files again, for new
   * connections.
   * @param options all options, as for a new gateway
   * @throws TypeError or GatewayError (such as `GW_TLS_FILE`) for invalid options; nothing changes then
   */
  async reload(options: GatewayOptions): Promise<void> {
    const { authTokens } = completeOptions(options).twilio;
    const { controlApiKey, metricsApiKey, logLevel } = options;
    const { validate } = this.options.twilio;
    const tls = this.options.tls && options.tls;
    const next = tls && this.server.renewed(tls);
    if (controlApiKey !== undefined) await this.legs.prepare();
    this.authenticator.rekey({
      ...(validate ? { authTokens } : {}),
      ...(controlApiKey === undefined ? {} : { controlApiKey }),
      ...(metricsApiKey === undefined ? {} : { metricsApiKey }),
    });
    const [authToken] = authTokens;
    if (authToken !== undefined) this.rest?.rekey(authToken);
    if (options.router !== undefined) this.router?.rekey(options.router.secret);
    if (options.eventWebhooks !== undefined) this.eventWebhooks?.rekey(options.eventWebhooks.secret);
    this.agents.rekey(options.agents ?? {});
    next?.();
    if (logLevel !== undefined) this.log.level = logLevel;
  }

  /**
   * Places a call through Twilio. Needs `publicUrl` and an account.
   * @throws GatewayError `GW_BAD_REQUEST` (400) names every mistake in the request; `GW_AGENT_UNKNOWN`, `GW_FROM_MISSING`, `GW_TWIML_TOO_LONG`
   * (400), `GW_CALL_REFUSED` (403), `GW_CALL_EXISTS`, `GW_CALL_ENDED` (409), `GW_PREPARE_TIMEOUT` (500), `GW_TWILIO_REFUSED`
   * (502), `GW_DRAINING`, `GW_FULL`, `GW_OVERLOADED`, `GW_TWILIO_NOT_CONFIGURED`, `GW_PUBLIC_URL_MISSING`, `GW_AGENT_KEY_MISSING` (503); in a fleet
   * `GW_REGISTRY_DOWN` and `GW_REGISTRY_ERROR` (503)
   */
  async placeCall(request: PlaceCallRequest): Promise<PlacedCall> {
    const base = this.authenticator.publicBase();
    if (base === undefined) {
      throw new GatewayError(
        'GW_PUBLIC_URL_MISSING',
        'Expected publicUrl for an outbound call but received none',
      );
    }
    return (this.fleet ?? this.switchboard).place(checkPlaceCall(request), base);
  }

  /**
   * Records a call to a WAV file in `recordDir`: the caller left, the audio played to the caller right. The event
   * `recording` reports its end.
   * @throws GatewayError `GW_BAD_REQUEST` (400), `GW_CALL_UNKNOWN` (404), `GW_RECORDING_OFF` without `recordDir`,
   * `GW_RECORDING_EXISTS`, `GW_CALL_ENDED` (409), `GW_RECORDINGS_FULL` with 200 recordings, `GW_RECORDING_FAILED` (503)
   */
  async record(callId: string, request: RecordRequest = {}): Promise<RecordingView> {
    return (this.fleet?.recordings ?? this.recordings).startRecording(callId, checkRecordRequest(request));
  }

  /**
   * Ends a call's recording; resolves when its file is complete.
   * @throws GatewayError `GW_RECORDING_NONE` (404)
   */
  async stopRecording(callId: string): Promise<RecordingResult> {
    return (this.fleet?.recordings ?? this.recordings).stopRecording(callId);
  }

  /** The media stream of a call that has not ended. */
  stream(callId: string): TwilioMediaStream | undefined {
    return this.switchboard.session(callId)?.stream;
  }

  /** Resets the latency figures, e.g. after a warm-up; counters continue. */
  resetLatency(): void {
    this.switchboard.latencies.reset();
    this.legs.heardDelay.reset();
  }

  /** Counters and current state. */
  stats(): GatewayStats {
    const { latencies, eventLoopDelay, traffic, activeCalls } = this.switchboard;
    return {
      activeCalls,
      traffic: traffic.counts(),
      latency: {
        ...latencies.summaries(),
        eventLoopDelay: eventLoopDelay.summary(),
        legHeard: this.legs.heardDelay.summary(),
      },
    };
  }

  /** Sends a pressed key to the router, if it asked for keys. */
  private tellRouter(call: PhoneCall, digit: string): void {
    const decision = this.switchboard.session(call.callId)?.decision;
    if (decision !== undefined && 'dtmf' in decision && decision.dtmf) this.router?.pressed(call, digit);
  }

  /** Leaves a shared port to the processes that share it. Idempotent. */
  private leave(): Promise<void> {
    this.leaving ??= this.isShared ? this.server.leave() : Promise.resolve();
    return this.leaving;
  }

  /**
   * Stops accepting calls, waits up to `graceMs` for running ones, closes the rest with 1001, then frees everything.
   * A second call waits for the first.
   * @param graceMs most milliseconds to wait for running calls; default 0
   */
  close(graceMs = 0): Promise<void> {
    this.closing ??= (async () => {
      const isOwed = this.switchboard.owesVerbs;
      const relayed = this.places?.drain(graceMs, () => this.leave());
      await (this.fleet ?? this.switchboard).drain(graceMs);
      await relayed;
      // Twilio asks for the verbs after the streams that were just closed; without an answer the caller hears an
      // error. The last requests to connect here are answered too, although others may share the port.
      if (isOwed || this.isShared) await this.clock.sleep(NEXT_MS);
      // The close frames of the last calls are sent in this turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      await this.recordings.close();
      await this.server.answered();
      this.switchboard.close();
      this.descriptors.stop();
      this.places?.close();
      this.callCounts?.close();
      this.server.close();
      this.calls.close();
      await this.fleet?.close();
      await this.bridge.close();
      await Promise.all([this.router?.close(), this.eventWebhooks?.close()]);
      await this.views?.close();
      this.log.info('closed');
    })();
    return this.closing;
  }

  /**
   * Stops without waiting for calls, even during `close`: ends them, closes their recordings and keeps their events, within
   * about a second. The process may exit then.
   */
  async closeNow(): Promise<void> {
    const isOwed = this.switchboard.owesVerbs;
    const closing = this.close();
    const kept = Promise.all([
      (this.fleet ?? this.switchboard).endAll().then(() => this.views?.close()),
      this.recordings.close(),
      this.eventWebhooks?.close(NOW_EVENTS_MS),
      // As in `close`.
      isOwed ? this.clock.sleep(NEXT_MS) : new Promise((resolve) => setImmediate(resolve)),
    ]);
    await this.clock.within(NOW_MS, Promise.race([closing, kept]));
  }
}

/**
 * Creates a gateway, which does not listen before `listen()`.
 * @throws TypeError for options out of range, or that contradict each other
 * @throws GatewayError `GW_AUTH_TOKEN_MISSING` without an auth token while signatures are checked
 */
export function createGateway(options: GatewayOptions = {}): Gateway {
  return new Gateway(options);
}

/** Requests a second to `/health` and `/ready` from one address: far more than proxies send. */
const PROBES_PER_SECOND = 500;

/** Descriptors of the process itself, its files and its outgoing connections. */
const OWN_DESCRIPTORS = 64;

/** Descriptors that a gateway may need: one for a call, another each for its agent and while it is recorded, one for a raw leg. */
function descriptorsFor({ maxCalls, maxLegs, recordDir, controlApiKey, agent }: CompleteOptions): number {
  const recordings = recordDir === undefined ? 0 : Math.min(maxCalls, MAX_RECORDINGS);
  const agents = agent === undefined ? 0 : maxCalls;
  return OWN_DESCRIPTORS + maxCalls + agents + recordings + (controlApiKey === undefined ? 0 : maxLegs);
}

/** The node's name in a fleet; each worker of a machine is one. */
function nodeIdOf(options: CompleteOptions): string {
  const { workers } = options;
  return workers === undefined ? machineIdOf(options) : `${machineIdOf(options)}-w${workers.peers.self}`;
}

/** As it stands in the names of nodes. */
function machineIdOf({ redis }: CompleteOptions): string {
  return (redis?.nodeId ?? hostname()).replace(/[^\w.-]/g, '-').slice(0, 48);
}

/** Why the calls of a bridge cannot be listened to; `undefined` if they can. */
function deafness({ name, joinProgram }: Bridge): string | undefined {
  return joinProgram === undefined
    ? `calls are in the bridge "${name}", which raw legs cannot join`
    : undefined;
}
