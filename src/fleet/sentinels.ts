import { isIP } from 'node:net';
import type { RedisClientType } from '@redis/client';
import type { Endpoint, RedisAddress } from './redis-address.js';

/** Maximum wait for one sentinel. */
const CONNECT_MS = 1_000;
/** Interval between pings of a silent sentinel. */
const PING_MS = 2_000;
/** A connection silent for this long is dead; ping replies keep a good one alive. */
const SILENT_MS = 5_000;

/** The sentinels of a Redis: finds the primary they agree on, and reports when it changes. */
export class Sentinels {
  private readonly endpoints: Endpoint[];
  /** Whether they also require the password. */
  private wantPassword = false;
  /** The sentinel subscribed to. */
  private watched: RedisClientType | undefined;

  constructor(
    private readonly address: RedisAddress,
    private readonly redis: typeof import('@redis/client'),
    /** Called when the primary has changed, or may have. */
    private readonly onChange: () => void,
  ) {
    this.endpoints = [...address.endpoints];
  }

  /**
   * Asks one sentinel after the other, starting with a different one each time, because one may be
   * partitioned from the rest. Subscribes to the one that answers. Rejects with the last error if none can
   * tell.
   */
  async findPrimary(): Promise<Endpoint> {
    this.close();
    this.endpoints.push(this.endpoints.shift() as Endpoint);
    let fault: unknown;
    for (const endpoint of this.endpoints) {
      try {
        return await this.query(endpoint);
      } catch (error) {
        fault = error;
      }
    }
    throw fault;
  }

  close(): void {
    this.watched?.destroy();
    this.watched = undefined;
  }

  private async query(endpoint: Endpoint): Promise<Endpoint> {
    const { username, password, primary } = this.address;
    const client = this.redis.createClient({
      ...(this.wantPassword && { username, password }),
      disableClientInfo: true,
      disableOfflineQueue: true,
      maintNotifications: 'disabled',
      pingInterval: PING_MS,
      socket: { ...socketOf(endpoint, this.address.isSecure, CONNECT_MS), socketTimeout: SILENT_MS },
    }) as RedisClientType;
    client.on('error', () => {
      if (this.watched === client) this.onChange();
    });
    try {
      await client.connect();
      await client.subscribe('+switch-master', (message) => {
        if (this.watched === client && message.startsWith(`${primary} `)) this.onChange();
      });
      const command = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', String(primary)];
      const found = (await client.sendCommand(command)) as unknown as [string, string] | null;
      if (found === null) throw new this.redis.SimpleError('ERR No such master with that name');
      this.close();
      this.watched = client;
      return { host: String(found[0]), port: Number(found[1]) };
    } catch (error) {
      client.destroy();
      if (this.wantPassword || !/^NOAUTH/.test((error as Error).message)) throw error;
      this.wantPassword = true;
      return this.query(endpoint);
    }
  }
}

/** Options for a socket that either connects quickly or fails. */
export function socketOf({ host, port }: Endpoint, isSecure: boolean, connectTimeout: number) {
  return {
    host,
    port,
    connectTimeout,
    reconnectStrategy: false as const,
    // TLS sends no server name for an IP address.
    ...(isSecure ? { tls: true as const, ...(isIP(host) === 0 && { servername: host }) } : {}),
  };
}
