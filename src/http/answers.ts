import type { Clock, Timer } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import { counter, type Metric } from '../telemetry/metric.js';
import type { Strangers } from './strangers.js';
import type { Reply } from './transport/transport.js';
import { TurnQueue } from './turn-queue.js';

/** The answer to one request. */
export interface Answer {
  readonly status: number;
  readonly contentType?: string | undefined;
  readonly body: string | Uint8Array;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** A request that waits for its answer. */
export interface Asked {
  readonly reply: Reply;
  /** Whether to close the connection after the answer. */
  readonly isLast: boolean;
  /** Whether the client has shown a valid key or signature. */
  readonly isKnown: boolean;
  /** A health check: a proxy that has to wait would consider the node dead. Probes have a share of their own. */
  readonly isProbe: boolean;
  readonly forwardedFor: string;
  /** The client has left: the response must not be touched. */
  readonly isGone: boolean;
  /** Called when the client leaves. */
  onGone: (() => void) | undefined;
}

/** Shortest delay of an answer to a stranger over its share, in milliseconds, and most answers delayed at a time. */
const HELD_MS = 1_000;
const MAX_HELD = 1_000;
/** Most bytes of answers that clients have not read, over all connections, and milliseconds that one may take. */
const MAX_UNTAKEN_BYTES = 32 * 1024 * 1024;
const TAKEN_WITHIN_MS = 30_000;

const LOG_INTERVAL_MS = 60_000;

/**
 * Sends answers: never in the turn of the event loop in which the request arrived, and only for a limited time in any other.
 *
 * A transport passes requests on as it reads them, and drops a client that sends its next request before it has the answer.
 * So a connection has one request at a time. An answer counts as sent once the socket has accepted all of it.
 */
export class Answers {
  readonly metrics: readonly Metric[];
  readonly turns: TurnQueue;
  /** Answers delayed because an address was over its share, and connections closed for that. */
  private readonly counts = { held: 0, cut: 0 };
  private loggedAt = Number.NEGATIVE_INFINITY;
  private untakenBytes = 0;
  private held = 0;

  constructor(
    private readonly strangers: Strangers,
    private readonly probes: Strangers,
    private readonly log: Logger,
    private readonly clock: Clock,
  ) {
    this.turns = new TurnQueue(clock);
    this.metrics = [
      counter(
        'answers_held_total',
        'Answers to strangers that waited: an address asked for more than its share',
        () => this.counts.held,
      ),
      counter(
        'answers_cut_total',
        'Connections closed without their answer: too many waited, or it was not taken',
        () => this.counts.cut,
      ),
    ];
  }

  give(asked: Asked, answer: Answer): void {
    if (asked.isGone) return;
    const { reply, isKnown, isProbe, forwardedFor } = asked;
    const write = () => this.write(asked, answer);
    const shares = isProbe ? this.probes : this.strangers;
    if (isKnown || shares.admit(reply.peer, forwardedFor, this.clock.now())) {
      // Earlier requests have their turn first; within a turn, this is one of them.
      if (this.turns.isRunning) write();
      else this.turns.add(write);
    } else if (this.held < MAX_HELD) this.hold(asked, write);
    else {
      this.logShares();
      this.counts.cut += 1;
      this.turns.add(() => {
        if (!asked.isGone) reply.close();
      });
    }
  }

  private hold(asked: Asked, write: () => void): void {
    this.logShares();
    this.held += 1;
    this.counts.held += 1;
    // Do not read what it sends meanwhile, which may be an endless body.
    asked.reply.pause();
    const release = () => {
      this.held -= 1;
      this.clock.cancel(timer);
      asked.onGone = undefined;
    };
    // The random part spreads requests that arrived together.
    const timer = this.clock.after(HELD_MS * (1 + Math.random()), () => {
      release();
      asked.reply.resume();
      this.turns.add(write);
    });
    asked.onGone = release;
  }

  /** Logs at most once a minute. */
  private logShares(): void {
    const now = this.clock.now();
    if (now - this.loggedAt < LOG_INTERVAL_MS) return;
    this.loggedAt = now;
    this.log.warn({ ...this.counts, waiting: this.held }, 'strangers exceed their share of requests');
  }

  private write(asked: Asked, { status, contentType, body, headers }: Answer): void {
    if (asked.isGone) return;
    const { reply } = asked;
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    // Rejected and unauthenticated clients need a new connection for their next request.
    const isLast = asked.isLast || !asked.isKnown || (status >= 400 && status < 500);
    const head =
      contentType === undefined
        ? { status, headers }
        : { status, headers: [['content-type', contentType] as const, ...headers] };
    let isOver = false;
    let timer: Timer | undefined;
    const over = () => {
      isOver = true;
      if (timer === undefined) return;
      this.untakenBytes -= bytes.length;
      this.clock.cancel(timer);
      asked.onGone = undefined;
    };
    const isTaken = reply.answer(head, bytes, isLast, over);
    if (isTaken || isOver) return;
    this.untakenBytes += bytes.length;
    const cut = () => {
      if (isOver) return;
      this.counts.cut += 1;
      reply.close();
    };
    timer = this.clock.after(TAKEN_WITHIN_MS, cut);
    asked.onGone = over;
    if (this.untakenBytes > MAX_UNTAKEN_BYTES) this.turns.add(cut);
  }
}
