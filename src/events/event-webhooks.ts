import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Timer } from '../clock.js';
import { expected, GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { counter, gauge, type Metric } from '../telemetry/metric.js';
import { type DeadMessage, Delivery } from '../webhooks/delivery.js';
import { WebhookSender } from '../webhooks/sender.js';
import { secretsOf } from '../webhooks/signature.js';
import { DeadLetter } from './dead-letter.js';
import type { EventLog } from './event-log.js';
import { Spool, type SpooledEvent } from './spool.js';

/** Where and how events are posted to your service. */
export interface EventWebhookOptions {
  /** http(s) URL to which every event is posted. */
  readonly url: string;
  /** Signing secret: `whsec_` and base64, or other text, of at least 16 bytes; several during a rotation. */
  readonly secret: string | readonly string[];
  /** Maximum wait for a response in milliseconds, 100 to 60,000; default 5000. */
  readonly timeoutMs?: number;
  /** Attempts per event, 1 to 20; default 10, over two to three minutes. */
  readonly tries?: number;
  /** Pause before the second attempt in milliseconds, 1 to 60,000; default 500. Doubles up to a minute. */
  readonly firstPauseMs?: number;
  /** File for undelivered events; without it they are only counted. */
  readonly deadLetterFile?: string;
  /** Directory for pending events, so that they survive the process; without it they are kept in memory. */
  readonly spoolDir?: string;
  /** Maximum pending events, 1 to 100,000; default 10,000. */
  readonly capacity?: number;
}

const LONGEST_PAUSE_MS = 60_000;
/** Concurrent requests to the receiver. */
const CONNECTIONS = 16;
/** Maximum pending events of one call, which are delivered in order. */
const PER_CALL = 256;
/** Places that a machine can have. */
const MAX_WORKERS = 64;
/** How often a worker looks whether the one that it replaces has left its spool. */
const TAKEN_MS = 500;
/** How long a closing gateway waits for its last events. */
const CLOSE_MS = 3_000;

/** Posts every event of a log to the user's service, signed. */
export class EventWebhooks {
  readonly metrics: readonly Metric[];
  private readonly sender: WebhookSender;
  private readonly delivery: Delivery;
  private readonly deadLetter: DeadLetter;
  private readonly spool: Spool | undefined;
  /** Spools of places that no process has any more, because `WORKERS` was changed. */
  private orphans: Spool[] = [];
  private readonly unsubscribe: () => void;
  /** Events left by an earlier process. */
  private earlier: SpooledEvent[] = [];
  /** Events left for the next process. */
  private readonly cut: DeadMessage[] = [];
  private ending: Promise<void> | undefined;
  private looking: Timer | undefined;
  private readonly spoolDir: string | undefined;

  /**
   * @param worker its place, where it has a spool and a dead-letter file of its own, among so many
   * @throws TypeError for invalid options
   */
  constructor(
    options: EventWebhookOptions,
    events: EventLog,
    private readonly log: Logger,
    private readonly clock: Clock,
    private readonly worker?: { readonly place: number; readonly count: number },
  ) {
    checkOptions(options);
    const { url, secret, timeoutMs = 5_000, tries = 10, firstPauseMs = 500, capacity = 10_000 } = options;
    const { deadLetterFile, spoolDir } = options;
    this.spoolDir = spoolDir;
    const own = worker === undefined ? '' : folderOf(worker.place);
    this.deadLetter = new DeadLetter(
      deadLetterFile && own ? `${deadLetterFile}-${own}` : deadLetterFile,
      log,
      clock,
    );
    this.spool = spoolDir === undefined ? undefined : new Spool(join(spoolDir, own), log, clock);
    this.sender = new WebhookSender({
      url,
      secrets: secretsOf(secret, 'eventWebhooks.secret'),
      // One more for attempts out of turn.
      connections: CONNECTIONS + 1,
      clock,
    });
    this.delivery = new Delivery({
      sender: this.sender,
      clock,
      timeoutMs,
      atOnce: CONNECTIONS,
      tries,
      firstPauseMs,
      longestPauseMs: LONGEST_PAUSE_MS,
      capacity,
      perCall: PER_CALL,
      onDelivered: ({ id }) => this.settle(id),
      onDead: (dead) => {
        if (dead.isCut && this.spool !== undefined) this.cut.push(dead);
        else this.giveUp(dead);
      },
    });
    this.unsubscribe = events.subscribe((_, { id, callId, json }) => {
      this.spool?.add(id, json);
      this.delivery.add(callId, { id, body: json });
    });
    const { counts } = this.delivery;
    this.metrics = [
      counter(
        'event_webhooks_total',
        'Events by outcome of their delivery; "lost" counts undelivered ones that are in no file',
        () =>
          new Map([
            ['delivered', counts.delivered],
            ['dead', counts.dead],
            ['lost', this.deadLetter.lost],
          ]),
        'outcome',
      ),
      counter('event_webhook_retries_total', 'Repeated attempts to deliver an event', () => counts.retried),
      gauge('event_webhooks_pending', 'Pending events', () => this.delivery.pending),
      ...(this.spool === undefined ? [] : spoolFigures(this.spool)),
    ];
  }

  /**
   * Signs with other secrets from now on.
   * @throws TypeError for an invalid secret
   */
  rekey(secret: EventWebhookOptions['secret']): void {
    this.sender.secrets = secretsOf(secret, 'eventWebhooks.secret');
  }

  /**
   * Opens the dead-letter file and the spool.
   * @throws GatewayError `GW_DEAD_LETTER_FILE`, `GW_SPOOL_DIR`, `GW_SPOOL_TAKEN`
   */
  open(): void {
    this.deadLetter.open();
    this.openOrphans();
    try {
      this.earlier.push(...(this.spool?.open() ?? []));
    } catch (error) {
      const isTaken = error instanceof GatewayError && error.code === 'GW_SPOOL_TAKEN';
      if (!isTaken || this.worker === undefined) throw error;
      this.looking = this.clock.every(TAKEN_MS, () => this.takeSpool());
      this.looking.unref();
    }
  }

  /** The first worker, or a process without workers, delivers what is left where no other process looks. */
  private openOrphans(): void {
    const { spoolDir, worker, log, clock } = this;
    if (spoolDir === undefined || (worker !== undefined && worker.place !== 1)) return;
    const folders = worker === undefined ? [] : [''];
    for (let place = (worker?.count ?? 0) + 1; place <= MAX_WORKERS; place++) folders.push(folderOf(place));
    for (const folder of folders.map((name) => join(spoolDir, name)).filter(hasEvents)) {
      const spool = new Spool(folder, log, clock);
      try {
        this.earlier.push(...spool.open());
        this.orphans.push(spool);
      } catch (error) {
        // The worker that this one replaces delivers them.
        if (error instanceof GatewayError && error.code === 'GW_SPOOL_TAKEN') continue;
        log.error({ err: error }, 'events of an earlier run are left where they are');
      }
    }
  }

  private settle(id: string): void {
    this.spool?.settle(id);
    for (const orphan of this.orphans) orphan.settle(id);
  }

  /** The worker that this one replaces still has the spool: until it leaves, events are in memory only. */
  private takeSpool(): void {
    try {
      this.earlier.push(...(this.spool?.open() ?? []));
      this.start();
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'GW_SPOOL_TAKEN') return;
      this.log.error({ err: error }, 'the spool cannot be opened: events are kept in memory only');
    }
    this.clock.cancel(this.looking);
  }

  /** Starts delivering the events of an earlier process. */
  start(): void {
    for (const { id, callId, json } of this.earlier.splice(0)) this.delivery.add(callId, { id, body: json });
  }

  /**
   * Delivers what it can within `withinMs` milliseconds, default 3000; the rest stays in the spool or goes to
   * the dead-letter file. A second call may shorten the time.
   */
  async close(withinMs = CLOSE_MS): Promise<void> {
    await this.delivery.close(withinMs);
    this.unsubscribe();
    this.ending ??= this.end();
    await this.ending;
  }

  private async end(): Promise<void> {
    this.clock.cancel(this.looking);
    await this.deadLetter.close();
    await Promise.all([this.spool, ...this.orphans].map((spool) => spool?.close()));
    const spools = [this.spool, ...this.orphans];
    const lost = this.cut.filter(({ message }) => !spools.some((spool) => spool?.holds(message.id)));
    const kept = this.cut.length - lost.length;
    if (kept > 0) this.log.warn({ events: kept }, 'events stay in the spool until the next start');
    for (const dead of lost) this.giveUp(dead);
    await this.deadLetter.close();
  }

  private giveUp(dead: DeadMessage): void {
    this.deadLetter.add(dead, () => this.settle(dead.message.id));
  }
}

function folderOf(place: number): string {
  return `w${place}`;
}

function hasEvents(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).some((name) => name.endsWith('.events'));
}

function spoolFigures(spool: Spool): Metric[] {
  return [
    gauge('event_spool_events', 'Events in the spool, on disk or about to be written', () => spool.size),
    gauge('event_spool_bytes', 'Bytes of the spool on disk', () => spool.bytes),
    counter('event_spool_failures_total', 'Failed writes of the spool', () => spool.failures),
  ];
}

function checkOptions(options: EventWebhookOptions): void {
  const { url } = options;
  if (typeof url !== 'string' || !/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    throw expected('an http(s) URL', 'eventWebhooks.url', url);
  }
  const ranges = {
    timeoutMs: [100, 60_000],
    tries: [1, 20],
    firstPauseMs: [1, 60_000],
    capacity: [1, 100_000],
  } as const;
  for (const [name, [min, max]] of Object.entries(ranges)) {
    const value = options[name as keyof typeof ranges];
    if (value !== undefined && !(value >= min && value <= max)) {
      throw expected(`${min} to ${max}`, `eventWebhooks.${name}`, value);
    }
  }
}
