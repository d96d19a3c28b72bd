import { expect, it } from 'vitest';
import { ask } from '../../support/control.js';
import { checkAnswer, documentedErrors } from '../../support/documented.js';
import { KEY } from '../../support/leg.js';
import { startStream } from '../../support/stream-call.js';
import { eventually } from '../../support/time.js';

/** A caller in the Stream call `home`, and what is asked of them. */
async function start() {
  const started = await startStream({ gateway: { controlApiKey: KEY } });
  const { url, gateway, double } = started;
  const caller = started.phone();
  await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live', 10_000);
  const callId = gateway.calls.listActive()[0]?.callId as string;
  const transfer = (request: object) => ask(url, 'POST', callId, 'transfer', request);
  const room = async () => (await ask(url, 'GET', callId, '')).body.room;
  const membersOf = (cid: string) =>
    double.state.calls.find((call) => call.cid === cid)?.participants.map(({ userId }) => userId) ?? [];
  expect((await transfer({ room: 'home' })).status).toBe(200);
  return { ...started, caller, callId, transfer, room, membersOf };
}

type Started = Awaited<ReturnType<typeof start>>;

/** What goes wrong with Stream, and what is then asked for. */
const FAULTS: Record<string, (of: Started) => object | Promise<object>> = {
  GW_STREAM_CALL_NAME: () => ({ room: 'no such name' }),
  GW_STREAM_REFUSED: ({ double }) => {
    // It must not look like an answer of ours, who would want another key.
    double.failNext({ path: '/video/call/default/other', status: 401 });
    return { stream: { id: 'other' } };
  },
  GW_STREAM_UNAVAILABLE: ({ double }) => {
    double.failNext({ path: '/video/call/default/other', status: 408, times: 99 });
    return { stream: { id: 'other' } };
  },
  GW_STREAM_JOIN: ({ double }) => {
    double.failNext({ path: '/video/call/default/other/join', status: 403, times: 99 });
    return { stream: { id: 'other' } };
  },
  GW_STREAM_CALL_ENDED: async ({ double, transfer }) => {
    await transfer({ stream: { id: 'over' } });
    await transfer({ room: 'home' });
    double.endCall('default:over');
    return { stream: { id: 'over' } };
  },
};

it('every error of the Stream bridge that the document tells of can be had', () => {
  const codes = documentedErrors('stream').map(({ method, path, code }) => [method, path, code]);
  const shown = Object.keys(FAULTS).map((code) => ['post', '/v1/calls/{callId}/transfer', code]);
  expect(codes.toSorted()).toEqual(shown.toSorted());
});

it.each(documentedErrors('stream'))(
  'a transfer that fails with $code leaves the caller where they are',
  async ({ method, path, status, code }) => {
    const started = await start();
    const { caller, callId, gateway, transfer, room } = started;
    const request = (await FAULTS[code]?.(started)) ?? {};
    const answer = await transfer(request);
    expect([answer.status, answer.body.error?.code]).toEqual([status, code]);
    expect(answer.body.error.message).toMatch(/^Expected .+ but received/);
    checkAnswer(method, path, answer.status, answer.body);
    expect(gateway.calls.get(callId)?.state).toBe('live');
    expect(await room()).toBe('home');
    expect(caller.streams).toHaveLength(1);
    expect((await transfer({ stream: { id: 'third' } })).body).toMatchObject({ room: 'default:third' });
  },
);

it('a call that ends while it is transferred to a Stream call is in none of the two', async () => {
  const { caller, callId, double, gateway, transfer, membersOf } = await start();
  const asked = () => double.state.requests['POST /video/call/:type/:id/join'] ?? 0;
  const before = asked();
  double.slowJoin(3_000);
  const answer = transfer({ stream: { id: 'other' } });
  await eventually('the join', () => asked() > before);
  await caller.hangUp();
  expect(await answer).toMatchObject({ status: 409, body: { error: { code: 'GW_CALL_ENDED' } } });
  expect(gateway.calls.get(callId)).toBeUndefined();
  // The client can not leave what it has not finished joining.
  await eventually('its leave', () => double.state.coordinatorSockets === 0, 15_000);
  expect([...membersOf('default:home'), ...membersOf('default:other')]).toEqual([]);
});
