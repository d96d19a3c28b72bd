import { expect, it } from 'vitest';
import type { Switchboard } from '../../src/calls/switchboard.js';
import type { Clock } from '../../src/clock.js';
import type { Gateway } from '../../src/index.js';
import { CallJournal } from '../../src/live/call-journal.js';
import { Caller } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { KEY } from '../support/leg.js';
import { clock, eventually, virtualTime } from '../support/time.js';

virtualTime();

const BEARER = { authorization: `Bearer ${KEY}` };
const HOUR_MS = 3_600_000;

// biome-ignore lint/suspicious/noExplicitAny: tests check the answers
async function ask(url: string, path: string): Promise<any> {
  return (await fetch(url + path, { headers: BEARER })).json();
}

/** Another journal of the same gateway, with a clock that the test moves on. */
function journalOf(gateway: Gateway, capacity?: number) {
  const { switchboard } = gateway as unknown as { switchboard: Switchboard };
  let passed = 0;
  const later = Object.assign(Object.create(clock) as Clock, { now: () => clock.now() + passed });
  const journal = new CallJournal(
    switchboard,
    (listener) => gateway.events.subscribe(listener),
    later,
    capacity,
  );
  const pass = (ms: number) => {
    passed += ms;
  };
  return { journal, pass };
}

/** The id of the call that began last, live. */
async function call(url: string, gateway: Gateway, from = '+15550001111'): Promise<[string, Caller]> {
  const caller = await Caller.call(url, { From: from });
  const callId = gateway.calls.listActive().at(-1)?.callId ?? '';
  await eventually('audio', () => gateway.calls.get(callId)?.state === 'live');
  return [callId, caller];
}

it('shows a call with its events while it lasts and for an hour after, callers masked and without their keys', async () => {
  const { url, gateway } = await startGateway({
    controlApiKey: KEY,
    prepareCall: ({ from, to }) => ({ room: `${from} at ${to}` }),
  });
  const [callId, caller] = await call(url, gateway);
  const { streamSid } = caller;
  caller.json({
    event: 'dtmf',
    streamSid,
    sequenceNumber: '2',
    dtmf: { track: 'inbound_track', digit: '7' },
  });
  const path = `/v1/live/calls/${callId}`;
  const types = async () => (await ask(url, path)).events.map(({ type }: { type: string }) => type).join();
  await eventually('the key', async () => (await types()) === 'call.started,call.answered,call.dtmf');
  const parties = {
    direction: 'in',
    caller: '+•••••••••11',
    called: '+15552223333',
    room: '+•••••••••11 at +15552223333',
  };
  const running = await ask(url, path);
  expect(running).toMatchObject({ ...parties, state: 'live' });
  expect((await ask(url, '/v1/live/ended')).calls).toEqual([]);

  caller.stop();
  await eventually('the end', () => gateway.calls.get(callId) === undefined);
  const end = { endCause: 'stop', result: 'success' };
  const ended = await ask(url, path);
  expect(ended).toMatchObject({ ...parties, ...end, state: 'ended' });
  expect(ended.events.at(-1)).toMatchObject({ type: 'call.ended', data: { cause: 'stop' } });
  expect((await ask(url, '/v1/live/ended')).calls).toMatchObject([{ ...parties, ...end, callId }]);
  expect(JSON.stringify([running, ended])).not.toMatch(/0001111|"digit"/);
});

it('forgets a call an hour after its end', async () => {
  const { url, gateway } = await startGateway({ controlApiKey: KEY });
  const { journal, pass } = journalOf(gateway);
  const [callId] = await call(url, gateway);
  gateway.calls.require(callId).end();
  pass(HOUR_MS - 1_000);
  expect(journal.list()).toHaveLength(1);
  pass(2_000);
  expect(journal.list()).toEqual([]);
  expect(() => journal.inspect(callId)).toThrow('No call');
  expect((await ask(url, '/v1/live/calls/nobody')).error.code).toBe('GW_CALL_UNKNOWN');
});

it('keeps no more ended calls than it may, the latest, and no more than 32 events of a call', async () => {
  const { url, gateway } = await startGateway({ controlApiKey: KEY });
  const { journal } = journalOf(gateway, 2);
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) {
    const [callId, caller] = await call(url, gateway, `+155500022${10 + i}`);
    ids.unshift(callId);
    if (i === 2) {
      const known = gateway.calls.require(callId);
      for (let n = 0; n < 50; n++)
        gateway.events.publish('call.answered-by', known, { answeredBy: String(n) });
      const { events } = journal.inspect(callId);
      expect(events).toHaveLength(32);
      expect([events[0]?.type, events.at(-1)?.data]).toEqual(['call.started', { answeredBy: '49' }]);
    }
    caller.stop();
    await eventually('the end', () => gateway.calls.get(callId) === undefined);
  }
  expect(journal.list().map(({ callId }) => callId)).toEqual(ids.slice(0, 2));
  expect(() => journal.inspect(ids[2] ?? '')).toThrow('No call');
});

it('counts calls that ended lately, by our fault and by silence, each within the span of its alert', async () => {
  const { url, gateway } = await startGateway({ controlApiKey: KEY });
  const { journal, pass } = journalOf(gateway);
  for (const cause of ['internal', 'silent', 'stop'] as const) {
    const [callId] = await call(url, gateway);
    gateway.calls.require(callId).end(cause);
  }
  expect(journal.figures()).toEqual({ total: 3, recent: 3, serverFailures: 1, stuck: 1 });
  pass(11 * 60_000);
  expect(journal.figures()).toEqual({ total: 3, recent: 0, serverFailures: 0, stuck: 1 });
  pass(5 * 60_000);
  expect(journal.figures()).toEqual({ total: 3, recent: 0, serverFailures: 0, stuck: 0 });
});

it('keeps its order and counts a call once when it adopts one that it knows', async () => {
  const { url, gateway } = await startGateway({ controlApiKey: KEY });
  const { journal, pass } = journalOf(gateway);
  const ids: string[] = [];
  for (const _ of 'abc') {
    const [callId] = await call(url, gateway);
    gateway.calls.require(callId).end();
    ids.push(callId);
    pass(1_000);
  }
  const [a, b, c] = ids as [string, string, string];
  const again = { ...journal.inspect(a), endCause: 'silent' as const };
  const other = { ...again, callId: 'other' };
  journal.adopt([
    { agoMs: 0, details: again },
    { agoMs: 1, details: other },
  ]);
  expect(journal.list().map(({ callId }) => callId)).toEqual([a, 'other', c, b]);
  expect(journal.inspect(a).endCause).toBe('silent');
  expect(journal.figures().total).toBe(4);
  pass(HOUR_MS - 500);
  expect(journal.list().map(({ callId }) => callId)).toEqual([a, 'other']);
});
