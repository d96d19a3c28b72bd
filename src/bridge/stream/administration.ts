import type { StreamClient } from '@stream-io/node-sdk';
import pRetry from 'p-retry';
import type { Clock } from '../../clock.js';
import { GatewayError } from '../../errors.js';
import type { BridgeUser } from '../bridge.js';
import type { CallName } from './call-name.js';
import { requireStreamPackages } from './packages.js';

export interface AdministrationOptions {
  readonly apiKey: string;
  readonly apiSecret: string;
  /** Origin in place of Stream's own. */
  readonly baseUrl?: string | undefined;
  /** Lifetime of a user token in seconds; the client renews it. */
  readonly tokenSeconds: number;
  readonly clock: Clock;
  /** Requests to Stream that were repeated or failed, for the metrics. */
  readonly onRetry?: (reason: string) => void;
}

/** The user that calls are created by. */
const GATEWAY_USER = 'trunkline';
const REQUEST_TIMEOUT_MS = 5_000;
/** The SDK's timeout includes stalls of this process, so it is long: it only frees abandoned requests. */
const ABANDONED_MS = 600_000;
const RETRIES = 4;
/** Pause before the first retry; doubled for each one after. */
const FIRST_PAUSE_MS = 200;
/** Longest pause, even if Stream asks for more. */
const LONGEST_WAIT_MS = 5_000;
/** Tolerated difference to Stream's clock: tokens are issued this much earlier. */
const CLOCK_SKEW_SECONDS = 5;

/** Fields of the SDK's errors. */
interface RequestFailure {
  readonly message: string;
  readonly metadata?: {
    readonly responseCode?: number;
    readonly rateLimit?: { readonly rateLimitReset?: Date };
  };
}

/** Stream's server-side API, which needs the secret: users, calls, tokens, events. */
export class Administration {
  private loaded: Promise<StreamClient> | undefined;
  private wasAccepted = false;
  private known: Promise<unknown> | undefined;

  constructor(private readonly options: AdministrationOptions) {}

  /** Created by `open`: a gateway without keys does not need the SDK. */
  private get client(): Promise<StreamClient> {
    this.loaded ??= this.load();
    return this.loaded;
  }

  private async load(): Promise<StreamClient> {
    requireStreamPackages();
    const { apiKey, apiSecret, baseUrl } = this.options;
    const { StreamClient } = await import('@stream-io/node-sdk');
    return new StreamClient(apiKey, apiSecret, {
      timeout: ABANDONED_MS,
      ...(baseUrl === undefined ? {} : { basePath: baseUrl }),
    });
  }

  /**
   * Checks the keys.
   * @throws GatewayError `GW_STREAM_KEYS` if Stream refuses them, `GW_STREAM_UNAVAILABLE` if it does not answer,
   * `GW_STREAM_MISSING` if its packages are not installed
   */
  async open(): Promise<void> {
    try {
      await this.introduce();
    } catch (error) {
      const status = error instanceof GatewayError ? error.status : 0;
      if (status !== 401 && status !== 403) throw error;
      throw new GatewayError(
        'GW_STREAM_KEYS',
        `Stream rejects STREAM_API_KEY and STREAM_API_SECRET: ${(error as Error).message}`,
        { status },
      );
    }
  }

  /**
   * Creates the user and the call, concurrently, if they do not exist. A user given only by id is left unchanged at Stream; the
   * client creates it by joining.
   */
  async prepare(user: BridgeUser, name: CallName, signal?: AbortSignal): Promise<void> {
    const { id, name: userName, custom } = user;
    const upsert = async () => {
      if (userName === undefined && custom === undefined) return;
      await this.request(
        'the user',
        (client) =>
          client.upsertUsers([
            {
              id,
              ...(userName === undefined ? {} : { name: userName }),
              ...(custom === undefined ? {} : { custom }),
            },
          ]),
        signal,
      );
    };
    const create = () =>
      this.request(
        'the call',
        (client) =>
          client.video.call(name.type, name.id).getOrCreate({ data: { created_by_id: GATEWAY_USER } }),
        signal,
      );
    await this.introduce();
    await Promise.all([upsert(), create()]);
  }

  /** Creates the gateway's own user, once. */
  private introduce(): Promise<unknown> {
    this.known ??= this.request('the gateway user', (client) =>
      client.upsertUsers([{ id: GATEWAY_USER, name: 'Trunkline', role: 'user' }]),
    );
    this.known.catch(() => {
      this.known = undefined;
    });
    return this.known;
  }

  /** Counts a retry of a join, which the client makes. */
  noteRetry(reason: string): void {
    this.options.onRetry?.(reason);
  }

  /** Signs a user token, without a request. */
  async token(userId: string): Promise<string> {
    const now = Math.floor(this.options.clock.date().getTime() / 1000);
    return (await this.client).generateUserToken({
      user_id: userId,
      iat: now - CLOCK_SKEW_SECONDS,
      exp: now + this.options.tokenSeconds,
    });
  }

  /** Sends a custom event to everybody in a call, on behalf of the user; at most 5 KB. */
  async sendEvent(name: CallName, userId: string, custom: Readonly<Record<string, unknown>>): Promise<void> {
    await this.request('a custom event', (client) =>
      client.video.call(name.type, name.id).sendCallEvent({ user_id: userId, custom: { ...custom } }),
    );
  }

  /**
   * Sends a request to Stream. Retries with growing, random pauses while Stream is busy or out of order, and once after a
   * refusal or a 404 if our keys were accepted before.
   * @throws GatewayError `GW_STREAM_REFUSED` with Stream's status, `GW_STREAM_UNAVAILABLE` after the last attempt
   */
  private async request<T>(
    what: string,
    ask: (client: StreamClient) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const client = await this.client;
    try {
      const answer = await pRetry(() => this.inTime(ask(client)), {
        retries: RETRIES,
        // The injected clock makes the pauses.
        minTimeout: 0,
        ...(signal === undefined ? {} : { signal }),
        shouldRetry: ({ error, attemptNumber }) =>
          this.isWorthAnother(error as RequestFailure, attemptNumber),
        onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
          if (retriesLeft === 0 || !this.isWorthAnother(error as RequestFailure, attemptNumber)) return;
          this.options.onRetry?.(`${what}: ${error.message}`);
          const { clock } = this.options;
          const pauseMs = FIRST_PAUSE_MS * 2 ** (attemptNumber - 1) * (1 + Math.random());
          await clock.sleep(pauseMs + waitOf(error as RequestFailure, clock), signal);
        },
      });
      this.wasAccepted = true;
      return answer;
    } catch (error) {
      if (signal?.aborted) throw error;
      const failure = error as RequestFailure;
      const status = failure.metadata?.responseCode ?? 0;
      const code = isPassing(failure) ? 'GW_STREAM_UNAVAILABLE' : 'GW_STREAM_REFUSED';
      const message = `Stream ${status === 0 ? `gave no answer to ${what}` : `rejected ${what} with status ${status}`}: ${failure.message}`;
      throw new GatewayError(code, message, { status: status === 0 ? 503 : status, cause: error });
    }
  }

  private async inTime<T>(asked: Promise<T>): Promise<T> {
    const answer = await this.options.clock.within(REQUEST_TIMEOUT_MS, asked);
    if (answer === undefined) throw new Error(`none within ${REQUEST_TIMEOUT_MS} ms`);
    return answer;
  }

  /** A single refusal may come from a part of Stream that does not know a new user, call or key yet. */
  private isWorthAnother(failure: RequestFailure, attempt: number): boolean {
    const isRefusal = [401, 403, 404].includes(failure.metadata?.responseCode ?? 0);
    return isPassing(failure) || (attempt === 1 && isRefusal && this.wasAccepted);
  }
}

/** Whether a retry may succeed: busy, out of order, or no answer. */
function isPassing({ metadata }: RequestFailure): boolean {
  const status = metadata?.responseCode;
  return status === undefined || status === 408 || status === 429 || status >= 500;
}

/** The pause that Stream asks for, limited. */
function waitOf({ metadata }: RequestFailure, clock: Clock): number {
  const reset = metadata?.rateLimit?.rateLimitReset;
  if (metadata?.responseCode !== 429 || !(reset instanceof Date)) return 0;
  return Math.min(Math.max(0, reset.getTime() - clock.date().getTime()), LONGEST_WAIT_MS);
}
