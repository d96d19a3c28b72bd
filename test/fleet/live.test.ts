import { expect, it } from 'vitest';
import { Caller } from '../support/caller.js';
import { type FleetNode, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';

interface Round {
  readonly node: string;
  readonly registry: string;
  readonly calls: number;
  readonly nodes: readonly { node: string; calls: number; draining: boolean; open: boolean }[];
  readonly rows: readonly unknown[];
}

/** Rounds of `/v1/live` until one matches. */
async function roundOf(node: FleetNode, isWanted: (round: Round) => boolean): Promise<Round> {
  const gone = new AbortController();
  const response = await node.control('/v1/live', { signal: gone.signal });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const text = new TextDecoder();
  let read = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error('Expected a round but received the end');
      read += text.decode(value, { stream: true });
      const events = read.split('\n\n');
      read = events.pop() as string;
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event)?.[1];
        if (data === undefined) continue;
        const round = JSON.parse(data) as Round;
        if (isWanted(round)) return round;
      }
    }
  } finally {
    gone.abort();
  }
}

describeOnRedis('the page of a node in a fleet', () => {
  it('shows its own calls, and every node with its number of calls', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first, second] = fleet.nodes as [FleetNode, FleetNode];
    await Promise.all([first, first, first, second].map(({ url }) => Caller.call(url)));
    const round = await roundOf(
      second,
      ({ nodes }) => nodes.reduce((sum, { calls }) => sum + calls, 0) === 4,
    );
    expect(round).toMatchObject({ registry: 'up', calls: 1 });
    expect(round.rows).toHaveLength(1);
    expect(round.node).toMatch(/^node2-/);
    expect(round.nodes.map(({ node, ...state }) => [node.slice(0, 5), state])).toEqual([
      ['node1', { calls: 3, draining: false, open: true }],
      ['node2', { calls: 1, draining: false, open: true }],
    ]);
  });
});
