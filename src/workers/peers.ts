import type { Clock, Timeout } from '../clock.js';
import { GatewayError } from '../errors.js';
import { receivedError, type SentError, sentError } from '../fleet/sent-error.js';
import type { Channel } from './channel.js';
import type { Letter, Reply, WorkerMessage } from './letter.js';

/** The supervisor's number among the workers. */
export const SUPERVISOR = 0;
/** How long a request waits for its answer, unless it says otherwise. */
export const ANSWER_MS = 2_000;
/** Most requests in flight. */
const MAX_REQUESTS = 10_000;

/** What a process of this machine asks or tells another; both sides must be JSON. */
export type Handler = (about: unknown, from: number) => unknown;

/** The other workers of this machine, which a worker reaches through the supervisor. */
export interface Peers {
  /** Number of this process: unique for the life of the supervisor, from 1. A replacement gets a new one. */
  readonly self: number;
  /** Which of the machine's places this process has, from 1. A replacement takes the place of the one it replaces. */
  readonly place: number;
  /** Workers that serve now, ascending; this one included once it serves. */
  readonly serving: readonly number[];
  /** Whether the supervisor is there. */
  readonly isUp: boolean;
  /**
   * Asks a worker, or the {@link SUPERVISOR}.
   * @throws GatewayError `GW_NODE_GONE` (503) if it is gone or does not answer in time, or the error it answered
   */
  request(to: number, what: string, about: unknown, withinMs?: number): Promise<unknown>;
  /** Asks all other workers that serve; leaves out those that do not answer in time, or answer with an error. */
  requestAll(what: string, about: unknown, withinMs?: number): Promise<{ worker: number; answer: unknown }[]>;
  /** Tells a worker or the supervisor; never throws. */
  notify(to: number, what: string, about: unknown): void;
  /** Tells all other workers that serve; never throws. */
  broadcast(what: string, about: unknown): void;
  /** Handles what others ask or tell under this name. A GatewayError refuses. */
  handle(what: string, handler: Handler): void;
  /** Calls the listener when a worker begins to serve, and when it has left or died. */
  onChange(listener: (worker: number, isServing: boolean) => void): void;
  /** Calls the listener when the supervisor is gone, which is for good. */
  onDown(listener: () => void): void;
}

interface Pending {
  readonly to: number;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: GatewayError) => void;
  readonly timeout: Timeout;
}

/** {@link Peers} over a channel to the supervisor. */
export class SupervisedPeers implements Peers {
  private readonly handlers = new Map<string, Handler>();
  private readonly listeners: ((worker: number, isServing: boolean) => void)[] = [];
  private readonly downListeners: (() => void)[] = [];
  private readonly pending = new Map<number, Pending>();
  private workers: readonly number[] = [];
  private lastId = 0;
  private isConnected = true;

  constructor(
    readonly self: number,
    readonly place: number,
    private readonly channel: Channel,
    private readonly clock: Clock,
    /** Called for faults of a handler. */
    private readonly onFault: (error: unknown) => void,
  ) {}

  get serving(): readonly number[] {
    return this.workers;
  }

  get isUp(): boolean {
    return this.isConnected;
  }

  async request(to: number, what: string, about: unknown, withinMs = ANSWER_MS): Promise<unknown> {
    if (!this.isConnected || this.pending.size >= MAX_REQUESTS) throw gone(to);
    this.lastId += 1;
    const id = this.lastId;
    return new Promise((resolve, reject) => {
      const timeout = this.clock.timeout(withinMs, () => this.settle(id)?.reject(gone(to)));
      this.pending.set(id, { to, resolve, reject, timeout });
      if (!this.channel.send({ to, from: this.self, id, what, about } satisfies Letter))
        this.settle(id)?.reject(gone(to));
    });
  }

  async requestAll(
    what: string,
    about: unknown,
    withinMs?: number,
  ): Promise<{ worker: number; answer: unknown }[]> {
    const others = this.workers.filter((worker) => worker !== this.self);
    const answers = await Promise.allSettled(
      others.map(async (worker) => ({ worker, answer: await this.request(worker, what, about, withinMs) })),
    );
    return answers.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  }

  notify(to: number, what: string, about: unknown): void {
    this.channel.send({ to, from: this.self, what, about } satisfies Letter);
  }

  broadcast(what: string, about: unknown): void {
    for (const worker of this.workers) if (worker !== this.self) this.notify(worker, what, about);
  }

  handle(what: string, handler: Handler): void {
    this.handlers.set(what, handler);
  }

  onChange(listener: (worker: number, isServing: boolean) => void): void {
    this.listeners.push(listener);
  }

  onDown(listener: () => void): void {
    this.downListeners.push(listener);
  }

  /** Tells the supervisor, and through it the others, that this worker serves. */
  serve(): void {
    this.channel.send({ serves: true } satisfies WorkerMessage);
  }

  /** Handles a message of the supervisor. */
  receive(message: unknown): void {
    const { re, workers, what, about, from, id, answer, error } = (message ?? {}) as Partial<
      Letter & Reply & { workers: readonly number[] }
    >;
    if (Array.isArray(workers)) this.setWorkers(workers);
    else if (typeof re === 'number') {
      const pending = this.settle(re);
      if (error === undefined) pending?.resolve(answer);
      else pending?.reject(receivedError(error));
    } else if (typeof what === 'string' && typeof from === 'number') void this.answer(what, about, from, id);
  }

  /** The supervisor is gone. */
  disconnected(): void {
    this.isConnected = false;
    for (const [id, { to }] of this.pending) this.settle(id)?.reject(gone(to));
    this.setWorkers([]);
    for (const listener of this.downListeners) listener();
  }

  private setWorkers(workers: readonly number[]): void {
    const before = this.workers;
    this.workers = workers;
    for (const [id, { to }] of this.pending) {
      if (before.includes(to) && !workers.includes(to)) this.settle(id)?.reject(gone(to));
    }
    for (const worker of before) if (!workers.includes(worker)) this.noteChange(worker, false);
    for (const worker of workers) if (!before.includes(worker)) this.noteChange(worker, true);
  }

  private noteChange(worker: number, isServing: boolean): void {
    for (const listener of this.listeners) listener(worker, isServing);
  }

  private async answer(what: string, about: unknown, from: number, id: number | undefined): Promise<void> {
    const reply = await replyOf(this.handlers.get(what), what, about, from, this.onFault);
    if (id !== undefined) this.channel.send({ to: from, re: id, ...reply } satisfies Reply);
  }

  private settle(id: number): Pending | undefined {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    pending?.timeout.cancel();
    return pending;
  }
}

/** What a handler answers, or its error. */
export async function replyOf(
  handler: Handler | undefined,
  what: string,
  about: unknown,
  from: number,
  onFault: (error: unknown) => void,
): Promise<{ answer?: unknown; error?: SentError }> {
  try {
    if (handler === undefined) {
      throw new GatewayError('GW_QUESTION_UNKNOWN', `Another worker sent an unknown request: ${what}`);
    }
    return { answer: await handler(about, from) };
  } catch (error) {
    if (!(error instanceof GatewayError)) onFault(error);
    return { error: sentError(error) };
  }
}

/** The error for a worker that is gone or silent. */
export function gone(worker: number): GatewayError {
  const name = worker === SUPERVISOR ? 'The supervisor' : `Worker ${worker}`;
  return new GatewayError('GW_NODE_GONE', `${name} did not reply`);
}
