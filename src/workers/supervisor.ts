import { EventEmitter } from 'node:events';
import type { Clock, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { boundedChannel } from './channel.js';
import { EventBacklog } from './event-backlog.js';
import { MachineCallCounts } from './machine-call-counts.js';
import { MachineMetrics } from './machine-metrics.js';
import { MachineRegistry } from './machine-registry.js';
import { PostOffice } from './post-office.js';
import { RoomOwners } from './room-owners.js';
import { supervisorMetrics } from './supervisor-metrics.js';
import { ALIVE, ALIVE_MS, LEAVING } from './worker-facts.js';

/** A worker's process, as `cluster.fork` of Node makes one. */
export interface Child extends EventEmitter {
  /** Unique, from 1. */
  readonly id: number;
  /** Without a `pid` where no process could be started. */
  readonly process: { readonly pid?: number | undefined; kill(signal: NodeJS.Signals): boolean };
  send(message: unknown, callback: (error: Error | null) => void): boolean;
  isConnected(): boolean;
}

export interface SupervisorOptions {
  /** Number of workers, from 2. */
  readonly count: number;
  /** Starts a process for a place. */
  readonly fork: (place: number) => Child;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Worker {
  readonly place: number;
  readonly child: Child;
  readonly startedAt: number;
  /** It took the place of one that had died: if it dies, too, the next is tried. */
  readonly isReplacement: boolean;
  /** True when it serves; false if it ended before. */
  readonly serves: Promise<boolean>;
  readonly ended: Promise<void>;
  isServing: boolean;
  /** When it last said that it is alive, by the clock that stops while this process does. */
  aliveAt: number;
  /** It was told to stop, or stops by itself. */
  isLeaving: boolean;
  noteServes(serves: boolean): void;
  noteEnded(): void;
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
/**
 * Runs the workers of a machine: starts them, replaces those that die, and at a request all of them.
 * Holds what they share: the registry of calls, the owners of rooms, the post office, the machine's events and metrics.
 */
export class Supervisor {
  readonly office: PostOffice;
  /** Workers that were replaced because they had died. */
  restarts = 0;
  private readonly registry: MachineRegistry;
  /** Every process that has not ended, by its number. */
  private readonly workers = new Map<number, Worker>();
  /** The latest one of each place. */
  private readonly current = new Map<number, Worker>();
  /** Places that wait for a replacement. */
  private readonly pauses = new Map<number, Timer>();
  private readonly watch: Timer;
  private noteEnded: () => void = () => {};
  /** Resolves when it was stopped and no worker is left. */
  readonly ended = new Promise<void>((resolve) => {
    this.noteEnded = resolve;
  });
  private isStarted = false;
  private stops = 0;
  private failures = 0;
  private isRolling = false;
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
    this.office.onChange((number, isServing) => {
      const worker = this.workers.get(number);
      if (!isServing || worker === undefined) return;
      worker.isServing = true;
      worker.aliveAt = clock.runningMs();
      worker.noteServes(true);
    });
    this.watch = clock.every(ALIVE_MS, () => this.killStuck());
    this.watch.unref();
    this.office.handle(ALIVE, (_, from) => {
      const worker = this.workers.get(from);
      if (worker !== undefined) worker.aliveAt = clock.runningMs();
    });
    this.office.handle(LEAVING, (_, from) => {
      const worker = this.workers.get(from);
      if (worker === undefined || worker.isLeaving) return;
      worker.isLeaving = true;
      log.info({ place: worker.place, worker: from }, 'a worker was told to stop: starting another');
      if (this.current.get(worker.place) === worker && this.stops === 0) this.launch(worker.place, true);
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
    if (serve) {
      this.isStarted = true;
      this.rollIfAsked();
      return;
    }
    const wasStopped = this.stops > 0;
    if (!wasStopped) this.stop();
    await this.ended;
    if (!wasStopped) throw new GatewayError('GW_WORKER_FAILED', 'A worker could not start: its log says why');
  }

  /**
   * Replaces all workers, as soon as all have started: new ones start one after the other, then the old ones hand over their
   * calls and end. If a new one does not serve, the old workers stay.
   */
  roll(): void {
    this.isRollAsked = true;
    this.rollIfAsked();
  }

  /** The first time, workers wait for their calls; the second time they end them; the third time they are killed. */
  stop(): void {
    this.stops += 1;
    for (const pause of this.pauses.values()) this.options.clock.cancel(pause);
    this.pauses.clear();
    for (const worker of this.workers.values()) {
      if (this.stops > 2) worker.child.process.kill('SIGKILL');
      else this.stopOne(worker, this.stops);
    }
    this.endIfDone();
  }

  private endIfDone(): void {
    if (this.stops === 0 || this.workers.size > 0) return;
    this.registry.close();
    this.options.clock.cancel(this.watch);
    this.noteEnded();
  }

  /** A stuck worker keeps its calls silent and new ones waiting, so it is killed. */
  private killStuck(): void {
    const now = this.options.clock.runningMs();
    for (const { place, child, isServing, aliveAt } of this.workers.values()) {
      if (now - aliveAt < (isServing ? STUCK_MS : START_MS)) continue;
      const what = isServing ? 'a worker is stuck' : 'a worker does not start';
      this.options.log.error({ place, worker: child.id }, what);
      child.process.kill('SIGKILL');
    }
  }

  private rollIfAsked(): void {
    if (!this.isRollAsked || !this.isStarted || this.isRolling) return;
    this.isRolling = true;
    void this.rollAll().finally(() => {
      this.isRolling = false;
      this.rollIfAsked();
    });
  }

  private async rollAll(): Promise<void> {
    const { log, count } = this.options;
    this.isRollAsked = false;
    const old = new Map(this.current);
    for (let place = 1; place <= count && this.stops === 0; place++) {
      const next = this.launch(place);
      if (await next.serves) {
        log.info({ place, worker: next.child.id, instead: old.get(place)?.child.id }, 'a new worker serves');
        continue;
      }
      if (this.stops === 0) this.unroll(old, place);
      return;
    }
    // All at once: a call is handed over to a new worker, never to one that leaves next.
    for (const worker of old.values()) if (this.stops === 0) this.stopOne(worker, 1);
    await Promise.all([...old.values()].map(({ ended }) => ended));
    if (this.stops === 0) log.info({ workers: count }, 'all workers replaced');
  }

  /** The new worker of this place did not start: the new ones before it leave, and the old ones stay. */
  private unroll(old: ReadonlyMap<number, Worker>, failed: number): void {
    this.options.log.error({ place: failed }, 'the new worker did not start: the old workers stay');
    for (let place = 1; place <= failed; place++) {
      const next = this.current.get(place);
      const before = old.get(place);
      const isThere = before !== undefined && this.workers.has(before.child.id);
      if (isThere) this.current.set(place, before);
      if (next === undefined) {
        if (!isThere) this.replace(place);
      } else if (isThere) this.stopOne(next, 1);
    }
  }

  private stopOne(worker: Worker, stage: number): void {
    worker.isLeaving = true;
    this.office.notify(worker.child.id, 'stop', { stage, isLast: this.stops > 0 });
  }

  private launch(place: number, isReplacement = false): Worker {
    const { clock, log } = this.options;
    let child: Child;
    try {
      child = this.options.fork(place);
    } catch (error) {
      log.error({ place, err: error }, 'a worker could not be started');
      child = new NoChild();
    }
    const [serves, noteServes] = promised<boolean>();
    const [ended, noteEnded] = promised<void>();
    const worker: Worker = {
      place,
      child,
      startedAt: clock.now(),
      isReplacement,
      serves,
      ended,
      isServing: false,
      aliveAt: clock.runningMs(),
      isLeaving: false,
      noteServes,
      noteEnded,
    };
    this.current.set(place, worker);
    this.workers.set(child.id, worker);
    this.office.add(
      child.id,
      boundedChannel(
        () => child.isConnected(),
        (message, onLeft) => child.send(message, onLeft),
      ),
    );
    child.on('message', (message: unknown) => this.office.receive(child.id, message));
    child.on('error', (error: Error) => {
      log.error({ place, err: error }, 'a worker cannot be reached');
      // Where no process could be started, Node reports no end of it.
      if (child.process.pid === undefined) this.onEnded(worker, null, null);
    });
    child.once('exit', (code: number | null, signal: string | null) => this.onEnded(worker, code, signal));
    if (child instanceof NoChild) setImmediate(() => this.onEnded(worker, null, null));
    if (this.stops > 0) this.stopOne(worker, this.stops);
    return worker;
  }

  private onEnded(worker: Worker, code: number | null, signal: string | null): void {
    const { place, child, isServing, isReplacement, isLeaving, startedAt } = worker;
    if (!this.workers.delete(child.id)) return;
    this.office.remove(child.id);
    const isCurrent = this.current.get(place) === worker;
    if (isCurrent) this.current.delete(place);
    worker.noteServes(false);
    worker.noteEnded();
    this.endIfDone();
    if (this.stops > 0 || isLeaving) return;
    // One that never served is for the first start or the roll that launched it.
    if (!isServing && !isReplacement) return;
    const { clock, log } = this.options;
    this.failures = clock.now() - startedAt > STEADY_MS ? 0 : this.failures + 1;
    const pauseMs = this.failures < 2 ? 0 : Math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ** (this.failures - 2));
    log.error({ place, worker: child.id, code, signal, pauseMs }, 'a worker has died: starting another');
    if (!isCurrent) return;
    const pause = clock.after(pauseMs, () => {
      this.pauses.delete(place);
      this.replace(place);
    });
    this.pauses.set(place, pause);
  }

  private replace(place: number): void {
    if (this.stops > 0 || this.current.has(place)) return;
    this.restarts += 1;
    this.launch(place, true);
  }
}

/** In place of a process that could not be started. */
class NoChild extends EventEmitter implements Child {
  private static lastId = 0;
  readonly process = { kill: () => false };
  /** None that Node gives. */
  readonly id = --NoChild.lastId;

  isConnected(): boolean {
    return false;
  }

  send(): boolean {
    return false;
  }
}

function promised<T>(): [promise: Promise<T>, resolve: (value: T) => void] {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return [promise, resolve];
}
