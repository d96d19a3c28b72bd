import type { LoggedEvent } from '../events/event.js';
import { EventRing } from '../events/event-ring.js';
import type { PostOffice } from './post-office.js';

/** An event with its number among those of the machine. */
export interface NumberedEvent {
  readonly number: number;
  readonly event: LoggedEvent;
}

/** Largest event, in characters of JSON: that of a call's end has about 4,000. */
const MAX_JSON = 262_144;
/** A part of the backlog that a worker gets at once: so many events, or characters. */
const PART_EVENTS = 100;
const PART_JSON = 262_144;

/**
 * The events of all workers in one order, in the supervisor: numbers what workers publish, passes it to all of them, and keeps
 * the newest for a worker that joins.
 */
export class EventBacklog {
  private readonly ring = new EventRing();

  constructor(office: PostOffice) {
    office.handle('event', (about) => {
      if (!isEvent(about)) return;
      const number = this.ring.end;
      this.ring.add(about);
      office.broadcast('event', { number, event: about } satisfies NumberedEvent);
    });
    office.handle('events', (about) => this.part(Number((about as { next?: unknown } | null)?.next)));
  }

  /** Events from a number on, or from the oldest one kept; none if there are no newer ones. */
  private part(next: number): NumberedEvent[] {
    const { oldest, end } = this.ring;
    const part: NumberedEvent[] = [];
    let characters = 0;
    const from = Number.isSafeInteger(next) && next >= oldest ? next : oldest;
    for (let number = from; number < end && part.length < PART_EVENTS && characters < PART_JSON; number++) {
      const event = this.ring.at(number) as LoggedEvent;
      part.push({ number, event });
      characters += event.json.length;
    }
    return part;
  }
}

/** Whether it is an event that can be sent as a server-sent event: another process may run another version. */
export function isEvent(value: unknown): value is LoggedEvent {
  const { id, type, callId, json } = (value ?? {}) as Partial<Record<string, unknown>>;
  return (
    isLine(id, 100) &&
    isLine(type, 100) &&
    typeof callId === 'string' &&
    isLine(json, MAX_JSON) &&
    json !== ''
  );
}

function isLine(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength && !/[\r\n]/.test(value);
}
