import type { Clock, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { EventFeed } from '../events/event-feed.js';
import type { EventLog } from '../events/event-log.js';
import { counter, gauge, type Metric } from '../telemetry/metric.js';
import type { RequestContext } from './request-context.js';
import type { StreamedAnswer } from './streamed-answer.js';

/** Most readers at a time, in total. */
const MAX_READERS = 32;
/** Milliseconds between comments, which keep proxies from closing a quiet stream. */
const HEARTBEAT_MS = 15_000;
/** Milliseconds without reading after which a reader is dropped. */
const STALLED_MS = 30_000;
/** Milliseconds after which a browser reconnects. */
const RETRY_MS = 2_000;

/** Events that may reach another process before this one. */
interface Events extends EventFeed {
  /** Resolves when this process has the events that others had when it was called, or cannot get them. */
  catchUp?(): Promise<void>;
}

/** `GET /v1/events`: all events, as server-sent events. */
export class EventRoutes {
  readonly metrics: readonly Metric[];
  private readonly readers = new Set<Reader>();
  private readonly unsubscribe: () => void;
  private heart: Timer | undefined;
  private cut = 0;

  /** @param events what readers get: the events of the log, or of all workers of the machine */
  constructor(
    log: EventLog,
    private readonly clock: Clock,
    private readonly events: Events = log,
  ) {
    this.unsubscribe = events.subscribe(() => {
      for (const reader of this.readers) reader.pump();
    });
    this.metrics = [
      counter('events_total', 'Events published, by type', () => log.counts, 'type'),
      gauge('event_readers', 'Readers of /v1/events', () => this.readers.size),
      counter('event_readers_cut_total', 'Readers of /v1/events that did not keep up', () => this.cut),
    ];
  }

  /** Streams until the reader leaves or falls behind. */
  follow(context: RequestContext): void {
    if (this.readers.size >= MAX_READERS) {
      throw new GatewayError(
        'GW_TOO_MANY_READERS',
        `All ${MAX_READERS} connections to /v1/events are in use`,
      );
    }
    const answer = context.stream('text/event-stream');
    if (answer === undefined) return;
    const noteCut = () => {
      this.cut += 1;
    };
    const reader = new Reader(answer, this.events, noteCut, this.clock);
    this.readers.add(reader);
    answer.onClose = () => {
      this.readers.delete(reader);
      if (this.readers.size > 0) return;
      this.clock.cancel(this.heart);
      this.heart = undefined;
    };
    this.heart ??= this.clock.every(HEARTBEAT_MS, () => {
      for (const each of [...this.readers]) each.beat();
    });
    this.heart.unref();
    void reader.begin(context.header('last-event-id').trim());
  }

  /** Ends all answers. */
  close(): void {
    this.unsubscribe();
    for (const reader of [...this.readers]) reader.close();
  }
}

/**
 * One reader's position in the log. Nothing is buffered for it: it reads as fast as its socket allows, and is dropped when
 * the log overwrites its position.
 */
class Reader {
  /** Infinite until it is known where the reader begins. */
  private next = Number.POSITIVE_INFINITY;
  private isBlocked = false;
  private blockedAt = 0;

  constructor(
    private readonly answer: StreamedAnswer,
    private readonly events: Events,
    private readonly onCut: () => void,
    private readonly clock: Clock,
  ) {
    answer.onWritable = () => {
      this.isBlocked = false;
      this.pump();
    };
  }

  async begin(lastId: string): Promise<void> {
    this.write(`retry: ${RETRY_MS}\n\n`);
    let position = this.events.positionAfter(lastId);
    if (position.isGap && this.events.catchUp !== undefined) {
      await this.events.catchUp();
      position = this.events.positionAfter(lastId);
    }
    if (position.isGap) this.write('event: reset\ndata: {"reason":"earlier events are lost"}\n\n');
    this.next = position.next;
    this.pump();
  }

  /** Sends new events, as many as the socket accepts. */
  pump(): void {
    while (!this.isBlocked && this.next < this.events.end) {
      const event = this.events.at(this.next);
      if (event === undefined) {
        this.cut();
        return;
      }
      this.next += 1;
      this.write(`id: ${event.id}\nevent: ${event.type}\ndata: ${event.json}\n\n`);
    }
    if (this.isBlocked && this.next < this.events.oldest) this.cut();
  }

  /** Keeps the connection alive, or drops a stalled reader. */
  beat(): void {
    if (!this.isBlocked) this.write(':\n\n');
    else if (this.clock.runningMs() - this.blockedAt >= STALLED_MS) this.cut();
  }

  close(): void {
    this.answer.close();
  }

  private write(text: string): void {
    if (this.answer.write(text)) return;
    this.isBlocked = true;
    this.blockedAt = this.clock.runningMs();
  }

  private cut(): void {
    this.onCut();
    this.close();
  }
}
