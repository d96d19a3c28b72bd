import { sentError } from '../fleet/sent-error.js';
import type { Channel } from './channel.js';
import type { Letter, Reply, SupervisorMessage } from './letter.js';
import { gone, type Handler, replyOf, SUPERVISOR } from './peers.js';

/** The supervisor's end of what its workers say: carries their letters, and answers those to itself. */
export class PostOffice {
  private readonly channels = new Map<number, Channel>();
  private readonly handlers = new Map<string, Handler>();
  private readonly listeners: ((worker: number, isServing: boolean) => void)[] = [];
  private readonly goneListeners: ((worker: number) => void)[] = [];
  private readonly servingWorkers = new Set<number>();

  /** @param onFault called for faults of a handler */
  constructor(private readonly onFault: (error: unknown) => void) {}

  /** Workers that serve now, ascending. */
  get serving(): readonly number[] {
    return [...this.servingWorkers].sort((a, b) => a - b);
  }

  /** A process was started; it does not serve yet. */
  add(worker: number, channel: Channel): void {
    this.channels.set(worker, channel);
    this.send(worker, { workers: this.serving });
  }

  /** A process has ended, or is about to. */
  remove(worker: number): void {
    if (!this.channels.delete(worker)) return;
    for (const listener of this.goneListeners) listener(worker);
    if (!this.servingWorkers.delete(worker)) return;
    this.tellWorkers();
    for (const listener of this.listeners) listener(worker, false);
  }

  /** Handles what workers ask or tell the supervisor under this name. */
  handle(what: string, handler: Handler): void {
    this.handlers.set(what, handler);
  }

  /** Calls the listener when a worker begins to serve, and when it has left or died. */
  onChange(listener: (worker: number, isServing: boolean) => void): void {
    this.listeners.push(listener);
  }

  /** Calls the listener when a process has ended, also one that never served. */
  onGone(listener: (worker: number) => void): void {
    this.goneListeners.push(listener);
  }

  notify(to: number, what: string, about: unknown): void {
    this.send(to, { to, from: SUPERVISOR, what, about });
  }

  /** Tells all workers that serve. */
  broadcast(what: string, about: unknown): void {
    for (const worker of this.servingWorkers) this.notify(worker, what, about);
  }

  /** Handles a message of a worker. */
  receive(from: number, message: unknown): void {
    const letter = (message ?? {}) as Partial<Letter & Reply & { serves: true }>;
    const { to, id, what, serves } = letter;
    if (serves === true) this.begin(from);
    if (typeof to !== 'number') return;
    if (to === SUPERVISOR) {
      if (typeof what === 'string') void this.answer(what, letter.about, from, id);
    } else if (!this.send(to, { ...(letter as Letter | Reply), from }) && id !== undefined) {
      this.send(from, { to: from, re: id, error: sentError(gone(to)) });
    }
  }

  private begin(worker: number): void {
    if (this.servingWorkers.has(worker) || !this.channels.has(worker)) return;
    this.servingWorkers.add(worker);
    this.tellWorkers();
    for (const listener of this.listeners) listener(worker, true);
  }

  private tellWorkers(): void {
    const workers = this.serving;
    for (const worker of this.channels.keys()) this.send(worker, { workers });
  }

  private async answer(what: string, about: unknown, from: number, id: number | undefined): Promise<void> {
    const reply = await replyOf(this.handlers.get(what), what, about, from, this.onFault);
    if (id !== undefined) this.send(from, { to: from, re: id, ...reply });
  }

  private send(to: number, message: SupervisorMessage): boolean {
    return this.channels.get(to)?.send(message) ?? false;
  }
}
