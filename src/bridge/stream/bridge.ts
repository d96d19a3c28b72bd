import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import { FrameClock } from '../../media/frame-clock.js';
import { createLog, type Logger } from '../../telemetry/log.js';
import { counter, gauge, type Metric } from '../../telemetry/metric.js';
import type { Bridge, BridgeUser, JoinRequest, PhoneLine, Program, ProgramLeg } from '../bridge.js';
import { Administration } from './administration.js';
import { type CallName, parseCallName } from './call-name.js';
import { type CommandRule, commandRule, type TransferRule, transferRule } from './command-rule.js';
import { StreamLeg } from './leg.js';
import type { MediaHost } from './media-host.js';
import { InlineHost } from './media-host.js';
import type { MemberOptions } from './member.js';
import { checkStreamOptions, STREAM_OPTIONS, type StreamBridgeOptions } from './options.js';
import { LISTENER_PREFIX } from './participant.js';
import { StreamProgram } from './program-leg.js';
import { StreamRoom } from './room.js';
import { chooseStack } from './stack.js';
import { type MediaWorkerState, WorkerPool } from './worker-pool.js';

/** Counters and gauges of a Stream bridge. */
export interface StreamBridgeStats {
  /** Number of media workers; 0 in `inline` mode. */
  readonly workers: number;
  /** Number of calls that the media workers carry. */
  readonly legs: number;
  /** Number of phones that are in their Stream call now, joined and audible. */
  readonly joined: number;
  /** Number of programs that are in their Stream call now. */
  readonly programs: number;
  /** Frames dropped between gateway and workers, and in them. */
  readonly dropped: number;
  /** Number of media workers that died. */
  readonly deaths: number;
  /** Resident memory of all media workers, in bytes. */
  readonly rssBytes: number;
  /** Timer delay of the slowest media worker, and recent duration of joins, in milliseconds. */
  readonly workerDelayMs: number;
  readonly joinMs: number;
  /** Number of rejoins after a loss. */
  readonly rejoins: number;
  /** Requests to Stream that had to be repeated. */
  readonly retries: number;
  /** Number of ignored commands of users without the permission. */
  readonly commandsIgnored: number;
}

/** Phones as participants of Stream video calls. Needs an account at Stream. */
export class StreamBridge implements Bridge {
  readonly name = 'stream';
  readonly continuesCalls = true;
  readonly metrics: readonly Metric[] = [
    gauge('stream_workers', 'Media workers, the spare one included', () => this.stats().workers),
    gauge('stream_legs', 'Legs that media workers carry', () => this.stats().legs),
    gauge('stream_joined', 'Phones that are in their Stream call', () => this.stats().joined),
    gauge('stream_programs', 'Programs that are in their Stream call', () => this.stats().programs),
    gauge('stream_worker_memory_bytes', 'Memory of all media workers', () => this.stats().rssBytes),
    counter(
      'stream_frames_dropped_total',
      'Frames dropped between gateway and Stream',
      () => this.stats().dropped,
    ),
    gauge(
      'stream_worker_delay_ms',
      'How late nine tenths of the timers of the latest media worker are at most',
      () => this.stats().workerDelayMs,
      { merge: 'max' },
    ),
    gauge('stream_join_ms', 'How long joins took of late', () => this.stats().joinMs, { merge: 'max' }),
    counter('stream_worker_deaths_total', 'Media workers that died', () => this.stats().deaths),
    counter('stream_rejoins_total', 'Calls joined again after a loss', () => this.stats().rejoins),
    counter('stream_retries_total', 'Requests to Stream that were repeated', () => this.stats().retries),
    counter(
      'stream_commands_ignored_total',
      'Commands to phones by those who may give none',
      () => this.stats().commandsIgnored,
    ),
  ];
  private readonly administration: Administration;
  private readonly host: MediaHost;
  private readonly pool: WorkerPool | undefined;
  private readonly log: Logger;
  private readonly clock: Clock;
  private readonly frameClock: FrameClock;
  private readonly mayTransfer: TransferRule;
  private readonly mayCommand: CommandRule;
  private readonly legs = new Set<StreamLeg>();
  private readonly programs = new Set<StreamProgram>();
  private readonly rooms = new Map<string, StreamRoom>();
  private rejoins = 0;
  private retries = 0;
  private commandsIgnored = 0;

  /**
   * @param host where participants live; overrides `media`
   * @throws TypeError for options out of range
   */
  constructor(
    private readonly options: StreamBridgeOptions,
    host?: MediaHost,
  ) {
    checkStreamOptions(options);
    const { apiKey, apiSecret, baseUrl, transferTo = [], control = STREAM_OPTIONS.control.default } = options;
    this.log = options.log ?? createLog();
    const { clock = systemClock } = options;
    this.clock = clock;
    this.frameClock = new FrameClock(clock);
    this.administration = new Administration({
      apiKey,
      apiSecret,
      baseUrl,
      tokenSeconds: options.tokenSeconds ?? 3600,
      clock,
      onRetry: (reason) => {
        this.retries += 1;
        this.log.warn({ reason }, 'Stream is asked again');
      },
    });
    this.mayTransfer = typeof transferTo === 'function' ? transferTo : transferRule(transferTo);
    this.mayCommand = typeof control === 'function' ? control : commandRule(control);
    this.host = host ?? this.newHost();
    this.pool = this.host instanceof WorkerPool ? this.host : undefined;
  }

  /** Whether media workers or processors are too busy for another call. */
  get isOverloaded(): boolean {
    return this.host.isOverloaded === true;
  }

  /** The WebRTC that Stream calls run on, and why it is not a better one; `undefined` before the first media worker is ready. */
  get webrtc(): string | undefined {
    return this.host.webrtc;
  }

  /** Each phone call has its own Stream call, of the default type. */
  roomOf(callId: string): string {
    return callId;
  }

  /**
   * Checks the keys and starts the first media worker.
   * @throws GatewayError `GW_STREAM_MISSING`, `GW_STREAM_KEYS`, `GW_STREAM_UNAVAILABLE`, `GW_STREAM_WORKER`, `GW_WEBRTC_MISSING`
   */
  async open(): Promise<void> {
    try {
      await this.administration.open();
      await this.host.open();
    } catch (error) {
      // A gateway that cannot serve must be able to exit.
      await this.host.close();
      throw error;
    }
  }

  /**
   * Makes a phone a participant of the Stream call that `request.room` names.
   * @returns its {@link BridgeLeg}
   * @throws GatewayError `GW_STREAM_CALL_NAME`, `GW_STREAM_USER` (400), `GW_STREAM_REFUSED`, `GW_STREAM_UNAVAILABLE` (502),
   * `GW_STREAM_JOIN`, `GW_STREAM_PERMISSION`, `GW_STREAM_CALL_ENDED`
   */
  async join(request: JoinRequest, line: PhoneLine): Promise<StreamLeg> {
    request.signal.throwIfAborted();
    checkUserId(request.user.id);
    const name = parseCallName(request.room);
    const leg = new StreamLeg(request.callId, request.user, name, line, this.room(name), {
      ...this.memberOptions(),
      aloneMs: (this.options.aloneSeconds ?? STREAM_OPTIONS.aloneSeconds.default) * 1000,
      mayTransfer: this.mayTransfer,
      mayCommand: this.mayCommand,
      muteKey: this.options.muteKey,
      frameClock: this.frameClock,
      ringback: this.options.ringback ?? STREAM_OPTIONS.ringback.default,
      comfortNoise: this.options.whileAlone === 'comfort-noise',
      onIgnored: () => {
        this.commandsIgnored += 1;
      },
    });
    this.legs.add(leg);
    leg.onClose = () => this.legs.delete(leg);
    const isPresent = this.options.joinAt === 'ring' || line.isLive;
    await leg.join(request.signal, isPresent).catch((error) => {
      throw withoutStatusOfStream(error);
    });
    return leg;
  }

  /**
   * Makes a program a participant of the Stream call that `room` names. It joins in the background; while the phones of that
   * call ring, invisibly.
   * @param onlyListens it hears all others and publishes nothing
   * @param user who it is; by default a user of its own named "Agent", or "Listener"
   * @throws GatewayError `GW_STREAM_CALL_NAME`, `GW_STREAM_USER` (400)
   */
  joinProgram(
    room: string,
    program: Program,
    onlyListens: boolean,
    user: Partial<BridgeUser> = {},
  ): ProgramLeg {
    const name = parseCallName(room);
    const whole = { ...programUser(name, onlyListens), ...user };
    checkUserId(whole.id);
    const leg = new StreamProgram(program, whole, name, this.room(name), this.memberOptions(), onlyListens);
    this.programs.add(leg);
    leg.onClose = () => this.programs.delete(leg);
    leg.start();
    return leg;
  }

  /**
   * Checks that a room can be a Stream call.
   * @throws GatewayError `GW_STREAM_CALL_NAME` (400)
   */
  checkRoom(room: string): void {
    parseCallName(room);
  }

  /** The current media workers; none in `inline` mode. */
  workers(): MediaWorkerState[] {
    return this.pool?.list() ?? [];
  }

  /** Counters and gauges so far. */
  stats(): StreamBridgeStats {
    const { rejoins, retries, commandsIgnored } = this;
    const none = { workers: 0, legs: 0, dropped: 0, deaths: 0, rssBytes: 0, workerDelayMs: 0, joinMs: 0 };
    let joined = 0;
    for (const leg of this.legs) if (leg.isIn) joined += 1;
    let programs = 0;
    for (const program of this.programs) if (program.isIn) programs += 1;
    return { ...(this.pool?.census() ?? none), joined, programs, rejoins, retries, commandsIgnored };
  }

  /** Takes every phone and program out of its call and ends the workers. Idempotent. */
  async close(): Promise<void> {
    for (const leg of [...this.legs]) leg.close();
    for (const program of [...this.programs]) program.closeNow();
    await this.host.close();
  }

  private room({ type, id }: CallName): StreamRoom {
    const cid = `${type}:${id}`;
    let room = this.rooms.get(cid);
    if (room === undefined) {
      room = new StreamRoom(this.clock, () => this.rooms.delete(cid));
      this.rooms.set(cid, room);
    }
    return room;
  }

  private memberOptions(): MemberOptions {
    const { apiKey, baseUrl, joinSeconds = 15, watchdogSeconds = 3 } = this.options;
    const { administration, host, log, clock } = this;
    return {
      apiKey,
      baseUrl,
      administration,
      host,
      log,
      clock,
      joinMs: joinSeconds * 1000,
      watchdogMs: watchdogSeconds * 1000,
      onRejoin: () => {
        this.rejoins += 1;
      },
    };
  }

  private newHost(): MediaHost {
    const {
      media,
      stack,
      legsPerWorker = STREAM_OPTIONS.legsPerWorker.default,
      recycleAfter = 1000,
      memoryLimitMb = 1000,
    } = this.options;
    const { log, clock } = this;
    if (media === 'inline') return new InlineHost(clock, stack && chooseStack(stack).stack);
    const {
      maxWorkerDelayMs: maxDelayMs = STREAM_OPTIONS.maxWorkerDelayMs.default,
      minIdlePercent = STREAM_OPTIONS.minIdlePercent.default,
    } = this.options;
    const limits = { legsPerWorker, recycleAfter, memoryLimitMb, maxDelayMs, minIdlePercent };
    return new WorkerPool({ ...limits, ...(stack && { stack }), log, clock });
  }
}

/** Two programs with one user would each count as the other's stale session. */
function programUser({ id }: CallName, onlyListens: boolean): BridgeUser {
  const serial = randomUUID().slice(0, 8);
  return onlyListens
    ? { id: `${LISTENER_PREFIX}${id}-${serial}`, name: 'Listener' }
    : { id: `agent-${id}-${serial}`, name: 'Agent' };
}

/** A client that asks for a transfer would mistake Stream's 401 for ours. */
function withoutStatusOfStream(error: unknown): unknown {
  if (!(error instanceof GatewayError)) return error;
  const { code, message } = error;
  const isOfStream = code === 'GW_STREAM_REFUSED' || code === 'GW_STREAM_UNAVAILABLE';
  return isOfStream ? new GatewayError(code, message, { cause: error }) : error;
}

/** @throws GatewayError `GW_STREAM_USER` for an id that Stream would refuse */
function checkUserId(id: string): void {
  if (/^[A-Za-z0-9_@-]{1,255}$/.test(id)) return;
  throw new GatewayError(
    'GW_STREAM_USER',
    'Expected 1 to 255 of A-Z a-z 0-9 _ @ - for the id of a Stream user but received another text',
  );
}
