import { expect, it } from 'vitest';
import { Caller } from '../support/caller.js';
import { type FleetNode, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

const AT_ONCE = 20;
const ROUNDS = 60;

describeOnRedis('media sockets of a fleet, which wait for Redis before they are upgraded', () => {
  it(`are all kept open, ${AT_ONCE * ROUNDS} of them, and nothing is printed to stderr`, async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(1, redis.url);
    const [node] = fleet.nodes as [FleetNode];
    for (let round = 0; round < ROUNDS; round++) {
      const callers = await Promise.all(Array.from({ length: AT_ONCE }, () => Caller.call(node.url)));
      for (const caller of callers) caller.media(toneMulaw(700, 20));
      await eventually('all hear', () => callers.every(({ mediaCount }) => mediaCount > 0), 15_000);
      expect(callers.filter(({ closed }) => closed !== undefined)).toEqual([]);
      for (const caller of callers) caller.stop();
      await eventually('all end', () => callers.every(({ closed }) => closed !== undefined), 15_000);
    }
    expect(node.output).not.toContain('uWS');
  });
});
