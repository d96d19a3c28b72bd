import http from 'node:http';
import { expect, it, onTestFinished, vi } from 'vitest';
import WebSocket from 'ws';
import { systemClock } from '../../src/clock.js';
import { LiveViewer } from '../../src/http/live-viewer.js';
import type { StreamedAnswer } from '../../src/http/streamed-answer.js';
import type { Gateway } from '../../src/index.js';
import { AudioSource } from '../../src/simulator/index.js';
import { Caller, upgradeStatus } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { startGateway } from '../support/gateway.js';
import { KEY } from '../support/leg.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime().readingMs = 0.002;

const BEARER = { authorization: `Bearer ${KEY}` };

/** A viewer of `/v1/live`; every round is parsed. */
class Viewer {
  // biome-ignore lint/suspicious/noExplicitAny: tests check the rounds
  readonly rounds: any[] = [];
  isOver = false;

  private constructor(
    readonly response: http.IncomingMessage,
    private readonly request: http.ClientRequest,
  ) {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
        if (data !== undefined) this.rounds.push(JSON.parse(data));
        text = text.slice(end + 2);
      }
    });
    for (const end of ['end', 'error', 'close']) {
      response.on(end, () => {
        this.isOver = true;
      });
    }
  }

  static open(url: string, headers: Record<string, string> = BEARER): Promise<Viewer> {
    return new Promise((resolve, reject) => {
      const request = http.get(`${url}/v1/live`, { agent: false, headers }, (response) =>
        resolve(new Viewer(response, request)),
      );
      request.on('error', reject);
    });
  }

  get status(): number | undefined {
    return this.response.statusCode;
  }

  /** The rows of a round, by their fields' names. */
  calls(round = this.rounds.at(-1)): Record<string, unknown>[] {
    return (round?.rows ?? []).map((row: unknown[]) =>
      Object.fromEntries(row.map((value, i) => [round.fields[i], value])),
    );
  }

  close(): void {
    this.request.on('error', () => {});
    this.request.destroy();
  }
}

/** How many streams have level meters. */
function measured(gateway: Gateway): number {
  return gateway.calls.listActive().filter(({ callId }) => gateway.stream(callId)?.levels !== undefined)
    .length;
}

it('answers 404 without a control key, and 401 without its bearer', async () => {
  const { url } = await startGateway();
  for (const path of ['/v1/live', '/dashboard', '/dashboard/app.js']) {
    expect((await fetch(url + path, { headers: BEARER })).status, path).toBe(404);
  }
  const { url: closed } = await startGateway({ controlApiKey: KEY });
  for (const headers of [{}, { authorization: `Bearer ${KEY}x` }]) {
    const answer = await fetch(`${closed}/v1/live`, { headers });
    expect(answer.status).toBe(401);
    expect(await answer.json()).toMatchObject({ error: { code: 'GW_UNAUTHORIZED' } });
  }
});

it('serves a small page of its own files, which runs nothing else and is embedded nowhere', async () => {
  const { url } = await startGateway({ controlApiKey: KEY });
  const page = await fetch(`${url}/dashboard`);
  const html = await page.text();
  expect(html).not.toMatch(/<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|https?:\/\//);
  const names = new Set([
    '',
    ...[...html.matchAll(/(?:href|src)="(dashboard\/[^"]+)"/g)].map(([, name = '']) => name),
  ]);
  for (const name of names) {
    if (!name.endsWith('.js')) continue;
    const script = await (await fetch(`${url}/${name}`)).text();
    for (const [, module = ''] of script.matchAll(/from '\.\/([^']+)'/g)) names.add(`dashboard/${module}`);
    for (const [, module = ''] of script.matchAll(/addModule\('([^']+)'\)/g)) names.add(module);
  }
  expect(names.size).toBeGreaterThan(10);
  let sent = 0;
  for (const name of names) {
    const answer = await fetch(`${url}/${name === '' ? 'dashboard' : name}`);
    expect(answer.status, name).toBe(200);
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
    sent += await packedBytes(`${url}/${name === '' ? 'dashboard' : name}`);
  }
  expect(sent).toBeLessThan(45_000);
  const plain = await fetch(`${url}/dashboard`, { headers: { 'accept-encoding': 'identity' } });
  expect(plain.headers.get('content-encoding')).toBeNull();
  expect(await plain.text()).toBe(html);
});

it('pushes the state of the gateway and of each call once a second, with masked callers', async () => {
  const { url, twilio, gateway } = await startWithCarrier({}, { controlApiKey: KEY, maxCalls: 2 });
  const viewer = await Viewer.open(url);
  const caller = {
    from: '+15550001111',
    to: '+15552223333',
    webhookUrl: 'https://voice.example.com/edge/twilio/voice',
    audio: AudioSource.tone(440, -20),
  };
  const phone = twilio.placeCall(caller);
  const placed = await gateway.placeCall({ to: '+15550002299' });
  await phone.started;
  await eventually(
    'levels',
    () => viewer.calls().some(({ levelOut }) => Math.abs(Number(levelOut) + 23) < 0.5),
    15_000,
  );
  const round = viewer.rounds.at(-1);
  expect(round).toMatchObject({
    bridge: 'local',
    calls: 2,
    maxCalls: 2,
    closure: 'full',
    refused: {},
    nodes: [],
    deaf: null,
  });
  expect(round.node).not.toBe('');
  // A bin for each edge, and one above the last; every frame of the second is in one.
  const { edgesUs, counts, p50Us, p99Us } = round.gateway;
  expect(counts).toHaveLength(edgesUs.length + 1);
  expect(counts.reduce((sum: number, count: number) => sum + count, 0)).toBeGreaterThan(10);
  expect(p50Us).toBeGreaterThan(0);
  expect(p99Us).toBeGreaterThanOrEqual(p50Us);
  const calls = viewer.calls();
  expect(calls).toHaveLength(2);
  expect(calls.find(({ direction }) => direction === 'in')).toMatchObject({
    caller: '+•••••••••11',
    called: '+15552223333',
    state: 'live',
  });
  expect(calls.find(({ callId }) => callId === placed.callId)).toMatchObject({
    direction: 'out',
    caller: '+15550009999',
    called: '+•••••••••99',
  });
  const heard = calls.find(({ direction }) => direction === 'in');
  expect(Number(heard?.levelIn)).toBeCloseTo(-23, 0);
  expect(Number(heard?.p99Us)).toBeGreaterThan(0);
  expect(Number(heard?.startedAt)).toBeLessThanOrEqual(clock.date().getTime());
  expect(JSON.stringify(viewer.rounds)).not.toMatch(/\d{5}1111|\d{5}2299/);
  viewer.close();
});

it('measures nothing without a viewer, and once for all viewers', async () => {
  const { url, gateway } = await startGateway({ controlApiKey: KEY });
  const callers = [await Caller.call(url), await Caller.call(url)];
  expect(measured(gateway)).toBe(0);
  const viewers = [await Viewer.open(url), await Viewer.open(url)];
  await eventually('rounds', () => viewers.every(({ rounds }) => rounds.length > 0), 10_000);
  expect(measured(gateway)).toBe(2);
  const [first, second] = viewers.map(({ rounds }) => JSON.stringify(rounds[0]));
  expect(first).toBe(second);
  viewers[0]?.close();
  await sleep(100);
  expect(measured(gateway)).toBe(2);
  viewers[1]?.close();
  await eventually('nobody to watch', () => measured(gateway) === 0);
  // And again for the next one.
  const next = await Viewer.open(url);
  await eventually('a round', () => next.calls().length === 2, 10_000);
  callers[0]?.hangUp();
  await eventually('a call less', () => next.calls().length === 1, 10_000);
  next.close();
});

it('accepts sixteen viewers and no more, and ends their streams when the gateway closes', async () => {
  const { url, gateway } = await startGateway({ controlApiKey: KEY });
  const viewers = await Promise.all(Array.from({ length: 16 }, () => Viewer.open(url)));
  expect(viewers.map(({ status }) => status)).toEqual(new Array(16).fill(200));
  const refused = await fetch(`${url}/v1/live`, { headers: BEARER });
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ error: { code: 'GW_TOO_MANY_VIEWERS' } });
  viewers[0]?.close();
  await eventually('a place', () => viewers[0]?.isOver);
  await sleep(100);
  const late = await Viewer.open(url);
  expect(late.status).toBe(200);
  expect(await (await fetch(`${url}/metrics`)).text()).toContain('trunkline_live_viewers 16');
  await gateway.close();
  await eventually('the end', () => [...viewers, late].every(({ isOver }) => isOver));
});

it('skips rounds for a viewer that does not read, and disconnects it in the end', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const taken: string[] = [];
  let isFull = false;
  let isClosed = false;
  const answer = {
    onWritable() {},
    write(text: string) {
      taken.push(text);
      return !isFull;
    },
    close() {
      isClosed = true;
    },
  };
  const viewer = new LiveViewer(answer as unknown as StreamedAnswer, systemClock);
  viewer.show('1');
  isFull = true;
  for (const text of ['2', '3', '4']) viewer.show(text);
  expect(taken).toEqual(['1', '2']);
  isFull = false;
  answer.onWritable();
  viewer.show('5');
  expect(taken).toEqual(['1', '2', '5']);
  isFull = true;
  viewer.show('6');
  vi.advanceTimersByTime(29_000);
  viewer.show('7');
  expect(isClosed).toBe(false);
  vi.advanceTimersByTime(2_000);
  viewer.show('8');
  expect(isClosed).toBe(true);
  expect(taken).toEqual(['1', '2', '5', '6']);
});

it('opens a leg in the room of a call, or answers 404, 409 or 401', async () => {
  const { url, gateway } = await startGateway({
    controlApiKey: KEY,
    prepareCall: (call) => (call.from === '+15550001111' ? { room: 'desk' } : { bridge: false }),
  });
  await Caller.call(url, { From: '+15550001111' });
  await Caller.call(url, { From: '+15550002222' });
  const [desk, own] = gateway.calls.listActive().map(({ callId }) => callId);
  const legUrl = (callId: string) => `${url.replace('http', 'ws')}/v1/calls/${callId}/leg?listen=1`;
  await eventually('the room', () => gateway.stream(desk as string)?.hasAudioSink);
  expect(await upgradeStatus(legUrl(desk as string), {})).toEqual({ status: 401, code: 'GW_UNAUTHORIZED' });
  expect(await upgradeStatus(legUrl('none'), BEARER)).toEqual({ status: 404, code: 'GW_CALL_UNKNOWN' });
  expect(await upgradeStatus(legUrl(own as string), BEARER)).toEqual({
    status: 409,
    code: 'GW_CALL_UNBRIDGED',
  });
  const socket = new WebSocket(legUrl(desk as string), { headers: BEARER });
  const ready = await new Promise((resolve) =>
    socket.once('message', (data) => resolve(JSON.parse(String(data)))),
  );
  expect(ready).toMatchObject({ type: 'ready', room: 'desk', listen: true });
  socket.terminate();
  gateway.calls.require(desk as string).end();
  expect(await upgradeStatus(legUrl(desk as string), BEARER)).toEqual({
    status: 404,
    code: 'GW_CALL_UNKNOWN',
  });
});

/** Bytes of a file on the wire, as a browser requests it. */
function packedBytes(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent: false, headers: { 'accept-encoding': 'gzip, br' } }, (response) => {
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        response.on('end', () => resolve(bytes));
      })
      .on('error', reject);
  });
}
