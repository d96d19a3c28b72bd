import type { Clock } from '../clock.js';
import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError } from '../errors.js';
import { VERSION } from '../version.js';
import {
  type Connect,
  type Connection,
  connecting,
  type DeliveryAnswer,
  MAX_ANSWER_BYTES,
} from './connection.js';
import { Permits } from './permits.js';
import { secondsOf, signWebhook } from './signature.js';

export type { DeliveryAnswer };

export interface SenderOptions {
  readonly url: string;
  readonly secrets: readonly string[];
  /** Most concurrent requests, each on a separate connection that is kept alive; others wait. */
  readonly connections: number;
  readonly clock: Clock;
}

/** A message; its id is the same at every attempt. */
export interface WebhookMessage {
  readonly id: string;
  readonly body: string;
}

/** Posts signed JSON to one URL. Follows no redirect: a signature is meant for one receiver. */
export class WebhookSender {
  /** Sign all messages from now on. */
  secrets: readonly string[];
  private readonly url: URL;
  private readonly connect: Connect;
  private readonly headers: Readonly<Record<string, string>>;
  private readonly permits: Permits;
  private readonly idle: Connection[] = [];
  /** Each aborts a running attempt. */
  private readonly underWay = new Set<AbortController>();

  constructor(private readonly options: SenderOptions) {
    this.url = new URL(options.url);
    this.secrets = options.secrets;
    this.connect = connecting(this.url.origin);
    this.headers = {
      'content-type': 'application/json',
      'user-agent': `trunkline/${VERSION}`,
      ...credentialsOf(this.url),
    };
    this.permits = new Permits(options.connections);
  }

  /** The origin of the receiver, for logs: without credentials, path and query. */
  get target(): string {
    return this.url.origin;
  }

  /**
   * Makes one attempt. It always ends within its time and leaves nothing behind.
   * @param timeoutMs from now to the last byte of the answer, including the wait for a connection
   * @throws GatewayError `GW_WEBHOOK_TIMEOUT`, `GW_WEBHOOK_UNREACHABLE`, `GW_WEBHOOK_ANSWER_TOO_LARGE`; the signal's
   * reason if it is aborted
   */
  async post(message: WebhookMessage, timeoutMs: number, signal?: AbortSignal): Promise<DeliveryAnswer> {
    signal?.throwIfAborted();
    const { clock } = this.options;
    const limitMs = Math.max(1, Math.round(timeoutMs));
    const cut = new AbortController();
    const late = clock.timeout(limitMs, () =>
      cut.abort(failure('GW_WEBHOOK_TIMEOUT', `an answer within ${limitMs} ms`, 'none')),
    );
    // A signal may live as long as the process: no listener may stay on it.
    const stop = () => cut.abort(signal?.reason);
    signal?.addEventListener('abort', stop);
    this.underWay.add(cut);
    try {
      return await Promise.race([abortOf(cut.signal), this.exchange(message, cut.signal)]);
    } catch (error) {
      throw cut.signal.aborted ? cut.signal.reason : failureOf(error as NodeJS.ErrnoException);
    } finally {
      this.underWay.delete(cut);
      signal?.removeEventListener('abort', stop);
      late.cancel();
    }
  }

  /** Closes every connection; requests under way fail. */
  close(): void {
    const closed = failure('GW_WEBHOOK_UNREACHABLE', 'an answer', 'none before the gateway closed');
    for (const cut of this.underWay) cut.abort(closed);
    for (const connection of this.idle.splice(0)) connection.end(closed);
  }

  private async exchange({ id, body }: WebhookMessage, cut: AbortSignal): Promise<DeliveryAnswer> {
    await this.permits.acquire();
    try {
      cut.throwIfAborted();
      const connection = this.idle.pop() ?? this.connect();
      try {
        const path = `${this.url.pathname}${this.url.search}`;
        const seconds = secondsOf(this.options.clock.date());
        const signed = { ...this.headers, ...signWebhook(id, body, this.secrets, seconds) };
        const answer = await connection.post({ path, headers: signed, body }, cut);
        this.idle.push(connection);
        return answer;
      } catch (error) {
        connection.end(error as Error);
        throw error;
      }
    } finally {
      this.permits.release();
    }
  }
}

/** Whether a retry may succeed: the receiver is busy or out of order. */
export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** Rejects with the signal's reason, once it is aborted. */
function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
}

/** The header for a URL with a user name and a password. */
function credentialsOf({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {};
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
}

function failureOf({ code = '', message }: NodeJS.ErrnoException): GatewayError {
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return failure('GW_WEBHOOK_ANSWER_TOO_LARGE', `at most ${MAX_ANSWER_BYTES} bytes of answer`, 'more');
  }
  // Undici's messages say more than its codes; for the system and TLS it is the other way round.
  const isCoded = code !== '' && !code.startsWith('UND_ERR_');
  return failure(
    'GW_WEBHOOK_UNREACHABLE',
    'an answer',
    (isCoded && code) || message || 'a broken connection',
  );
}

function failure(code: ErrorCode, what: string, received: string): GatewayError {
  return new GatewayError(code, `Expected ${what} for a webhook but received ${received}`);
}
