import type { Clock } from '../clock.js';
import type { Check } from './check.js';
import { reasonOf } from './wire.js';

const PATIENCE_MS = 3_000;

/** Whether the shared registry can be reached, and written to. */
export const redis: Check = {
  name: 'Redis',
  async run({ config, clock }) {
    if (config.redis === undefined)
      return { mark: 'skip', says: 'There is no REDIS_URL: one node, registry in memory' };
    const { host } = new URL(config.redis.url);
    try {
      const role = await pingRedis(config.redis.url, clock);
      return role === 'master'
        ? { mark: 'ok', says: `Redis at ${host} answers` }
        : {
            mark: 'fail',
            says: `Redis at ${host} is a ${role}: nothing can be written there`,
            set: 'REDIS_URL to the primary, or to a name that follows it',
          };
    } catch (error) {
      const { message } = error as Error;
      return /^(WRONGPASS|NOAUTH|NOPERM)\b|invalid password|without any password/i.test(message)
        ? {
            mark: 'fail',
            says: `Redis at ${host} lets nobody in with this password`,
            set: 'REDIS_URL=redis://user:password@host:port',
          }
        : {
            mark: 'fail',
            says: `Redis at ${host} cannot be reached: ${reasonOf(error)}`,
            set: 'REDIS_URL, and check firewall and server',
          };
    }
  },
};

/**
 * Asks a Redis for its role: `master` or `slave`.
 * Rejects with the client's error where it cannot be reached in three seconds, or does not let us in.
 */
export async function pingRedis(url: string, clock: Clock): Promise<string> {
  // Loaded here: only installations of several nodes need it.
  const { createClient } = await import('@redis/client');
  const client = createClient({
    url,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    socket: { connectTimeout: PATIENCE_MS, reconnectStrategy: false },
  });
  // What goes wrong rejects what is asked.
  client.on('error', () => {});
  const role = async () => {
    await client.connect();
    const [name] = (await client.sendCommand(['ROLE'])) as unknown as [unknown];
    return String(name);
  };
  try {
    const answer = await clock.within(PATIENCE_MS, role());
    if (answer === undefined) throw new Error(`no answer within ${PATIENCE_MS} ms`);
    return answer;
  } finally {
    client.destroy();
  }
}
