import { GatewayError } from '../errors.js';
import type { LinkEvents, RedisScript, RedisValue, RegistryLink } from '../fleet/redis.js';
import type { RedisFault } from '../fleet/redis-fault.js';
import { type Peers, SUPERVISOR } from './peers.js';

/** Maximum wait for the supervisor's answer, as for Redis. */
const ANSWER_MS = 500;

/** A worker's link to its machine's registry, which is in the supervisor. */
export class MachineLink implements RegistryLink {
  readonly kind = 'supervisor';
  private readonly listeners = new Map<string, (message: string) => void>();
  private isOpen = false;

  constructor(
    private readonly peers: Peers,
    private readonly events: LinkEvents,
  ) {
    peers.handle('registry.message', (about) => {
      const { channel, message } = about as { channel: string; message: string };
      this.listeners.get(channel)?.(message);
    });
    peers.onDown(() => {
      if (this.isOpen) events.onDown(this.fault as RedisFault);
    });
  }

  get isUp(): boolean {
    return this.isOpen && this.peers.isUp;
  }

  get fault(): RedisFault | undefined {
    return this.peers.isUp ? undefined : { kind: 'refused', reason: 'the supervisor is gone' };
  }

  async open(): Promise<void> {
    this.isOpen = true;
    if (this.peers.isUp) this.events.onUp();
  }

  close(): void {
    this.isOpen = false;
  }

  async runScript(
    { name }: RedisScript,
    keys: readonly string[],
    values: readonly (string | number)[],
  ): Promise<RedisValue> {
    return (await this.ask('registry.script', { name, keys, values })) as RedisValue;
  }

  async publish(channel: string, message: string): Promise<number> {
    return (await this.ask('registry.publish', { channel, message })) as number;
  }

  subscribe(channel: string, listener: (message: string) => void): void {
    this.listeners.set(channel, listener);
    this.peers.notify(SUPERVISOR, 'registry.subscribe', { channel });
  }

  private async ask(what: string, about: unknown): Promise<unknown> {
    if (!this.isUp) throw down('it is not there');
    try {
      return await this.peers.request(SUPERVISOR, what, about, ANSWER_MS);
    } catch (error) {
      if ((error as GatewayError).code === 'GW_NODE_GONE') throw down(`no answer within ${ANSWER_MS} ms`);
      throw error;
    }
  }
}

function down(why: string): GatewayError {
  return new GatewayError('GW_REGISTRY_DOWN', `The registry is unavailable: the supervisor: ${why}`);
}
