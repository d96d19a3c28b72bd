import { once } from 'node:events';
import { createClient } from '@redis/client';
import { afterEach, expect, it } from 'vitest';
import WebSocket from 'ws';
import { createGateway, type Gateway } from '../../src/gateway.js';
import type { GatewayOptions } from '../../src/gateway-options.js';
import { createHangupTwiml } from '../../src/twilio/twiml.js';
import {
  ACCOUNT_SID,
  AUTH_TOKEN,
  Caller,
  localUrl,
  PUBLIC_URL,
  postForm,
  sign,
  streamUrl,
  upgradeStatus,
  voiceParameters,
} from '../support/caller.js';
import { CONTROL_KEY, type FleetNode, sees, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { bound, eventually, sleep } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

const HANGUP = createHangupTwiml();

interface Node {
  readonly gateway: Gateway;
  readonly url: string;
  /** Calls that ended here. */
  readonly ended: string[];
  /** Calls that started here. */
  readonly begun: string[];
}

const open: Gateway[] = [];
const sockets: WebSocket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await Promise.all(open.splice(0).map((gateway) => gateway.close(0)));
});

/** A node in this process, so that a test can give it a hook. */
async function node(redis: RedisServer, more: Partial<GatewayOptions> = {}): Promise<Node> {
  const gateway = createGateway({
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN] },
    redis: { url: redis.url },
    maxLoopDelayMs: 0,
    maxCpuPercent: 0,
    logLevel: 'silent',
    ...more,
  });
  open.push(gateway);
  const ended: string[] = [];
  const begun: string[] = [];
  gateway.on('call', (call) => begun.push(call.callId));
  gateway.on('end', (_call, cause) => ended.push(cause));
  const { url } = await gateway.listen();
  return { gateway, url, ended, begun };
}

async function pair(redis: RedisServer, more: Partial<GatewayOptions> = {}): Promise<[Node, Node]> {
  const nodes: [Node, Node] = [await node(redis, more), await node(redis, more)];
  await Promise.all(nodes.map((each) => until(each, 'fleet_nodes', 2)));
  return nodes;
}

/** The current value of a metric; nodes update them once a second. */
async function metric({ url }: { url: string }, name: string): Promise<number> {
  await sleep(1_000);
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`trunkline_${name} `));
  return Number(line?.split(' ').at(-1));
}

async function until(at: { url: string }, name: string, value: number): Promise<void> {
  await eventually(`${name} ${value}`, async () => (await metric(at, name)) === value, 15_000);
}

const post = async ({ url }: { url: string }, path: string, parameters: Record<string, string>) =>
  (await postForm(url, path, parameters)).text();

const signed = (url: string) => ({ 'x-twilio-signature': sign(url) });

/** Connects a media URL as Twilio would, up to `start`. */
async function connect(at: Node, url: string, callSid: string): Promise<WebSocket> {
  const socket = new WebSocket(localUrl(at.url, url), { headers: signed(url) });
  sockets.push(socket);
  await once(socket, 'open');
  socket.send(JSON.stringify({ event: 'connected', protocol: 'Call', version: '1.0.0' }));
  const start = {
    accountSid: ACCOUNT_SID,
    streamSid: 'MZ1',
    callSid,
    tracks: ['inbound'],
    mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
    customParameters: {},
  };
  socket.send(JSON.stringify({ event: 'start', sequenceNumber: '1', streamSid: 'MZ1', start }));
  return socket;
}

describeOnRedis('a fleet in which something goes wrong', () => {
  it('forgets a ringing call when it connects elsewhere with another token, and never hangs it up', async () => {
    const redis = await RedisServer.start();
    const [a, b] = await pair(redis, { tokenTimeToLiveMs: 2_000 });
    const parameters = voiceParameters();
    // Its first socket is rejected, so Twilio asks another node for the continuation.
    await post(a, '/twilio/voice', parameters);
    const ask = { ...parameters, CallStatus: 'in-progress' };
    const url = streamUrl(await post(b, '/twilio/next', ask));
    const socket = await connect(b, url, parameters.CallSid as string);
    await until(a, 'calls_active', 0);
    expect(await metric(b, 'calls_active')).toBe(1);
    // Longer than the first token's lifetime.
    await sleep(4_500);
    expect(a.ended).toEqual([]);
    const closed = once(socket, 'close');
    const leaving = b.gateway.close(5_000);
    await closed;
    expect(await post(a, '/twilio/next', ask)).toContain('<Stream');
    await leaving;
  });

  it('has one bridge leg per caller, even if the webhook’s node was alone', async () => {
    const redis = await RedisServer.start();
    const a = await node(redis);
    const parameters = voiceParameters();
    await post(a, '/twilio/voice', parameters);
    expect(a.begun).toHaveLength(1);
    const b = await node(redis);
    await until(b, 'fleet_nodes', 2);
    const ask = { ...parameters, CallStatus: 'in-progress' };
    const url = streamUrl(await post(b, '/twilio/next', ask));
    await connect(b, url, parameters.CallSid as string);
    await until(b, 'calls_active', 1);
    await until(a, 'calls_active', 0);
    expect(a.ended).toEqual(['moved']);
    expect(b.begun).toEqual(a.begun);
  });

  it('keeps a call ringing as long as its newest token is valid', async () => {
    const redis = await RedisServer.start();
    const a = await node(redis, { tokenTimeToLiveMs: 2_000 });
    const parameters = voiceParameters();
    await post(a, '/twilio/voice', parameters);
    await sleep(1_200);
    const url = streamUrl(await post(a, '/twilio/next', { ...parameters, CallStatus: 'in-progress' }));
    await sleep(1_200);
    await connect(a, url, parameters.CallSid as string);
    expect(await metric(a, 'calls_active')).toBe(1);
    expect(a.begun).toHaveLength(1);
  });

  it('continues a call whose socket broke while Redis was down and lost its data', async () => {
    const redis = await RedisServer.start();
    const [a, b] = await pair(redis);
    const caller = await Caller.call(a.url);
    caller.media(toneMulaw(700, 20));
    await eventually('audio', () => caller.mediaCount > 0);
    await redis.stop();
    await until(a, 'registry_up', 0);
    caller.hangUp();
    await until(a, 'calls_active', 0);
    const { CallSid = '' } = caller.parameters;
    const ask = voiceParameters({ CallSid, CallStatus: 'in-progress' });
    expect(await post(b, '/twilio/next', ask)).toContain('again=1');
    await redis.start();
    // Either node may be back first: a call it does not know yet has not ended.
    let next = '';
    for (let i = 0; i < 200 && (next === '' || next.includes('again=')); i++) {
      await sleep(20);
      next = await post(b, '/twilio/next', ask);
    }
    expect(next).toContain('<Stream');
  });

  it('accepts no more callers than MAX_CALLS, however many arrive while Redis is queried', async () => {
    const redis = await RedisServer.start();
    const alone = await node(redis, { maxCalls: 2 });
    const asked = Array.from({ length: 40 }, () => post(alone, '/twilio/voice', voiceParameters()));
    const answers = await Promise.all(asked);
    expect(answers.filter((answer) => answer.includes('<Stream'))).toHaveLength(2);
    expect(answers.filter((answer) => answer.includes('<Reject reason="busy"'))).toHaveLength(38);
    expect(await metric(alone, 'calls_active')).toBe(2);
  });

  it('keeps the calls of a draining node until its grace period is over if Redis goes down meanwhile', async () => {
    const redis = await RedisServer.start();
    const [a] = await pair(redis);
    for (let i = 0; i < 12; i++) (await Caller.call(a.url)).media(toneMulaw(700, 20));
    await until(a, 'calls_active', 12);
    const leaving = a.gateway.close(10_000);
    await eventually('the first to leave', () => a.ended.length >= 4);
    await redis.stop();
    // No node can take over the others now: each that does not reconnect takes two seconds.
    await sleep(7_000);
    expect(a.ended.length).toBeLessThan(12);
    await leaving;
    expect(a.ended).toHaveLength(12);
  });

  it('connects a call that rang while Redis was down and lost its data', async () => {
    const redis = await RedisServer.start();
    const [a, b] = await pair(redis);
    const url = streamUrl(await post(a, '/twilio/voice', voiceParameters()));
    await redis.stop();
    await until(a, 'registry_up', 0);
    await redis.start();
    await Promise.all([until(a, 'registry_up', 1), until(b, 'registry_up', 1)]);
    await sleep(500);
    expect((await upgradeStatus(localUrl(b.url, url), signed(url))).status).toBe(101);
  });

  it('transfers a caller even if Redis lost its data meanwhile', async () => {
    const redis = await RedisServer.start();
    const [a, b] = await pair(redis, {
      prepareCall: () => ({ after: [{ dial: '+15559990000' }] }),
    });
    const caller = await Caller.call(a.url);
    caller.media(toneMulaw(700, 20));
    await eventually('audio', () => caller.mediaCount > 0);
    await redis.stop();
    await until(a, 'registry_up', 0);
    a.gateway.calls.getBySid(caller.parameters.CallSid as string)?.end('bridge');
    await redis.start();
    await Promise.all([until(a, 'registry_up', 1), until(b, 'registry_up', 1)]);
    await sleep(500);
    const { CallSid = '' } = caller.parameters;
    const next = await post(b, '/twilio/next', voiceParameters({ CallSid, CallStatus: 'in-progress' }));
    expect(next).toContain('<Dial>+15559990000</Dial>');
  });

  it('asks the hook once per caller, however long it takes and wherever Twilio retries', async () => {
    const redis = await RedisServer.start();
    let decisions = 0;
    const [a, b] = await pair(redis, {
      prepareCall: async () => {
        decisions++;
        await sleep(4_000);
        return {};
      },
    });
    const parameters = voiceParameters();
    const first = post(a, '/twilio/voice', parameters);
    await sleep(200);
    const again = post(b, '/twilio/voice', parameters);
    expect(await again).toBe(await first);
    expect(decisions).toBe(1);
    expect([await metric(a, 'calls_active'), await metric(b, 'calls_active')]).toEqual([1, 0]);
  });

  it('answers callers whose hook is still deciding when their node drains', async () => {
    const redis = await RedisServer.start();
    const [a, b] = await pair(redis, {
      prepareCall: async () => {
        await sleep(1_500);
        return {};
      },
    });
    const answer = post(a, '/twilio/voice', voiceParameters());
    await sleep(300);
    const leaving = a.gateway.close(20_000);
    const url = streamUrl(await answer);
    await leaving;
    expect((await upgradeStatus(localUrl(b.url, url), signed(url))).status).toBe(101);
  });

  it('answers busy to callers without a decision at the end of the grace period', async () => {
    const redis = await RedisServer.start();
    const [a] = await pair(redis, {
      prepareCall: async () => {
        await sleep(9_000);
        return {};
      },
    });
    const answer = post(a, '/twilio/voice', voiceParameters());
    await sleep(300);
    await a.gateway.close(500);
    expect(await answer).toContain('<Reject reason="busy"/>');
  });

  it('drains within its grace period, however few of its callers come back', async () => {
    const redis = await RedisServer.start();
    const [a] = await pair(redis);
    const callers = await Promise.all(Array.from({ length: 40 }, () => Caller.call(a.url)));
    await until(a, 'calls_active', 40);
    // None of these phones asks for its continuation. Four at a time and two seconds each would take twenty.
    const begun = performance.now();
    await a.gateway.close(1_000);
    expect(performance.now() - begun).toBeLessThan(bound(15_000));
    await eventually('all are told', () => callers.every(({ closed }) => closed?.code === 1001));
  });

  it('does not ring again on another node for a replayed webhook of an ended call', async () => {
    const redis = await RedisServer.start();
    const [a, b] = await pair(redis);
    const caller = await Caller.call(a.url);
    const { CallSid = '' } = caller.parameters;
    expect(await post(b, '/twilio/voice', caller.parameters)).toBe(caller.twiml);
    const stop = { accountSid: ACCOUNT_SID, callSid: CallSid };
    caller.json({ event: 'stop', sequenceNumber: '9', streamSid: caller.streamSid, stop });
    await until(a, 'calls_active', 0);
    const admin = createClient({ url: redis.url });
    await admin.connect();
    await eventually('the end is written down', async () =>
      String(await admin.get(`trunkline:sid:${CallSid}`)).endsWith(' ended'),
    );
    admin.destroy();
    for (const at of [b, a, b]) expect(await post(at, '/twilio/voice', caller.parameters)).toBe(HANGUP);
    expect(b.begun).toEqual([]);
    expect(await metric(b, 'webhooks_replayed_total')).toBe(2);
    // A caller who is still on the phone may be sent here again.
    const again = { ...caller.parameters, CallStatus: 'in-progress' };
    expect(await post(b, '/twilio/voice', again)).toContain('<Stream');
    // A call whose socket broke may continue; its node knows that it must not start again.
    const broken = await Caller.call(a.url);
    broken.hangUp();
    await until(a, 'calls_active', 0);
    expect(await post(b, '/twilio/voice', broken.parameters)).toBe(HANGUP);
  });

  it('redirects new callers from a full node to one with room', async () => {
    const redis = await RedisServer.start();
    const [a, b] = await pair(redis, { maxCalls: 1 });
    await Caller.call(a.url);
    const parameters = voiceParameters();
    const answer = await post(a, '/twilio/voice', parameters);
    expect(answer).toContain('/twilio/voice?again=1</Redirect>');
    expect(await post(a, '/twilio/voice?again=3', parameters)).toContain('<Reject reason="busy"/>');
    expect(await post(b, '/twilio/voice?again=1', parameters)).toContain('<Stream');
    // Now all are full, as each learns with the next heartbeat.
    const isRefused = async () =>
      (await post(a, '/twilio/voice', voiceParameters())).includes('<Reject reason="busy"/>');
    await eventually('all are full', isRefused, 3_000);
    expect(await isRefused()).toBe(true);
  });

  it('redirects new callers from a node that alone is cut off from Redis', async () => {
    const redis = await RedisServer.start();
    const admin = createClient({ url: redis.url });
    await admin.connect();
    const user = (state: string) =>
      admin.sendCommand([
        ...['ACL', 'SETUSER', 'a', state, '>word'],
        // The permissions listed in docs/fleet.md.
        ...['~trunkline:*', '&trunkline:*', '+@all', '-@dangerous'],
      ]);
    await user('on');
    const operated = {
      controlApiKey: CONTROL_KEY,
      twilio: { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN], from: '+15550009999' },
    };
    const [a, b] = await Promise.all([
      node(redis, { ...operated, redis: { url: redis.url.replace('//', '//a:word@') } }),
      node(redis),
    ]);
    await user('off');
    await admin.sendCommand(['CLIENT', 'KILL', 'USER', 'a']);
    await until(a, 'registry_up', 0);
    const parameters = voiceParameters();
    expect(await post(a, '/twilio/voice', parameters)).toContain('/twilio/voice?again=1</Redirect>');
    expect(await metric(a, 'calls_refused_total{reason="registry"}')).toBeNaN();
    expect(await post(b, '/twilio/voice?again=1', parameters)).toContain('<Stream');
    expect(await post(a, '/twilio/voice?again=3', voiceParameters())).toContain('<Reject reason="busy"/>');
    // Metrics are those of the last second.
    await until(a, 'calls_refused_total{reason="registry"}', 1);
    // A rejected operator request is not a rejected caller.
    const headers = { authorization: `Bearer ${CONTROL_KEY}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ to: '+15551230000' });
    expect((await fetch(`${a.url}/v1/calls`, { method: 'POST', headers, body })).status).toBe(503);
    await sleep(1_100);
    expect(await metric(a, 'calls_refused_total{reason="registry"}')).toBe(1);
    await user('on');
    await until(a, 'registry_up', 1);
    admin.destroy();
  });

  it('redirects new callers from a draining node', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const phones = Array.from({ length: 8 }, () =>
      fleet.twilio.placeCall({
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        from: '+15550001111',
        to: '+15552223333',
      }),
    );
    await Promise.all(phones.map((phone) => phone.started));
    const [first] = fleet.nodes as [FleetNode];
    // It waits for its own callers, who never reconnect, and is asked while it waits.
    const caller = await Caller.call(first.url);
    first.child.kill('SIGTERM');
    await eventually('draining', () => first.output.includes('draining'));
    const late = fleet.twilio.placeCall({
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      from: '+15550001111',
      to: '+15552223333',
    });
    await late.started;
    expect(late.status).toBe('in-progress');
    caller.hangUp();
    await first.exited;
  });

  it('tolerates foreign data in Redis, and reports it', async () => {
    const redis = await RedisServer.start();
    const fleet = await startFleet(2, redis.url);
    const [first, second] = fleet.nodes as [FleetNode, FleetNode];
    const client = createClient({ url: redis.url });
    await client.connect();
    const { node: name } = (await (await fetch(`${first.url}/health`)).json()) as { node: string };
    for (const text of ['null', '5', '"x"', '{', '{}', '{"re":"x","error":null}', '{"id":"x","from":5}']) {
      expect(await client.publish(`trunkline:node:${name}`, text)).toBe(1);
    }
    await client.hSet('trunkline:nodes', { x: 'junk', y: '9999999999999 null', z: '9999999999999 {' });
    await sleep(1_500);
    expect(first.child.exitCode).toBeNull();
    expect(first.output).not.toContain('Unhandled');
    await second.kill();
    await sees(first, 1);
    await Caller.call(first.url);

    // Foreign data in a call's key is an error, not an outage.
    const parameters = voiceParameters();
    await client.lPush(`trunkline:sid:${parameters.CallSid}`, 'x');
    expect(await post(first, '/twilio/next', parameters)).toContain('again=1');
    expect(first.output).toContain('GW_REGISTRY_ERROR');
    expect(await first.metric('registry_up')).toBe(1);
    expect(await post(first, '/twilio/voice', parameters)).toContain('<Stream');
    client.destroy();
  });

  it('counts a caller lost to the registry while the hook was deciding', async () => {
    const redis = await RedisServer.start();
    const a = await node(redis, {
      prepareCall: async () => {
        await sleep(800);
        return {};
      },
    });
    const answer = post(a, '/twilio/voice', voiceParameters());
    await sleep(300);
    await redis.stop();
    expect(await answer).toContain('<Reject reason="busy"/>');
    expect(await metric(a, 'calls_refused_total{reason="registry"}')).toBe(1);
  });

  it('gives up a call whose every stream is silent', async () => {
    const redis = await RedisServer.start();
    const a = await node(redis, { stuckSeconds: 1 });
    const parameters = voiceParameters();
    const ask = { ...parameters, CallStatus: 'in-progress' };
    let answer = await post(a, '/twilio/voice', parameters);
    let streams = 0;
    while (answer.includes('<Stream') && streams < 20) {
      const socket = await connect(a, streamUrl(answer), parameters.CallSid as string);
      await once(socket, 'close');
      streams++;
      answer = await post(a, '/twilio/next', ask);
    }
    expect(answer).toContain('<Say>');
    expect(streams).toBe(6);
  });
});
