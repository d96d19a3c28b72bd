import { type ChildProcess, fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { type Duplex, PassThrough } from 'node:stream';
import type { Clock, Timer } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import type { IngressTime } from '../../telemetry/ingress-time.js';
import { FramePipe } from './frame-pipe.js';
import type { Join, JoinQueue } from './join-queue.js';
import type { Departure, ParticipantListener, ParticipantRequest, PlacedParticipant } from './participant.js';
import type { StackChoice } from './stack-choice.js';
import { mainThreadMs } from './thread-time.js';
import type { FromWorker, ToWorker, WorkerVitals } from './worker-messages.js';

const PING_INTERVAL_MS = 500;
/** Unanswered pings after which an idle worker counts as hung: two seconds. */
const MAX_IDLE = 4;
/** The same for a worker that uses CPU, or may: it is perhaps only slow. 15 seconds. */
const MAX_UNANSWERED = 30;
/** Longest wait for the last frames of a leg, which may have been dropped. */
const FRAMES_TIMEOUT_MS = 200;
const START_TIMEOUT_MS = 20_000;
/** A leg placed longer ago that has not asked to join belongs to a ringing phone. */
const LATELY_MS = 3_000;
/** Time to leave its calls before it is killed. */
const END_TIMEOUT_MS = 10_000;
/** Tail of a worker's standard error that is kept for the log. */
const MAX_LAST_WORDS = 1_000;
/** Ends by what was run, rather than by who runs it. */
const CRASHES: ReadonlySet<unknown> = new Set([
  'SIGSEGV',
  'SIGABRT',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGTRAP',
]);

/** Events of a worker, for its pool. */
export interface WorkerListener {
  /** A seat became free. */
  freed(worker: MediaWorker): void;
  /** Its process has exited, with this many legs; each is notified next. */
  gone(worker: MediaWorker, reason: string, legs: number): void;
  /** It hangs. Returns whether it may be replaced now; if not, it asks again later. */
  mayReplace(worker: MediaWorker): boolean;
  /** Its WebRTC cannot do what a media server asks for. */
  unfit(worker: MediaWorker, reason: string): void;
  /** A fault that it survived. */
  fault(worker: MediaWorker, message: string): void;
}

/** A media worker as the gateway sees it: a child process with seats for legs. */
export class MediaWorker {
  /** Resolves when it can carry legs; rejects if it never will. */
  readonly ready: Promise<void>;
  readonly pid: number;
  /** Number of legs so far. */
  placed = 0;
  /** Whether it accepts no more legs. */
  isRetiring = false;
  isReady = false;
  /** Its WebRTC, and why it is not a better one; `undefined` until it is ready. */
  webrtc: string | undefined;
  /** Whether it was asked to exit. */
  isClosing = false;
  /** Whether its process ended by a fault of its own. */
  hasCrashed = false;
  vitals: WorkerVitals = { rss: 0, cpuMs: 0, lateMs: 0, dropped: 0 };
  readonly pipe: FramePipe;
  private readonly process: ChildProcess;
  private readonly legs = new Map<number, Leg>();
  private readonly departing = new Set<number>();
  private readonly timer: Timer;
  private unanswered = 0;
  /** Of those, the latest in which it did nothing, and its main thread's time as of the latest. */
  private idle = 0;
  private threadMs: number | undefined;
  private nextLeg = 1;
  private lastWords = '';
  private verdict: string | undefined;
  private isGone = false;
  private readonly exited: Promise<void>;

  constructor(
    private readonly listener: WorkerListener,
    private readonly clock: Clock,
    private readonly joins: JoinQueue,
    start: () => ChildProcess,
    private readonly timeOf = mainThreadMs,
  ) {
    this.process = start();
    // The process could not be made at all: there will be no exit, and there are no pipes.
    this.process.once('error', (error) => {
      this.verdict ??= error.message;
      if (this.process.pid === undefined) this.process.emit('exit', null, null);
    });
    this.pid = this.process.pid ?? 0;
    this.pipe = new FramePipe(
      (this.process.stdio?.[3] as Duplex | undefined) ?? new PassThrough(),
      (leg, frame, stamp, loudness) => this.legs.get(leg)?.listener.write(frame, stamp, loudness),
    );
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.lastWords = (this.lastWords + text).slice(-MAX_LAST_WORDS);
    });
    this.process.once('exit', (code, signal) => {
      this.hasCrashed = signal === null ? (code ?? 0) !== 0 : CRASHES.has(signal);
      this.verdict ??= signal === null ? `exit code ${code}` : `${signal}`;
    });
    this.ready = new Promise((resolve, reject) => {
      this.process.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          this.isReady = true;
          this.webrtc = message.reason === undefined ? message.stack : `${message.stack}; ${message.reason}`;
          this.unanswered = 0;
          resolve();
        } else this.handleMessage(message);
      });
      this.process.once('exit', () => reject(new GatewayError('GW_STREAM_WORKER', this.reason())));
    });
    this.ready.catch(() => {});
    this.exited = new Promise((resolve) => {
      this.process.once('exit', () => {
        this.end();
        resolve();
      });
    });
    this.timer = this.clock.every(PING_INTERVAL_MS, () => this.ping());
  }

  /** Seats taken, including those being cleared: their threads still exist. */
  get load(): number {
    return this.legs.size + this.departing.size;
  }

  get isIdle(): boolean {
    return this.load === 0;
  }

  /** Legs about to join: they have asked to, or were placed a moment ago. */
  get promised(): number {
    const lately = this.clock.now() - LATELY_MS;
    let count = 0;
    for (const { isIn, join, placedAt } of this.legs.values()) {
      if (!isIn && (join !== undefined || placedAt > lately)) count += 1;
    }
    return count;
  }

  /** Whether it has not answered for a second or more. */
  get isSilent(): boolean {
    return this.unanswered > 2;
  }

  /** Its delay in milliseconds: as last reported, or the time since the last report. */
  get lateMs(): number {
    return Math.max(this.vitals.lateMs, (this.unanswered - 1) * PING_INTERVAL_MS);
  }

  place(request: ParticipantRequest, listener: ParticipantListener): PlacedParticipant {
    const id = this.nextLeg++;
    this.placed += 1;
    const leg: Leg = { listener, placedAt: this.clock.now(), join: undefined, isIn: false, hasLeft: false };
    this.legs.set(id, leg);
    this.send({ type: 'join', leg: id, request });
    return {
      write: (frame: Int16Array, stamp: IngressTime) => {
        if (this.legs.get(id) === leg) this.pipe.write(id, frame, stamp);
      },
      appear: () => {
        if (this.legs.get(id) !== leg) return;
        leg.join ??= this.joins.enqueue(this, () => this.send({ type: 'appear', leg: id }));
      },
      playTones: (digits) => this.send({ type: 'tones', leg: id, digits }),
      mute: (isMuted) => this.send({ type: 'mute', leg: id, isMuted }),
      clear: () => this.send({ type: 'clear', leg: id }),
      followPrograms: (userIds) => this.send({ type: 'programs', leg: id, userIds }),
      hush: (userId, ms) => this.send({ type: 'hush', leg: id, userId, ms }),
      leave: async () => {
        if (this.legs.get(id) !== leg) return;
        if (leg.join !== undefined) this.joins.end(leg.join, false);
        this.send({ type: 'leave', leg: id });
        this.vacate(id, leg);
      },
    };
  }

  /** Asks it to leave its calls and exit, and kills it after a timeout. */
  async close(): Promise<void> {
    if (this.isGone) return;
    this.isRetiring = true;
    this.isClosing = true;
    this.verdict ??= 'closed';
    this.endJoins();
    this.legs.clear();
    this.send({ type: 'end' });
    const patience = this.clock.timeout(END_TIMEOUT_MS, () => this.process.kill('SIGKILL'));
    await this.exited;
    patience.cancel();
  }

  private handleMessage(message: FromWorker): void {
    if (message.type === 'pong') {
      this.unanswered = 0;
      this.vitals = message;
      return;
    }
    if (message.type === 'fault') {
      this.listener.fault(this, message.message);
      return;
    }
    if (message.type === 'ready') return;
    if (message.type === 'unfit') {
      this.listener.unfit(this, message.reason);
      return;
    }
    const leg = this.legs.get(message.leg);
    if (message.type === 'left') {
      // A leg may still wait for its last frames.
      if (leg !== undefined) leg.hasLeft = true;
      else if (this.departing.delete(message.leg)) this.listener.freed(this);
      return;
    }
    if (leg === undefined) return;
    const { listener, join } = leg;
    switch (message.type) {
      case 'prepared':
        listener.prepared();
        break;
      case 'joined':
        leg.isIn = true;
        if (join !== undefined) this.joins.end(join, true);
        listener.joined();
        break;
      case 'others':
        listener.others(message.count);
        break;
      case 'muted':
        listener.muted(message.isMuted, message.by, message.userId);
        break;
      case 'event':
        listener.event(message.custom, message.userId, message.role);
        break;
      case 'tonesRefused':
        listener.tonesRefused(message.message);
        break;
      case 'departed':
        if (join !== undefined) this.joins.end(join, false);
        void this.depart(message.leg, leg, message.departure, message.reason);
        break;
      case 'token':
        void this.answerToken(message.leg, message.id, listener);
        break;
    }
  }

  /** Waits for earlier frames, which take another channel than messages. */
  private async depart(id: number, leg: Leg, departure: Departure, reason: string): Promise<void> {
    await this.clock.within(FRAMES_TIMEOUT_MS, this.pipe.ended(id));
    // The leg may have been released meanwhile.
    if (this.legs.get(id) !== leg) return;
    this.vacate(id, leg);
    leg.listener.departed(departure, reason);
  }

  /** Releases a leg. Its seat is free once the worker reports "left". */
  private vacate(id: number, { hasLeft }: Leg): void {
    this.legs.delete(id);
    if (hasLeft) this.listener.freed(this);
    else this.departing.add(id);
  }

  private async answerToken(leg: number, id: number, listener: ParticipantListener): Promise<void> {
    try {
      this.send({ type: 'token', leg, id, token: await listener.token() });
    } catch (error) {
      this.send({ type: 'token', leg, id, error: error instanceof Error ? error.message : String(error) });
    }
  }

  /** Counted in pings, not in time: after a stall of this process only one answer is due. */
  private ping(): void {
    this.unanswered += 1;
    this.watchThread();
    const patience = this.isReady ? MAX_UNANSWERED : START_TIMEOUT_MS / PING_INTERVAL_MS;
    const isHung = this.unanswered > patience || (this.isReady && this.idle >= MAX_IDLE);
    if (isHung && this.listener.mayReplace(this)) {
      this.verdict ??= 'it hung';
      this.process.kill('SIGKILL');
      return;
    }
    if (this.isReady) this.send({ type: 'ping' });
  }

  /** Whether it used CPU since the previous, unanswered ping. */
  private watchThread(): void {
    const before = this.threadMs;
    this.threadMs = this.timeOf(this.pid);
    const isIdle = this.unanswered > 1 && this.threadMs !== undefined && this.threadMs === before;
    this.idle = isIdle ? this.idle + 1 : 0;
  }

  private endJoins(): void {
    for (const { join } of this.legs.values()) if (join !== undefined) this.joins.end(join, false);
  }

  private send(message: ToWorker): void {
    // A worker that exits reports its end itself.
    if (this.process.connected) this.process.send(message, () => {});
  }

  private end(): void {
    if (this.isGone) return;
    this.isGone = true;
    this.isRetiring = true;
    this.clock.cancel(this.timer);
    this.pipe.close();
    const reason = this.reason();
    const legs = [...this.legs.values()];
    this.endJoins();
    this.legs.clear();
    this.departing.clear();
    this.listener.gone(this, reason, legs.length);
    for (const { listener } of legs) listener.departed('lost', reason);
  }

  private reason(): string {
    const words = this.lastWords.trim();
    return `media worker ${this.pid} is gone: ${this.verdict ?? 'unknown'}${words === '' ? '' : `: ${words}`}`;
  }
}

interface Leg {
  readonly listener: ParticipantListener;
  readonly placedAt: number;
  /** Since it is to appear. */
  join: Join | undefined;
  isIn: boolean;
  /** The worker has freed it. */
  hasLeft: boolean;
}

/** Starts the compiled worker, even if the gateway runs from its sources. */
export function forkMediaWorker(stack: StackChoice): ChildProcess {
  return fork(createRequire(import.meta.url).resolve('#media-worker'), [stack], {
    // No secret may reach a process whose native code talks to the network.
    env: workerEnvironment(),
    execArgv: [],
    serialization: 'json',
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'ipc'],
  });
}

/** Environment variables a process needs to run and to reach Stream. */
const PASSED_ON = [
  ...[
    'PATH',
    'HOME',
    'TMPDIR',
    'LANG',
    'TZ',
    'NODE_OPTIONS',
    'NODE_EXTRA_CA_CERTS',
    'SSL_CERT_FILE',
    'SSL_CERT_DIR',
  ],
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'],
];

function workerEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
  );
}
