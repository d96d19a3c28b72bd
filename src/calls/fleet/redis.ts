import { createHash } from 'node:crypto';
import type { RedisClientType } from '@redis/client';
import type { Clock, Patience } from '../../clock.js';
import { GatewayError } from '../../errors.js';

/** Longest wait for an answer: a webhook that waits longer is a caller who hears nothing. */
const ANSWER_MS = 500;
const CONNECT_MS = 2_000;
/** A connection from which nothing comes for so long is dead; heartbeats keep a good one busy. */
const SILENT_MS = 5_000;
/** Commands under way at a time; Redis that is slower than that is down. */
const MAX_COMMANDS = 10_000;
const MAX_RETRY_MS = 1_000;
/** Answers of a node that cannot serve now, e.g. one that has become a replica. */
const UNFIT = /^(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|UNBLOCKED|OOM|MISCONF)\b/;
/** Answers that will not change by waiting. */
const REFUSED = /^(WRONGPASS|NOAUTH|NOPERM)\b|invalid password|without any password|DB index/i;

/** Loaded when the first link opens: a node that stands alone does without. */
let redis: typeof import('@redis/client');

type Client = RedisClientType;
export type RedisValue = string | number | null | readonly RedisValue[];

/** Whether a text names one Redis endpoint, with a database and credentials that can be read where it names any. */
export function isRedisUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, pathname, username, password } = new URL(url);
  if (!/^rediss?:$/.test(protocol) || hostname === '' || !/^\/?\d*$/.test(pathname)) return false;
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

/** Whether it is the registry that is away, now and perhaps not for long. */
export function isRegistryDown(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'GW_REGISTRY_DOWN';
}

/** Whether the registry was asked and gave no answer: it is away, or what stands there is not ours. */
export function isRegistryFault(error: unknown): boolean {
  return isRegistryDown(error) || (error instanceof GatewayError && error.code === 'GW_REGISTRY_ERROR');
}

/** A Lua script, known to Redis by its digest. */
export interface Script {
  readonly text: string;
  readonly digest: string;
}

export function script(text: string): Script {
  return { text, digest: createHash('sha1').update(text).digest('hex') };
}

export interface RedisLinkOptions {
  /** `redis://` or `rediss://`, one endpoint: a single server, or a name that follows the primary. */
  readonly url: string;
  readonly onUp: () => void;
  readonly onDown: (error: Error) => void;
  readonly clock: Clock;
}

/**
 * One connection to Redis that never makes anybody wait: a command is answered within half a second or fails, and while
 * Redis is away every command fails at once. It comes back by itself.
 */
export class RedisLink {
  private client: Client | undefined;
  private up = false;
  private closed = false;
  private readonly listeners = new Map<string, (message: string) => void>();

  constructor(private readonly options: RedisLinkOptions) {}

  /** Whether commands are worth trying. */
  get isUp(): boolean {
    return this.up;
  }

  /**
   * Connects; is fulfilled after `patienceMs` also where Redis is away, for it may come later.
   * @throws GatewayError `GW_REDIS_REFUSED` where it will not let us in however long we wait
   */
  async open(patienceMs = 3_000): Promise<void> {
    redis = await import('@redis/client');
    if (this.closed) return;
    this.client = this.newClient();
    const settled = new Promise<void>((resolve, reject) => {
      this.opening = { resolve, reject };
    });
    try {
      const opened = Promise.race([this.connect().then(() => settled), settled]);
      await this.options.clock.within(patienceMs, opened);
    } finally {
      this.opening = undefined;
    }
  }

  /** A start that succeeds, or cannot. */
  private opening: { resolve: () => void; reject: (error: Error) => void } | undefined;

  /** Frees the connection; whatever is under way fails. */
  close(): void {
    this.closed = true;
    this.up = false;
    this.client?.destroy();
  }

  /**
   * Runs a script.
   * @throws GatewayError `GW_REGISTRY_DOWN` (503), or `GW_REGISTRY_ERROR` (503) where Redis answers with an error that has
   * nothing to do with how it is, e.g. because a key holds what is not ours
   */
  run(script: Script, keys: readonly string[], values: readonly (string | number)[]): Promise<RedisValue> {
    const call = [String(keys.length), ...keys, ...values.map(String)];
    return this.inTime(async (client) => {
      try {
        return (await client.sendCommand(['EVALSHA', script.digest, ...call])) as unknown as RedisValue;
      } catch (error) {
        if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
        return (await client.sendCommand(['EVAL', script.text, ...call])) as unknown as RedisValue;
      }
    });
  }

  /**
   * Sends any command.
   * @throws as {@link run}
   */
  send(command: readonly string[]): Promise<RedisValue> {
    return this.inTime(async (client) => (await client.sendCommand(command)) as unknown as RedisValue);
  }

  /**
   * Tells everybody who listens on a channel.
   * @returns how many do
   * @throws as {@link run}
   */
  publish(channel: string, message: string): Promise<number> {
    return this.inTime((client) => client.publish(channel, message));
  }

  /** Listens on a channel as long as the link lives, over every loss of the connection. */
  listen(channel: string, listener: (message: string) => void): void {
    this.listeners.set(channel, listener);
    const { client } = this;
    if (!this.up || client === undefined) return;
    client.subscribe(channel, listener).catch((error: Error) => this.renew(client, error));
  }

  private newClient(): Client {
    const client = redis.createClient({
      url: this.options.url,
      name: 'trunkline',
      disableOfflineQueue: true,
      disableClientInfo: true,
      maintNotifications: 'disabled',
      commandsQueueMaxLength: MAX_COMMANDS,
      socket: {
        connectTimeout: CONNECT_MS,
        socketTimeout: SILENT_MS,
        reconnectStrategy: (tries: number) =>
          Math.min(MAX_RETRY_MS, 25 * 2 ** tries) * (0.5 + Math.random() / 2),
      },
    });
    client.on('error', (error: Error) => this.lost(client, error));
    client.on('ready', () => void this.found(client));
    return client;
  }

  private async connect(): Promise<void> {
    await this.client?.connect();
  }

  /** A connection is there; it serves once it lets us listen. */
  private async found(client: Client): Promise<void> {
    if (this.closed || client !== this.client) return;
    try {
      // A client that reconnects subscribes by itself; to a listener that it has this adds nothing.
      await Promise.all([...this.listeners].map(([channel, hear]) => client.subscribe(channel, hear)));
    } catch (error) {
      this.renew(client, error as Error);
      return;
    }
    if (this.closed || client !== this.client || this.up || !client.isReady) return;
    this.up = true;
    this.options.onUp();
    this.opening?.resolve();
  }

  private lost(client: Client, error: Error): void {
    if (this.closed || client !== this.client) return;
    if (REFUSED.test(error.message)) {
      this.opening?.reject(
        new GatewayError(
          'GW_REDIS_REFUSED',
          `Expected REDIS_URL to name a Redis that lets us in but received ${error.message}`,
        ),
      );
    }
    if (!this.up) return;
    this.up = false;
    this.options.onDown(error);
  }

  private async inTime<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const { client } = this;
    if (!this.up || client === undefined) throw down('none: Redis is away');
    const { clock } = this.options;
    let patience: Patience | undefined;
    const late = new Promise<never>((_, reject) => {
      patience = clock.patience(ANSWER_MS, () => reject(new Error(`none within ${ANSWER_MS} ms`)));
    });
    try {
      return await Promise.race([work(client), late]);
    } catch (cause) {
      const error = cause as Error;
      if (error instanceof redis.ErrorReply && !UNFIT.test(error.message) && !REFUSED.test(error.message)) {
        throw new GatewayError('GW_REGISTRY_ERROR', expectedAnswer(error.message), { status: 503 });
      }
      // Neither what is late nor what is unfit gets better by asking it again: a new connection finds out.
      if (UNFIT.test(error.message) || error.message.startsWith('none within')) this.renew(client, error);
      throw down(error.message);
    } finally {
      patience?.cancel();
    }
  }

  /** Leaves a connection that does not serve for a new one. */
  private renew(client: Client, error: Error): void {
    if (this.closed || client !== this.client) return;
    this.lost(client, error);
    this.client = this.newClient();
    client.destroy();
    const reconnect = () => {
      if (!this.closed) this.connect().catch(() => {});
    };
    this.options.clock.after(MAX_RETRY_MS * Math.random(), reconnect).unref();
  }
}

function down(received: string): GatewayError {
  return new GatewayError('GW_REGISTRY_DOWN', expectedAnswer(received), { status: 503 });
}

function expectedAnswer(received: string): string {
  return `Expected an answer of the registry but received ${received}`;
}
