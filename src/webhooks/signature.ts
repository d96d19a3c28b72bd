import { createHmac, timingSafeEqual } from 'node:crypto';
import { systemClock } from '../clock.js';
import { GatewayError } from '../errors.js';

/** The three headers of a signed request, in lower case. Source: standardwebhooks.com, "Webhook metadata". */
export interface SignatureHeaders {
  /** The same for every try of one message: who has seen it may forget it. */
  readonly 'webhook-id': string;
  /** When this try was made, in seconds since 1970. */
  readonly 'webhook-timestamp': string;
  /** One `v1,` and base64 for each secret, separated by blanks. */
  readonly 'webhook-signature': string;
}

/** Fewest bytes of a secret. */
const MIN_SECRET_BYTES = 16;
const PREFIX = 'whsec_';

/** Whether a text may sign: `whsec_` and base64 of 16 bytes or more, or any other text of as many bytes. */
export function isWebhookSecret(secret: unknown): secret is string {
  return typeof secret === 'string' && keyOf(secret).length >= MIN_SECRET_BYTES;
}

/**
 * The secrets that an option names, one or several.
 * @param name of the option
 * @throws TypeError where there is none, or one of them may not sign
 */
export function secretsOf(secret: string | readonly string[], name: string): readonly string[] {
  const secrets = typeof secret === 'string' ? [secret] : secret;
  if (Array.isArray(secrets) && secrets.length > 0 && secrets.every(isWebhookSecret)) return secrets;
  throw new TypeError(
    `Expected a secret of ${MIN_SECRET_BYTES} bytes or more for ${name} but received none or another`,
  );
}

/**
 * Signs as Standard Webhooks say: HMAC-SHA256 over `id.timestamp.body`.
 * @param secrets more than one while receivers change from an old one to a new one
 */
export function signWebhook(
  id: string,
  body: string,
  secrets: readonly string[],
  seconds = secondsOf(systemClock.date()),
): SignatureHeaders {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': secrets.map((secret) => `v1,${macOf(id, seconds, body, secret)}`).join(' '),
  };
}

/**
 * Checks a request of ours at its receiver.
 * @param header gives a header by its lower-case name
 * @param body the text as it came, not parsed and written again
 * @param toleranceSeconds most that the clocks may differ, and a request may be late
 * @throws GatewayError `GW_WEBHOOK_SIGNATURE` (401)
 */
export function verifyWebhook(
  header: (name: string) => string | null | undefined,
  body: string,
  secret: string,
  toleranceSeconds = 300,
): void {
  const id = header('webhook-id') ?? '';
  const timestamp = header('webhook-timestamp') ?? '';
  const seconds = /^\d{1,12}$/.test(timestamp) ? Number(timestamp) : Number.NaN;
  if (!(Math.abs(systemClock.date().getTime() / 1_000 - seconds) <= toleranceSeconds)) {
    throw unsigned(`a webhook-timestamp of the last ${toleranceSeconds} s`, 'another');
  }
  const wanted = Buffer.from(`v1,${macOf(id, seconds, body, secret)}`);
  for (const signature of (header('webhook-signature') ?? '').split(' ')) {
    const received = Buffer.from(signature);
    if (received.length === wanted.length && timingSafeEqual(received, wanted)) return;
  }
  throw unsigned('a webhook-signature by our secret', 'none or another');
}

/** Seconds since 1970, as a signature has them. */
export function secondsOf(date: Date): number {
  return Math.floor(date.getTime() / 1_000);
}

function macOf(id: string, seconds: number, body: string, secret: string): string {
  return createHmac('sha256', keyOf(secret)).update(`${id}.${seconds}.${body}`).digest('base64');
}

function keyOf(secret: string): Buffer {
  return secret.startsWith(PREFIX)
    ? Buffer.from(secret.slice(PREFIX.length), 'base64')
    : Buffer.from(secret, 'utf8');
}

function unsigned(what: string, received: string): GatewayError {
  return new GatewayError('GW_WEBHOOK_SIGNATURE', `Expected ${what} for a webhook but received ${received}`);
}
