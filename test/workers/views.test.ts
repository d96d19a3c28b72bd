import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { GatewayOptions } from '../../src/index.js';
import { EventBacklog } from '../../src/workers/event-backlog.js';
import { MachineCallCounts } from '../../src/workers/machine-call-counts.js';
import { MachineMetrics } from '../../src/workers/machine-metrics.js';
import { MachineRegistry } from '../../src/workers/machine-registry.js';
import { MachineViews } from '../../src/workers/machine-views.js';
import { RoomOwners } from '../../src/workers/room-owners.js';
import { Caller } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { KEY } from '../support/leg.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime().readingMs = 0.002;

const BEARER = { authorization: `Bearer ${KEY}` };

/** A supervisor, and gateways of this process as its workers. */
function machine() {
  const { office, add, kill } = workersInMemory(clock);
  const registry = new MachineRegistry(office, clock);
  onTestFinished(() => registry.close());
  const socketDir = mkdtempSync(join(tmpdir(), 'trunkline-'));
  onTestFinished(() => rmSync(socketDir, { recursive: true }));
  new RoomOwners(office);
  new EventBacklog(office);
  new MachineCallCounts(office, clock);
  new MachineMetrics(office, [], clock);
  office.handle('state', () => ({}));
  const start = async (options: GatewayOptions = {}) => {
    const peers = add();
    const { url, gateway } = await startGateway({
      controlApiKey: KEY,
      workers: { peers, count: 2, socketDir, views: (own) => new MachineViews(peers, own) },
      ...options,
    });
    peers.serve();
    await eventually('it serves', () => peers.serving.includes(peers.self));
    return { url, gateway, peers };
  };
  return { office, start, kill };
}

// biome-ignore lint/suspicious/noExplicitAny: tests check the answers
async function ask(url: string, path: string): Promise<any> {
  return (await fetch(url + path, { headers: BEARER })).json();
}

/** A live call, and its id. */
async function call({ url, gateway }: Awaited<ReturnType<ReturnType<typeof machine>['start']>>) {
  const before = new Set(gateway.calls.listActive().map(({ callId }) => callId));
  const caller = await Caller.call(url);
  const callId = gateway.calls.listActive().find((each) => !before.has(each.callId))?.callId ?? '';
  await eventually('audio', () => gateway.calls.get(callId)?.state === 'live');
  return { caller, callId };
}

/** Server-sent events of a path, parsed, as they come. */
async function follow(url: string, path: string, headers: Record<string, string> = {}) {
  // biome-ignore lint/suspicious/noExplicitAny: tests check the data
  const told: { readonly event: string; readonly id: string | undefined; readonly data: any }[] = [];
  const request = http.get(url + path, { agent: false, headers: { ...BEARER, ...headers } });
  request.on('error', () => {});
  const close = () => {
    request.destroy();
  };
  onTestFinished(close);
  const response = await new Promise<http.IncomingMessage>((resolve) => request.on('response', resolve));
  let text = '';
  response.setEncoding('utf8');
  response.on('error', () => {});
  response.on('data', (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const data = field('data');
      if (data !== undefined)
        told.push({ event: field('event') ?? '', id: field('id'), data: JSON.parse(data) });
    }
  });
  return { told, close };
}

it('lists and counts the calls of all workers at each of them', async () => {
  const { start } = machine();
  const workers = [await start({ maxCalls: 7 }), await start({ maxCalls: 7 })] as const;
  const calls = [await call(workers[0]), await call(workers[1]), await call(workers[1])];
  const ids = calls.map(({ callId }) => callId).sort();
  for (const { url } of workers) {
    const listed = (await ask(url, '/v1/calls')).calls as { callId: string }[];
    expect(listed.map(({ callId }) => callId).sort()).toEqual(ids);
    const health = await ask(url, '/health');
    expect(health).toMatchObject({
      calls: 3,
      silentWorkers: [],
      workers: [
        { worker: 1, place: 1, calls: 1, draining: false, ready: true, pid: process.pid },
        { worker: 2, place: 2, calls: 2, draining: false, ready: true },
      ],
    });
    for (const each of health.workers) expect(each.uptimeSeconds).toBeGreaterThan(0);
    const page = await (await fetch(`${url}/metrics`)).text();
    expect(page).toMatch(/^trunkline_calls_active 3$/m);
    expect(page).toMatch(/^trunkline_calls_max 7$/m);
    expect(page).toMatch(/^trunkline_admission_open 1$/m);
    expect(page).toMatch(/^trunkline_fleet_nodes 2$/m);
    expect(page).toMatch(/^trunkline_registry_up 1$/m);
  }
});

it('is ready while any worker is, and says so of itself alone in /health', async () => {
  const { start } = machine();
  const [a, b] = [await start({ maxCalls: 1 }), await start({ maxCalls: 2 })];
  await call(a);
  expect((await fetch(`${a.url}/ready`)).status).toBe(200);
  expect((await ask(a.url, '/health')).workers).toMatchObject([
    { ready: false, closure: 'full' },
    { ready: true },
  ]);
  await call(b);
  await sleep(1_001);
  for (const { url } of [a, b]) {
    const answer = await fetch(`${url}/ready`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ ready: false, full: true, closure: 'full' });
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^trunkline_admission_open 0$/m);
  }
});

it('answers without a worker that hangs, and names it', async () => {
  const { start, kill } = machine();
  const [a, b, c] = [await start(), await start(), await start()];
  for (const what of ['health', 'live.ended', 'live.inspect', 'metrics']) {
    b.peers.handle(what, () => new Promise(() => {}));
  }
  c.peers.handle('health', () => ({ place: 'third' }));
  const before = clock.now();
  expect(await ask(a.url, '/health')).toMatchObject({
    workers: [{ worker: 1 }],
    silentWorkers: [2, 3],
    status: 'ok',
  });
  expect(await ask(a.url, '/v1/live/ended')).toEqual({ calls: [] });
  expect((await fetch(`${a.url}/metrics`)).status).toBe(200);
  expect(clock.now() - before).toBeLessThan(5_000);
  kill(b.peers);
  await sleep(1_001);
  expect((await ask(a.url, '/health')).silentWorkers).toEqual([3]);
});

it('streams the events of all workers, resumable at another one', async () => {
  const { start } = machine();
  const [a, b] = [await start(), await start()];
  const [atA, atB] = [await follow(a.url, '/v1/events'), await follow(b.url, '/v1/events')];
  const { caller } = await call(a);
  await call(b);
  await eventually('four events', () => atA.told.length === 4 && atB.told.length === 4);
  expect(atB.told).toEqual(atA.told);
  expect(atA.told.map(({ event }) => event).sort()).toEqual([
    'call.answered',
    'call.answered',
    'call.started',
    'call.started',
  ]);
  for (const { id, data } of atA.told) expect(id).toBe(data.id);
  atA.close();
  caller.stop();
  await eventually('the end', () => atB.told.length === 5);
  const resumed = await follow(b.url, '/v1/events', { 'last-event-id': atA.told[1]?.id as string });
  await eventually('the rest', () => resumed.told.length === 3);
  expect(resumed.told).toEqual(atB.told.slice(2));
  const page = await (await fetch(`${b.url}/metrics`)).text();
  expect(page).toMatch(/^trunkline_events_total\{type="call.started"\} 2$/m);
});

it('resumes at a worker that has not yet received the event that the reader names', async () => {
  const { start } = machine();
  const [a, b] = [await start(), await start()];
  const atA = await follow(a.url, '/v1/events');
  const { receive } = b.peers;
  const held: unknown[] = [];
  b.peers.receive = (message) => held.push(message);
  const { caller } = await call(a);
  caller.stop();
  await eventually('three events', () => atA.told.length === 3);
  const headers = { 'last-event-id': atA.told[1]?.id as string };
  const resumed = await follow(b.url, '/v1/events', headers);
  b.peers.receive = receive;
  for (const message of held) b.peers.receive(message);
  await eventually('the rest', () => resumed.told.length > 0);
  expect(resumed.told).toEqual(atA.told.slice(2));
  // An id of before a restart is unknown to all.
  const other = await follow(b.url, '/v1/events', { 'last-event-id': 'other-1' });
  await eventually('all', () => other.told.length > 3);
  expect(other.told.map(({ event }) => event)).toEqual(['reset', ...atA.told.map(({ event }) => event)]);
});

it('shows a worker’s own events and metrics once the supervisor is gone', async () => {
  const { start, kill } = machine();
  const [a, b] = [await start(), await start()];
  const reader = await follow(a.url, '/v1/events');
  const { caller } = await call(a);
  await call(b);
  await eventually('four events', () => reader.told.length === 4);
  kill(a.peers);
  caller.stop();
  await eventually('the end', () => reader.told.at(-1)?.event === 'call.ended');
  const answer = await fetch(`${a.url}/metrics`);
  expect(answer.status).toBe(200);
  expect(await answer.text()).toMatch(/^trunkline_calls_ended_total\{cause="stop"\} 1$/m);
});

it('shows the calls of all workers on the dashboard of each, which the others sample only while somebody watches', async () => {
  const { start } = machine();
  const [a, b] = [await start({ maxCalls: 7 }), await start({ maxCalls: 7 })];
  const first = await call(a);
  const second = await call(b);
  const measured = () => b.gateway.stream(second.callId)?.levels !== undefined;
  expect(measured()).toBe(false);
  const viewer = await follow(a.url, '/v1/live');
  await eventually('both calls', () => viewer.told.at(-1)?.data.rows.length === 2);
  expect(measured()).toBe(true);
  // A round in which both had audio all the time.
  const before = viewer.told.length;
  await eventually('another round', () => viewer.told.length > before + 2);
  const { data } = viewer.told.at(-1) as { data: Record<string, never> };
  const head = data as unknown as Record<string, unknown> & {
    rows: unknown[][];
    fields: string[];
    gateway: { counts: number[]; p50Us: number; p99Us: number };
  };
  expect(head).toMatchObject({ calls: 2, maxCalls: 7, closure: null, refused: {}, bridge: 'local' });
  expect(head.nodes).toHaveLength(2);
  expect(head.rows.map((row) => row[head.fields.indexOf('callId')]).sort()).toEqual(
    [first.callId, second.callId].sort(),
  );
  for (const row of head.rows) expect(row[head.fields.indexOf('state')]).toBe('live');
  viewer.close();
  await eventually('nobody measures', () => !measured(), 15_000);
});

it('shows ended and running calls at any worker, and those of a worker that left', async () => {
  const { start, kill } = machine();
  const [a, b, c] = [await start(), await start(), await start()];
  const ended = await call(b);
  ended.caller.stop();
  const running = await call(b);
  const other = await call(a);
  other.caller.stop();
  await eventually('two have ended', async () => (await ask(a.url, '/v1/live/ended')).calls.length === 2);
  for (const { url } of [a, b, c]) {
    const { calls } = await ask(url, '/v1/live/ended');
    expect(calls.map(({ callId }: { callId: string }) => callId)).toEqual([other.callId, ended.callId]);
    expect(await ask(url, `/v1/live/calls/${ended.callId}`)).toMatchObject({
      callId: ended.callId,
      endCause: 'stop',
      result: 'success',
    });
    const details = await ask(url, `/v1/live/calls/${running.callId}`);
    expect(details).toMatchObject({ callId: running.callId, state: 'live' });
    expect(details.events.map(({ type }: { type: string }) => type)).toEqual([
      'call.started',
      'call.answered',
    ]);
    expect((await fetch(`${url}/v1/live/calls/nobody`, { headers: BEARER })).status).toBe(404);
  }
  running.caller.stop();
  await b.gateway.close();
  kill(b.peers);
  const { calls } = await ask(a.url, '/v1/live/ended');
  expect(calls.map(({ callId }: { callId: string }) => callId)).toEqual([
    running.callId,
    other.callId,
    ended.callId,
  ]);
  expect(await ask(a.url, `/v1/live/calls/${ended.callId}`)).toMatchObject({ endCause: 'stop' });
  const page = await (await fetch(`${a.url}/metrics`)).text();
  expect(page).toMatch(/^trunkline_calls_ended_total\{cause="stop"\} 3$/m);
});
