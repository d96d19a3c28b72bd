import { afterEach, describe, expect, it, vi } from 'vitest';
import { GatewayError } from '../../src/errors.js';
import { Cluster } from '../../src/fleet/cluster.js';
import { AudioSource } from '../../src/simulator/index.js';
import { ingressNow, ingressTicksBetween } from '../../src/telemetry/ingress-time.js';
import { Relay } from '../../src/workers/relay.js';
import {
  Caller,
  localUrl,
  postForm,
  sign,
  streamUrl,
  upgradeStatus,
  voiceParameters,
} from '../support/caller.js';
import { ask, hears } from '../support/control.js';
import { KEY, legUrl, TestLeg } from '../support/leg.js';
import { startMachine, type TestWorker } from '../support/machine.js';
import { amplitudeAt, tone } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

virtualTime();

const TO = '+15552223333';
const ROOM = `to:${TO}`;
const SILENT = -45;
const LOUD = -20;
const LEVEL = 8_000;

afterEach(() => {
  vi.restoreAllMocks();
});

const BEARER = { authorization: `Bearer ${KEY}` };

/** Two workers, and callers of one number who meet in its room. */
async function pair(options: Parameters<typeof startMachine>[1] = {}) {
  const machine = await startMachine(2, { localRoom: 'to', leadMs: 300, ...options });
  const [a, b] = machine.workers as [TestWorker, TestWorker];
  /** The id of the only call that is live at a worker, besides those known. */
  const callAt = async ({ gateway }: TestWorker, ...known: string[]) => {
    const found = () =>
      gateway.calls.listActive().find(({ callId, state }) => state === 'live' && !known.includes(callId));
    await eventually('a live call', () => found() !== undefined);
    return found()?.callId as string;
  };
  return { ...machine, a, b, callAt };
}

/** The pair, where a program waits in the room at the first worker; a caller's socket reaches the second. */
async function relayed(options: Parameters<typeof startMachine>[1] = {}) {
  const machine = await pair(options);
  const { a, b, callAt } = machine;
  const leg = await TestLeg.join(a.url, ROOM, '?rate=8000');
  const caller = await Caller.call(b.url, { To: TO, Called: TO });
  const callId = await callAt(a);
  return { ...machine, leg, caller, callId, stream: a.gateway.stream(callId) };
}

describe('callers of one room', () => {
  it('hear each other, though their sockets reach different workers', async () => {
    const { a, b, call, owners } = await pair();
    const first = await call(a, TO, AudioSource.tone(600));
    const second = await call(b, TO, AudioSource.tone(1_000));
    await eventually('the second hears the first', () => hears(second.phone, 600, 300) > LOUD);
    await eventually(
      'the first hears the second, and no echo',
      () => hears(first.phone, 1_000, 300) > LOUD && hears(first.phone, 600, 300) < SILENT,
    );
    expect(a.gateway.calls.get(second.callId)?.state).toBe('live');
    expect(owners.size).toBe(1);
    await second.phone.hangUp();
    await first.phone.hangUp();
    await eventually('the room is free', () => owners.size === 0);
  });

  it('and the agent of one of them hear each other through different workers', async () => {
    const { a, b, call } = await pair({
      prepareCall: ({ from }) => ({
        room: 'desk',
        agent: from === '+15550001111' && { to: 'talker', rate: 8_000 },
      }),
      agents: {
        handlers: {
          talker: (agent) => {
            agent.send(tone(1_400, 8_000, 8_000 * 60, LEVEL));
          },
        },
      },
    });
    const first = await call(a, TO, AudioSource.tone(600));
    // The first one's agent is dialled by the worker that has the call.
    await eventually('the agent', () => hears(first.phone, 1_400, 300) > LOUD - 6);
    const second = await call(b, TO, AudioSource.tone(1_000), '+15550002222');
    await eventually('everybody at the second', () =>
      [600, 1_400].every((hz) => hears(second.phone, hz, 300) > LOUD - 6),
    );
    await eventually('everybody at the first', () =>
      [1_000, 1_400].every((hz) => hears(first.phone, hz, 300) > LOUD - 6),
    );
    await first.phone.hangUp();
    await second.phone.hangUp();
  });

  it('stay where they are when only their own rooms are meant: nothing is relayed', async () => {
    const { a, b, call, owners } = await pair({ localRoom: 'call' });
    const [first, second] = [await call(a, TO), await call(b, TO)];
    await eventually('live', () => a.gateway.calls.get(first.callId)?.state === 'live');
    await eventually('live', () => b.gateway.calls.get(second.callId)?.state === 'live');
    expect([a, b].map(({ gateway }) => gateway.stats().activeCalls)).toEqual([1, 1]);
    await first.phone.hangUp();
    await second.phone.hangUp();
    await eventually('no room is kept', () => owners.size === 0);
  });

  it('whom a call adds to its own room are relayed to the worker that has it', async () => {
    const { a, b, call, turnTo, callAt } = await pair({ localRoom: 'call' });
    const { phone, callId } = await call(a, TO, AudioSource.tone(600));
    await eventually('live', () => a.gateway.calls.get(callId)?.state === 'live');
    turnTo(b);
    const added = await ask(b.url, 'POST', callId, 'legs', { to: '+15557770000' });
    expect(added.status).toBe(201);
    expect(await callAt(a, callId)).toBe(added.body.callId);
    expect(b.gateway.stats().activeCalls).toBe(0);
    await phone.hangUp();
  });
});

describe('a relayed media stream', () => {
  it('carries audio, keys, marks, clear and hang-up', async () => {
    const { a, b, leg, caller, callId, stream } = await relayed();
    for (let i = 0; i < 25; i++) {
      caller.media(toneMulaw(1_000, 20));
      await sleep(20);
    }
    await eventually('audio', () => leg.heard.length > 3_000);
    expect(amplitudeAt(1_000, 8_000, leg.heard.subarray(-800))).toBeGreaterThan(LEVEL / 2);
    caller.json({ event: 'dtmf', streamSid: caller.streamSid, dtmf: { track: 'inbound_track', digit: '7' } });
    expect(await leg.event('dtmf')).toMatchObject({ phone: callId, digit: '7' });
    leg.say(tone(700, 8_000, 1_600, LEVEL));
    leg.tell({ type: 'mark', name: 'said' });
    await eventually('a mark', () => caller.received.some(({ event }) => event === 'mark'));
    expect(caller.heard.length).toBeGreaterThanOrEqual(1_600);
    const name = caller.received.find(({ event }) => event === 'mark')?.mark?.name as string;
    caller.json({ event: 'mark', streamSid: caller.streamSid, mark: { name } });
    expect(await leg.event('mark')).toMatchObject({ name: 'said', place: 'heard' });
    // Asked for at the worker that only relays it.
    expect(await ask(b.url, 'POST', callId, 'clear')).toMatchObject({ status: 200 });
    await eventually('a clear', () => caller.received.some(({ event }) => event === 'clear'));
    expect(stream?.counts().framesIn).toBe(25);
    expect(b.gateway.stats().activeCalls).toBe(0);
    expect((await ask(b.url, 'DELETE', callId, '')).status).toBe(200);
    await eventually('closed', () => caller.closed !== undefined);
    expect(caller.closed).toEqual({ code: 1000, reason: '' });
    expect(a.gateway.stats().activeCalls).toBe(0);
  });

  it.each([
    ['stop', (caller: Caller) => caller.stop(), { code: 1000 }, 'stop'],
    ['a socket that is gone', (caller: Caller) => caller.hangUp(), { code: 1006 }, 'socket-closed'],
    [
      'a breach of the protocol',
      (caller: Caller) => caller.socket.send('x'.repeat(70_000)),
      { code: 1009 },
      'protocol',
    ],
  ])('ends by %s as one that is served where it arrives', async (_, end, closed, cause) => {
    const { a, caller, leg } = await relayed();
    const ended = new Promise((resolve) => a.gateway.once('end', (_, cause) => resolve(cause)));
    caller.media(toneMulaw(1_000, 20));
    await leg.event('joined');
    end(caller);
    expect(await ended).toBe(cause);
    await eventually('closed', () => caller.closed !== undefined);
    expect(caller.closed).toMatchObject(closed);
    expect(await leg.event('left')).toBeDefined();
  });

  it('hands on when each message reached the machine', async () => {
    const { caller, stream } = await relayed();
    const handled = vi.spyOn(stream as NonNullable<typeof stream>, 'handleMessage');
    const before = ingressNow(clock);
    caller.media(toneMulaw(1_000, 20));
    await eventually('a frame', () => handled.mock.calls.length > 0);
    const arrived = handled.mock.calls[0]?.[2] as number;
    expect(ingressTicksBetween(before, arrived)).toBeGreaterThanOrEqual(0);
    expect(ingressTicksBetween(arrived, ingressNow(clock))).toBeGreaterThanOrEqual(0);
  });

  it('is refused with the status of the worker that has the room', async () => {
    const { a, b } = await pair();
    await TestLeg.join(a.url, ROOM);
    const parameters = voiceParameters({ To: TO, Called: TO });
    const twiml = await (await postForm(b.url, '/twilio/voice', parameters)).text();
    const url = streamUrl(twiml);
    const status = (path: string) =>
      upgradeStatus(localUrl(b.url, path), { 'x-twilio-signature': sign(path) });
    expect(await upgradeStatus(localUrl(b.url, url), {})).toMatchObject({ status: 403 });
    expect(await status(url.replace(/[^/]+$/, 'another'))).toEqual({ status: 401, code: 'GW_TOKEN_INVALID' });
    expect(await status(url.replace(/[^/]+\/[^/]+$/, 'nobody/another'))).toMatchObject({ status: 404 });
    await Caller.answer(b.url, twiml, parameters);
    expect(await status(url)).toEqual({ status: 409, code: 'GW_TOKEN_USED' });
  });

  it('waits for the phone as one that is served where it arrives: a start that never comes ends the call', async () => {
    const { a, b } = await pair();
    await TestLeg.join(a.url, ROOM);
    const caller = await Caller.connect(b.url, { To: TO, Called: TO });
    await eventually('closed', () => caller.closed !== undefined, 15_000);
    expect(caller.closed).toMatchObject({ code: 1008 });
  });
});

describe('a room at another worker', () => {
  it('stays with its members while its owner serves, though a link to it fails', async () => {
    const { a, b, owners } = await pair();
    const member = await TestLeg.join(a.url, ROOM, '?rate=8000');
    const connect = vi
      .spyOn(Relay.prototype, 'request')
      .mockRejectedValue(new GatewayError('GW_NODE_GONE', 'Worker 1 did not reply'));
    expect(await upgradeStatus(legUrl(b.url, ROOM, ''), BEARER)).toEqual({
      status: 503,
      code: 'GW_NODE_GONE',
    });
    connect.mockRestore();
    const leg = await TestLeg.join(b.url, ROOM, '?rate=8000');
    leg.say(tone(1_000, 8_000, 8_000, LEVEL));
    await eventually('together', () => amplitudeAt(1_000, 8_000, member.heard.subarray(-800)) > LEVEL / 4);
    expect(owners.size).toBe(1);
  });

  it('takes a caller where it is now, if it has moved while the caller was on the way', async () => {
    const { a, b, owners } = await pair();
    const first = await TestLeg.join(a.url, ROOM, '?rate=8000');
    const { request } = Relay.prototype;
    let member: TestLeg | undefined;
    // Everybody leaves, and the room begins anew at another worker, while the caller is on the way.
    vi.spyOn(Relay.prototype, 'request').mockImplementationOnce(async function (this: Relay, ...of) {
      first.close();
      await eventually('the room is free', () => owners.size === 0, 10_000);
      member = await TestLeg.join(b.url, ROOM, '?rate=8000');
      return request.apply(this, of);
    });
    const leg = await TestLeg.join(b.url, ROOM, '?rate=8000');
    leg.say(tone(1_000, 8_000, 8_000, LEVEL));
    await eventually(
      'together',
      () => amplitudeAt(1_000, 8_000, (member as TestLeg).heard.subarray(-800)) > LEVEL / 4,
    );
    expect(owners.size).toBe(1);
  });

  it('takes a caller at the second try after a link failed', async () => {
    const { a, b } = await pair();
    const member = await TestLeg.join(a.url, ROOM, '?rate=8000');
    vi.spyOn(Relay.prototype, 'request').mockRejectedValueOnce(
      new GatewayError('GW_NODE_GONE', 'Worker 1 did not reply'),
    );
    const leg = await TestLeg.join(b.url, ROOM, '?rate=8000');
    leg.say(tone(1_000, 8_000, 8_000, LEVEL));
    await eventually('together', () => amplitudeAt(1_000, 8_000, member.heard.subarray(-800)) > LEVEL / 4);
  });
});

describe('a raw leg that reaches another worker than its room', () => {
  it('of a call waits for the worker that has it alone', async () => {
    const { a, b, call, add } = await pair({ localRoom: 'call' });
    const { phone, callId } = await call(a, TO, AudioSource.tone(600));
    await eventually('live', () => a.gateway.calls.get(callId)?.state === 'live');
    const silent = await add();
    silent.peers.handle('call.here', () => new Promise(() => {}));
    const request = b.peers.request.bind(b.peers);
    // The silent one is waited for as long as the test lasts.
    vi.spyOn(b.peers, 'request').mockImplementation((to, what, about) =>
      request(to, what, about, 24 * 3_600_000),
    );
    await eventually('all serve', () => b.peers.serving.includes(silent.peers.self));
    const leg = await TestLeg.at(`${b.url}/v1/calls/${callId}/leg?rate=8000`);
    await eventually('the caller', () => amplitudeAt(600, 8_000, leg.heard.subarray(-800)) > LEVEL / 4);
    await phone.hangUp();
  });

  it('is relayed by the name of the room', async () => {
    const { a, b, call } = await pair();
    const { phone, callId } = await call(a, TO, AudioSource.tone(600));
    const leg = await TestLeg.join(b.url, ROOM, '?rate=8000');
    expect(leg.ready).toMatchObject({ room: ROOM, rate: 8_000 });
    await eventually('the caller', () => amplitudeAt(600, 8_000, leg.heard.subarray(-800)) > LEVEL / 4);
    leg.say(tone(1_000, 8_000, 8_000 * 30, LEVEL));
    await eventually('the program', () => hears(phone, 1_000, 300) > LOUD);
    leg.tell({ type: 'clear' });
    expect((await leg.event('cleared')).playedMs).toBeGreaterThan(0);
    leg.tell({ type: 'hangup', phone: callId });
    await phone.ended;
    expect((await leg.event('left')).phone).toBe(callId);
    leg.close();
  });

  it('is relayed by the id of a call, to its own room too, and may only listen', async () => {
    const { a, b, call } = await pair({ localRoom: 'call' });
    const { phone, callId } = await call(a, TO, AudioSource.tone(600));
    await eventually('live', () => a.gateway.calls.get(callId)?.state === 'live');
    const byCall = await TestLeg.at(`${b.url}/v1/calls/${callId}/leg?rate=8000&listen=1`);
    const byRoom = await TestLeg.join(b.url, `call:${callId}`, '?rate=8000');
    for (const leg of [byCall, byRoom])
      await eventually('the caller', () => amplitudeAt(600, 8_000, leg.heard.subarray(-800)) > LEVEL / 4);
    byCall.say(tone(1_000, 8_000, 800));
    expect(await byCall.event('error')).toMatchObject({ code: 'GW_LEG_LISTENS' });
    await phone.hangUp();
    expect((await byRoom.event('left')).phone).toBe(callId);
  });

  it('waits in the room of a call that arrives at another worker', async () => {
    const { a, b, callAt } = await pair({ localRoom: 'call' });
    const parameters = voiceParameters();
    const twiml = await (await postForm(a.url, '/twilio/voice', parameters)).text();
    const [, callId = ''] = /media\/([^/]+)\//.exec(streamUrl(twiml)) ?? [];
    const leg = await TestLeg.join(a.url, `call:${callId}`);
    const caller = await Caller.answer(b.url, twiml, parameters);
    caller.start();
    caller.media(toneMulaw(1_000, 20));
    expect((await leg.event('joined')).phone).toBe(callId);
    expect(await callAt(a)).toBe(callId);
  });

  it('is refused with the same errors as where its room is', async () => {
    const { a, b, call } = await pair({ maxLegs: 1 });
    const { callId } = await call(a, TO);
    const url = (room: string, query = '') => legUrl(b.url, room, query);
    const ofCall = (id: string) => `${b.url.replace('http', 'ws')}/v1/calls/${id}/leg`;
    expect(await upgradeStatus(url(ROOM), {})).toMatchObject({ status: 401, code: 'GW_UNAUTHORIZED' });
    expect(await upgradeStatus(url(ROOM, '?rate=1'), BEARER)).toMatchObject({ code: 'GW_BAD_REQUEST' });
    expect(await upgradeStatus(url('x'.repeat(201)), BEARER)).toMatchObject({ code: 'GW_BAD_REQUEST' });
    expect(await upgradeStatus(ofCall('nobody'), BEARER)).toMatchObject({ code: 'GW_CALL_UNKNOWN' });
    await TestLeg.join(a.url, ROOM);
    expect(await upgradeStatus(url(ROOM), BEARER)).toEqual({ status: 503, code: 'GW_LEGS_FULL' });
    expect(await upgradeStatus(ofCall(callId), BEARER)).toEqual({ status: 503, code: 'GW_LEGS_FULL' });
  });
});

describe('a transfer to a room', () => {
  const options = { prepareCall: ({ from = '' }: { readonly from: string | undefined }) => ({ room: from }) };

  it('of another worker hands the call over, and its next socket joins that room', async () => {
    const { a, b, call, callAt } = await pair(options);
    const first = await call(a, TO, AudioSource.tone(600), '+15550001111');
    const second = await call(b, TO, AudioSource.tone(1_000), '+15550002222');
    await callAt(b);
    expect(await ask(a.url, 'POST', second.callId, 'transfer', { room: '+15550001111' })).toMatchObject({
      status: 200,
      body: { callId: second.callId, to: 'room', room: '+15550001111' },
    });
    await eventually('both together', () => hears(first.phone, 1_000, 300) > LOUD);
    await eventually('both together', () => hears(second.phone, 600, 300) > LOUD);
    expect(second.phone.streams).toHaveLength(2);
    expect(a.gateway.calls.get(second.callId)?.state).toBe('live');
    await second.phone.hangUp();
    await first.phone.hangUp();
  });

  it('that nobody has moves it in the worker where it is, and frees the room it left', async () => {
    const { b, call, callAt, owners } = await pair(options);
    const { phone, callId } = await call(b, TO, AudioSource.tone(600), '+15550001111');
    await callAt(b);
    expect((await ask(b.url, 'POST', callId, 'transfer', { room: 'free' })).status).toBe(200);
    const leg = await TestLeg.join(b.url, 'free', '?rate=8000');
    await eventually('the caller', () => amplitudeAt(600, 8_000, leg.heard.subarray(-800)) > LEVEL / 4);
    expect(phone.streams).toHaveLength(1);
    await eventually('one room', () => owners.size === 1);
    leg.close();
    await phone.hangUp();
    await eventually('no room', () => owners.size === 0);
  });
});

describe('a worker that leaves', () => {
  it('and has a room hands its callers over: those who are relayed to it, and its own', async () => {
    const { a, b, call, turnTo } = await pair();
    const first = await call(a, TO, AudioSource.tone(600));
    const second = await call(b, TO, AudioSource.tone(1_000));
    await eventually('together', () => hears(first.phone, 1_000, 300) > LOUD);
    turnTo(b);
    await a.gateway.close(20_000);
    await eventually('together again', () => hears(first.phone, 1_000, 300) > LOUD);
    await eventually('together again', () => hears(second.phone, 600, 300) > LOUD);
    for (const { callId } of [first, second]) expect(b.gateway.calls.get(callId)?.state).toBe('live');
    await first.phone.hangUp();
    await second.phone.hangUp();
  });

  it('and relays a caller has another one take the socket', async () => {
    const { a, b, call, turnTo } = await pair();
    const first = await call(a, TO, AudioSource.tone(600));
    const second = await call(b, TO, AudioSource.tone(1_000));
    await eventually('together', () => hears(first.phone, 1_000, 300) > LOUD);
    turnTo(a);
    await b.gateway.close(20_000);
    await eventually('together again', () => second.phone.streams.length === 2);
    await eventually('together again', () => hears(first.phone, 1_000, 300) > LOUD);
    expect(a.gateway.calls.get(second.callId)?.state).toBe('live');
    await first.phone.hangUp();
    await second.phone.hangUp();
  });

  it('and relays a caller waits for another one, though it has no calls', async () => {
    const { a, b, call, turnTo } = await pair();
    const first = await call(a, TO, AudioSource.tone(600));
    const second = await call(b, TO, AudioSource.tone(1_000));
    await eventually('together', () => hears(first.phone, 1_000, 300) > LOUD);
    turnTo(a);
    const others = vi.spyOn(Cluster.prototype, 'acceptingPeers', 'get').mockReturnValue([]);
    const closed = b.gateway.close(24 * 3_600_000);
    await sleep(2_000);
    expect(second.phone.streams).toHaveLength(1);
    others.mockRestore();
    await eventually('together again', () => second.phone.streams.length === 2);
    await closed;
    expect(a.gateway.calls.get(second.callId)?.state).toBe('live');
    await first.phone.hangUp();
    await second.phone.hangUp();
  });
});
