import { expect, it } from 'vitest';
import { ask } from '../../support/control.js';
import { checkAnswer, documentedErrors } from '../../support/documented.js';
import { KEY } from '../../support/leg.js';
import { agentLevel, heardBy, notHeardBy, phoneLevel } from '../../support/stream-call.js';
import { startStream, talk } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

virtualTime();

it('a live caller moves from one Stream call to another, over the same media stream', async () => {
  const { gateway, host, caller, other: first, agent, userId } = await talk();
  const second = agent('second', 2_309, 'default:other');
  const callId = gateway.calls.listActive()[0]?.callId as string;
  const answer = await gateway.control.transfer(callId, { stream: { id: 'other' } });
  expect(answer).toEqual({ callId, to: 'stream', room: 'default:other' });
  await heardBy('the phone', () => phoneLevel(caller, 2_309));
  await heardBy('the second agent', () => agentLevel(second, 1_000));
  await notHeardBy('the first agent', () => agentLevel(first, 1_000));
  await notHeardBy('the phone', () => phoneLevel(caller, 1_700));
  expect(caller.streams).toHaveLength(1);
  expect(gateway.calls.get(callId)?.state).toBe('live');
  expect([host.userIds(), host.userIds('default:other')]).toEqual([['agent'], [userId, 'second']]);
  // Commands come from where it is now.
  second.sendEvent({ type: 'phone.hangup' });
  await eventually('the end', () => gateway.calls.get(callId) === undefined);
});

it('rejects an invalid Stream call or number, as over /v1', async () => {
  const { gateway, caller, hear } = await talk();
  const callId = gateway.calls.listActive()[0]?.callId as string;
  await expect(gateway.control.transfer(callId, { room: 'no such name' })).rejects.toMatchObject({
    code: 'GW_STREAM_CALL_NAME',
    status: 400,
  });
  await sleep(1_000);
  await hear();
  // TwiML tells Twilio to ask again, which needs no account.
  await gateway.control.transfer(callId, { number: '+15557778888' });
  expect(await caller.ended).toMatchObject({ dialled: ['+15557778888'], error: undefined });
});

/** A caller in the Stream call `home`, and the requests about it. */
async function start() {
  const started = await startStream({ gateway: { controlApiKey: KEY } });
  const { url, gateway } = started;
  const caller = started.phone();
  await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
  const callId = gateway.calls.listActive()[0]?.callId as string;
  const transfer = (request: object) => ask(url, 'POST', callId, 'transfer', request);
  const room = async () => (await ask(url, 'GET', callId, '')).body.room;
  expect((await transfer({ room: 'home' })).status).toBe(200);
  return { ...started, caller, callId, transfer, room };
}

type Started = Awaited<ReturnType<typeof start>>;

/** Faults of Stream, and the requests then made. */
const FAULTS: Record<string, (of: Started) => object | Promise<object>> = {
  GW_STREAM_CALL_NAME: () => ({ room: 'no such name' }),
  GW_STREAM_REFUSED: ({ rest }) => {
    // It must not look like an answer of ours, who would want another key.
    rest.failNext({ path: '/video/call/default/other', status: 401, times: 2 });
    return { stream: { id: 'other' } };
  },
  GW_STREAM_UNAVAILABLE: ({ rest }) => {
    rest.failNext({ path: '/video/call/default/other', status: 408, times: 99 });
    return { stream: { id: 'other' } };
  },
  GW_STREAM_JOIN: ({ host }) => {
    host.fate = 'refused';
    return { stream: { id: 'other' } };
  },
  GW_STREAM_PERMISSION: ({ host }) => {
    host.fate = 'forbidden';
    return { stream: { id: 'other' } };
  },
  GW_STREAM_CALL_ENDED: async ({ rest, transfer }) => {
    await transfer({ stream: { id: 'over' } });
    await transfer({ room: 'home' });
    rest.endCall('default:over');
    return { stream: { id: 'over' } };
  },
};

const ofTransfers = documentedErrors('stream').filter(({ path }) => path.endsWith('/transfer'));

it('every documented error of the Stream bridge can occur', () => {
  const codes = ofTransfers.map(({ code }) => code);
  expect(codes.toSorted()).toEqual(Object.keys(FAULTS).toSorted());
});

it.each(ofTransfers)(
  'a transfer that fails with $code leaves the caller where they are',
  async ({ method, path, status, code }) => {
    const started = await start();
    const { caller, callId, gateway, host, transfer, room } = started;
    const request = (await FAULTS[code]?.(started)) ?? {};
    const answer = await transfer(request);
    expect([answer.status, answer.body.error?.code]).toEqual([status, code]);
    expect(answer.body.error.message).toMatch(/^\S.{10,}[^.]$/);
    checkAnswer(method, path, answer.status, answer.body);
    expect(gateway.calls.get(callId)?.state).toBe('live');
    expect(await room()).toBe('home');
    expect(caller.streams).toHaveLength(1);
    host.fate = 'joins';
    expect((await transfer({ stream: { id: 'third' } })).body).toMatchObject({ room: 'default:third' });
  },
);

it('a call that ends during its transfer to a Stream call is in neither', async () => {
  const { caller, callId, host, gateway, transfer } = await start();
  const { length } = host.placed;
  host.joinMs = 3_000;
  const answer = transfer({ stream: { id: 'other' } });
  await eventually('the join', () => host.placed.length > length);
  await caller.hangUp();
  expect(await answer).toMatchObject({ status: 409, body: { error: { code: 'GW_CALL_ENDED' } } });
  expect(gateway.calls.get(callId)).toBeUndefined();
  await sleep(5_000);
  expect([...host.userIds('default:home'), ...host.userIds('default:other')]).toEqual([]);
});
