import http from 'node:http';
import { expect, it, onTestFinished } from 'vitest';
import { Caller } from '../support/caller.js';
import { KEY } from '../support/leg.js';
import { Served } from '../support/served.js';
import { eventually } from '../support/time.js';

const BEARER = { authorization: `Bearer ${KEY}` };
/** New connections, which the system spreads over the workers. */
const TRIES = 8;

/** The answer of whichever worker gets the connection. */
function get(url: string, headers: Record<string, string> = BEARER): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, headers }, resolve);
    request.on('error', reject);
    onTestFinished(() => {
      request.destroy();
    });
  });
}

async function textOf(url: string): Promise<string> {
  let text = '';
  for await (const chunk of (await get(url)).setEncoding('utf8')) text += chunk;
  return text;
}

// biome-ignore lint/suspicious/noExplicitAny: tests check the answers
async function ask(url: string): Promise<any> {
  return JSON.parse(await textOf(url));
}

/** The data of server-sent events, as they come. */
async function follow(url: string, headers: Record<string, string> = {}) {
  const response = await get(url, { ...BEARER, ...headers });
  // biome-ignore lint/suspicious/noExplicitAny: tests check the data
  const told: any[] = [];
  let text = '';
  response.setEncoding('utf8');
  response.on('error', () => {});
  response.on('data', (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
      text = text.slice(end + 2);
      if (data !== undefined) told.push(JSON.parse(data));
    }
  });
  return told;
}

/** Scrapes again and again: fails if a counter or a bucket ever falls. */
function scraper(url: string) {
  let last = new Map<string, number>();
  return async () => {
    // A connection to the worker that is just killed breaks.
    const text = await textOf(`${url}/metrics`).catch(() => '');
    const samples = new Map(
      text.split('\n').flatMap((line): [string, number][] => {
        const [, name, value] = /^(\w+(?:_total|_count|_sum|_bucket)(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
        return name === undefined ? [] : [[name, Number(value)]];
      }),
    );
    if (samples.size === 0) return last;
    for (const [name, value] of last) expect([name, (samples.get(name) ?? 0) >= value]).toEqual([name, true]);
    last = samples;
    return samples;
  };
}

it('answers for all processes at any of them, also when one was killed and when all were replaced', async () => {
  const served = Served.start({ env: { WORKERS: '2', CONTROL_API_KEY: KEY } });
  const url = await served.listening();
  await served.says('all workers serve');
  const nodes = new Set<string>();
  await eventually('answers of both', async () => {
    nodes.add((await ask(`${url}/health`)).node);
    return nodes.size === 2;
  });
  const readers = await Promise.all(Array.from({ length: TRIES }, () => follow(`${url}/v1/events`)));
  const calls: Caller[] = [];
  for (let i = 0; i < 6; i++) calls.push(await Caller.call(url));
  await eventually('all events everywhere', () => readers.every(({ length }) => length === 12));
  const first = [...(readers[0] ?? [])];
  for (const told of readers) expect(told).toEqual(first);
  const ids = new Set(first.map(({ call }) => call.callId));
  expect(ids.size).toBe(6);
  for (let i = 0; i < TRIES; i++) {
    const listed = (await ask(`${url}/v1/calls`)).calls as { callId: string }[];
    expect(new Set(listed.map(({ callId }) => callId))).toEqual(ids);
    await eventually('all calls counted', async () => (await ask(`${url}/health`)).calls === 6);
  }
  const rounds = await follow(`${url}/v1/live`);
  await eventually('a row for each call', () => rounds.at(-1)?.rows.length === 6);

  const scrape = scraper(url);
  for (const call of calls.slice(0, 2)) call.stop();
  await eventually('two have ended', async () => {
    const { calls } = await ask(`${url}/v1/live/ended`);
    return calls.length === 2;
  });
  await eventually('they are counted', async () => {
    return (await scrape()).get('trunkline_calls_ended_total{cause="stop"}') === 2;
  });
  const [victim] = (await ask(`${url}/health`)).workers;
  process.kill(victim.pid, 'SIGKILL');
  await eventually('a replacement', async () => {
    return (await scrape()).get('trunkline_worker_restarts_total') === 1;
  });
  await eventually('two that answer', async () => {
    const { workers } = await ask(`${url}/health`).catch(() => ({ workers: [] }));
    return workers.length === 2 && workers.every(({ worker }: typeof victim) => worker !== victim.worker);
  });
  expect((await scrape()).get('trunkline_calls_ended_total{cause="stop"}')).toBe(2);
  for (let i = 0; i < TRIES; i++) {
    const resumed = await follow(`${url}/v1/events`, { 'last-event-id': first[1].id });
    await eventually('the rest', () => resumed.length >= 12);
    expect(resumed.slice(0, 10)).toEqual(first.slice(2));
  }

  // One more, so that there is one that ended at a process that leaves.
  const last = await Caller.call(url);
  last.stop();
  const endedIds = async () => {
    const { calls } = await ask(`${url}/v1/live/ended`);
    return calls.map(({ callId }: { callId: string }) => callId) as string[];
  };
  await eventually('its end', async () => (await endedIds()).length > 0);
  const before = await endedIds();
  served.child.kill('SIGHUP');
  await eventually('all are replaced', async () => {
    await scrape();
    return served.lines('all workers replaced').length === 1;
  });
  for (let i = 0; i < TRIES; i++) expect(await endedIds()).toEqual(expect.arrayContaining(before));
  expect((await scrape()).get('trunkline_calls_ended_total{cause="stop"}')).toBe(3);
  // As often as it takes: nobody waits for the calls that are left.
  await eventually('an end', () => {
    served.child.kill('SIGTERM');
    return served.isOver;
  });
}, 180_000);
