import { expect, it } from 'vitest';
import type { GatewayEvent } from '../../src/index.js';
import { AudioSource } from '../../src/simulator/index.js';
import { PUBLIC_URL, postForm, voiceParameters } from '../support/caller.js';
import { FleetNode, startFleet } from '../support/fleet.js';
import { Receiver, SECRET } from '../support/receiver.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';

describeOnRedis('a call that goes on at another node', () => {
  it('is reported as one call: one start, one answer, a handover, one end', async () => {
    const receiver = await Receiver.start(({ body }) => {
      if (body.type !== 'call.route') return { status: 204 };
      // Verbs before the stream run once, whatever happens to the node.
      return { body: { room: 'team', before: [{ say: 'Welcome.' }], after: [{ say: 'Goodbye.' }] } };
    });
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url, {
      WEBHOOK_SECRET: SECRET,
      CALL_ROUTER_URL: receiver.url,
      EVENTS_WEBHOOK_URL: receiver.url,
    });
    const phone = fleet.twilio.placeCall({
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      from: '+15550001111',
      to: '+15552223333',
      audio: AudioSource.speech(),
    });
    await phone.started;
    const events = (): GatewayEvent[] =>
      // An event delivered twice, which may happen, has the same id.
      [...new Map(receiver.received.map(({ body }) => [body.id, body])).values()].filter(
        ({ call }) => call !== undefined,
      );
    const has = (type: string) => events().some((event) => event.type === type);
    await eventually('the answer', () => has('call.answered'), 10_000);
    const calls = await Promise.all(fleet.nodes.map((node) => node.metric('calls_active')));
    const holder = fleet.nodes[calls.indexOf(1)] as FleetNode;
    holder.child.kill('SIGTERM');
    expect(await holder.exited).toEqual([0, null]);
    await eventually('the hand-over', () => has('call.handover'), 15_000);
    await phone.hangUp();
    const outcome = await phone.ended;
    expect(outcome).toMatchObject({ status: 'completed', error: undefined, said: ['Welcome.'] });
    await eventually('the end', () => has('call.ended'), 15_000);
    expect(events().map(({ type }) => type)).toEqual([
      'call.started',
      'call.answered',
      'call.handover',
      'call.ended',
    ]);
    expect(new Set(events().map(({ call }) => call.callId)).size).toBe(1);
    expect(events().every(({ call }) => call.callSid === phone.callSid && call.to === '+15552223333')).toBe(
      true,
    );
    expect(events()[2]?.data).toMatchObject({ reason: 'drain' });
    expect(events()[3]?.data).toMatchObject({ cause: 'stop', result: 'success' });
    // Asked once: the decision moves with the call.
    expect(receiver.received.filter(({ body }) => body.type === 'call.route')).toHaveLength(1);
    expect(receiver.received.every(({ isSigned }) => isSigned)).toBe(true);
  });

  it('is not started by a node while another listening node may get its socket', async () => {
    const redis = await RedisServer.start();
    const first = await FleetNode.start({ REDIS_URL: redis.url });
    const alone = await postForm(first.url, '/twilio/voice', voiceParameters());
    expect([alone.status, first.output.match(/"msg":"call"/g)?.length]).toEqual([200, 1]);
    for (let i = 0; i < 3; i++) {
      const second = await FleetNode.start({ REDIS_URL: redis.url });
      expect((await postForm(first.url, '/twilio/voice', voiceParameters())).status).toBe(200);
      second.child.kill('SIGTERM');
      await second.exited;
    }
    // A started call is logged before the webhook is answered.
    expect(first.output.match(/"msg":"call"/g)).toHaveLength(1);
  });
});
