import http from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { EventLog } from '../../src/events/event-log.js';
import type { Gateway, GatewayOptions } from '../../src/index.js';
import { createLog } from '../../src/telemetry/log.js';
import { Caller } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'control-key-of-the-tests';

interface Told {
  readonly id?: string;
  readonly event?: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests check the data
  readonly data?: any;
}

/** A reader of server-sent events, written from the standard: blocks, fields, comments. */
class Reader {
  readonly told: Told[] = [];
  comments = 0;
  retryMs: number | undefined;
  isOver = false;
  private text = '';

  private constructor(
    readonly response: http.IncomingMessage,
    private readonly request: http.ClientRequest,
  ) {
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => this.take(chunk));
    for (const end of ['end', 'error', 'close']) {
      response.on(end, () => {
        this.isOver = true;
      });
    }
    request.on('error', () => {});
  }

  static open(url: string, lastId?: string, key = KEY): Promise<Reader> {
    return new Promise((resolve, reject) => {
      const request = http.get(
        `${url}/v1/events`,
        {
          agent: false,
          headers: {
            authorization: `Bearer ${key}`,
            ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
          },
        },
        (response) => resolve(new Reader(response, request)),
      );
      request.on('error', reject);
    });
  }

  get types(): (string | undefined)[] {
    return this.told.map(({ event }) => event);
  }

  close(): void {
    this.request.destroy();
  }

  private take(chunk: string): void {
    this.text += chunk;
    for (let end = this.text.indexOf('\n\n'); end >= 0; end = this.text.indexOf('\n\n')) {
      const fields: Record<string, string> = {};
      for (const line of this.text.slice(0, end).split('\n')) {
        const colon = line.indexOf(':');
        if (colon === 0) this.comments += 1;
        else fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, '');
      }
      this.text = this.text.slice(end + 2);
      if (fields.retry !== undefined) this.retryMs = Number(fields.retry);
      if (fields.data === undefined) continue;
      const { id, event, data } = fields;
      this.told.push({ ...(id && { id }), ...(event && { event }), data: JSON.parse(data) });
    }
  }
}

const readers: Reader[] = [];
afterEach(() => {
  for (const reader of readers.splice(0)) reader.close();
});

async function open(url: string, lastId?: string): Promise<Reader> {
  const reader = await Reader.open(url, lastId);
  readers.push(reader);
  return reader;
}

const start = (options: GatewayOptions = {}) => startGateway({ controlApiKey: KEY, ...options });

function publish(gateway: Gateway, count: number, digit = '1'): void {
  for (let i = 0; i < count; i++) gateway.events.publish('call.dtmf', { callId: 'c' }, { digit });
}

const metric = async (url: string, name: string) =>
  Number(
    new RegExp(`^trunkline_${name} (\\S+)$`, 'm').exec(await (await fetch(`${url}/metrics`)).text())?.[1],
  );

describe('GET /v1/events', () => {
  it('streams events as they happen, identical to the webhooks', async () => {
    const { url } = await start();
    const reader = await open(url);
    expect(reader.response.statusCode).toBe(200);
    expect(reader.response.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
    });
    const caller = await Caller.connect(url);
    await sleep(4_100);
    caller.start();
    caller.stop();
    await eventually('three events', () => reader.told.length === 3);
    expect(reader.types).toEqual(['call.started', 'call.answered', 'call.ended']);
    for (const { id, event, data } of reader.told) {
      expect(data).toMatchObject({
        id,
        type: event,
        version: 1,
        call: { callSid: caller.parameters.CallSid },
      });
    }
    expect(reader.told[1]?.data.data).toEqual({ streamSid: caller.streamSid, ringSeconds: 4.1 });
    expect(reader.told[2]?.data.data).toMatchObject({ cause: 'stop', result: 'success' });
    expect(reader.retryMs).toBe(2_000);
  });

  it('resumes after the last event that was read, without duplicates or gaps', async () => {
    const { url, gateway } = await start();
    const first = await open(url);
    publish(gateway, 3);
    await eventually('three', () => first.told.length === 3);
    const last = first.told[1]?.id as string;
    first.close();
    publish(gateway, 4, '2');
    const second = await open(url, last);
    publish(gateway, 2, '3');
    await eventually('seven', () => second.told.length >= 7);
    expect(second.told.map(({ data }) => data.data.digit).join('')).toBe('1222233');
    expect(second.types).not.toContain('reset');
    expect(second.told[0]?.id).toBe(first.told[2]?.id);
  });

  it('reports lost events: an id that is too old, of another process, or not ours', async () => {
    const { url, gateway } = await start();
    publish(gateway, 1_500);
    const { id } = gateway.events.publish('call.dtmf', { callId: 'c' }, { digit: '9' });
    const origin = id.split('-')[0];
    for (const lastId of [`${origin}-5`, 'otherorigin-1400', `${origin}-999999`, 'nonsense', `${origin}-x`]) {
      const reader = await open(url, lastId);
      await eventually('all that is kept', () => reader.told.length === 1_001);
      expect(reader.told[0]).toEqual({ event: 'reset', data: { reason: expect.any(String) } });
      expect(reader.told.at(-1)?.id).toBe(id);
      expect(new Set(reader.told.map((told) => told.id)).size).toBe(1_001);
    }
    const lucky = await open(url, `${origin}-500`);
    await eventually('all that is kept', () => lucky.told.length === 1_000);
    expect(lucky.types).not.toContain('reset');
  });

  it('requires the control key, and does not exist without one', async () => {
    const { url } = await start();
    expect((await Reader.open(url, undefined, 'wrong')).response.statusCode).toBe(401);
    const { url: bare } = await startGateway();
    expect((await Reader.open(bare)).response.statusCode).toBe(404);
  });

  it('has a limited number of readers; one that leaves frees its place', async () => {
    const { url } = await start();
    const all = await Promise.all(Array.from({ length: 32 }, () => open(url)));
    const over = await fetch(`${url}/v1/events`, { headers: { authorization: `Bearer ${KEY}` } });
    expect(over.status).toBe(503);
    expect(await over.json()).toMatchObject({ error: { code: 'GW_TOO_MANY_READERS' } });
    expect(await metric(url, 'event_readers')).toBe(32);
    all[0]?.close();
    await eventually('one reader less', async () => (await metric(url, 'event_readers')) === 31);
    expect((await open(url)).response.statusCode).toBe(200);
  });

  it('buffers nothing for a reader that does not read: it is disconnected, and others get everything', async () => {
    const { url, gateway } = await start();
    const slow = await open(url);
    const quick = await open(url);
    slow.response.pause();
    const wide = 'x'.repeat(20_000);
    const rounds = 3_000;
    for (let i = 0; i < rounds; i++) {
      gateway.events.publish('call.dtmf', { callId: 'c', from: wide }, { digit: '1' });
      if (i % 20 === 19) await new Promise((resolve) => setImmediate(resolve));
      // Give the fast one time: only the other shall fall behind.
      if (i % 100 === 99) await eventually('the quick one', () => quick.told.length === i + 1, 15_000);
    }
    expect(quick.told).toHaveLength(rounds);
    expect(quick.isOver).toBe(false);
    expect(await metric(url, 'event_readers_cut_total')).toBe(1);
    expect(await metric(url, 'event_readers')).toBe(1);
    // It gets only what was in flight when it was disconnected, and may reconnect.
    slow.response.resume();
    await eventually('its end', () => slow.isOver, 15_000);
    expect(slow.told.length).toBeLessThan(rounds);
    const again = await open(url, slow.told.at(-1)?.id);
    await eventually('the reset', () => again.told.length === 1_001, 15_000);
    expect(again.types[0]).toBe('reset');
  });

  it('continues after its socket was full', async () => {
    const { url, gateway } = await start();
    const reader = await open(url);
    reader.response.pause();
    const wide = 'x'.repeat(20_000);
    // More than the socket holds, less than the log keeps.
    for (let i = 0; i < 900; i++) {
      gateway.events.publish('call.dtmf', { callId: 'c', from: wide }, { digit: String(i % 10) });
      if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await metric(url, 'event_readers_cut_total')).toBe(0);
    reader.response.resume();
    await eventually('all of it', () => reader.told.length === 900, 15_000);
    expect(reader.told.every(({ data }, i) => data.data.digit === String(i % 10))).toBe(true);
  });

  it('survives a quiet time, and keeps the connection alive', { timeout: 60_000 }, async () => {
    const { url, gateway } = await start();
    const reader = await open(url);
    await eventually('a sign of life', () => reader.comments >= 1, 40_000);
    publish(gateway, 1);
    await eventually('the event', () => reader.told.length === 1);
    expect(reader.isOver).toBe(false);
  });

  it('ends with its gateway, after the last event', async () => {
    const { url, gateway } = await start();
    const reader = await open(url);
    const caller = await Caller.call(url);
    await eventually('answered', () => reader.told.length === 2);
    await gateway.close();
    await eventually('the end', () => reader.isOver);
    expect(reader.types.at(-1)).toBe('call.ended');
    caller.hangUp();
  });
});

describe('the log of events', () => {
  const log = createLog('silent');
  it('keeps the newest events and knows a reader’s position', () => {
    const events = new EventLog(log, systemClock, 3);
    expect(events.positionAfter('')).toEqual({ next: 0, isGap: false });
    const ids = [0, 1, 2, 3, 4].map(
      () => events.publish('call.dtmf', { callId: 'c' }, { digit: '1' }).id,
    ) as string[];
    expect(new Set(ids).size).toBe(5);
    expect([events.oldest, events.end]).toEqual([2, 5]);
    expect([0, 1, 2, 4, 5].map((n) => events.at(n)?.id)).toEqual([
      undefined,
      undefined,
      ids[2],
      ids[4],
      undefined,
    ]);
    expect(events.positionAfter(ids[4] as string)).toEqual({ next: 5, isGap: false });
    expect(events.positionAfter(ids[1] as string)).toEqual({ next: 2, isGap: false });
    expect(events.positionAfter(ids[0] as string)).toEqual({ next: 2, isGap: true });
    expect(new EventLog(log, systemClock, 3).positionAfter(ids[4] as string)).toEqual({
      next: 0,
      isGap: true,
    });
  });
});
