import { afterEach, expect, it } from 'vitest';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { PUBLIC_URL } from '../support/caller.js';
import { type Fleet, type FleetNode, sees, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { Agent } from '../support/stream/agent.js';
import { StreamDouble } from '../support/stream/double.js';
import { agentLevel, heardBy, LEVEL, phoneLevel } from '../support/stream-call.js';
import { eventually, sleep } from '../support/time.js';

/** Calls of the node that leaves; some have agents, because each is a WebRTC client in this process. */
const CALLS = 20;
const [PHONE_HZ, AGENT_HZ] = [1_000, 1_700];

const freed: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const free of freed.splice(0).reverse()) await free();
});

async function startOnStream() {
  const redis = await RedisServer.start();
  const double = await StreamDouble.start();
  freed.push(() => double.close());
  const fleet = await startFleet(1, redis.url, {
    STREAM_API_KEY: double.apiKey,
    STREAM_API_SECRET: double.apiSecret,
    STREAM_BASE_URL: double.url,
  });
  return { double, fleet };
}

/** Places calls while there is one node. */
async function fill(fleet: Fleet): Promise<SimulatedPhone[]> {
  const phones: SimulatedPhone[] = [];
  for (let i = 0; i < CALLS; i++) {
    const phone = fleet.twilio.placeCall({
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      from: '+15550001111',
      to: '+15552223333',
      audio: AudioSource.tone(PHONE_HZ, 20 * Math.log10(LEVEL / 32_767)),
      record: true,
    });
    phones.push(phone);
    await phone.started;
    await sleep(100);
  }
  return phones;
}

/** The members of each Stream call that is not empty. */
function members(double: StreamDouble): Map<string, string[]> {
  return new Map(
    double.state.calls
      .filter(({ participants }) => participants.length > 0)
      .map(({ cid, participants }) => [cid, participants.map(({ userId }) => userId)]),
  );
}

describeOnRedis('on Stream', () => {
  for (const way of ['drains', 'is killed'] as const) {
    it(`${CALLS} calls whose node ${way} are in the same Stream calls again, as the same users, and heard both ways`, async () => {
      const { double, fleet } = await startOnStream();
      const phones = await fill(fleet);
      const [first] = fleet.nodes as [FleetNode];
      const second = await fleet.add();
      await Promise.all([sees(first, 2), sees(second, 2)]);
      const cids = () => [...members(double).keys()];
      await eventually('all in their Stream calls', () => cids().length === phones.length, 20_000);
      const before = members(double);
      const { calls } = (await (await first.control('/v1/calls')).json()) as {
        calls: { callId: string; callSid: string }[];
      };
      const atFirst = new Map(calls.map(({ callId, callSid }) => [callSid, callId]));
      // The first to leave, one in the middle, and the last.
      const there = phones.filter(({ callSid }) => atFirst.has(callSid));
      const watched = [0, CALLS / 2, CALLS - 1].map((i) => there[i] as SimulatedPhone);
      const agents: Agent[] = [];
      for (const [i, { callSid }] of watched.entries()) {
        const callId = atFirst.get(callSid) as string;
        const agent = await Agent.join({ double, callId, userId: `agent-${i}` });
        freed.push(() => agent.leave());
        agent.play(AGENT_HZ, LEVEL);
        agents.push(agent);
      }
      for (const [i, agent] of agents.entries()) {
        await heardBy('the phone', () => phoneLevel(watched[i] as SimulatedPhone, AGENT_HZ));
        await heardBy('the agent', () => agentLevel(agent, PHONE_HZ));
      }

      if (way === 'drains') {
        first.child.kill('SIGTERM');
        expect(await first.exited).toEqual([0, null]);
      } else await first.kill();
      await eventually(
        'all connected again',
        () =>
          phones.every(
            ({ callSid, streams }) => streams.at(-1)?.isOpen && (!atFirst.has(callSid) || streams.length > 1),
          ),
        15_000,
      );
      expect(await second.metric('calls_active')).toBe(phones.length);
      for (const [i, agent] of agents.entries()) {
        await heardBy('the phone again', () => phoneLevel(watched[i] as SimulatedPhone, AGENT_HZ));
        await heardBy('the agent again', () => agentLevel(agent, PHONE_HZ));
      }
      // A killed node's participants time out one by one; their replacements are there.
      for (const [cid, users] of before) {
        expect(members(double).get(cid), cid).toEqual(expect.arrayContaining(users));
      }
      await Promise.all(phones.map((phone) => phone.hangUp()));
      const outcomes = await Promise.all(phones.map((phone) => phone.ended));
      expect(outcomes.filter(({ status, error }) => status !== 'completed' || error !== undefined)).toEqual(
        [],
      );
      const gaps = watched.map(({ callSid }) => {
        const at = phones.findIndex((phone) => phone.callSid === callSid);
        return outcomes[at]?.handovers[0]?.gapMs ?? Number.NaN;
      });
      console.info(`on Stream, a node ${way}: silence of ${gaps.map((gap) => gap.toFixed()).join(', ')} ms`);
    });
  }
});
