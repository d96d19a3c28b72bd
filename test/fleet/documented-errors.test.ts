import { createClient } from '@redis/client';
import { afterEach, expect, it } from 'vitest';
import { Caller } from '../support/caller.js';
import { checkAnswer, documentedErrors } from '../support/documented.js';
import { CONTROL_KEY, type FleetNode, startFleet } from '../support/fleet.js';
import { type Operation, send } from '../support/operations.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';

const DOCUMENTED = documentedErrors('fleet');
const HEADERS = { authorization: `Bearer ${CONTROL_KEY}` };

const freed: (() => void)[] = [];
afterEach(() => {
  for (const free of freed.splice(0)) free();
});

/** Two nodes; one has a call, the other is asked. */
async function start() {
  const redis = await RedisServer.start();
  const { nodes } = await startFleet(2, redis.url);
  const [holder, other] = nodes as [FleetNode, FleetNode];
  const caller = await Caller.call(holder.url);
  const live = async () => {
    const { calls } = (await (await holder.control('/v1/calls')).json()) as {
      calls: { callId: string; state: string }[];
    };
    return calls.find(({ state }) => state === 'live')?.callId;
  };
  await expect.poll(live, { timeout: 5_000 }).toBeDefined();
  const callId = (await live()) as string;
  return { redis, holder, other, caller, callId };
}

type Started = Awaited<ReturnType<typeof start>>;

/** What happens to the fleet, and the call requested afterwards. */
const FAULTS: Record<string, (of: Started) => Promise<{ callId: string }>> = {
  GW_CALL_UNKNOWN: async () => ({ callId: 'nobody' }),
  GW_REGISTRY_ERROR: async ({ redis }) => {
    // The call's key holds data that is not ours.
    const client = await createClient({ url: redis.url }).connect();
    await client.lPush('trunkline:call:odd', 'x');
    client.destroy();
    return { callId: 'odd' };
  },
  GW_CALL_MOVING: async ({ holder, callId }) => {
    // No node takes it over, because nobody plays Twilio here.
    await holder.kill();
    return { callId };
  },
  GW_QUESTION_UNKNOWN: async ({ redis, holder, callId }) => {
    // A fake node replaces the call's node and does not know this version's requests.
    await holder.kill();
    const client = await createClient({ url: redis.url }).connect();
    const ear = await client.duplicate().connect();
    freed.push(
      () => client.destroy(),
      () => ear.destroy(),
    );
    const channels = await client.pubSubChannels('trunkline:node:*');
    const all = await client.hKeys('trunkline:nodes');
    const gone = all.find((node) => !channels.includes(`trunkline:node:${node}`)) as string;
    // It stays live for the duration of the test.
    const state = JSON.stringify({ calls: 1, draining: false, open: true });
    await client.hSet('trunkline:nodes', gone, `${Date.now() + 3_600_000} ${state}`);
    await ear.subscribe(`trunkline:node:${gone}`, (text) => {
      const { what, ...question } = JSON.parse(text) as { what: string; from: string };
      void client.publish(
        `trunkline:node:${question.from}`,
        JSON.stringify({ ...question, what: `${what}?` }),
      );
    });
    return { callId };
  },
  GW_REGISTRY_DOWN: async ({ redis, other, callId }) => {
    await redis.stop();
    await eventually('the loss', () => other.output.includes('registry down'));
    return { callId };
  },
};

describeOnRedis('every error that the document tells of, and only a fleet has', () => {
  it('is shown here', () => {
    const codes = new Set(DOCUMENTED.map(({ code }) => code));
    expect(Object.keys(FAULTS).toSorted()).toEqual([...codes].toSorted());
  });

  it.each(Object.keys(FAULTS))('%s, of each operation', async (code) => {
    const started = await start();
    const { callId } = (await FAULTS[code]?.(started)) ?? {};
    for (const { method, path, status } of DOCUMENTED.filter((each) => each.code === code)) {
      const of: Operation = { method, path };
      const placing = path === '/v1/calls' ? { body: { to: '+15557778888', callId } } : {};
      const answer = await send(started.other.url, of, {
        callId: callId as string,
        headers: HEADERS,
        ...placing,
      });
      expect([method, path, answer.status, answer.body.error?.code]).toEqual([method, path, status, code]);
      expect(answer.body.error?.message).toMatch(/^[A-Z].{9}/);
      checkAnswer(method, path, status, answer.body);
    }
    started.caller.hangUp();
  });

  it('and a node whose Redis is down still controls its own calls', async () => {
    const { redis, holder, caller, callId } = await start();
    await redis.stop();
    await eventually('the loss', () => holder.output.includes('registry down'));
    const ask = (method: string, path: string, body?: object) =>
      send(holder.url, { method, path: `/v1/calls/{callId}/${path}` }, { callId, headers: HEADERS, body });
    const asked = [
      ['post', 'clear', 200],
      ['post', 'mark', 202, { name: 'here' }],
      ['post', 'dtmf', 202, { digits: '1' }],
      ['delete', 'play', 404],
      ['post', 'hold', 200],
      ['delete', 'hold', 200],
      ['post', 'mute', 200],
      ['delete', 'mute', 200],
      ['post', 'transfer', 200, { room: 'elsewhere' }],
      // A call that other nodes cannot be told about is not placed.
      ['post', 'legs', 503, { to: '+15557778888' }],
    ] as const;
    for (const [method, path, status, body] of asked) {
      const answer = await ask(method, path, body);
      expect([method, path, answer.status]).toEqual([method, path, status]);
    }
    caller.hangUp();
  });
});
