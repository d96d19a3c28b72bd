import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import type { EventCall, EventData, EventType, GatewayEvent, LoggedEvent } from './event.js';
import type { EventFeed, Position } from './event-feed.js';
import { EventRing } from './event-ring.js';

type Listener = (event: GatewayEvent, logged: LoggedEvent) => void;

/**
 * The events of one gateway, in order. The newest are kept so that a reader can reconnect and continue. Event
 * ids contain a random part of this process, so ids of another process, or of before a restart, are
 * recognised.
 */
export class EventLog implements EventFeed {
  /** Events published so far, by type. */
  readonly counts = new Map<EventType, number>();
  private readonly origin = randomBytes(6).toString('hex');
  private readonly ring: EventRing;
  private readonly listeners = new Set<Listener>();

  /** @internal @param capacity number of newest events that are kept */
  constructor(
    private readonly log: Logger,
    private readonly clock: Clock,
    capacity?: number,
  ) {
    this.ring = new EventRing(capacity);
  }

  /** Number of the next event, counted from 0. */
  get end(): number {
    return this.ring.end;
  }

  /** Number of the oldest event kept. */
  get oldest(): number {
    return this.ring.oldest;
  }

  /** Publishes an event to all listeners. */
  publish<T extends EventType>(type: T, call: EventCall, data: EventData[T]): GatewayEvent<T> {
    const event: GatewayEvent<T> = {
      id: `${this.origin}-${this.end}`,
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
    this.ring.add(logged);
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
    for (const listener of [...this.listeners]) {
      try {
        listener(event as unknown as GatewayEvent, logged);
      } catch (error) {
        this.log.error({ event: event.id, err: error }, 'an event listener threw');
      }
    }
    return event;
  }

  /**
   * Calls the listener with every event from now on, synchronously and in order.
   * @returns unsubscribes
   */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * The event with this number; `undefined` if it is no longer or not yet there.
   * @param number counts events from 0
   */
  at(number: number): LoggedEvent | undefined {
    return this.ring.at(number);
  }

  /** The position after the event with this id; without an id, after the newest. */
  positionAfter(id: string): Position {
    if (id === '') return { next: this.end, isGap: false };
    const [origin, digits = ''] = id.split('-');
    const read = /^\d{1,15}$/.test(digits) ? Number(digits) : Number.NaN;
    const isOurs = origin === this.origin && read < this.end;
    if (isOurs && read + 1 >= this.oldest) return { next: read + 1, isGap: false };
    return { next: this.oldest, isGap: true };
  }
}
