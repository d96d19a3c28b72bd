import type { LoggedEvent } from './event.js';

/** Default number of events kept for reconnecting readers. */
export const DEFAULT_EVENTS_KEPT = 1_000;

/** The newest events, numbered in order. */
export class EventRing {
  private readonly ring: LoggedEvent[] = [];
  private begin = 0;
  private written = 0;

  constructor(private readonly capacity = DEFAULT_EVENTS_KEPT) {}

  /** Number of the next event. */
  get end(): number {
    return this.written;
  }

  /** Number of the oldest event kept. */
  get oldest(): number {
    return Math.max(this.begin, this.written - this.capacity);
  }

  /** The event with this number; `undefined` if it is no longer or not yet there. */
  at(number: number): LoggedEvent | undefined {
    return number < this.oldest || number >= this.written ? undefined : this.ring[number % this.capacity];
  }

  add(event: LoggedEvent): void {
    this.ring[this.written % this.capacity] = event;
    this.written += 1;
  }

  /** Continues with this number, and forgets all before it. */
  restart(number: number): void {
    this.begin = number;
    this.written = number;
  }
}
