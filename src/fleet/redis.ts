import { createHash } from 'node:crypto';
import type { RedisClientType } from '@redis/client';
import type { Clock, Timeout, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import { type Endpoint, nameOf, parseRedisUrl, type RedisAddress } from './redis-address.js';
import { faultOf, movedTo, type RedisFault } from './redis-fault.js';
import { Sentinels, socketOf } from './sentinels.js';

/** Maximum wait for a reply: a webhook that waits longer is a caller who hears nothing. */
export const ANSWER_MS = 500;
const CONNECT_MS = 2_000;
/** Maximum commands in flight; a slower Redis counts as down. */
const MAX_COMMANDS = 10_000;
const MAX_RETRY_MS = 1_000;
/** Interval between checks of a link that is up. */
const TRIAL_MS = 60_000;
/** Maximum redirects between nodes of a cluster until the keys are found. */
const MAX_HOPS = 5;
/** Prefix of our keys; in a cluster all of them hash to one slot. */
const OWN = /^trunkline:/;
const IN_ONE_SLOT = 'trunkline:{trunkline}:';

/** Loaded with the first link, so that a standalone node does without. */
let redis: typeof import('@redis/client');

type Client = RedisClientType;
/** First and last slot, then their servers: address if known, port and more. */
type ClusterSlots = readonly [number, number, ...[string | null, number][]][];
export type RedisValue = string | number | null | readonly RedisValue[];

/** Whether the registry is down, possibly only for a moment. */
export function isRegistryDown(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'GW_REGISTRY_DOWN';
}

/** Whether the registry failed to answer: it is down, or a key holds data that is not ours. */
export function isRegistryFault(error: unknown): boolean {
  return isRegistryDown(error) || (error instanceof GatewayError && error.code === 'GW_REGISTRY_ERROR');
}

/** A Lua script, cached in Redis by its digest. A registry that is not Redis knows it by its name. */
export interface RedisScript {
  readonly name: string;
  readonly text: string;
  readonly digest: string;
}

export function script(name: string, text: string): RedisScript {
  return { name, text, digest: createHash('sha1').update(text).digest('hex') };
}

/** The Redis commands the registry needs. */
export interface RedisCommands {
  /** Whether commands are worth trying. */
  readonly isUp: boolean;
  /**
   * Runs a script.
   * @throws GatewayError `GW_REGISTRY_DOWN` (503), or `GW_REGISTRY_ERROR` (503) for an error unrelated to the
   *   server's health, e.g. a key that holds data that is not ours
   */
  runScript(
    script: RedisScript,
    keys: readonly string[],
    values: readonly (string | number)[],
  ): Promise<RedisValue>;
  /**
   * Publishes a message on a channel.
   * @returns the number of subscribers
   * @throws as {@link runScript}
   */
  publish(channel: string, message: string): Promise<number>;
}

/** The way to a registry: {@link RedisLink} to a Redis; where one machine is the fleet, a link to its supervisor. */
export interface RegistryLink extends RedisCommands {
  /** Kind of registry, for the log. */
  readonly kind: string;
  /** Why it is down; `undefined` while it is up, and before the first try. */
  readonly fault: RedisFault | undefined;
  /** Connects; also resolves while the registry is down. @throws GatewayError `GW_REDIS_REFUSED` if waiting cannot help */
  open(): Promise<void>;
  close(): void;
  /** Subscribes to a channel for the lifetime of the link. */
  subscribe(channel: string, listener: (message: string) => void): void;
}

/** What a link reports. */
export interface LinkEvents {
  readonly onUp: () => void;
  /** Called when the link goes down or cannot come up, and for each new cause. */
  readonly onDown: (fault: RedisFault) => void;
}

/** A test every connection must pass before it counts as up. */
export interface Trial {
  /** Subscribed on every connection. */
  readonly channel: string;
  handleMessage(message: string): void;
  /** Rejects if Redis cannot serve us. */
  run(commands: RedisCommands): Promise<void>;
}

export interface RedisLinkOptions extends LinkEvents {
  /** In the format of {@link parseRedisUrl}. */
  readonly url: string;
  /** Run on every new connection, and once a minute while it is up; default none. */
  readonly trial?: Trial;
  readonly clock: Clock;
}

/**
 * One connection to Redis that never blocks: a command is answered within half a second or fails, and while
 * Redis is down every command fails at once. It reconnects by itself; with sentinels or a cluster, to the
 * server that has the keys.
 */
export class RedisLink implements RegistryLink {
  private readonly address: RedisAddress;
  private sentinels: Sentinels | undefined;
  private client: Client | undefined;
  private up = false;
  private closed = false;
  private wrong: RedisFault | undefined;
  /** Causes already reported during this outage, so that two alternating causes are reported once each. */
  private readonly reported = new Set<string>();
  private tries = 0;
  private retry: Timer | undefined;
  private trials: Timer | undefined;
  private readonly listeners = new Map<string, (message: string) => void>();
  /** The current server, or the last one. */
  private at: Endpoint;
  /** Where a cluster says our keys are, and how many redirects there were in a row. */
  private moved: Endpoint | undefined;
  private hops = 0;
  private isCluster = false;
  /** Other servers of the cluster, for when the server in REDIS_URL is down. */
  private others: readonly Endpoint[] = [];
  /** Pending open(): it succeeds, cannot succeed, or its first try has failed. */
  private opening: { resolve: () => void; reject: (error: Error) => void; fail: () => void } | undefined;

  /** @throws TypeError for an invalid Redis URL */
  constructor(private readonly options: RedisLinkOptions) {
    const address = parseRedisUrl(options.url);
    if (address === undefined) throw new TypeError('Expected the URL of a Redis but received another text');
    this.address = address;
    [this.at] = address.endpoints;
    const { trial } = options;
    if (trial !== undefined) this.listeners.set(trial.channel, (message) => trial.handleMessage(message));
  }

  get isUp(): boolean {
    return this.up;
  }

  /** Why the link is down; `undefined` while it is up, and before the first try. */
  get fault(): RedisFault | undefined {
    return this.wrong;
  }

  /** Kind of server, if known: `Redis` or `Redis Cluster`. */
  get kind(): string {
    return this.isCluster ? 'Redis Cluster' : 'Redis';
  }

  /**
   * Connects. Also resolves while Redis is down, because it may come up later: after the first failed try and
   * `patienceMs` milliseconds.
   * @throws GatewayError `GW_REDIS_REFUSED` if waiting cannot help
   */
  async open(patienceMs = 3_000): Promise<void> {
    redis = await import('@redis/client');
    if (this.closed) return;
    const { clock } = this.options;
    if (this.address.primary !== undefined) {
      this.sentinels = new Sentinels(this.address, redis, () => void this.checkPrimary());
    }
    let fail = () => {};
    const failed = new Promise<void>((resolve) => {
      fail = resolve;
    });
    const settled = new Promise<void>((resolve, reject) => {
      this.opening = { resolve, reject, fail };
    });
    const until = clock.now() + patienceMs;
    void this.connectOnce();
    this.trials = clock.every(TRIAL_MS, () => void this.probeConnection());
    this.trials.unref();
    try {
      await Promise.race([settled, failed]);
      const leftMs = until - clock.now();
      if (!this.up && leftMs > 0) await clock.within(leftMs, settled);
    } finally {
      this.opening = undefined;
    }
  }

  /** Closes the connection; commands in flight fail. */
  close(): void {
    const { client } = this;
    this.closed = true;
    this.up = false;
    this.client = undefined;
    this.sentinels?.close();
    this.opening?.resolve();
    this.options.clock.cancel(this.retry);
    this.options.clock.cancel(this.trials);
    client?.destroy();
  }

  runScript(
    script: RedisScript,
    keys: readonly string[],
    values: readonly (string | number)[],
  ): Promise<RedisValue> {
    return this.inTime((client) => this.runOn(client, script, keys, values));
  }

  /**
   * Sends any command.
   * @throws as {@link runScript}
   */
  send(command: readonly string[]): Promise<RedisValue> {
    return this.inTime(async (client) => (await client.sendCommand(command)) as unknown as RedisValue);
  }

  publish(channel: string, message: string): Promise<number> {
    return this.inTime((client) => client.publish(channel, message));
  }

  /** Subscribes to a channel for the lifetime of the link, across reconnects. */
  subscribe(channel: string, listener: (message: string) => void): void {
    this.listeners.set(channel, listener);
    const { client } = this;
    if (!this.up || client === undefined) return;
    client.subscribe(channel, listener).catch((error: Error) => this.lose(client, error));
  }

  private async runOn(
    client: Client,
    { text, digest }: RedisScript,
    keys: readonly string[],
    values: readonly (string | number)[],
  ): Promise<RedisValue> {
    const own = this.isCluster ? keys.map((key) => key.replace(OWN, IN_ONE_SLOT)) : keys;
    const call = [String(keys.length), ...own, ...values.map(String)];
    try {
      return (await client.sendCommand(['EVALSHA', digest, ...call]).catch((error: Error) => {
        if (!error.message.startsWith('NOSCRIPT')) throw error;
        return client.sendCommand(['EVAL', text, ...call]);
      })) as unknown as RedisValue;
    } catch (error) {
      const denied = deniedIn(text, (error as Error).message);
      throw denied === undefined ? error : new redis.SimpleError(`NOPERM in a script (${denied})`);
    }
  }

  /** Tries once to get a working connection. */
  private async connectOnce(): Promise<void> {
    if (this.closed) return;
    let client: Client | undefined;
    try {
      this.at = this.moved ?? (await this.sentinels?.findPrimary()) ?? this.seed;
      if (this.closed) {
        this.sentinels?.close();
        return;
      }
      client = this.newClient(this.at);
      this.client = client;
      await this.connect(client);
      await this.attempt(client);
    } catch (error) {
      this.lose(client, await this.explainTlsError(error as Error));
      return;
    }
    if (this.closed || client !== this.client) return;
    this.up = true;
    this.wrong = undefined;
    this.reported.clear();
    this.tries = 0;
    this.hops = 0;
    this.options.onUp();
    this.opening?.resolve();
    if (this.isCluster) await this.learnOthers(client);
  }

  /** The server in REDIS_URL; in a cluster, each server in turn. */
  private get seed(): Endpoint {
    const seeds = [this.address.endpoints[0], ...this.others] as const;
    return seeds[this.tries % seeds.length] ?? seeds[0];
  }

  private async learnOthers(client: Client): Promise<void> {
    try {
      const slots = (await client.sendCommand(['CLUSTER', 'SLOTS'])) as unknown as ClusterSlots;
      const servers = slots.flatMap(([, , ...each]) => each);
      const known = new Map(servers.map(([host, port]) => [`${host}:${port}`, { host, port }]));
      this.others = [...known.values()].filter((each): each is Endpoint => Boolean(each.host));
    } catch {
      // Without the permission, do without the cluster's topology.
    }
  }

  /** The primary has changed or a sentinel is gone: asks the others. */
  private async checkPrimary(): Promise<void> {
    const { client, sentinels, at } = this;
    // While disconnected, the next try asks them anyway.
    if (!this.up || sentinels === undefined) return;
    const found = await sentinels.findPrimary().catch(() => undefined);
    if (this.closed) sentinels.close();
    else if (found === undefined) {
      this.options.clock.after(MAX_RETRY_MS, () => void this.checkPrimary()).unref();
    } else if (found.host !== at.host || found.port !== at.port) {
      this.lose(client, new Error('the sentinels have another primary'));
    }
  }

  private newClient(at: Endpoint): Client {
    const { username, password, database, isSecure } = this.address;
    const client = redis.createClient({
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      database,
      name: 'trunkline',
      disableOfflineQueue: true,
      disableClientInfo: true,
      maintNotifications: 'disabled',
      commandsQueueMaxLength: MAX_COMMANDS,
      socket: socketOf(at, isSecure, CONNECT_MS),
    }) as Client;
    // Errors before it is connected reject `connected`.
    client.on('error', () => {});
    return client;
  }

  private async connect(client: Client): Promise<void> {
    const connected = client.connect().then(() => {
      client.on('error', (error: Error) => this.lose(client, error));
      return Promise.all([...this.listeners].map(([channel, hear]) => client.subscribe(channel, hear)));
    });
    // Reported below, or no longer relevant.
    connected.catch(() => {});
    const isThere = await this.options.clock.within(CONNECT_MS, connected);
    if (isThere === undefined) throw new Error(`no answer within ${CONNECT_MS} ms`);
  }

  /**
   * A Redis without TLS waits for the end of the handshake as if it were a command: retry in plain text to
   * find out.
   */
  private async explainTlsError(error: Error): Promise<Error> {
    const isLate = error instanceof redis.ConnectionTimeoutError || error.message.startsWith('no answer');
    if (!this.address.isSecure || !isLate) return error;
    const client = redis.createClient({
      disableOfflineQueue: true,
      disableClientInfo: true,
      maintNotifications: 'disabled',
      socket: socketOf(this.at, false, ANSWER_MS),
    });
    client.on('error', () => {});
    const plain = await client.connect().then(
      () => true,
      (refusal: Error) => refusal instanceof redis.ErrorReply,
    );
    client.destroy();
    return plain ? new Error('wrong version number: no TLS') : error;
  }

  /** Tests a new connection. */
  private async attempt(client: Client): Promise<void> {
    await this.options.trial?.run({
      isUp: true,
      runScript: (script, keys, values) =>
        this.inTime((own) => this.runOn(own, script, keys, values), client),
      publish: (channel, message) => this.inTime((own) => own.publish(channel, message), client),
    });
  }

  /** Tests an idle connection, which may have stopped working while nobody used it. */
  private async probeConnection(): Promise<void> {
    const { client } = this;
    if (!this.up || client === undefined) return;
    await this.attempt(client).catch((error: Error) => this.lose(client, error));
  }

  private async inTime<T>(
    work: (client: Client) => Promise<T>,
    client = this.up ? this.client : undefined,
  ): Promise<T> {
    if (client === undefined) throw down('Redis is down');
    const { clock } = this.options;
    let patience: Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      patience = clock.timeout(ANSWER_MS, () => reject(new Error(`no answer within ${ANSWER_MS} ms`)));
    });
    try {
      return await Promise.race([work(client), late]);
    } catch (cause) {
      const error = cause as Error;
      const isReply = error instanceof redis.ErrorReply;
      if (isReply && faultOf(error).kind === 'foreign') {
        throw new GatewayError('GW_REGISTRY_ERROR', `Registry error: ${error.message}`, { cause });
      }
      // Retrying on this connection does not help; reconnect.
      if (isReply || error.message.startsWith('no answer within')) this.lose(client, error);
      throw down(error.message, cause);
    } finally {
      patience?.cancel();
    }
  }

  /** Drops a connection that does not work, and reconnects. */
  private lose(client: Client | undefined, error: Error): void {
    if (this.closed || client !== this.client) return;
    this.client = undefined;
    client?.destroy();
    const isFollowed = this.follow(error);
    const fault = faultOf(error);
    if (!isFollowed && fault.kind === 'refused') this.opening?.reject(refused(this.address, fault));
    if (!isFollowed) this.opening?.fail();
    if (this.up || !isFollowed) {
      this.up = false;
      this.wrong = fault;
      if (!this.reported.has(fault.reason)) this.options.onDown(fault);
      this.reported.add(fault.reason);
    }
    const waitMs = isFollowed
      ? 0
      : Math.min(MAX_RETRY_MS, 25 * 2 ** this.tries++) * (0.5 + Math.random() / 2);
    this.retry = this.options.clock.after(waitMs, () => void this.connectOnce());
    // Keep the process alive only while open() waits for the first connection.
    if (this.opening === undefined) this.retry.unref();
  }

  /** Whether the next try follows a cluster's redirect. */
  private follow(error: unknown): boolean {
    const cause = error instanceof GatewayError ? error.cause : error;
    const message = String((cause as Error | undefined)?.message);
    const isSpread = message.startsWith('CROSSSLOT') && !this.isCluster;
    this.moved = movedTo(message, this.at) ?? (isSpread ? this.moved : undefined);
    if (!isSpread && this.moved === undefined) return false;
    this.isCluster = true;
    this.hops += 1;
    return this.hops % MAX_HOPS !== 0;
  }
}

/** Commands in the line where a script lacked a permission; Redis reports only the line number. */
function deniedIn(text: string, message: string): string | undefined {
  const [, line] = /can't run this command.* @user_script:(\d+)/.exec(message) ?? [];
  if (line === undefined) return undefined;
  const calls = String(text.split('\n')[Number(line) - 1]).matchAll(/redis\.p?call\('(\w+)'/g);
  return [...new Set(Array.from(calls, ([, command]) => command))].join(' or ');
}

function refused(address: RedisAddress, { reason }: RedisFault): GatewayError {
  return new GatewayError('GW_REDIS_REFUSED', `Redis at ${nameOf(address)} cannot serve: ${reason}`);
}

function down(received: string, cause?: unknown): GatewayError {
  return new GatewayError('GW_REGISTRY_DOWN', `The registry is unavailable: ${received}`, { cause });
}
