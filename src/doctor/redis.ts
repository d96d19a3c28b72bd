import type { Clock } from '../clock.js';
import { RedisLink } from '../fleet/redis.js';
import { nameOf, parseRedisUrl, type RedisAddress } from '../fleet/redis-address.js';
import { RegistryTrial } from '../fleet/registry-trial.js';
import type { Check } from './check.js';

/** Tests the shared registry with everything a call needs. */
export const redis: Check = {
  name: 'Redis',
  async run({ config, clock }) {
    if (config.redis === undefined)
      return { mark: 'skip', says: 'REDIS_URL is not set: one node, registry in memory' };
    const { url } = config.redis;
    const where = nameOf(parseRedisUrl(url) as RedisAddress);
    const link = await tryRedis(url, clock);
    if (link.isUp) return { mark: 'ok', says: `${link.kind} at ${where} supports everything a call needs` };
    const { reason, remedy } = link.fault ?? { reason: 'no answer' };
    return {
      mark: 'fail',
      says: `Redis at ${where} cannot serve: ${reason}`,
      ...(remedy && { set: remedy }),
    };
  },
};

/** Returns a link's state after its first try, closed. */
async function tryRedis(url: string, clock: Clock): Promise<Pick<RedisLink, 'isUp' | 'fault' | 'kind'>> {
  const link = new RedisLink({ url, clock, trial: new RegistryTrial(clock), onUp() {}, onDown() {} });
  try {
    await link.open(0).catch(() => {});
    const { isUp, fault, kind } = link;
    return { isUp, fault, kind };
  } finally {
    link.close();
  }
}
