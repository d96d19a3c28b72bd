import { expect, it } from 'vitest';
import { EventLog } from '../../src/events/event-log.js';
import { createLog } from '../../src/telemetry/log.js';
import { EventBacklog } from '../../src/workers/event-backlog.js';
import { MachineEvents } from '../../src/workers/machine-events.js';
import { gone, SUPERVISOR } from '../../src/workers/peers.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime();

function machine() {
  const { office, add, kill } = workersInMemory(clock);
  new EventBacklog(office);
  /** A worker; `publish` publishes events of these ids. */
  const start = () => {
    const peers = add();
    const log = new EventLog(createLog('silent'), clock);
    const events = new MachineEvents(peers, log, clock);
    const publish = (...callIds: string[]) => {
      for (const callId of callIds) log.publish('call.dtmf', { callId }, { digit: '1' });
    };
    const serve = async () => {
      await events.catchUp();
      peers.serve();
      await eventually('it serves', () => peers.serving.includes(peers.self));
    };
    /** The calls of all events from a position on. */
    const calls = (from = events.oldest) => {
      const ids: (string | undefined)[] = [];
      for (let number = from; number < events.end; number++) ids.push(events.at(number)?.callId);
      return ids;
    };
    /** The ids of all events that are kept. */
    const ids = () => calls().map((_, i) => events.at(events.oldest + i)?.id);
    return { peers, log, events, publish, serve, calls, ids };
  };
  return { office, start, kill };
}

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

it('shows the events of all workers in one order and with the same ids at each', async () => {
  const { start } = machine();
  const workers = [start(), start(), start()] as const;
  for (const each of workers) await each.serve();
  for (let round = 0; round < 20; round++) {
    for (const [i, { publish }] of workers.entries()) publish(`${i}-${round}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually('all events everywhere', () => workers.every(({ events }) => events.end === 60));
  const [a, b, c] = workers;
  expect(new Set(a.ids()).size).toBe(60);
  expect(b.ids()).toEqual(a.ids());
  expect(c.ids()).toEqual(a.ids());
  // Of each worker they are in its own order.
  for (const i of [0, 1, 2]) {
    const own = b.calls().filter((callId) => callId?.startsWith(`${i}-`));
    expect(own).toEqual(names(`${i}-`, 20));
  }
  expect(b.ids()).toContain(a.log.at(0)?.id);
});

it('tells listeners of a worker of its own events at once', async () => {
  const { start } = machine();
  const a = start();
  await a.serve();
  const heard: string[] = [];
  a.log.subscribe(({ call }) => heard.push(call.callId));
  a.publish('x');
  expect(heard).toEqual(['x']);
});

it('continues at any worker after the id of any event that is kept, and says where events are lost', async () => {
  const { start } = machine();
  const [a, b] = [start(), start()];
  for (const each of [a, b]) await each.serve();
  a.publish(...names('a', 700));
  b.publish(...names('b', 700));
  await eventually('all events', () => a.events.end === 1_400 && b.events.end === 1_400);
  expect(a.events.oldest).toBe(400);
  expect(b.events.positionAfter('')).toEqual({ next: 1_400, isGap: false });
  const id = a.events.at(900)?.id as string;
  expect(b.events.positionAfter(id)).toEqual({ next: 901, isGap: false });
  const oldest = b.events.at(400)?.id as string;
  expect(a.events.positionAfter(oldest)).toEqual({ next: 401, isGap: false });
  for (const lost of [a.log.at(0)?.id ?? 'a-0', 'another-1', 'x']) {
    expect(b.events.positionAfter(lost)).toEqual({ next: 400, isGap: true });
  }
});

it('gives the backlog to a worker that joins, also of one that is gone, without a gap to what follows', async () => {
  const { start, kill } = machine();
  const a = start();
  await a.serve();
  a.publish(...names('a', 1_250));
  const b = start();
  const served = b.serve();
  // While it reads the backlog, and before the others know that it serves.
  for (let i = 0; i < 40; i++) {
    a.publish(`while${i}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await served;
  a.publish('last');
  await eventually('the last one', () => b.calls().at(-1) === 'last');
  expect(b.events.end).toBe(1_291);
  expect(b.ids()).toEqual(a.ids());
  expect(b.events.oldest).toBe(291);
  kill(a.peers);
  const c = start();
  await c.serve();
  expect(c.ids()).toEqual(b.ids());
});

it('finds out that it has missed events, and reads them', async () => {
  const { office, start } = machine();
  const [a, b] = [start(), start()];
  for (const each of [a, b]) await each.serve();
  a.publish('one');
  await eventually('one', () => b.events.end === 1);
  const { send } = office as unknown as { send(to: number, message: unknown): boolean };
  Object.assign(office, { send: () => true });
  a.publish(...names('lost', 5));
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  Object.assign(office, { send });
  a.publish('two');
  await eventually('two', () => b.calls().at(-1) === 'two');
  expect(b.calls()).toEqual(['one', ...names('lost', 5), 'two']);
  // More than the supervisor keeps: those between are lost to this worker's readers, too.
  const id = b.events.at(0)?.id as string;
  Object.assign(office, { send: () => true });
  a.publish(...names('many', 1_500));
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  Object.assign(office, { send });
  a.publish('three');
  await eventually('three', () => b.calls().at(-1) === 'three');
  expect(b.calls()).toEqual([...names('many', 1_500).slice(501), 'three']);
  expect(b.events.positionAfter(id)).toEqual({ next: b.events.oldest, isGap: true });
});

it('asks the supervisor for missing events every second until it answers or is gone', async () => {
  const { start, kill } = machine();
  const [a, b] = [start(), start()];
  for (const each of [a, b]) await each.serve();
  // What it asks for when it begins to serve.
  await b.events.catchUp();
  const { request, receive } = b.peers;
  let requests = 0;
  const miss = (callId: string) => {
    requests = 0;
    b.peers.request = async () => {
      requests += 1;
      throw gone(SUPERVISOR);
    };
    // The first of two does not arrive.
    let letters = 0;
    b.peers.receive = (message) => {
      if ((message as { what?: string }).what === 'event') letters += 1;
      if (letters !== 1) receive.call(b.peers, message);
    };
    a.publish(`${callId}1`, `${callId}2`);
  };
  miss('x');
  await sleep(3_500);
  expect(requests).toBe(4);
  expect(b.calls()).toEqual([]);
  b.peers.request = request;
  await eventually('both', () => b.calls().join() === 'x1,x2', 1_500);
  miss('y');
  await eventually('a request', () => requests === 1);
  kill(b.peers);
  await sleep(10_000);
  expect(requests).toBeLessThanOrEqual(2);
  expect(b.calls()).toEqual(['x1', 'x2']);
});

it('catches up with what was published while an earlier answer was on its way', async () => {
  const { office, start } = machine();
  const [a, b] = [start(), start()];
  for (const each of [a, b]) await each.serve();
  // What it asks for when it begins to serve.
  await b.events.catchUp();
  const { send } = office as unknown as { send(to: number, message: object): boolean };
  // The second worker gets answers alone.
  Object.assign(office, {
    send: (to: number, message: object) => (to === 2 && 'what' in message) || send.call(office, to, message),
  });
  const { request } = b.peers;
  b.peers.request = async (...asked) => {
    b.peers.request = request;
    const answer = await b.peers.request(...asked);
    await sleep(100);
    return answer;
  };
  const first = b.events.catchUp();
  await sleep(50);
  a.publish('x');
  await eventually('it is published', () => a.events.end === 1, 20);
  await b.events.catchUp();
  expect(b.calls()).toEqual(['x']);
  await first;
});

it('continues with the worker’s own events once the supervisor is gone, each of them once', async () => {
  const { start, kill } = machine();
  const [a, b] = [start(), start()];
  for (const each of [a, b]) await each.serve();
  a.publish('early');
  await eventually('one event', () => b.events.end === 1);
  b.publish(...names('b', 1_200));
  await eventually('all events', () => a.events.end === 1_201 && a.calls().at(-1) === 'b1199');
  const heard: (string | undefined)[] = [];
  a.events.subscribe(() => heard.push(a.calls().at(-1)));
  // The supervisor gets one event and sends it to nobody; the other does not reach it.
  a.publish('sent');
  await new Promise((resolve) => setImmediate(resolve));
  a.publish('lost');
  kill(a.peers);
  a.publish('after');
  expect(heard).toEqual(['sent', 'lost', 'after']);
  expect(a.calls().slice(-4)).toEqual(['b1199', 'sent', 'lost', 'after']);
  const { end } = a.events;
  expect(end).toBe(1_204);
  const id = a.events.at(end - 2)?.id as string;
  expect(a.events.positionAfter(id)).toEqual({ next: end - 1, isGap: false });
  await a.events.catchUp();
  expect(a.events.end).toBe(end);
});

it('passes on nothing that is no event, and takes nothing else', async () => {
  const { office, start } = machine();
  const [a, b] = [start(), start()];
  for (const each of [a, b]) await each.serve();
  const good = { id: 'x-1', type: 'call.dtmf', callId: 'c', json: '{}' };
  const bad: unknown[] = [
    null,
    'text',
    { ...good, id: 'x\nevent: evil' },
    { ...good, type: 'a\rb' },
    { ...good, json: '{}\n\nevent: evil' },
    { ...good, json: 5 },
    { ...good, json: '' },
    { ...good, json: 'x'.repeat(300_000) },
    { ...good, callId: undefined },
  ];
  for (const each of bad) {
    a.peers.notify(SUPERVISOR, 'event', each);
    office.notify(2, 'event', { number: 0, event: each });
  }
  office.notify(2, 'event', { number: 1.5, event: good });
  office.notify(2, 'event', { number: 99, event: good });
  office.notify(2, 'event', undefined);
  expect(await a.peers.request(SUPERVISOR, 'events', null)).toEqual([]);
  a.publish('fine');
  await eventually('the good one', () => b.events.end === 1);
  expect(b.calls()).toEqual(['fine']);
});
