import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { Cluster, type NodeState } from '../../src/fleet/cluster.js';
import { RedisLink } from '../../src/fleet/redis.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { sleep } from '../support/time.js';

const STATE: NodeState = { calls: 0, draining: false, open: true };
const links: RedisLink[] = [];
afterEach(() => {
  for (const link of links.splice(0)) link.close();
});

describeOnRedis('the nodes of a fleet', () => {
  async function nodeOf(redis: RedisServer, name: string, answer: (what: string) => unknown = () => null) {
    const link = new RedisLink({ url: redis.url, onUp() {}, onDown() {}, clock: systemClock });
    links.push(link);
    const faults: unknown[] = [];
    const nodes = new Cluster(
      link,
      name,
      () => STATE,
      (what) => answer(what),
      (error) => faults.push(error),
      () => {},
      systemClock,
    );
    nodes.open();
    await link.open();
    await nodes.heartbeat();
    return { nodes, link, faults };
  }

  it('send each other requests, and get the other’s errors', async () => {
    const redis = await RedisServer.start();
    const { nodes: a } = await nodeOf(redis, 'a');
    const { faults } = await nodeOf(redis, 'b', (what) => {
      if (what === 'fail') throw new Error('a fault');
      return { what };
    });
    // A node that has just joined and is not known here yet.
    expect(await a.request('b', 'anything', {})).toEqual({ what: 'anything' });
    await expect(a.request('b', 'fail', {})).rejects.toMatchObject({ code: 'GW_INTERNAL', status: 500 });
    expect(faults.map(String)).toEqual(['Error: a fault']);
    await expect(a.request('nobody', 'anything', {})).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
  });

  it('wait for no dead node, even if its connections are still open', async () => {
    const redis = await RedisServer.start();
    const { nodes: a } = await nodeOf(redis, 'a');
    // A machine without power: Redis still counts its connection as a subscriber.
    const dead = new RedisLink({ url: redis.url, onUp() {}, onDown() {}, clock: systemClock });
    links.push(dead);
    await dead.open();
    dead.subscribe('trunkline:node:dead', () => {});
    // At first, any node may be live that has had no time for a heartbeat.
    await expect(a.request('dead', 'anything', {}, 50)).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
    await sleep(4_200);
    await expect(a.request('dead', 'anything', {}, 60_000)).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
    // And one that loses power while a request waits.
    const now = Date.now();
    await dead.send(['HSET', 'trunkline:nodes', 'dead', `${now} ${JSON.stringify(STATE)}`]);
    await a.heartbeat();
    expect(a.acceptingPeers).toEqual(['dead']);
    const asked = a.request('dead', 'anything', {}, 60_000);
    await dead.send(['HDEL', 'trunkline:nodes', 'dead']);
    await expect(asked).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
  });
});
