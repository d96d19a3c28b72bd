import { isIP } from 'node:net';
import type { Endpoint, RedisAddress } from './redis-address.js';

/** Longest wait for one of them. */
const CONNECT_MS = 1_000;

/** The sentinels of a Redis: whom they agree on as its primary. */
export class Sentinels {
  private readonly endpoints: Endpoint[];
  /** Whether they ask for the password, too. */
  private isClosed = false;

  constructor(
    private readonly address: RedisAddress,
    private readonly redis: typeof import('@redis/client'),
  ) {
    this.endpoints = [...address.endpoints];
  }

  /**
   * Asks one after the other, each time another one first: one of them may be cut off from the rest.
   * Rejects with the error of the last where none can tell.
   */
  async findPrimary(): Promise<Endpoint> {
    this.endpoints.push(this.endpoints.shift() as Endpoint);
    let fault: unknown;
    for (const endpoint of this.endpoints) {
      try {
        return await this.ask(endpoint);
      } catch (error) {
        fault = error;
      }
    }
    throw fault;
  }

  private async ask(endpoint: Endpoint): Promise<Endpoint> {
    const { username, password } = this.address;
    const client = this.redis.createClient({
      RESP: 2,
      ...(this.isClosed && { username, password }),
      disableClientInfo: true,
      disableOfflineQueue: true,
      maintNotifications: 'disabled',
      socket: socketOf(endpoint, this.address.isSecure, CONNECT_MS),
    });
    client.on('error', () => {});
    try {
      await client.connect();
      const command = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', String(this.address.primary)];
      const primary = (await client.sendCommand(command)) as unknown as [string, string] | null;
      if (primary === null) throw new this.redis.SimpleError('ERR No such master with that name');
      return { host: String(primary[0]), port: Number(primary[1]) };
    } catch (error) {
      if (this.isClosed || !/^NOAUTH/.test((error as Error).message)) throw error;
      this.isClosed = true;
      return this.ask(endpoint);
    } finally {
      client.destroy();
    }
  }
}

/** Options of a socket that is there at once or not at all. */
export function socketOf({ host, port }: Endpoint, isSecure: boolean, connectTimeout: number) {
  return {
    host,
    port,
    connectTimeout,
    // A server that hangs is a dead one.
    socketTimeout: 5 * connectTimeout,
    reconnectStrategy: false as const,
    // No name is sent for an address.
    ...(isSecure ? { tls: true as const, ...(isIP(host) === 0 && { servername: host }) } : {}),
  };
}
