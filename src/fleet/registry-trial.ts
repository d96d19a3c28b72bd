import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.js';
import { channelOf, readNodes } from './cluster.js';
import { ANSWER_MS, type RedisCommands, type Trial } from './redis.js';
import { RedisCallRegistry } from './redis-call-registry.js';

/**
 * Tests a Redis with everything a call needs: the scripts, with keys of the same kinds, and a published
 * message. Leaves nothing behind. Gateways run it at start and once a minute, and so does `trunkline doctor`,
 * so both agree on whether a Redis works.
 */
export class RegistryTrial implements Trial {
  private readonly node = `trial-${randomUUID()}`;
  readonly channel = channelOf(this.node);
  private readonly waiting = new Map<string, () => void>();

  constructor(private readonly clock: Clock) {}

  handleMessage(message: string): void {
    this.waiting.get(message)?.();
  }

  /**
   * Rejects with the first error of Redis, or with its own if Redis accepts a command but does something
   * else.
   */
  async run(commands: RedisCommands): Promise<void> {
    await new RedisCallRegistry(commands, this.node, 0).rehearse(this.node);
    await readNodes(commands, this.node);
    await this.checkPubSub(commands);
  }

  private async checkPubSub(commands: RedisCommands): Promise<void> {
    const message = randomUUID();
    const heard = new Promise<true>((resolve) => this.waiting.set(message, () => resolve(true)));
    try {
      const listeners = await commands.publish(this.channel, message);
      if (listeners > 0 && (await this.clock.within(ANSWER_MS, heard))) return;
      throw new Error('a published message was not received');
    } finally {
      this.waiting.delete(message);
    }
  }
}
