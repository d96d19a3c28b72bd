import { expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.js';
import type { CallDetails, CallJournal, EndedCall, PassedCall } from '../../src/live/call-journal.js';
import { MachineJournal } from '../../src/workers/machine-journal.js';
import { clock, eventually, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime();

/** A call that ended in this second; without one it runs. */
function details(callId: string, second?: number, endCause = 'stop'): CallDetails {
  const endedAt = second === undefined ? undefined : new Date(second * 1_000).toISOString();
  return {
    callId,
    state: endedAt === undefined ? 'live' : 'ended',
    events: [],
    history: [],
    ...(endedAt !== undefined && { endedAt, endCause }),
  } as unknown as CallDetails;
}

function ended({ callId, endedAt, endCause }: CallDetails): EndedCall {
  const parties = { direction: 'in', caller: '•• 11', called: '+15552223333', room: 'r' } as const;
  const figures = { durationSeconds: 1, p99Us: 2, underruns: 0, droppedMs: 0 };
  return { callId, ...parties, endedAt, endCause, result: 'success', ...figures };
}

/** Workers with these calls in their journals. */
async function machine(...calls: CallDetails[][]) {
  const { add } = workersInMemory(clock);
  const workers = calls.map((own) => {
    const peers = add();
    const adopted: PassedCall[] = [];
    const journal = {
      list: () => own.filter(({ endedAt }) => endedAt !== undefined).map(ended),
      inspect(callId: string) {
        const found = own.find((each) => each.callId === callId);
        if (found === undefined) throw new GatewayError('GW_CALL_UNKNOWN', 'No such call');
        return found;
      },
      passed: () =>
        own
          .filter(({ endedAt }) => endedAt !== undefined)
          .map((each): PassedCall => ({ agoMs: 5, details: each })),
      adopt: (passed: readonly PassedCall[]) => adopted.push(...passed),
    };
    const views = new MachineJournal(peers, journal as unknown as CallJournal);
    peers.serve();
    return { peers, views, adopted };
  });
  await eventually('all serve', () => workers.every(({ peers }) => peers.serving.length === calls.length));
  return workers as [(typeof workers)[0], ...typeof workers];
}

const idsOf = (calls: readonly { callId: string }[]) => calls.map(({ callId }) => callId);

it('lists a call that moved once, where it ended last, and not while it goes on', async () => {
  const [a] = await machine(
    [details('one', 3), details('moved', 1, 'handed-over'), details('goes-on', 2, 'moved')],
    [details('two', 4), details('moved', 6), details('goes-on')],
    [details('moved', 5), details('three', 2)],
  );
  const listed = await a.views.list();
  expect(idsOf(listed)).toEqual(['moved', 'two', 'one', 'three']);
  expect(listed[0]?.endedAt).toBe(new Date(6_000).toISOString());
});

it('shows a call where it is running, else where it ended last', async () => {
  const [a] = await machine(
    [details('running', 9, 'handed-over'), details('ended', 5)],
    [details('ended', 7)],
    [details('running'), details('elsewhere')],
  );
  expect((await a.views.inspect('running')).state).toBe('live');
  expect((await a.views.inspect('elsewhere')).state).toBe('live');
  expect((await a.views.inspect('ended')).endedAt).toBe(new Date(7_000).toISOString());
  await expect(a.views.inspect('nobody')).rejects.toMatchObject({ code: 'GW_CALL_UNKNOWN' });
});

it('hands ended calls to the worker that started last, but those that go on elsewhere', async () => {
  const calls = Array.from({ length: 45 }, (_, i) => details(`c${i}`, i));
  const [a, b, c] = await machine([...calls, details('moved', 50, 'handed-over')], [], []);
  a.views.close();
  await eventually('all calls', () => c?.adopted.length === 45);
  expect(c?.adopted).toEqual(calls.map((each) => ({ agoMs: 5, details: each })));
  expect(b?.adopted).toEqual([]);
});

it('leaves out what another version sends that is no call', async () => {
  const [a, b] = await machine([details('one', 1)], []);
  const good = ended(details('two', 2));
  const list = [null, 5, {}, { ...good, callId: 5 }, { ...good, p99Us: null }, { ...good, room: {} }, good];
  for (const answer of [null, 'text', {}, list]) {
    b?.peers.handle('live.ended', () => answer);
    expect(idsOf(await a.views.list())).toEqual(answer === list ? ['two', 'one'] : ['one']);
  }
  const two = details('two', 2);
  const bad = [null, 'text', details('three', 3), { ...two, events: null }, { ...two, endedAt: 5 }];
  for (const answer of bad) {
    b?.peers.handle('live.inspect', () => answer);
    await expect(a.views.inspect('two')).rejects.toMatchObject({ code: 'GW_CALL_UNKNOWN' });
  }
  const passed = { agoMs: 1, details: two };
  const calls = [
    ...[null, 5, { ...passed, agoMs: -1 }, { ...passed, agoMs: 'now' }, { agoMs: 1 }],
    ...[details('runs'), { ...two, traffic: 5 }, { ...two, latency: {} }, { ...two, history: 1 }].map(
      (each) => ({ agoMs: 1, details: each }),
    ),
    passed,
  ];
  for (const about of [null, 'text', { length: 1 }, calls]) b?.peers.notify(1, 'live.adopt', about);
  await eventually('the good one', () => a.adopted.length > 0);
  expect(a.adopted).toEqual([passed]);
  // What is asked may be anything, too.
  expect(await b?.peers.request(1, 'live.ended', null)).toEqual([ended(details('one', 1))]);
  expect(await b?.peers.request(1, 'live.ended', { most: 0 })).toEqual([]);
  await expect(b?.peers.request(1, 'live.inspect', null)).rejects.toMatchObject({ code: 'GW_CALL_UNKNOWN' });
});
