import type { LoggedEvent } from './event.js';

/** A reader's position among the events. */
export interface Position {
  /** Number of the next event to read. */
  readonly next: number;
  /** Whether events before it were lost. */
  readonly isGap: boolean;
}

/** Numbered events as `GET /v1/events` reads them; the newest are kept so that a reader can reconnect and continue. */
export interface EventFeed {
  /** Number of the next event, counted from 0. */
  readonly end: number;
  /** Number of the oldest event kept. */
  readonly oldest: number;
  /** The event with this number; `undefined` if it is no longer or not yet there. */
  at(number: number): LoggedEvent | undefined;
  /** The position after the event with this id; without an id, after the newest. */
  positionAfter(id: string): Position;
  /**
   * Calls the listener after every event from now on.
   * @returns unsubscribes
   */
  subscribe(listener: () => void): () => void;
}
