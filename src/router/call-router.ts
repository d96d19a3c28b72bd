import { randomUUID } from 'node:crypto';
import type { CallDecision, PhoneCall } from '../calls/decision.js';
import { checkDecision } from '../calls/decision-check.js';
import type { Clock } from '../clock.js';
import { expected, type GatewayError } from '../errors.js';
import { LatencyHistogram } from '../telemetry/histogram.js';
import { INGRESS_TICKS_PER_MICROSECOND } from '../telemetry/ingress-time.js';
import type { Logger } from '../telemetry/log.js';
import { counter, durations, type Metric } from '../telemetry/metric.js';
import type { Refusal } from '../twilio/twiml.js';
import { Delivery } from '../webhooks/delivery.js';
import { type DeliveryAnswer, isPassingStatus, WebhookSender } from '../webhooks/sender.js';
import { secretsOf } from '../webhooks/signature.js';
import { decisionOf } from './answer.js';
import { DEADLINE_MS, questionOf, ROUTER_TIMEOUT_MS } from './question.js';

/** Your service that decides where calls go. */
export interface RouterOptions {
  /** http(s) URL that decides where each call goes. */
  readonly url: string;
  /** Signing secret: `whsec_` and base64, or other text, of at least 16 bytes; several during a rotation. */
  readonly secret: string | readonly string[];
  /**
   * Maximum wait for a response in milliseconds, 100 to 8000; default 3000. At most two attempts within eight
   * seconds.
   */
  readonly timeoutMs?: number;
  /**
   * What happens to a call without a valid response: `busy` (default), `default` (as for an empty response),
   * or spoken words.
   */
  readonly fallback?: 'busy' | 'default' | { readonly say: string; readonly language?: string };
}

/** Outcomes of a router request, as `/metrics` counts them. */
const OUTCOMES = ['answered', 'timeout', 'unreachable', 'status', 'invalid', 'call-ended'] as const;
type Outcome = (typeof OUTCOMES)[number];

const OUTCOME_OF: Readonly<Record<string, Outcome>> = {
  GW_WEBHOOK_TIMEOUT: 'timeout',
  GW_WEBHOOK_UNREACHABLE: 'unreachable',
  GW_ROUTER_STATUS: 'status',
  GW_ROUTER_ANSWER: 'invalid',
  GW_WEBHOOK_ANSWER_TOO_LARGE: 'invalid',
};

const TRIES = 2;
/**
 * Pause between two attempts, reduced randomly by up to half, so that a recovering router is not hit by all
 * at once.
 */
const PAUSE_MS = 200;
/** Concurrent requests; more wait. */
const CONNECTIONS = 64;

/** Maximum pending keys: of all calls, and of one. */
const MAX_KEYS = 1_000;
const MAX_KEYS_PER_CALL = 64;
/** How long a closing gateway waits for pending keys. */
const CLOSE_MS = 1_000;

/** The user's service that decides where each call goes: one signed POST per call. */
export class CallRouter {
  readonly metrics: readonly Metric[];
  private readonly outcomes = new Map<Outcome, number>(OUTCOMES.map((outcome) => [outcome, 0]));
  private readonly durations = new LatencyHistogram();
  private readonly sender: WebhookSender;
  private readonly keySender: WebhookSender;
  private readonly keys: Delivery;
  private retries = 0;

  /** @throws TypeError for invalid options */
  constructor(
    private readonly options: RouterOptions,
    private readonly log: Logger,
    private readonly clock: Clock,
  ) {
    checkOptions(options);
    const { url } = options;
    const secrets = secretsOf(options.secret, 'router.secret');
    const newSender = () => new WebhookSender({ url, secrets, connections: CONNECTIONS, clock });
    this.sender = newSender();
    this.keySender = newSender();
    this.keys = new Delivery({
      sender: this.keySender,
      clock,
      timeoutMs: options.timeoutMs ?? ROUTER_TIMEOUT_MS.default,
      tries: TRIES,
      firstPauseMs: PAUSE_MS,
      longestPauseMs: PAUSE_MS,
      capacity: MAX_KEYS,
      perCall: MAX_KEYS_PER_CALL,
      onDead: ({ why, tries }) => log.warn({ why, tries }, 'failed to send a pressed key to the router'),
    });
    this.metrics = [
      counter('router_questions_total', 'Router requests by outcome', () => this.outcomes, 'outcome'),
      counter('router_retries_total', 'Second attempts to ask the router', () => this.retries),
      counter(
        'router_keys_total',
        'Pressed keys sent to the router, by outcome',
        () =>
          new Map([
            ['delivered', this.keys.counts.delivered],
            ['given-up', this.keys.counts.dead],
          ]),
        'outcome',
      ),
      durations('router_seconds', 'Time from request to decision, including second attempts', this.durations),
    ];
  }

  /** The router's decision, or the fallback. Rejects only if the call ends first. */
  async decide(call: PhoneCall, signal: AbortSignal): Promise<CallDecision> {
    const begun = this.clock.now();
    let outcome: Outcome = 'call-ended';
    try {
      const decision = await this.queryRouter(call, signal);
      outcome = 'answered';
      return decision;
    } catch (error) {
      if (signal.aborted) throw error;
      outcome = OUTCOME_OF[(error as GatewayError).code] ?? 'unreachable';
      const { callId } = call;
      this.log.error({ callId, router: this.sender.target, err: error }, 'no decision from the router');
      return this.fallback();
    } finally {
      this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
      this.durations.record(Math.round((this.clock.now() - begun) * 1_000 * INGRESS_TICKS_PER_MICROSECOND));
    }
  }

  /** Sends the router a pressed key, after those before it. Never blocks. */
  pressed({ callId, callSid }: PhoneCall, digit: string): void {
    const id = `msg_${randomUUID()}`;
    const timestamp = this.clock.date().toISOString();
    const body = JSON.stringify({ type: 'call.dtmf', version: 1, id, timestamp, callId, callSid, digit });
    this.keys.add(callId, { id, body });
  }

  /**
   * Signs with other secrets from now on.
   * @throws TypeError for an invalid secret
   */
  rekey(secret: RouterOptions['secret']): void {
    const secrets = secretsOf(secret, 'router.secret');
    this.sender.secrets = secrets;
    this.keySender.secrets = secrets;
  }

  /** Delivers the last keys, for a second at most, and closes every connection. */
  async close(): Promise<void> {
    await this.keys.close(CLOSE_MS);
    this.sender.close();
  }

  private async queryRouter(call: PhoneCall, signal: AbortSignal): Promise<CallDecision> {
    const message = { id: `msg_${randomUUID()}`, body: JSON.stringify(questionOf(call)) };
    const until = this.clock.runningMs() + DEADLINE_MS;
    for (let tries = 1; ; tries++) {
      const left = until - this.clock.runningMs();
      const timeoutMs = Math.min(this.options.timeoutMs ?? ROUTER_TIMEOUT_MS.default, left);
      const answer = await this.sender.post(message, timeoutMs, signal).catch((error: GatewayError) => error);
      signal.throwIfAborted();
      const isLast = tries === TRIES || until - this.clock.runningMs() < 2 * PAUSE_MS;
      if (isLast || !isPassing(answer)) {
        if (answer instanceof Error) throw answer;
        return decisionOf(answer);
      }
      this.retries += 1;
      this.log.warn({ callId: call.callId, router: this.sender.target }, 'asking the router again');
      await this.clock.sleep(PAUSE_MS * (0.5 + Math.random() / 2), signal);
      signal.throwIfAborted();
    }
  }

  private fallback(): CallDecision {
    const { fallback = 'busy' } = this.options;
    return fallback === 'default' ? {} : { refuse: fallback satisfies Refusal };
  }
}

/** Whether another attempt may succeed. */
function isPassing(answer: DeliveryAnswer | GatewayError): boolean {
  return answer instanceof Error
    ? answer.code !== 'GW_WEBHOOK_ANSWER_TOO_LARGE'
    : isPassingStatus(answer.status);
}

function checkOptions({
  url,
  timeoutMs = ROUTER_TIMEOUT_MS.default,
  fallback = 'busy',
}: RouterOptions): void {
  if (typeof url !== 'string' || !/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    throw expected('an http(s) URL', 'router.url', url);
  }
  const { format } = ROUTER_TIMEOUT_MS;
  if (!format.accepts(timeoutMs)) {
    throw expected(format.wantedOption, 'router.timeoutMs', timeoutMs);
  }
  if (fallback === 'busy' || fallback === 'default') return;
  if (typeof fallback?.say !== 'string' || fallback.say === '') {
    throw expected('"busy", "default" or { say }', 'router.fallback', fallback);
  }
  // Report it now, not when the first caller needs it.
  try {
    checkDecision({ refuse: fallback });
  } catch (error) {
    const { message } = error as Error;
    throw new TypeError(message.replace('a decision for the call', 'words for router.fallback'));
  }
}
