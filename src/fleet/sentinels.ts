import { isIP } from 'node:net';
import type { RedisClientType } from '@redis/client';
import type { Endpoint, RedisAddress } from './redis-address.js';

/** Longest wait for one of them. */
const CONNECT_MS = 1_000;
/** A sentinel that has nothing to tell is asked whether it is there. */
const PING_MS = 2_000;
/** A connection from which nothing comes for so long is dead; its answers to that keep a good one busy. */
const SILENT_MS = 5_000;

/** The sentinels of a Redis: whom they agree on as its primary, and when that is another one. */
export class Sentinels {
  private readonly endpoints: Endpoint[];
  /** Whether they ask for the password, too. */
  private wantPassword = false;
  /** The one that is listened to. */
  private watched: RedisClientType | undefined;

  constructor(
    private readonly address: RedisAddress,
    private readonly redis: typeof import('@redis/client'),
    /** Told that there is another primary, or may be. */
    private readonly onChange: () => void,
  ) {
    this.endpoints = [...address.endpoints];
  }

  /**
   * Asks one after the other, each time another one first: one of them may be cut off from the rest. Who answers is listened
   * to from then on.
   * Rejects with the error of the last where none can tell.
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

/** Options of a socket that is there at once or not at all. */
export function socketOf({ host, port }: Endpoint, isSecure: boolean, connectTimeout: number) {
  return {
    host,
    port,
    connectTimeout,
    reconnectStrategy: false as const,
    // No name is sent for an address.
    ...(isSecure ? { tls: true as const, ...(isIP(host) === 0 && { servername: host }) } : {}),
  };
}
