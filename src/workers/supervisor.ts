import type { EventEmitter } from 'node:events';
import type { Clock, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { EventBacklog } from './event-backlog.js';
import { MachineCallCounts } from './machine-call-counts.js';
import { MachineMetrics } from './machine-metrics.js';
import { MachineRegistry } from './machine-registry.js';
import { PostOffice } from './post-office.js';
import { RoomOwners } from './room-owners.js';
import { supervisorMetrics } from './supervisor-metrics.js';
import { ALIVE, ALIVE_MS } from './worker-facts.js';

/** A worker's process, as `cluster.fork` of Node makes one. */
export interface Process extends EventEmitter {
  /** Unique, from 1. */
  readonly id: number;
  readonly process: { readonly pid?: number | undefined; kill(signal: NodeJS.Signals): boolean };
  send(message: unknown, callback: (error: Error | null) => void): boolean;
  isConnected(): boolean;
}

export interface SupervisorOptions {
  /** Number of workers, from 2. */
  readonly count: number;
  /** Starts a process for a place. */
  readonly fork: (place: number) => Process;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Worker {
  readonly place: number;
  readonly process: Process;
  readonly startedAt: number;
  /** True when it serves; false if it ended before. */
  readonly serves: Promise<boolean>;
  readonly ended: Promise<void>;
  isServing: boolean;
  /** When it last said that it is alive, by the clock that stops while this process does. */
  aliveAt: number;
  /** It took the place of one that had died: if it dies, too, the next is tried. */
  readonly isReplacement: boolean;
  /** It was told to stop. */
  isLeaving: boolean;
}

/** A worker that lived this long gets a replacement at once. */
const STEADY_MS = 10_000;
/** Pauses before further replacements: the first, and the longest. */
const PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;
/** A worker that does not serve within this time is stuck. */
const START_MS = 60_000;
/** A worker that serves and has not said for so long that it is alive: its event loop is stuck. */
const STUCK_MS = 10_000;
/** Most messages on their way to a worker that does not read; beyond that, it counts as gone. */
const MAX_UNREAD = 20_000;

/**
 * Runs the workers of a machine: starts them, replaces those that die, and at a request all of them one after the other.
 * Holds what they share: the registry of calls, the owners of rooms, the post office, the machine's events and metrics.
 */
export class Supervisor {
  readonly office: PostOffice;
  /** Workers that were replaced because they had died. */
  restarts = 0;
  private readonly registry: MachineRegistry;
  private readonly current = new Map<number, Worker>();
  private readonly all = new Set<Worker>();
  /** What to do when a worker begins to serve. */
  private readonly beginnings = new Map<number, () => void>();
  private readonly watch: Timer;
  private stops = 0;
  private failures = 0;
  private rolling: Promise<void> | undefined;
  private isRollAsked = false;

  constructor(private readonly options: SupervisorOptions) {
    const { clock, log, count } = options;
    this.office = new PostOffice((error) =>
      log.error({ err: error }, 'failed to handle a message of a worker'),
    );
    this.registry = new MachineRegistry(this.office, clock);
    new RoomOwners(this.office);
    new EventBacklog(this.office);
    new MachineCallCounts(this.office, clock);
    new MachineMetrics(this.office, supervisorMetrics(this), clock);
    this.office.onChange((worker, isServing) => {
      if (isServing) this.beginnings.get(worker)?.();
    });
    this.watch = clock.every(ALIVE_MS, () => this.killStuck());
    this.watch.unref();
    this.office.handle(ALIVE, (_, from) => {
      for (const worker of this.all) if (worker.process.id === from) worker.aliveAt = clock.runningMs();
    });
    this.office.handle('state', () => ({
      count,
      workers: this.office.serving.length,
      restarts: this.restarts,
    }));
  }

  /**
   * Starts all workers; the first alone, so that what is wrong with settings and ports is said once.
   * @throws GatewayError `GW_WORKER_FAILED` if one of them ends before it serves; all others are stopped then
   */
  async start(): Promise<void> {
    const starts = (places: number[]) => Promise.all(places.map((place) => this.launch(place).serves));
    const places = Array.from({ length: this.options.count }, (_, i) => i + 1);
    const serve =
      (await starts(places.slice(0, 1))).every(Boolean) && (await starts(places.slice(1))).every(Boolean);
    if (serve) return;
    const wasStopped = this.stops > 0;
    if (!wasStopped) this.stop();
    await this.ended();
    if (!wasStopped) throw new GatewayError('GW_WORKER_FAILED', 'A worker could not start: its log says why');
  }

  /**
   * Replaces all workers one after the other: each new one serves before the old one hands over its calls and ends. Stops
   * at a new one that does not serve; those before stay.
   */
  roll(): void {
    this.isRollAsked = true;
    this.rolling ??= this.rollAll().finally(() => {
      this.rolling = undefined;
    });
  }

  /** The first time, workers wait for their calls; the second time they end them; the third time they are killed. */
  stop(): void {
    this.stops += 1;
    // Each of them would otherwise hand its calls to the next one.
    this.registry.drain();
    for (const worker of this.all) {
      if (this.stops > 2) worker.process.process.kill('SIGKILL');
      else this.stopOne(worker, this.stops);
    }
  }

  /** Resolves when no worker is left. */
  async ended(): Promise<void> {
    while (this.all.size > 0) await Promise.all([...this.all].map((worker) => worker.ended));
    this.registry.close();
    this.options.clock.cancel(this.watch);
  }

  /** A worker that is stuck keeps its calls silent, and lets new ones wait: others do better. */
  private killStuck(): void {
    const now = this.options.clock.runningMs();
    for (const { place, process, isServing, aliveAt } of this.all) {
      if (now - aliveAt < (isServing ? STUCK_MS : START_MS)) continue;
      this.options.log.error(
        { place, worker: process.id },
        isServing ? 'a worker is stuck' : 'a worker does not start',
      );
      process.process.kill('SIGKILL');
    }
  }

  private async rollAll(): Promise<void> {
    const { log, count } = this.options;
    while (this.isRollAsked && this.stops === 0) {
      this.isRollAsked = false;
      for (let place = 1; place <= count && this.stops === 0; place++) {
        const old = this.current.get(place);
        const next = this.launch(place);
        if (!(await next.serves)) {
          if (this.stops === 0) log.error({ place }, 'the new worker did not start: those before stay');
          if (old !== undefined && this.all.has(old)) this.current.set(place, old);
          else this.replace(place);
          break;
        }
        log.info({ place, worker: next.process.id, instead: old?.process.id }, 'worker replaced');
        if (old === undefined) continue;
        this.stopOne(old, 1);
        await old.ended;
      }
    }
  }

  private stopOne(worker: Worker, stage: number): void {
    worker.isLeaving = true;
    this.office.notify(worker.process.id, 'stop', { stage });
  }

  private launch(place: number, isReplacement = false): Worker {
    const { clock, log } = this.options;
    const process = this.options.fork(place);
    let noteServes: (serves: boolean) => void = () => {};
    const serves = new Promise<boolean>((resolve) => {
      noteServes = resolve;
    });
    const ended = new Promise<void>((resolve) => process.once('exit', () => resolve()));
    const worker: Worker = {
      place,
      process,
      startedAt: clock.now(),
      serves,
      ended,
      isServing: false,
      aliveAt: clock.runningMs(),
      isReplacement,
      isLeaving: false,
    };
    this.current.set(place, worker);
    this.all.add(worker);
    let unread = 0;
    const read = () => {
      unread -= 1;
    };
    this.beginnings.set(process.id, () => {
      worker.isServing = true;
      worker.aliveAt = clock.runningMs();
      noteServes(true);
    });
    this.office.add(process.id, {
      send: (message) => {
        if (!process.isConnected() || unread >= MAX_UNREAD) return false;
        unread += 1;
        process.send(message, read);
        return true;
      },
    });
    process.on('message', (message: unknown) => this.office.receive(process.id, message));
    // An IPC channel that breaks is a process that ends.
    process.on('error', (error: Error) => log.error({ place, err: error }, 'a worker cannot be reached'));
    process.once('exit', (code: number | null, signal: string | null) => {
      this.all.delete(worker);
      this.beginnings.delete(process.id);
      this.office.remove(process.id);
      noteServes(false);
      this.onEnded(worker, code, signal);
    });
    if (this.stops > 0) this.stopOne(worker, this.stops);
    return worker;
  }

  private onEnded(worker: Worker, code: number | null, signal: string | null): void {
    const { place, isServing, isReplacement, isLeaving, startedAt } = worker;
    const isCurrent = this.current.get(place) === worker;
    if (isCurrent) this.current.delete(place);
    const { clock, log } = this.options;
    if (this.stops > 0 || isLeaving) return;
    // One that never served is for the first start or the roll that launched it.
    if (!isServing && !isReplacement) return;
    this.failures = clock.now() - startedAt > STEADY_MS ? 0 : this.failures + 1;
    const pauseMs = this.failures < 2 ? 0 : Math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ** (this.failures - 2));
    log.error(
      { place, worker: worker.process.id, code, signal, pauseMs },
      'a worker has died: starting another',
    );
    if (isCurrent) clock.after(pauseMs, () => this.replace(place));
  }

  private replace(place: number): void {
    if (this.stops > 0 || this.current.has(place)) return;
    this.restarts += 1;
    this.launch(place, true);
  }
}
