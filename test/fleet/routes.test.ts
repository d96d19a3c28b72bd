import { afterEach, expect, it } from 'vitest';
import WebSocket from 'ws';
import {
  ACCOUNT_SID,
  Caller,
  localUrl,
  postForm,
  sign,
  streamUrl,
  upgradeStatus,
  voiceParameters,
} from '../support/caller.js';
import { type Fleet, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually, sleep } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

const CALLS = 500;
/** Concurrent callers. */
const AT_ONCE = 25;

const callers: Caller[] = [];
afterEach(() => {
  for (const caller of callers.splice(0)) caller.hangUp();
});

async function connectAll(fleet: Fleet, count: number): Promise<void> {
  for (let left = count; left > 0; left -= AT_ONCE) {
    const batch = Array.from({ length: Math.min(left, AT_ONCE) }, () => Caller.call(fleet.proxy.url));
    callers.push(...(await Promise.all(batch)));
  }
}

describeOnRedis('three nodes behind a proxy that spreads every call over them', () => {
  it(`connect ${CALLS} calls, each with its webhook on one node and its socket on another`, async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(3, redis.url);
    await connectAll(fleet, CALLS);
    for (const caller of callers) caller.media(toneMulaw(700, 20));
    await eventually('everybody hears something', () => callers.every((each) => each.mediaCount > 0), 20_000);

    const routes = [...fleet.proxy.routes.values()];
    expect(routes).toHaveLength(CALLS);
    for (const { webhooks, sockets } of routes) {
      expect(webhooks).toHaveLength(1);
      expect(sockets).toHaveLength(1);
      expect(sockets[0]).not.toBe(webhooks[0]);
    }
    const active = await Promise.all(fleet.nodes.map((node) => node.metric('calls_active')));
    expect(active.reduce((sum, calls) => sum + calls)).toBe(CALLS);
    // Each node knows all calls within a heartbeat or two.
    const [node] = fleet.nodes;
    await eventually('all calls', async () => (await node?.metric('fleet_calls')) === CALLS, 10_000);
    const listed = (await (await node?.control('/v1/calls'))?.json()) as { calls: { callId: string }[] };
    expect(new Set(listed.calls.map(({ callId }) => callId)).size).toBe(CALLS);
  });

  it('accept no token twice, on any nodes and however many connect at once', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(3, redis.url);
    for (let round = 0; round < 3; round++) {
      const twiml = await (await postForm(fleet.proxy.url, '/twilio/voice', voiceParameters())).text();
      const url = streamUrl(twiml);
      const headers = { 'x-twilio-signature': sign(url) };
      const knocks = await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          upgradeStatus(localUrl(fleet.nodes[i % 3]?.url ?? '', url), headers),
        ),
      );
      expect(knocks.filter(({ status }) => status === 101)).toHaveLength(1);
      expect(knocks.filter(({ code }) => code === 'GW_TOKEN_USED')).toHaveLength(99);
    }
  });

  it('reject an invalid token on any node', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first, second] = fleet.nodes;
    const twiml = await (await postForm(first?.url ?? '', '/twilio/voice', voiceParameters())).text();
    const url = streamUrl(twiml);
    const knock = (to: string) =>
      upgradeStatus(localUrl(second?.url ?? '', to), { 'x-twilio-signature': sign(to) });
    expect(await knock(url.replace(/[^/]{43}$/, 'x'.repeat(43)))).toEqual({
      status: 401,
      code: 'GW_TOKEN_INVALID',
    });
    expect(await knock(url.replace(/[^/]+\/([^/]{43})$/, 'nobody/$1'))).toEqual({
      status: 404,
      code: 'GW_CALL_UNKNOWN',
    });
    expect(
      await upgradeStatus(localUrl(second?.url ?? '', url), { 'x-twilio-signature': 'x' }),
    ).toMatchObject({
      status: 403,
    });
    expect((await knock(url)).status).toBe(101);
  });

  it('answer a repeated webhook alike, whichever node gets it', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(3, redis.url);
    const parameters = voiceParameters();
    const ask = async (node: number) =>
      (await postForm(fleet.nodes[node]?.url ?? '', '/twilio/voice', parameters)).text();
    const answer = await ask(0);
    expect(answer).toContain('<Stream');
    expect(await Promise.all([ask(0), ask(1), ask(2)])).toEqual([answer, answer, answer]);
    // Its node is gone and Twilio retries: a different answer is better than none.
    await fleet.nodes[0]?.kill();
    const another = await ask(1);
    expect(another).toContain('<Stream');
    expect(another).not.toBe(answer);
    expect(await ask(2)).toBe(another);
  });

  it('accept a status callback on any node', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first, second] = fleet.nodes;
    const caller = await Caller.call(first?.url ?? '');
    callers.push(caller);
    caller.media(toneMulaw(700, 20));
    await eventually('audio', () => caller.mediaCount > 0);
    const { CallSid = '' } = caller.parameters;
    const amd = { CallSid, AccountSid: ACCOUNT_SID, AnsweredBy: 'human', MachineDetectionDuration: '900' };
    expect((await postForm(second?.url ?? '', '/twilio/amd', amd)).status).toBe(204);
    const listed = await first?.control('/v1/calls');
    expect(await listed?.json()).toMatchObject({
      calls: [{ answeredBy: 'human', history: [{ source: 'amd', event: 'human' }] }],
    });
    const status = voiceParameters({ CallSid, CallStatus: 'completed', SequenceNumber: '3' });
    expect((await postForm(second?.url ?? '', '/twilio/status', status)).status).toBe(204);
    await eventually('the end', () => caller.closed !== undefined);
    expect(first?.output).toContain('"cause":"status"');
  });

  it('reach the node that has a call from any other: list, inspect, hang up', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first, second] = fleet.nodes;
    const caller = await Caller.call(first?.url ?? '');
    callers.push(caller);
    caller.media(toneMulaw(700, 20));
    await eventually('audio', () => caller.mediaCount > 0);
    const json = async (path: string, init?: RequestInit) => {
      const response = await second?.control(path, init);
      return { status: response?.status, body: (await response?.json()) as Record<string, unknown> };
    };
    const { calls } = (await json('/v1/calls')).body as { calls: { callId: string; state: string }[] };
    expect(calls).toMatchObject([{ state: 'live', callSid: caller.parameters.CallSid }]);
    const path = `/v1/calls/${calls[0]?.callId}`;
    expect(await json(path)).toMatchObject({
      status: 200,
      body: { state: 'live', traffic: { framesIn: 1 } },
    });
    expect(await json('/v1/calls/nobody')).toMatchObject({
      status: 404,
      body: { error: { code: 'GW_CALL_UNKNOWN' } },
    });
    expect(await json(path, { method: 'DELETE' })).toMatchObject({
      status: 200,
      body: { state: 'ended', endCause: 'hangup' },
    });
    await eventually('the close', () => caller.closed !== undefined);
    expect((await json(path)).status).toBe(404);
    // Twilio asks any node for the continuation; there is none.
    const next = voiceParameters({ CallSid: caller.parameters.CallSid ?? '', CallStatus: 'in-progress' });
    expect(await (await postForm(second?.url ?? '', '/twilio/next', next)).text()).toContain('<Hangup/>');
  });

  it('place a call on one node whose callee connects to another', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(3, redis.url);
    for (let i = 0; i < 6; i++) {
      const response = await fetch(`${fleet.proxy.url}/v1/calls`, {
        method: 'POST',
        headers: { authorization: 'Bearer a-control-key-for-tests', 'content-type': 'application/json' },
        body: JSON.stringify({ to: '+15551230000', callId: `out-${i}` }),
      });
      const placed = (await response.json()) as { callId: string; callSid: string };
      expect(response.status).toBe(201);
      await eventually('the callee', () => fleet.twilio.phone(placed.callSid)?.status === 'in-progress');
      const phone = fleet.twilio.phone(placed.callSid);
      await phone?.started;
      const taken = await fleet.nodes[i % 3]?.control(`/v1/calls/${placed.callId}`);
      expect(await taken?.json()).toMatchObject({ callId: `out-${i}`, callSid: placed.callSid });
      const again = await fleet.nodes[(i + 1) % 3]?.control('/v1/calls', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ to: '+15551230000', callId: `out-${i}` }),
      });
      expect([again?.status, await again?.json()]).toMatchObject([
        409,
        { error: { code: 'GW_CALL_EXISTS' } },
      ]);
      await phone?.hangUp();
    }
    await eventually('all ends', () => fleet.twilio.liveCalls === 0);
    const ids = () => Promise.all(fleet.nodes.map((node) => node.metric('calls_active')));
    let active = await ids();
    for (let i = 0; i < 50 && active.some((calls) => calls > 0); i++) {
      await sleep(100);
      active = await ids();
    }
    expect(active).toEqual([0, 0, 0]);
  });

  it('frees a call on the node that announced it when another connects it', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first, second] = fleet.nodes;
    const parameters = voiceParameters();
    const url = streamUrl(await (await postForm(first?.url ?? '', '/twilio/voice', parameters)).text());
    expect(await first?.metric('calls_active')).toBe(1);
    const socket = new WebSocket(localUrl(second?.url ?? '', url), {
      headers: { 'x-twilio-signature': sign(url) },
    });
    await new Promise((resolve) => socket.once('open', resolve));
    let active = 1;
    for (let i = 0; i < 50 && active > 0; i++) {
      active = (await first?.metric('calls_active')) ?? 0;
      if (active > 0) await sleep(20);
    }
    expect(active).toBe(0);
    expect(await second?.metric('calls_active')).toBe(1);
    expect(parameters.AccountSid).toBe(ACCOUNT_SID);
    socket.terminate();
  });
});
