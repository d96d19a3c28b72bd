import type { Clock, Timer } from '../clock.js';
import type { LoggedEvent } from '../events/event.js';
import type { EventFeed, Position } from '../events/event-feed.js';
import type { EventLog } from '../events/event-log.js';
import { EventRing } from '../events/event-ring.js';
import { isEvent, type NumberedEvent } from './event-backlog.js';
import { type Peers, SUPERVISOR } from './peers.js';

/** Pause before the supervisor is asked again for events that are missing. */
const RETRY_MS = 1_000;

/**
 * The events of all workers, with the same numbers and ids at each of them: an event of this worker goes to the supervisor,
 * which numbers it and sends it to all, here too. Once the supervisor is gone, this worker's own events follow.
 */
export class MachineEvents implements EventFeed {
  private readonly ring = new EventRing();
  private readonly numbers = new Map<string, number>();
  private readonly listeners = new Set<() => void>();
  private catchingUp: Promise<void> | undefined;
  /** Whether an event came whose predecessors are missing. */
  private isBehind = false;
  private retry: Timer | undefined;
  /** Number in the log of the first event of this worker that the supervisor has not sent back. */
  private nextOwn = 0;

  constructor(
    private readonly peers: Peers,
    private readonly log: EventLog,
    private readonly clock: Clock,
  ) {
    log.subscribe((_, logged) => {
      if (peers.isUp) peers.notify(SUPERVISOR, 'event', logged);
      else this.addOwn();
    });
    peers.onDown(() => this.addOwn());
    peers.handle('event', (about) => this.receive(about));
    // Events since the backlog was read were sent to those that served.
    peers.onChange((worker, isServing) => {
      if (worker === peers.self && isServing) void this.catchUp();
    });
  }

  get end(): number {
    return this.ring.end;
  }

  get oldest(): number {
    return this.ring.oldest;
  }

  at(number: number): LoggedEvent | undefined {
    return this.ring.at(number);
  }

  positionAfter(id: string): Position {
    if (id === '') return { next: this.end, isGap: false };
    const number = this.numbers.get(id);
    return number === undefined ? { next: this.oldest, isGap: true } : { next: number + 1, isGap: false };
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Reads what the supervisor has now; resolves when there is no more, or it does not answer. */
  catchUp(): Promise<void> {
    this.isBehind = true;
    this.catchingUp ??= this.readAll();
    return this.catchingUp;
  }

  private async readAll(): Promise<void> {
    this.clock.cancel(this.retry);
    while (this.isBehind) {
      this.isBehind = false;
      const { end } = this;
      const part = await this.peers.request(SUPERVISOR, 'events', { next: end }).catch(() => undefined);
      if (!Array.isArray(part)) {
        if (this.peers.isUp) this.retry = this.clock.after(RETRY_MS, () => void this.catchUp());
        this.retry?.unref();
        break;
      }
      for (const each of part.filter(isNumbered)) this.add(each);
      this.isBehind ||= this.end > end;
    }
    this.catchingUp = undefined;
  }

  private receive(about: unknown): void {
    if (!isNumbered(about)) return;
    if (about.number <= this.end) this.add(about);
    else void this.catchUp();
  }

  /** Adds this worker's events that the supervisor has not sent back. */
  private addOwn(): void {
    const { log } = this;
    for (let next = Math.max(this.nextOwn, log.oldest); next < log.end; next++) {
      this.add({ number: this.end, event: log.at(next) as LoggedEvent });
    }
  }

  /** Adds the next event, or one after those that the supervisor no longer has; ignores one that is known. */
  private add({ number, event }: NumberedEvent): void {
    if (number < this.end) return;
    if (number > this.end) {
      this.ring.restart(number);
      this.numbers.clear();
    }
    const { oldest } = this;
    const first = this.ring.at(oldest);
    this.ring.add(event);
    if (first !== undefined && this.oldest > oldest) this.numbers.delete(first.id);
    this.numbers.set(event.id, number);
    const { next, isGap } = this.log.positionAfter(event.id);
    if (!isGap) this.nextOwn = next;
    for (const listener of this.listeners) listener();
  }
}

function isNumbered(value: unknown): value is NumberedEvent {
  const { number, event } = (value ?? {}) as Partial<Record<string, unknown>>;
  return Number.isSafeInteger(number) && isEvent(event);
}
