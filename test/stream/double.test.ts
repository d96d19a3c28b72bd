import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { StreamClient } from '@stream-io/node-sdk';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { Agent, type AgentOptions } from '../support/stream/agent.js';
import { StreamDouble } from '../support/stream/double.js';
import type { DoubleState } from '../support/stream/state.js';
import { signToken } from '../support/stream/token.js';
import { eventually, sleep } from '../support/time.js';

const ANNA = 1_000;
const BERT = 1_700;
const CARL = 2_300;

let double: StreamDouble;
let server: StreamClient;
let serial = 0;

beforeAll(async () => {
  double = await StreamDouble.start({ fastReconnectSeconds: 3 });
  server = clientOf(double);
});

afterAll(async () => {
  expect(double.state.unknownRoutes).toEqual([]);
  expect(double.state.peerConnections).toBe(0);
  expect(double.state.coordinatorSockets).toBe(0);
  await double.close();
});

const clientOf = ({ apiKey, apiSecret, url }: Pick<StreamDouble, 'apiKey' | 'apiSecret' | 'url'>) =>
  new StreamClient(apiKey, apiSecret, { basePath: url });

/** Joins as somebody who says a tone, and leaves after the test. */
async function join(callId: string, userId: string, tone: number, more: object = {}): Promise<Agent> {
  const agent = await Agent.join({ double, callId, userId, ...more } as AgentOptions);
  onTestFinished(() => agent.leave());
  agent.play(tone, 8_000);
  return agent;
}

interface PlainEvent {
  readonly type: string;
  readonly connection_id?: string;
  readonly error?: { readonly code: number };
}

/** A coordinator connection by hand. */
async function connect(id: string, claims: object) {
  const keys = `api_key=${double.apiKey}`;
  const token = signToken({ iat: Math.floor(Date.now() / 1000), ...claims }, double.apiSecret);
  const socket = new WebSocket(`${double.url.replace('http', 'ws')}/video/connect?${keys}`);
  onTestFinished(() => socket.terminate());
  const events: PlainEvent[] = [];
  socket.on('message', (data) => events.push(JSON.parse(String(data))));
  await once(socket, 'open');
  socket.send(JSON.stringify({ token, user_details: { id } }));
  await eventually('a greeting', () => events.length > 0);
  const query = `${keys}&user_id=${id}&connection_id=${events[0]?.connection_id}`;
  const post = (path: string) =>
    fetch(`${double.url}${path}?${query}`, { method: 'POST', headers: { authorization: token } });
  return { events, post };
}

/** Two in a call who hear each other. */
async function pair(more: object = {}) {
  const id = ++serial;
  const callId = `call-${id}`;
  const anna = await join(callId, `anna-${id}`, ANNA, more);
  const bert = await join(callId, `bert-${id}`, BERT, more);
  await hearEachOther(anna, bert);
  return { callId, cid: `default:${callId}`, anna, bert };
}

/** The tone of another comes through within 1 dB. */
async function hears(agent: Agent, other: Agent, tone: number): Promise<void> {
  const decibels = () => 20 * Math.log10(agent.heard(tone, { from: other.userId, seconds: 0.2 }) / 8_000);
  await eventually(`${agent.userId} to hear ${other.userId}`, () => Math.abs(decibels()) < 1, 10_000);
}

/** Now, and not only before. */
async function hearEachOther(anna: Agent, bert: Agent): Promise<void> {
  await sleep(250);
  await Promise.all([hears(anna, bert, BERT), hears(bert, anna, ANNA)]);
}

function participant(cid: string, { userId }: Agent, state: DoubleState = double.state) {
  return state.calls.find((call) => call.cid === cid)?.participants.find((one) => one.userId === userId);
}

/** The client has been in a state, and is back in the call. */
async function rejoined(agent: Agent, by: string): Promise<void> {
  await eventually(`${agent.userId} to be ${by}`, () => agent.states.includes(by));
  await eventually(`${agent.userId} to be joined`, () => agent.states.at(-1) === 'joined');
}

/** Only what comes now counts. */
function forget(agent: Agent): void {
  agent.states.length = 0;
}

describe('a call', () => {
  test('tones go both ways', async () => {
    const { anna, bert } = await pair();
    expect(anna.heard(ANNA)).toBeLessThan(100);
    expect(bert.heard(BERT)).toBeLessThan(100);
    anna.silence();
    await eventually('silence', () => bert.level({ seconds: 0.2 }) < 50);
  });

  test('three hear each other, and a late joiner hears the others', async () => {
    const { callId, anna, bert } = await pair();
    const carl = await join(callId, 'carl', CARL);
    await Promise.all([
      hearEachOther(anna, bert),
      hears(anna, carl, CARL),
      hears(bert, carl, CARL),
      hears(carl, anna, ANNA),
      hears(carl, bert, BERT),
    ]);
    expect(anna.remoteUserIds().sort()).toEqual([bert.userId, 'carl']);
  });

  test('redundancy and discontinuous transmission, where the settings of the call ask for them', async () => {
    const settings = { audio: { redundant_coding_enabled: true, opus_dtx_enabled: true } };
    const { anna, bert } = await pair({ settings });
    const publisher = anna.call.publisher as unknown as { pc: { remoteDescription: { sdp: string } } };
    expect(publisher.pc.remoteDescription.sdp).toMatch(/m=audio \d+ UDP\/TLS\/RTP\/SAVPF 63 111/);
    expect(publisher.pc.remoteDescription.sdp).toContain('usedtx=1');
    await hearEachOther(anna, bert);
  });

  test('mute is silent, unmute is not, and the others are notified', async () => {
    const { cid, anna, bert } = await pair();
    await anna.mute();
    await eventually('silence', () => bert.level({ seconds: 0.2 }) < 50);
    await eventually('a mute', () => participant(cid, anna)?.muted === true);
    await anna.unmute();
    await hearEachOther(anna, bert);
    expect(participant(cid, anna)?.muted).toBe(false);
  });

  test('a participant leaves and joins repeatedly', async () => {
    const { callId, cid, anna, bert: first } = await pair();
    let bert = first;
    for (let round = 1; round <= 3; round++) {
      await bert.leave();
      await eventually('bert to be gone', () => participant(cid, bert) === undefined);
      await eventually('anna to know', () => anna.remoteUserIds().length === 0);
      bert = await join(callId, bert.userId, BERT);
      await hearEachOther(anna, bert);
    }
  });

  test('custom events come from clients and servers', async () => {
    const { callId, anna, bert } = await pair();
    const { userId } = anna;
    await anna.sendEvent({ hello: 'bert' });
    await server.video.call('default', callId).sendCallEvent({ user_id: userId, custom: { by: 'a server' } });
    await eventually('two events', () => bert.events.length === 2 && anna.events.length === 2);
    expect(bert.events).toEqual([
      { userId, custom: { hello: 'bert' } },
      { userId, custom: { by: 'a server' } },
    ]);
    await expect(anna.sendEvent({ text: 'x'.repeat(5 * 1024) })).rejects.toThrow('5KB');
  });

  test('one call hears nothing of another', async () => {
    const here = await pair();
    const there = await pair();
    await here.anna.sendEvent({ only: 'here' });
    await eventually('the event', () => here.bert.events.length === 1);
    expect(there.anna.events).toEqual([]);
    expect(there.anna.remoteUserIds()).toEqual([there.bert.userId]);
  });

  test('rings its members, who accept', async () => {
    const callId = `call-${++serial}`;
    await server.upsertUsers([{ id: 'carl' }, { id: 'dora' }]);
    const data = { created_by_id: 'carl', members: [{ user_id: 'carl' }, { user_id: 'dora' }] };
    await server.video.call('default', callId).getOrCreate({ data });
    const dora = await connect('dora', { user_id: 'dora' });
    await join(callId, 'carl', CARL, { ring: true });
    await eventually('dora to be rung', () => dora.events.some(({ type }) => type === 'call.ring'));
    const path = `/video/call/default/${callId}`;
    await dora.post(path);
    await dora.post(`${path}/accept`);
    await eventually('the event', () => dora.events.some(({ type }) => type === 'call.accepted'));
    const { call } = await server.video.call('default', callId).get();
    expect(Object.keys(call.session?.accepted_by ?? {})).toEqual(['dora']);
  });

  test('ends for everybody, and nobody can join it again', async () => {
    const { callId, cid, anna, bert } = await pair();
    await anna.endCall();
    await eventually('both to have left', () =>
      [anna, bert].every(({ callingState }) => callingState === 'left'),
    );
    await expect(join(callId, 'carl', CARL)).rejects.toThrow('JoinEndedCall');
    expect(double.state.calls.find((call) => call.cid === cid)).toMatchObject({
      ended: true,
      participants: [],
    });
  });
});

describe('the signalling', () => {
  test('FAST: its socket breaks, the session continues', async () => {
    const { anna, bert } = await pair();
    const { sessionId } = anna;
    forget(anna);
    double.dropSfuSocket(anna.userId);
    await rejoined(anna, 'reconnecting');
    expect(anna.sessionId).toBe(sessionId);
    await hearEachOther(anna, bert);
  });

  test('REJOIN: the SFU asks for a new session', async () => {
    const { cid, anna, bert } = await pair();
    const { sessionId } = anna;
    forget(anna);
    double.sfuError(anna.userId, { code: 205, strategy: 3, message: 'come back', shouldRetry: true });
    await rejoined(anna, 'reconnecting');
    expect(anna.sessionId).not.toBe(sessionId);
    await hearEachOther(anna, bert);
    expect(double.state.calls.find((call) => call.cid === cid)?.participants).toHaveLength(2);
  });

  test('DISCONNECT: the SFU drops it', async () => {
    const { cid, anna } = await pair();
    double.sfuError(anna.userId, { code: 403, strategy: 1 });
    await eventually('anna to have left', () => anna.callingState === 'left');
    await eventually('the SFU to know', () => participant(cid, anna) === undefined);
  });

  test('MIGRATE: the SFU shuts down', async () => {
    const { cid, anna, bert } = await pair();
    const { sessionId } = anna;
    const edge = participant(cid, anna)?.edge;
    forget(anna);
    double.goAway(anna.userId);
    await rejoined(anna, 'migrating');
    expect(anna.sessionId).toBe(sessionId);
    expect(participant(cid, anna)?.edge).not.toBe(edge);
    await hearEachOther(anna, bert);
    expect(bert.remoteUserIds()).toEqual([anna.userId]);
    expect(bert.states.at(-1)).toBe('joined');
  });

  test.each(['publisher', 'subscriber'] as const)('ICE restarts at the %s', async (side) => {
    const { anna, bert } = await pair();
    const method = side === 'publisher' ? 'SetPublisher' : 'SendAnswer';
    const before = double.state.signals[method] ?? 0;
    double.iceRestart(anna.userId, side);
    await eventually('the client to negotiate', () => (double.state.signals[method] ?? 0) > before);
    await hearEachOther(anna, bert);
  });

  test('a full SFU sends the client to another', async () => {
    const callId = `call-${++serial}`;
    double.sfuFull(1);
    const anna = await join(callId, `anna-${serial}`, ANNA);
    const bert = await join(callId, `bert-${serial}`, BERT);
    const [annas, berts] = [anna, bert].map((agent) => participant(`default:${callId}`, agent)?.edge);
    expect(annas).not.toBe(berts);
    await hearEachOther(anna, bert);
  });
});

describe('a moderator', () => {
  test('kicks one, the other stays', async () => {
    const { cid, anna, bert } = await pair();
    double.kick(cid, anna.userId);
    await eventually('anna to have left', () => anna.callingState === 'left');
    await eventually('bert to know', () => bert.remoteUserIds().length === 0);
    expect(bert.callingState).toBe('joined');
  });

  test('blocks one, who cannot return', async () => {
    const { callId, anna, bert } = await pair();
    await server.video.call('default', callId).blockUser({ user_id: anna.userId });
    await eventually('anna to have left', () => anna.callingState === 'left');
    await expect(join(callId, anna.userId, ANNA)).rejects.toThrow('not allowed');
    expect(bert.callingState).toBe('joined');
  });

  test('mutes one', async () => {
    const { callId, anna, bert } = await pair();
    await server.video.call('default', callId).muteUsers({ user_ids: [anna.userId], audio: true });
    await eventually('silence', () => bert.level({ seconds: 0.2 }) < 50);
    expect(anna.call.microphone.state.status).toBe('disabled');
  });

  test('ends the call', async () => {
    const { cid, anna, bert } = await pair();
    double.endCall(cid);
    await eventually('both to have left', () =>
      [anna, bert].every(({ callingState }) => callingState === 'left'),
    );
  });
});

describe('media', () => {
  const REJOIN = { code: 205, strategy: 3, message: 'come back', shouldRetry: true };

  test.each(['silenceMedia', 'closeMedia'] as const)(
    'dies silently, and recovers in a new session (%s)',
    async (fault) => {
      const { anna, bert } = await pair();
      double[fault](anna.userId);
      await eventually(
        'silence',
        () => bert.level({ seconds: 0.2 }) < 50 && anna.level({ seconds: 0.2 }) < 50,
      );
      expect(anna.callingState).toBe('joined');
      const { sessionId } = anna;
      // The client would find out by itself, but not within fifteen seconds.
      double.sfuError(anna.userId, REJOIN);
      await eventually('a new session', () => anna.sessionId !== sessionId && anna.callingState === 'joined');
      await hearEachOther(anna, bert);
    },
  );

  test('ends with a crash: the others are notified when the SFU gives up', async () => {
    const { cid, anna, bert } = await pair();
    await anna.crash();
    expect(participant(cid, anna)).toBeDefined();
    await eventually('silence', () => bert.level({ seconds: 0.2 }) < 50);
    await eventually('bert to know', () => bert.remoteUserIds().length === 0);
    expect(participant(cid, anna)).toBeUndefined();
  });

  test('of a ghost is silent, and it stays when its user has left', async () => {
    const { callId, cid, anna, bert } = await pair();
    double.leaveGhost(anna.userId);
    await anna.leave();
    await eventually('silence', () => bert.level({ seconds: 0.2 }) < 50);
    const again = await join(callId, anna.userId, ANNA);
    await hearEachOther(again, bert);
    const sessions = double.state.calls.find((call) => call.cid === cid)?.participants ?? [];
    expect(sessions.filter(({ userId }) => userId === anna.userId)).toHaveLength(2);
    await server.video.call('default', callId).end();
  });

  test('survives a bad network', async () => {
    const { anna, bert } = await pair();
    double.impair({ loss: 0.05, jitterMs: 30 });
    onTestFinished(() => double.impair());
    await hearEachOther(anna, bert);
  });
});

describe('the coordinator', () => {
  test('survives a slow join and failing requests', async () => {
    const callId = `call-${++serial}`;
    double.slowJoin(700);
    double.failNext({ method: 'POST', path: /\/join$/, status: 500, times: 1 });
    const begin = performance.now();
    const anna = await join(callId, `anna-${serial}`, ANNA);
    expect(performance.now() - begin).toBeGreaterThan(700);
    expect(anna.callingState).toBe('joined');
    double.failNext({ method: 'POST', path: '/event', status: 429, code: 9, message: 'slow down' });
    await expect(
      server.video.call('default', callId).sendCallEvent({ user_id: anna.userId, custom: {} }),
    ).rejects.toMatchObject({ metadata: { responseCode: 429, rateLimit: { rateLimitRemaining: 0 } } });
    await server.video.call('default', callId).sendCallEvent({ user_id: anna.userId, custom: {} });
  });

  test('expired tokens are refreshed, for requests and for sockets', async () => {
    const { anna, bert } = await pair();
    double.expireTokens();
    await anna.sendEvent({ after: 'expiry' });
    await eventually('the event', () => bert.events.length === 1);
    double.expireTokens();
    await comeBack(anna, bert, () => double.dropCoordinator());
  });

  test('reconnects broken sockets while audio continues', async () => {
    const { anna, bert } = await pair();
    await comeBack(anna, bert, () => double.dropCoordinator());
  });

  test('survives an outage while audio continues', async () => {
    const { anna, bert } = await pair();
    double.refuseCoordinator(true);
    double.dropCoordinator();
    await expect(server.video.call('default', 'any').get()).rejects.toMatchObject({
      metadata: { responseCode: 503 },
    });
    await hearEachOther(anna, bert);
    expect(double.state.coordinatorSockets).toBe(0);
    await comeBack(anna, bert, () => double.refuseCoordinator(false));
  });

  /** After it both get events again, and have heard each other all the time. */
  async function comeBack(anna: Agent, bert: Agent, cause: () => void): Promise<void> {
    const watches = double.state.requests['POST /video/calls'] ?? 0;
    cause();
    await hearEachOther(anna, bert);
    await eventually('both to watch', () => (double.state.requests['POST /video/calls'] ?? 0) >= watches + 2);
    const known = bert.events.length;
    await anna.sendEvent({ back: 'again' });
    await eventually('the event', () => bert.events.length > known);
    expect([anna, bert].map(({ callingState }) => callingState)).toEqual(['joined', 'joined']);
  }
});

describe('keys and limits', () => {
  const refused = (status: number, code: number) => ({ code, metadata: { responseCode: status } });

  test('valid keys list the call types', async () => {
    const { call_types: types } = await server.video.listCallTypes();
    expect(Object.keys(types)).toContain('default');
    expect((await server.getApp()).app.name).toBe('double');
  });

  test('invalid keys do not', async () => {
    const stranger = clientOf({ ...keysOf(double), apiKey: 'another' });
    await expect(stranger.video.listCallTypes()).rejects.toMatchObject(refused(401, 2));
    const liar = clientOf({ ...keysOf(double), apiSecret: 'another' });
    await expect(liar.video.listCallTypes()).rejects.toMatchObject(refused(401, 43));
  });

  test('names, users and sizes are validated', async () => {
    await server.upsertUsers([{ id: 'known', name: 'Known' }]);
    const create = (id: string, data: object) => server.video.call('default', id).getOrCreate({ data });
    const known = { created_by_id: 'known' };
    await expect(server.upsertUsers([{ id: '+4930123' }])).rejects.toMatchObject(refused(400, 4));
    await expect(server.upsertUsers([{ id: 'x'.repeat(256) }])).rejects.toMatchObject(refused(400, 4));
    await expect(create('a b', known)).rejects.toMatchObject(refused(400, 4));
    await expect(create('x'.repeat(65), known)).rejects.toMatchObject(refused(400, 4));
    await expect(create('ok', { created_by_id: 'nobody' })).rejects.toThrow("don't exist: [nobody]");
    await expect(create('ok', { ...known, members: [{ user_id: 'nobody' }] })).rejects.toThrow('[nobody]');
    await expect(server.video.call('default', 'missing').get()).rejects.toMatchObject(refused(404, 16));
    await expect(server.video.call('nonesuch', 'x').getOrCreate({ data: known })).rejects.toMatchObject(
      refused(404, 16),
    );
    const { call, created } = await create('ok', { ...known, custom: { at: 'noon_at' } });
    expect(created).toBe(true);
    expect(call.custom).toEqual({ at: 'noon_at' });
    expect(Math.abs(call.created_at.getTime() - Date.now())).toBeLessThan(60_000);
  });

  test('a token of another user, or an expired one, is rejected', async () => {
    const greeting = async (claims: object) => (await connect('me', claims)).events[0];
    expect(await greeting({ user_id: 'me' })).toMatchObject({ type: 'connection.ok' });
    const error = { type: 'connection.error' };
    expect(await greeting({ user_id: 'you' })).toMatchObject({ ...error, error: { code: 5 } });
    expect(await greeting({ user_id: 'me', exp: 1 })).toMatchObject({ ...error, error: { code: 40 } });
    expect(await greeting({})).toMatchObject({ ...error, error: { code: 5 } });
  });
});

test('a separate process ends with its standard input, and leaves nothing behind', async () => {
  const main = new URL('../support/stream/main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, ['--import', 'tsx', main], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const keys = JSON.parse(String(line)) as { url: string; apiKey: string; apiSecret: string };
  const state = async () => (await (await fetch(`${keys.url}/double/state`)).json()) as DoubleState;
  const fault = (body: object) =>
    fetch(`${keys.url}/double/faults`, { method: 'POST', body: JSON.stringify(body) });

  const anna = await join('far', 'anna-far', ANNA, { double: keys });
  const bert = await join('far', 'bert-far', BERT, { double: keys });
  await hearEachOther(anna, bert);
  expect((await state()).forwardedPackets).toBeGreaterThan(0);
  forget(anna);
  expect((await fault({ fault: 'dropSfuSocket', userId: anna.userId })).status).toBe(200);
  await rejoined(anna, 'reconnecting');
  expect((await fault({ fault: 'constructor' })).status).toBe(400);
  expect((await fault({ fault: 'kick' })).status).toBe(400);
  expect((await fault({ fault: 'kick', cid: 'default:far', userId: bert.userId })).status).toBe(200);
  await eventually('bert to have left', () => bert.callingState === 'left');
  expect(participant('default:far', anna, await state())?.publisher).toBe('connected');

  // With anna still there.
  const exited = once(child, 'exit');
  child.stdin.end();
  expect(await exited).toEqual([0, null]);
});

function keysOf({ url, apiKey, apiSecret }: StreamDouble) {
  return { url, apiKey, apiSecret };
}
