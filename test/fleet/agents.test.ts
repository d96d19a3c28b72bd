import { expect, it } from 'vitest';
import type { AgentCall } from '../../src/agents/index.js';
import { AudioSource } from '../../src/simulator/index.js';
import { SECRET, serve } from '../support/agent.js';
import { PUBLIC_URL } from '../support/caller.js';
import { type FleetNode, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually, sleep } from '../support/time.js';

describeOnRedis('a call with an agent whose node drains', () => {
  it('continues elsewhere, and the agent is dialled from there, resumed', async () => {
    const calls: AgentCall[] = [];
    const frames = new Map<AgentCall, number>();
    const server = await serve(
      (call) => {
        calls.push(call);
        call.on('audio', () => frames.set(call, (frames.get(call) ?? 0) + 1));
      },
      { secret: SECRET },
    );
    const fleet = await startFleet(2, (await RedisServer.start()).url, {
      AGENT: server.url,
      WEBHOOK_SECRET: SECRET,
    });
    const phone = fleet.twilio.placeCall({
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      from: '+15550001111',
      to: '+15552223333',
      audio: AudioSource.speech(),
    });
    await phone.started;
    await eventually('audio', () => (frames.get(calls[0] as AgentCall) ?? 0) > 10, 10_000);
    // Only the node with the socket dials.
    expect(calls).toHaveLength(1);
    const active = await Promise.all(fleet.nodes.map((node) => node.metric('agents_active')));
    const owner = fleet.nodes[active.indexOf(1)];
    owner?.child.kill('SIGTERM');
    await eventually('the second connection', () => calls.length === 2, 10_000);
    const [first, second] = calls as [AgentCall, AgentCall];
    await eventually('audio there', () => (frames.get(second) ?? 0) > 10, 10_000);
    expect(second.isResumed).toBe(true);
    expect(second.facts?.callId).toBe(first.facts?.callId);
    expect(second.phones).toEqual([first.facts?.callId]);
    await eventually('the end of the first', () => first.isClosed);
    await phone.hangUp();
    await eventually('the end', () => second.isClosed, 10_000);
    expect((await phone.ended).said).toEqual([]);
  });

  it('does not get it back where the caller was transferred to another room before', async () => {
    const calls: AgentCall[] = [];
    const server = await serve((call) => void calls.push(call));
    const fleet = await startFleet(2, (await RedisServer.start()).url, { AGENT: server.url });
    const phone = fleet.twilio.placeCall({
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      from: '+15550001111',
      to: '+15552223333',
      audio: AudioSource.speech(),
    });
    await phone.started;
    await eventually('the agent', () => calls[0]?.isAnswered === true, 10_000);
    const [first] = calls as [AgentCall];
    const [node] = fleet.nodes as [FleetNode];
    const moved = await node.control(`/v1/calls/${first.facts?.callId}/transfer`, {
      method: 'POST',
      body: JSON.stringify({ room: 'people' }),
    });
    expect(moved.status).toBe(200);
    await eventually('the end of its part', () => first.isClosed, 10_000);
    const active = await Promise.all(fleet.nodes.map((each) => each.metric('calls_active')));
    fleet.nodes[active.indexOf(1)]?.child.kill('SIGTERM');
    await eventually('the hand-over', () => phone.streams.length === 2, 10_000);
    // Whoever dials does so at once.
    await sleep(1_000);
    expect(calls).toHaveLength(1);
    await phone.hangUp();
  });
});
