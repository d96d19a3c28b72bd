import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { Clock, Timer } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import type { Logger } from '../../telemetry/log.js';
import { JoinQueue } from './join-queue.js';
import type { MediaHost } from './media-host.js';
import { MediaLoad, type ProcessorTimes, processorTimes } from './media-load.js';
import { MAX_LEGS_PER_WORKER, MAX_WRTC_LEGS } from './options.js';
import type { ParticipantListener, ParticipantRequest, PlacedParticipant } from './participant.js';
import { publicReason } from './public-reason.js';
import type { StackChoice } from './stack-choice.js';
import { forkMediaWorker, MediaWorker, type WorkerListener } from './worker.js';

export interface WorkerPoolOptions {
  /** Legs a worker carries at a time, 1…100, with libwebrtc no more than 50. */
  readonly legsPerWorker: number;
  /** Legs after which a worker is replaced, once it is empty. */
  readonly recycleAfter: number;
  /** Resident memory in megabytes after which a worker is replaced, once it is empty. */
  readonly memoryLimitMb: number;
  readonly log: Logger;
  readonly clock: Clock;
  /** Timer delay of a worker, in milliseconds, above which the pool is overloaded; default 0: never. */
  readonly maxDelayMs?: number;
  /** Below this percentage of idle processor time, a third of that delay is enough; default 0. */
  readonly minIdlePercent?: number;
  /** WebRTC of the workers; default `auto`. */
  readonly stack?: StackChoice;
  /** Starts a worker's process; default {@link forkMediaWorker}. */
  readonly fork?: (stack: StackChoice) => ChildProcess;
  /** CPU time of a worker's main thread; default {@link mainThreadMs}. */
  readonly timeOf?: (pid: number) => number | undefined;
  /** Default {@link processorTimes}. */
  readonly processors?: () => ProcessorTimes;
}

/** A media worker as an operator sees it. */
export interface MediaWorkerState {
  /** Id of its process. */
  readonly pid: number;
  /** Legs it carries, including those that are leaving. */
  readonly legs: number;
  readonly isReady: boolean;
  /** Whether it exits once it is empty. */
  readonly isRetiring: boolean;
  /** Resident memory as last reported, at most half a second ago. */
  readonly rssBytes: number;
  /** CPU time so far, and 90th percentile of the timer delay in the last second, both in milliseconds. */
  readonly cpuMs: number;
  readonly lateMs: number;
}

/** A spare is started when the join that took the last one has had the machine to itself. */
const SPARE_AFTER_MS = 1_000;
/** A start takes a second of CPU: on a busy machine it waits, up to this long. */
const SPARE_PATIENCE_MS = 30_000;
/** Joins at a time in one worker, whose thread is that of its running calls, and in all for each processor. */
const JOINS_PER_WORKER = 4;
const JOINS_PER_PROCESSOR = 4;
/** Pause between the ends of two hung workers, so that the calls of the first can rejoin. */
const REPLACE_MS = 5_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** So many crashes of workers on the lean stack within this time are no accident. */
const MOST_CRASHES = 3;
const CRASHES_MS = 600_000;

/**
 * Media workers: as many as the calls need, and a warm spare for the next call and for the calls of a worker that
 * dies.
 */
export class WorkerPool implements MediaHost {
  /** Workers that died, for the metrics. */
  deaths = 0;
  private readonly workers = new Set<MediaWorker>();
  private droppedByPast = 0;
  private isClosed = false;
  /** Consecutive workers that died before they were ready; limits restarts. */
  private failures = 0;
  private restart: Timer | undefined;
  private readonly joins: JoinQueue;
  private readonly load: MediaLoad;
  private replacedAt = Number.NEGATIVE_INFINITY;
  private spareMissedAt: number | undefined;
  /** WebRTC of the next workers. */
  private stack: StackChoice;
  /** Why `auto` no longer tries the lean stack. */
  private whyNotLean: string | undefined;
  /** When workers on the lean stack crashed, the last few. */
  private crashes: readonly number[] = [];
  private spareDiedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: WorkerPoolOptions) {
    const {
      clock,
      stack = 'auto',
      maxDelayMs = 0,
      minIdlePercent = 0,
      processors = processorTimes,
    } = options;
    this.stack = stack;
    this.joins = new JoinQueue(clock, JOINS_PER_PROCESSOR * availableParallelism(), JOINS_PER_WORKER);
    this.load = new MediaLoad(
      { maxDelayMs, minIdlePercent },
      {
        delayMs: () => this.delayMs(),
        waitMs: () => this.joins.waitFor(this.promised()),
        joinMs: () => this.joins.recentMs,
        processors,
      },
      clock,
    );
  }

  /** Whether another call would hurt the current ones. */
  get isOverloaded(): boolean {
    return this.load.isTooMuch;
  }

  /** WebRTC of the latest worker that is ready, and why it is not a better one; `undefined` before there is one. */
  get webrtc(): string | undefined {
    const latest = [...this.workers].reverse().find(({ webrtc }) => webrtc !== undefined)?.webrtc;
    return latest === undefined || this.whyNotLean === undefined ? latest : `${latest}; ${this.whyNotLean}`;
  }

  async open(): Promise<void> {
    this.isClosed = false;
    this.load.start();
    this.keepSpare();
    const [first] = this.workers;
    await first?.ready;
  }

  /** @throws GatewayError `GW_STREAM_CLOSED` once it is closed */
  place(request: ParticipantRequest, listener: ParticipantListener): PlacedParticipant {
    if (this.isClosed) {
      throw new GatewayError('GW_STREAM_CLOSED', 'The Stream bridge is closed');
    }
    const worker = this.roomiest() ?? this.start();
    const placed = worker.place(request, listener);
    if (worker.placed >= this.options.recycleAfter) worker.isRetiring = true;
    this.keepSpareSoon(SPARE_AFTER_MS);
    return placed;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.load.stop();
    this.options.clock.cancel(this.restart);
    this.restart = undefined;
    await Promise.all([...this.workers].map((worker) => worker.close()));
  }

  /** Each worker, in the order they were started. */
  list(): MediaWorkerState[] {
    return [...this.workers].map(({ pid, load, isReady, isRetiring, vitals, lateMs }) => ({
      pid,
      legs: load,
      isReady,
      isRetiring,
      rssBytes: vitals.rss,
      cpuMs: vitals.cpuMs,
      lateMs,
    }));
  }

  /** Current state of each worker. */
  census() {
    let legs = 0;
    let dropped = this.droppedByPast;
    let rssBytes = 0;
    for (const worker of this.workers) {
      legs += worker.load;
      dropped += worker.vitals.dropped + worker.pipe.dropped;
      rssBytes += worker.vitals.rss;
    }
    return {
      workers: this.workers.size,
      legs,
      dropped,
      deaths: this.deaths,
      rssBytes,
      workerDelayMs: this.delayMs(),
      joinMs: Math.round(this.joins.recentMs),
    };
  }

  /**
   * The busy worker with the fewest legs; the spare if all are full. A worker that is ready is preferred to one that is
   * starting.
   */
  private roomiest(): MediaWorker | undefined {
    const open = [...this.workers].filter(
      ({ isRetiring, load, webrtc }) => !isRetiring && load < this.mostLegs(webrtc),
    );
    const rank = (worker: MediaWorker) =>
      (worker.isReady ? 0 : 1000) +
      (worker.isSilent ? 500 : 0) +
      (worker.isIdle ? MAX_LEGS_PER_WORKER : worker.load);
    return open.sort((a, b) => rank(a) - rank(b))[0];
  }

  /** Until a worker tells its WebRTC, it may be libwebrtc. */
  private mostLegs(webrtc: string | undefined): number {
    const { legsPerWorker } = this.options;
    return webrtc === 'lean' ? legsPerWorker : Math.min(legsPerWorker, MAX_WRTC_LEGS);
  }

  private start(): MediaWorker {
    const choice = this.stack;
    const listener: WorkerListener = {
      freed: () => this.freed(worker),
      gone: (_, reason, legs) => this.gone(worker, choice, reason, legs),
      mayReplace: () => this.mayReplace(worker),
      unfit: (_, reason) => {
        this.giveUpLean(reason);
        this.keepSpare();
      },
      fault: (_, message) =>
        this.options.log.warn({ worker: worker.pid, message }, 'a fault in a media worker'),
    };
    const { clock, fork = forkMediaWorker, timeOf } = this.options;
    const start = () => fork(choice);
    const worker: MediaWorker = new MediaWorker(listener, clock, this.joins, start, timeOf);
    this.workers.add(worker);
    worker.ready.then(
      () => {
        this.failures = 0;
        this.options.log.debug({ worker: worker.pid }, 'media worker ready');
      },
      () => {},
    );
    return worker;
  }

  private keepSpare(): void {
    if (this.isClosed || this.restart !== undefined) return;
    const spares = [...this.workers].filter(({ isRetiring, isIdle }) => !isRetiring && isIdle);
    if (spares.length > 0) this.spareMissedAt = undefined;
    else this.startSpare();
    // One spare is enough; ended calls leave more behind.
    for (const spare of spares.slice(1)) void this.retire(spare);
  }

  private startSpare(): void {
    const now = this.options.clock.now();
    this.spareMissedAt ??= now;
    if (this.workers.size > 0 && this.isOverloaded && now - this.spareMissedAt < SPARE_PATIENCE_MS) {
      this.keepSpareSoon(SPARE_AFTER_MS);
      return;
    }
    this.spareMissedAt = undefined;
    this.start();
  }

  private freed(worker: MediaWorker): void {
    if (worker.vitals.rss > this.options.memoryLimitMb * 1_000_000) worker.isRetiring = true;
    if (!worker.isIdle) return;
    if (worker.isRetiring) void this.retire(worker);
    this.keepSpare();
  }

  /** Ends hung workers one at a time: starts and rejoins slow the others down. One that never got ready is exempt. */
  private mayReplace(worker: MediaWorker): boolean {
    const now = this.options.clock.runningMs();
    if (worker.isReady) {
      const isStarting = [...this.workers].some(({ isReady, isClosing }) => !isReady && !isClosing);
      if (isStarting || now - this.replacedAt < REPLACE_MS) return false;
    }
    if (!worker.isIdle) this.replacedAt = now;
    return true;
  }

  /** How late the latest worker is. */
  private delayMs(): number {
    let latest = 0;
    for (const { isReady, lateMs } of this.workers) if (isReady) latest = Math.max(latest, lateMs);
    return latest;
  }

  /** Legs that will join soon. */
  private promised(): number {
    let count = 0;
    for (const worker of this.workers) count += worker.promised;
    return count;
  }

  private async retire(worker: MediaWorker): Promise<void> {
    worker.isRetiring = true;
    await worker.close();
  }

  private gone(worker: MediaWorker, choice: StackChoice, reason: string, legs: number): void {
    this.workers.delete(worker);
    this.droppedByPast += worker.vitals.dropped + worker.pipe.dropped;
    if (this.isClosed || worker.isClosing) return;
    this.deaths += 1;
    this.options.log.error({ worker: worker.pid, legs, reason }, 'media worker died');
    if (worker.hasCrashed) this.judge(worker, choice, reason);
    if (worker.isReady) {
      // Later, once its calls have rejoined.
      if (legs > 0) this.keepSpareSoon(SPARE_AFTER_MS);
      else this.replaceSpare();
      return;
    }
    this.failures += 1;
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** (this.failures - 1), LONGEST_PAUSE_MS);
    this.keepSpareSoon(pause);
  }

  /** A spare that dies after another one would die again: calls start workers of their own meanwhile. */
  private replaceSpare(): void {
    const now = this.options.clock.runningMs();
    const isAgain = now - this.spareDiedAt < 2 * LONGEST_PAUSE_MS;
    this.spareDiedAt = now;
    if (isAgain) this.keepSpareSoon(LONGEST_PAUSE_MS);
    else this.keepSpare();
  }

  /** Gives up a lean stack that crashes while it loads, or again and again; takes it back if there is no other. */
  private judge({ isReady, webrtc }: MediaWorker, choice: StackChoice, reason: string): void {
    if (!isReady && choice === 'wrtc' && this.whyNotLean !== undefined) {
      this.stack = 'lean';
      this.whyNotLean = undefined;
      this.options.log.warn(
        { reason },
        'Stream calls run on the lean stack again, since libwebrtc does not load',
      );
      return;
    }
    if (isReady) {
      if (webrtc !== 'lean') return;
      const now = this.options.clock.runningMs();
      this.crashes = [...this.crashes.filter((at) => now - at < CRASHES_MS), now];
      if (this.crashes.length < MOST_CRASHES) return;
    }
    this.giveUpLean(reason);
  }

  /** `auto` falls back to libwebrtc from the next worker on; those there are carry their calls to the end, and no more. */
  private giveUpLean(reason: string): void {
    if (this.stack !== 'auto') return;
    this.stack = 'wrtc';
    this.whyNotLean = publicReason(reason);
    this.options.log.warn({ reason }, 'Stream calls run on libwebrtc from now on');
    for (const worker of [...this.workers]) {
      worker.isRetiring = true;
      if (worker.isIdle) void this.retire(worker);
    }
  }

  private keepSpareSoon(ms: number): void {
    this.restart ??= this.options.clock.after(ms, () => {
      this.restart = undefined;
      this.keepSpare();
    });
  }
}
