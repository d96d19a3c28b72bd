import http from 'node:http';
import https from 'node:https';
import type { Clock } from '../clock.js';
import { GatewayError } from '../errors.js';
import { VERSION } from '../version.js';
import { secondsOf, signWebhook } from './signature.js';

export interface SenderOptions {
  readonly url: string;
  readonly secrets: readonly string[];
  /** Most requests at a time, each on a connection of its own that is kept for the next; others wait. */
  readonly connections: number;
  readonly clock: Clock;
}

/** What is sent: its id is the same at every try. */
export interface WebhookMessage {
  readonly id: string;
  readonly body: string;
}

export interface WebhookAnswer {
  readonly status: number;
  readonly body: string;
}

/** Largest answer that is read, in bytes. */
export const MAX_ANSWER_BYTES = 64 * 1024;
/** A connection that nobody needed for so long is closed: before most servers do. */
const IDLE_MS = 4_000;

/** Posts signed JSON to one URL. Follows no redirect: a signature is for whom it was made. */
export class WebhookSender {
  private readonly agent: http.Agent;
  private readonly url: URL;
  /** Sign what is sent from now on. */
  secrets: readonly string[];

  constructor(private readonly options: SenderOptions) {
    this.url = new URL(options.url);
    this.secrets = options.secrets;
    const { Agent } = this.url.protocol === 'https:' ? https : http;
    this.agent = new Agent({ keepAlive: true, maxSockets: options.connections, timeout: IDLE_MS });
  }

  /** Whom it posts to, as a log may show it: without credentials, path and query. */
  get target(): string {
    return this.url.origin;
  }

  /**
   * Makes one try.
   * @param timeoutMs from now to the answer's last byte, the wait for a connection included
   * @throws GatewayError `GW_WEBHOOK_TIMEOUT`, `GW_WEBHOOK_UNREACHABLE`, `GW_WEBHOOK_ANSWER_TOO_LARGE`; the signal's
   * reason where it is aborted
   */
  async post({ id, body }: WebhookMessage, timeoutMs: number, signal?: AbortSignal): Promise<WebhookAnswer> {
    const { clock } = this.options;
    let isLate = false;
    try {
      return await clock.limited(Math.max(1, Math.round(timeoutMs)), (late) => {
        late.addEventListener('abort', () => {
          isLate = true;
        });
        return this.exchange(id, body, signal === undefined ? late : AbortSignal.any([signal, late]));
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof GatewayError) throw error;
      if (isLate) {
        throw failure('GW_WEBHOOK_TIMEOUT', `an answer within ${Math.round(timeoutMs)} ms`, 'none');
      }
      const { code = 'a broken connection' } = error as NodeJS.ErrnoException;
      throw failure('GW_WEBHOOK_UNREACHABLE', 'an answer', code);
    }
  }

  /** Closes every connection; requests under way fail. */
  close(): void {
    this.agent.destroy();
  }

  private exchange(id: string, body: string, signal: AbortSignal): Promise<WebhookAnswer> {
    return new Promise((resolve, reject) => {
      const { request } = this.url.protocol === 'https:' ? https : http;
      const sent = request(this.url, {
        method: 'POST',
        agent: this.agent,
        signal,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'user-agent': `trunkline/${VERSION}`,
          ...signWebhook(id, body, this.secrets, secondsOf(this.options.clock.date())),
        },
      });
      sent.on('error', reject);
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          chunks.push(chunk);
          if (size <= MAX_ANSWER_BYTES) return;
          reject(
            failure('GW_WEBHOOK_ANSWER_TOO_LARGE', `at most ${MAX_ANSWER_BYTES} bytes of answer`, 'more'),
          );
          sent.destroy();
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
        response.on('error', reject);
      });
      sent.end(body);
    });
  }
}

/** Whether another try may go well: busy or out of order. */
export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

function failure(code: `GW_${string}`, what: string, received: string): GatewayError {
  return new GatewayError(code, `Expected ${what} for a webhook but received ${received}`, { status: 502 });
}
