import { describe, expect, it } from 'vitest';
import { WebhookSender } from '../../src/webhooks/sender.js';
import { HOSTILITIES, HostileReceiver } from '../support/hostile.js';
import { SECRET } from '../support/receiver.js';
import { clock, eventually, virtualTime } from '../support/time.js';

virtualTime();

const CONNECTIONS = 3;
const TIMEOUT_MS = 2_000;
/** How far time moves at once. */
const STEP_MS = 5;

describe('a receiver that', () => {
  it.each(Object.entries(HOSTILITIES))('%s holds nothing beyond the time it has', async (_, hostility) => {
    const receiver = await HostileReceiver.start(() => hostility);
    const sender = new WebhookSender({
      url: receiver.url(hostility.scheme),
      secrets: [SECRET],
      connections: CONNECTIONS,
      clock,
    });
    const post = (n: number) => sender.post({ id: `e-${n}`, body: '{}' }, TIMEOUT_MS);
    const begun = clock.now();
    const results = await Promise.allSettled([...Array(2 * CONNECTIONS).keys()].map(post));
    expect(clock.now() - begun).toBeLessThanOrEqual(TIMEOUT_MS + STEP_MS);
    expect(receiver.met).toBeGreaterThanOrEqual(CONNECTIONS);
    for (const result of results) {
      const isTaken = result.status === 'fulfilled' && result.value.status < 300;
      expect(isTaken).toBe(hostility.takes === true);
      if (result.status === 'rejected') {
        expect(result.reason.code).toMatch(/^GW_WEBHOOK_(TIMEOUT|UNREACHABLE|ANSWER_TOO_LARGE)$/);
      }
    }
    receiver.heal();
    if (!results.some(({ status }) => status === 'fulfilled')) {
      await eventually('no connection', () => receiver.sockets.size === 0);
    }
    if (hostility.scheme === undefined) {
      const again = await Promise.allSettled([...Array(2 * CONNECTIONS).keys()].map(post));
      const isFresh = again.filter((result) => result.status === 'fulfilled' && result.value.status === 204);
      // One that was kept alive may fail once more.
      expect(isFresh.length).toBeGreaterThanOrEqual(CONNECTIONS);
      expect(receiver.taken.length).toBe(isFresh.length);
    }
    sender.close();
    await eventually('no connection', () => receiver.sockets.size === 0);
  });
});
