import type { Clock, Timer } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import { counter, type Metric } from '../telemetry/metric.js';
import type { Strangers } from './strangers.js';
import type { Reply } from './transport/transport.js';
import { TurnQueue } from './turn-queue.js';

/** What is answered to one request. */
export interface Answer {
  readonly status: number;
  readonly contentType?: string | undefined;
  readonly body: string | Uint8Array;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** A request that is owed its answer. */
export interface Asked {
  readonly reply: Reply;
  /** Whether its connection is closed after the answer, whatever that is. */
  readonly isLast: boolean;
  /** Has shown a key or a signature. */
  readonly isKnown: boolean;
  /** Asks whether this node is there: a proxy that waits for that answer takes the node for dead. It has a share of its own. */
  readonly isProbe: boolean;
  readonly forwardedFor: string;
  /** The client has gone: the response must not be touched. */
  readonly isGone: boolean;
  /** Told when the client goes. */
  onGone: (() => void) | undefined;
}

/** How long a stranger waits, at least, for an answer who has asked for more than its share, and how many of them may. */
const HELD_MS = 1_000;
const MAX_HELD = 1_000;
/** Bytes of answers that clients have not taken yet, of all connections, and how long one may take. */
const MAX_UNTAKEN_BYTES = 32 * 1024 * 1024;
const TAKEN_WITHIN_MS = 30_000;

const TOLD_EVERY_MS = 60_000;

/**
 * Gives answers: never in the turn of the event loop in which the request came, and only so much in any other.
 *
 * A transport hands requests out as they stand in what a client has sent, and cuts a client that has sent the next one
 * before it has its answer. So a connection gets one request dealt with at a time, whatever it sends; an answer counts as
 * given when the socket has taken all of it.
 */
export class Answers {
  readonly metrics: readonly Metric[];
  readonly turns: TurnQueue;
  /** Answers that waited because an address had asked for more than its share, and connections cut for that. */
  private readonly counts = { held: 0, cut: 0 };
  private toldAt = Number.NEGATIVE_INFINITY;
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
      // A turn for those who asked before: the request at hand is one of them.
      if (this.turns.isRunning) write();
      else this.turns.add(write);
    } else if (this.held < MAX_HELD) this.hold(asked, write);
    else {
      this.tell();
      this.counts.cut += 1;
      this.turns.add(() => {
        if (!asked.isGone) reply.close();
      });
    }
  }

  private hold(asked: Asked, write: () => void): void {
    this.tell();
    this.held += 1;
    this.counts.held += 1;
    // What it sends meanwhile, a body without end perhaps, is not read.
    asked.reply.pause();
    const release = () => {
      this.held -= 1;
      this.clock.cancel(timer);
      asked.onGone = undefined;
    };
    // Those who come together do not come together again.
    const timer = this.clock.after(HELD_MS * (1 + Math.random()), () => {
      release();
      asked.reply.resume();
      this.turns.add(write);
    });
    asked.onGone = release;
  }

  /** One line a minute, whatever comes. */
  private tell(): void {
    const now = this.clock.now();
    if (now - this.toldAt < TOLD_EVERY_MS) return;
    this.toldAt = now;
    this.log.warn({ ...this.counts, waiting: this.held }, 'strangers ask for more than their share');
  }

  private write(asked: Asked, { status, contentType, body, headers }: Answer): void {
    if (asked.isGone) return;
    const { reply } = asked;
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    // Whoever is refused, or has no key, comes with a new connection for the next request.
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
