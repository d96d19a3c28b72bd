import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import type { EventCall, EventData, EventType, GatewayEvent, LoggedEvent } from './event.js';

/** Events kept for readers that come back. */
export const DEFAULT_EVENTS_KEPT = 1_000;

type Listener = (event: GatewayEvent, logged: LoggedEvent) => void;

/** Where a reader stands, and whether there is anything that it missed. */
export interface Position {
  /** The number of the next event to read. */
  readonly next: number;
  /** Whether events between the last one read and the next are lost. */
  readonly isGap: boolean;
}

/**
 * The events of one gateway, in order. The last ones are kept, so that a reader may come back and go on where it was.
 * Their ids hold a random part of this process: an id of another process, or of before a restart, is known as such.
 */
export class EventLog {
  /** Events published so far, by type. */
  readonly counts = new Map<EventType, number>();
  private readonly origin = randomBytes(6).toString('hex');
  private readonly ring: LoggedEvent[] = [];
  private readonly listeners = new Set<Listener>();
  private written = 0;

  constructor(
    private readonly log: Logger,
    private readonly clock: Clock,
    private readonly capacity = DEFAULT_EVENTS_KEPT,
  ) {}

  /** The number that the next event gets; they count from 0. */
  get end(): number {
    return this.written;
  }

  /** The number of the oldest event that is kept. */
  get oldest(): number {
    return Math.max(0, this.written - this.capacity);
  }

  /** Writes an event and tells everybody of it. */
  publish<T extends EventType>(type: T, call: EventCall, data: EventData[T]): GatewayEvent<T> {
    const event: GatewayEvent<T> = {
      id: `${this.origin}-${this.written}`,
      type,
      version: 1,
      timestamp: this.clock.date().toISOString(),
      call: {
        callId: call.callId,
        callSid: call.callSid,
        direction: call.direction,
        from: call.from,
        to: call.to,
      },
      data,
    };
    const logged = { id: event.id, type, callId: call.callId, json: JSON.stringify(event) };
    this.ring[this.written % this.capacity] = logged;
    this.written += 1;
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
    for (const listener of [...this.listeners]) {
      try {
        listener(event as unknown as GatewayEvent, logged);
      } catch (error) {
        this.log.error({ event: event.id, err: error }, 'a listener of events failed');
      }
    }
    return event;
  }

  /**
   * Has every event from now on told, at once and in order.
   * @returns ends that
   */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** An event by its number; `undefined` where it is no longer, or not yet, there. */
  at(number: number): LoggedEvent | undefined {
    return number < this.oldest || number >= this.written ? undefined : this.ring[number % this.capacity];
  }

  /** Where a reader goes on that has read up to the event of this id; without one, behind the latest. */
  positionAfter(id: string): Position {
    if (id === '') return { next: this.written, isGap: false };
    const [origin, digits = ''] = id.split('-');
    const read = /^\d{1,15}$/.test(digits) ? Number(digits) : Number.NaN;
    const isOurs = origin === this.origin && read < this.written;
    if (isOurs && read + 1 >= this.oldest) return { next: read + 1, isGap: false };
    return { next: this.oldest, isGap: true };
  }
}
