import type { Clock } from '../clock.js';
import { expected } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import { counter, gauge, type Metric } from '../telemetry/metric.js';
import { type DeadMessage, Delivery } from '../webhooks/delivery.js';
import { WebhookSender } from '../webhooks/sender.js';
import { secretsOf } from '../webhooks/signature.js';
import { DeadLetter } from './dead-letter.js';
import type { EventLog } from './event-log.js';
import { Spool, type SpooledEvent } from './spool.js';

export interface EventWebhookOptions {
  /** http(s) URL that every event is posted to. */
  readonly url: string;
  /** Signs events: `whsec_` and base64, or another text, of 16 bytes or more; several while they change. */
  readonly secret: string | readonly string[];
  /** Longest wait for an answer in milliseconds, 100…60000; default 5000. */
  readonly timeoutMs?: number;
  /** Tries of one event, 1…20; default 10, two to three minutes. */
  readonly tries?: number;
  /** Pause before the second try in milliseconds, 1…60000; default 500; doubled up to a minute. */
  readonly firstPauseMs?: number;
  /** Takes events that nobody took; without it they are only counted. */
  readonly deadLetterFile?: string;
  /** Directory for events that wait, which then outlive the process; without it they are in memory alone. */
  readonly spoolDir?: string;
  /** Events that may wait, 1…100000; default 10000. */
  readonly capacity?: number;
}

const LONGEST_PAUSE_MS = 60_000;
/** Receivers are asked so many things at a time. */
const CONNECTIONS = 16;
/** Of one call, whose events wait for each other. */
const PER_CALL = 256;
/** How long a gateway that closes waits for its last events. */
const CLOSE_MS = 3_000;

/** Posts every event of a log to the user's own service, signed. */
export class EventWebhooks {
  readonly metrics: readonly Metric[];
  private readonly sender: WebhookSender;
  private readonly delivery: Delivery;
  private readonly deadLetter: DeadLetter;
  private readonly spool: Spool | undefined;
  private readonly unsubscribe: () => void;
  /** What an earlier process left. */
  private earlier: SpooledEvent[] = [];
  /** What the next process may deliver. */
  private readonly cut: DeadMessage[] = [];
  private ending: Promise<void> | undefined;

  /** @throws TypeError for options that cannot work */
  constructor(
    options: EventWebhookOptions,
    events: EventLog,
    private readonly log: Logger,
    clock: Clock,
  ) {
    checkOptions(options);
    const { url, secret, timeoutMs = 5_000, tries = 10, firstPauseMs = 500, capacity = 10_000 } = options;
    this.deadLetter = new DeadLetter(options.deadLetterFile, log, clock);
    this.spool = options.spoolDir === undefined ? undefined : new Spool(options.spoolDir, log, clock);
    this.sender = new WebhookSender({
      url,
      secrets: secretsOf(secret, 'eventWebhooks.secret'),
      // One for tries out of turn.
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
      onDelivered: ({ id }) => this.spool?.settle(id),
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
        'Events by how their delivery went; lost are those of the dead that could not be written to a file',
        () =>
          new Map([
            ['delivered', counts.delivered],
            ['dead', counts.dead],
            ['lost', this.deadLetter.lost],
          ]),
        'outcome',
      ),
      counter('event_webhook_retries_total', 'Further tries to deliver an event', () => counts.retried),
      gauge('event_webhooks_pending', 'Events on their way or waiting', () => this.delivery.pending),
      ...(this.spool === undefined ? [] : spoolFigures(this.spool)),
    ];
  }

  /** Signs by other secrets from now on. @throws TypeError for what may not sign */
  rekey(secret: EventWebhookOptions['secret']): void {
    this.sender.secrets = secretsOf(secret, 'eventWebhooks.secret');
  }

  /**
   * Makes sure that there is where to write to.
   * @throws GatewayError `GW_DEAD_LETTER_FILE`, `GW_SPOOL_DIR`, `GW_SPOOL_TAKEN`
   */
  open(): void {
    this.deadLetter.open();
    this.earlier.push(...(this.spool?.open() ?? []));
  }

  /** Begins to deliver what an earlier process left. */
  start(): void {
    for (const { id, callId, json } of this.earlier.splice(0)) this.delivery.add(callId, { id, body: json });
  }

  /**
   * Delivers what it can within the time, three seconds; the rest stays in the spool, or goes to the dead-letter file. May be
   * hurried.
   */
  async close(withinMs = CLOSE_MS): Promise<void> {
    await this.delivery.close(withinMs);
    this.unsubscribe();
    this.ending ??= this.end();
    await this.ending;
  }

  private async end(): Promise<void> {
    await this.deadLetter.close();
    await this.spool?.close();
    const lost = this.cut.filter(({ message }) => !this.spool?.holds(message.id));
    const kept = this.cut.length - lost.length;
    if (kept > 0) this.log.warn({ events: kept }, 'events wait in the spool for the next start');
    for (const dead of lost) this.giveUp(dead);
    await this.deadLetter.close();
  }

  private giveUp(dead: DeadMessage): void {
    this.deadLetter.add(dead, () => this.spool?.settle(dead.message.id));
  }
}

function spoolFigures(spool: Spool): Metric[] {
  return [
    gauge('event_spool_events', 'Events that wait on disk, or for it', () => spool.size),
    gauge('event_spool_bytes', 'Bytes of the spool on disk', () => spool.bytes),
    counter(
      'event_spool_failures_total',
      'Times that the disk did not take what it was given',
      () => spool.failures,
    ),
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
