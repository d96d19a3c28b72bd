import { expect, it } from 'vitest';
import type { AgentCall } from '../../src/agents/index.js';
import { AudioSource } from '../../src/simulator/index.js';
import { SECRET, serve } from '../support/agent.js';
import { PUBLIC_URL } from '../support/caller.js';
import { startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';

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
});
