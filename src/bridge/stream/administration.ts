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
  /** How long a user token is good, in seconds; the client asks for another when it is over. */
  readonly tokenSeconds: number;
  readonly clock: Clock;
  /** Requests to Stream that were repeated or failed, for the metrics. */
  readonly onRetry?: (reason: string) => void;
}

/** The user that calls are created by. */
const GATEWAY_USER = 'trunkline';
const REQUEST_TIMEOUT_MS = 5_000;
/** The SDK counts time in which this process stood still: it only clears away what nobody waits for any more. */
const ABANDONED_MS = 600_000;
const RETRIES = 4;
/** Pause before the first retry; doubled for each one after. */
const FIRST_PAUSE_MS = 200;
/** Stream may ask for more patience than a caller has. */
const LONGEST_WAIT_MS = 5_000;
/** A clock that is behind Stream's by less makes no token of the future. */
const CLOCK_SKEW_SECONDS = 5;

/** What the SDK's errors carry. */
interface RequestFailure {
  readonly message: string;
  readonly metadata?: {
    readonly responseCode?: number;
    readonly rateLimit?: { readonly rateLimitReset?: Date };
  };
}

/** What the gateway does at Stream with its secret: users, calls, tokens, events. Media is not here. */
export class Administration {
  private loaded: Promise<StreamClient> | undefined;
  private wasAccepted = false;
  private known: Promise<unknown> | undefined;

  constructor(private readonly options: AdministrationOptions) {}

  /** Made with the first request, by `open`: a gateway that has no keys does without the SDK. */
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
   * Makes sure that the keys are good.
   * @throws GatewayError `GW_STREAM_KEYS` where Stream refuses them, `GW_STREAM_UNAVAILABLE` where it does not answer,
   * `GW_STREAM_MISSING` where its packages are not installed
   */
  async open(): Promise<void> {
    try {
      await this.introduce();
    } catch (error) {
      const status = error instanceof GatewayError ? error.status : 0;
      if (status !== 401 && status !== 403) throw error;
      throw new GatewayError(
        'GW_STREAM_KEYS',
        `Expected a STREAM_API_KEY and STREAM_API_SECRET that Stream accepts but received a refusal: ${(error as Error).message}`,
        { status },
      );
    }
  }

  /**
   * Makes sure that the user and the call are there, both at once. A user of whom only the id is given keeps what
   * Stream knows of it: the client makes it known by joining.
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

  /** Makes the gateway's own user known, once. */
  private introduce(): Promise<unknown> {
    this.known ??= this.request('the gateway user', (client) =>
      client.upsertUsers([{ id: GATEWAY_USER, name: 'Trunkline', role: 'user' }]),
    );
    this.known.catch(() => {
      this.known = undefined;
    });
    return this.known;
  }

  /** A join, which the client asks for, is asked for again. */
  noteRetry(reason: string): void {
    this.options.onRetry?.(reason);
  }

  /** A user token, signed here: no request. */
  async token(userId: string): Promise<string> {
    const now = Math.floor(this.options.clock.date().getTime() / 1000);
    return (await this.client).generateUserToken({
      user_id: userId,
      iat: now - CLOCK_SKEW_SECONDS,
      exp: now + this.options.tokenSeconds,
    });
  }

  /** Sends a custom event to everybody in a call, as from the user. Stream takes up to 5 KB. */
  async sendEvent(name: CallName, userId: string, custom: Readonly<Record<string, unknown>>): Promise<void> {
    await this.request('a custom event', (client) =>
      client.video.call(name.type, name.id).sendCallEvent({ user_id: userId, custom: { ...custom } }),
    );
  }

  /**
   * Asks Stream, and again after a pause that grows and varies where it is busy or out of order; once more where it
   * refuses, or knows nothing of what is asked for, and has accepted our keys before.
   * @throws GatewayError `GW_STREAM_REFUSED` with Stream's status, `GW_STREAM_UNAVAILABLE` where tries are used up
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
        // The pauses are the clock's.
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
      const message = `Expected Stream to accept ${what} but received ${status === 0 ? 'no answer' : `status ${status}`}: ${failure.message}`;
      throw new GatewayError(code, message, { status: status === 0 ? 503 : status, cause: error });
    }
  }

  private async inTime<T>(asked: Promise<T>): Promise<T> {
    const answer = await this.options.clock.within(REQUEST_TIMEOUT_MS, asked);
    if (answer === undefined) throw new Error(`none within ${REQUEST_TIMEOUT_MS} ms`);
    return answer;
  }

  /** A single refusal may be an answer of a part of Stream's that has not heard of a user, a call or a key yet. */
  private isWorthAnother(failure: RequestFailure, attempt: number): boolean {
    const isRefusal = [401, 403, 404].includes(failure.metadata?.responseCode ?? 0);
    return isPassing(failure) || (attempt === 1 && isRefusal && this.wasAccepted);
  }
}

/** Whether it may go well another time: busy, out of order, or no answer at all. */
function isPassing({ metadata }: RequestFailure): boolean {
  const status = metadata?.responseCode;
  return status === undefined || status === 408 || status === 429 || status >= 500;
}

/** How long Stream wants to be left alone, bounded. */
function waitOf({ metadata }: RequestFailure, clock: Clock): number {
  const reset = metadata?.rateLimit?.rateLimitReset;
  if (metadata?.responseCode !== 429 || !(reset instanceof Date)) return 0;
  return Math.min(Math.max(0, reset.getTime() - clock.date().getTime()), LONGEST_WAIT_MS);
}
