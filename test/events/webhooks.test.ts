import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { DeadLetter } from '../../src/events/dead-letter.js';
import type { EventWebhookOptions, Gateway, GatewayEvent, GatewayOptions } from '../../src/index.js';
import { Caller } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { Receiver, type Reply, SECRET } from '../support/receiver.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

virtualTime();

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-events-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
const newFile = () => join(folder, `dead-${++files}.jsonl`);
const linesOf = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

const press = (caller: Caller, digit: string) =>
  caller.json({ event: 'dtmf', streamSid: caller.streamSid, dtmf: { track: 'inbound_track', digit } });

async function told(
  reply: (event: GatewayEvent, nth: number) => Reply,
  more: Partial<EventWebhookOptions> = {},
  options: GatewayOptions = {},
) {
  const receiver = await Receiver.start(({ body }, nth) => reply(body, nth));
  const { gateway, url } = await startGateway({
    ...options,
    eventWebhooks: { url: receiver.url, secret: SECRET, firstPauseMs: 20, ...more },
  });
  const metrics = async () => (await fetch(`${url}/metrics`)).text();
  return { receiver, gateway, url, metrics };
}

describe('a call', () => {
  it('is reported from start to end, signed and in order, with its report', async () => {
    const { receiver, gateway, url, metrics } = await told(() => ({ status: 204 }));
    const caller = await Caller.call(url);
    const [call] = gateway.calls.listActive();
    await eventually('live', () => call?.state === 'live');
    caller.media(toneMulaw(700, 20));
    await eventually('the echo', () => caller.mediaCount === 1);
    for (const digit of '1#') press(caller, digit);
    await eventually('the keys', () => gateway.stats().traffic.dtmf === 2);
    caller.stop();
    await eventually('five events', () => receiver.received.length === 5);
    const events: GatewayEvent[] = receiver.received.map(({ body }) => body);
    expect(receiver.received.every(({ isSigned, id, body }) => isSigned && id === body.id)).toBe(true);
    expect(new Set(events.map(({ id }) => id)).size).toBe(5);
    expect(events.map(({ type }) => type)).toEqual([
      'call.started',
      'call.answered',
      'call.dtmf',
      'call.dtmf',
      'call.ended',
    ]);
    for (const { version, timestamp, call: of } of events) {
      expect(version).toBe(1);
      expect(Math.abs(Date.parse(timestamp) - clock.date().getTime())).toBeLessThan(60_000);
      expect(of).toEqual({
        callId: call?.callId,
        callSid: caller.parameters.CallSid,
        direction: 'inbound',
        from: '+15550001111',
        to: '+15552223333',
      });
    }
    expect(events.map(({ data }) => data).slice(0, 4)).toEqual([
      {},
      { streamSid: caller.streamSid, ringSeconds: expect.any(Number) },
      { digit: '1' },
      { digit: '#' },
    ]);
    expect(events[4]?.data).toMatchObject({
      cause: 'stop',
      result: 'success',
      durationSeconds: call?.durationSeconds,
      traffic: { framesIn: 1, framesOut: 1, dtmf: 2 },
      latency: { gateway: { count: 1 } },
    });
    const text = await metrics();
    expect(text).toContain('trunkline_events_total{type="call.dtmf"} 2');
    expect(text).toContain('trunkline_event_webhooks_total{outcome="delivered"} 5');
  });

  it('that is refused has a start and an end, and nothing in between', async () => {
    const { receiver, url } = await told(() => ({}), {}, { prepareCall: () => ({ refuse: 'busy' }) });
    await Caller.connect(url).catch(() => {});
    await eventually('two events', () => receiver.received.length === 2);
    expect(receiver.received.map(({ body }) => [body.type, body.data.cause])).toEqual([
      ['call.started', undefined],
      ['call.ended', 'refused'],
    ]);
  });

  it('that moves in a fleet continues: the library reports it like the gateway', async () => {
    const { receiver, gateway } = await told(() => ({}));
    const data = { from: 'node-a', to: 'node-b', reason: 'drain' } as const;
    gateway.events.publish('call.handover', { callId: 'c1', callSid: 'CA1' }, data);
    await eventually('the event', () => receiver.received.length === 1);
    expect(receiver.received[0]?.body).toMatchObject({
      type: 'call.handover',
      call: { callId: 'c1', callSid: 'CA1' },
      data,
    });
  });

  it('reaches the library synchronously; a throwing listener affects nobody else', async () => {
    const { gateway, url, receiver } = await told(() => ({}));
    const types: string[] = [];
    gateway.events.subscribe(() => {
      throw new Error('a fault in the user’s code');
    });
    const end = gateway.events.subscribe(({ type }) => types.push(type));
    const caller = await Caller.call(url);
    await eventually('answered', () => types.length === 2);
    end();
    caller.stop();
    await eventually('the end', () => receiver.received.length === 3);
    expect(types).toEqual(['call.started', 'call.answered']);
  });
});

describe('a failing receiver', () => {
  it('is retried, and the call’s later events wait for the first', async () => {
    const { receiver, url, metrics } = await told((_, nth) => ({ status: nth < 3 ? 500 : 200 }));
    const caller = await Caller.call(url);
    press(caller, '7');
    await eventually('six requests', () => receiver.received.length === 6);
    expect(receiver.received.map(({ body }) => body.type)).toEqual([
      'call.started',
      'call.started',
      'call.started',
      'call.started',
      'call.answered',
      'call.dtmf',
    ]);
    expect(new Set(receiver.received.slice(0, 4).map(({ id }) => id)).size).toBe(1);
    expect(await metrics()).toContain('trunkline_event_webhook_retries_total 3');
    caller.hangUp();
  });

  it('does not delay other calls', async () => {
    let first: string | undefined;
    const { receiver, url } = await told(({ call }) => {
      first ??= call.callId;
      return call.callId === first ? { silent: true } : {};
    });
    const a = await Caller.call(url);
    await eventually('the first event', () => receiver.received.length === 1);
    const b = await Caller.call(url);
    b.stop();
    await eventually('all of the other', () => receiver.received.length >= 4);
    const others = receiver.received.filter(({ body }) => body.call.callId !== first);
    expect(others.map(({ body }) => body.type)).toEqual(['call.started', 'call.answered', 'call.ended']);
    a.hangUp();
  });

  it('loses nothing if it never recovers: undelivered events are in the dead-letter file', async () => {
    const deadLetterFile = newFile();
    const { receiver, url, gateway } = await told(
      (_, nth) => (nth % 2 === 0 ? { status: 410 } : { cut: true }),
      { tries: 2, deadLetterFile },
    );
    const caller = await Caller.call(url);
    caller.stop();
    await eventually('six tries', () => receiver.received.length === 6);
    await gateway.close();
    const letters = linesOf(deadLetterFile);
    expect(letters.map(({ event }) => event.type)).toEqual(['call.started', 'call.answered', 'call.ended']);
    expect(letters[0]).toEqual({
      at: expect.stringMatching(/Z$/),
      why: expect.stringMatching(/^(status 410|GW_WEBHOOK_UNREACHABLE)$/),
      tries: 2,
      event: receiver.received[0]?.body,
    });
    expect(statSync(deadLetterFile).mode & 0o777).toBe(0o600);
  });

  it('that redirects is not followed', async () => {
    const elsewhere = await Receiver.start();
    const { receiver, url } = await told(() => ({ status: 307, headers: { location: elsewhere.url } }), {
      tries: 1,
    });
    const caller = await Caller.call(url);
    await eventually('two events', () => receiver.received.length === 2);
    expect(elsewhere.received).toHaveLength(0);
    caller.hangUp();
  });

  it('costs bounded memory: the excess is given up at once, and calls continue', async () => {
    const deadLetterFile = newFile();
    const { url, gateway, metrics } = await told(() => ({ silent: true }), { capacity: 5, deadLetterFile });
    const caller = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    for (let i = 0; i < 50; i++) press(caller, '5');
    await eventually('all keys', () => gateway.stats().traffic.dtmf === 50);
    expect(caller.closed).toBeUndefined();
    caller.media(toneMulaw(700, 20));
    await eventually('the echo', () => caller.mediaCount === 1);
    const text = await metrics();
    expect(text).toContain('trunkline_event_webhooks_pending 5');
    expect(text).toContain('trunkline_event_webhooks_total{outcome="dead"} 47');
    caller.stop();
    await eventually('the end', () => gateway.calls.size === 0);
    await gateway.close();
    const letters = linesOf(deadLetterFile);
    expect(letters).toHaveLength(53);
    expect(letters.filter(({ why }) => why === 'queue full')).toHaveLength(48);
    expect(new Set(letters.map(({ event }) => event.id)).size).toBe(53);
  });

  it('does not keep a gateway from closing, and events are delivered where possible', async () => {
    const { receiver, url, gateway } = await told((_, nth) => ({ status: nth === 0 ? 503 : 200 }), {
      firstPauseMs: 60_000,
    });
    const caller = await Caller.call(url);
    await eventually('the first try', () => receiver.received.length === 1);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    // The pause before the next attempt would be at least half a minute.
    await gateway.close();
    expect(receiver.received.map(({ body }) => body.type)).toEqual([
      'call.started',
      'call.started',
      'call.answered',
      'call.ended',
    ]);
    expect(receiver.received.at(-1)?.body.data.cause).toBe('drain');
    caller.hangUp();
  });
});

describe('two hundred calls at once', () => {
  it('are all reported, each in order, over a limited number of connections', {
    timeout: 60_000,
  }, async () => {
    const { receiver, url } = await told((_, nth) => ({ status: nth % 7 === 0 ? 503 : 204, afterMs: 2 }));
    const callers = await Promise.all(Array.from({ length: 200 }, () => Caller.call(url)));
    for (const caller of callers) caller.stop();
    const byCall = () => {
      const seen = new Map<string, Map<string, string>>();
      for (const { body } of receiver.received) {
        const events = seen.get(body.call.callId) ?? new Map();
        seen.set(body.call.callId, events.set(body.id, body.type));
      }
      return seen;
    };
    const isWhole = () => [...byCall().values()].filter((events) => events.size === 3).length === 200;
    await eventually('all events', isWhole, 40_000);
    for (const events of byCall().values()) {
      expect([...events.values()]).toEqual(['call.started', 'call.answered', 'call.ended']);
    }
    expect(receiver.mostAtOnce).toBeLessThanOrEqual(16);
  });
});

describe('a slow receiver', () => {
  it('that answers in time gets each event once, however many wait for a connection', async () => {
    // Sixteen at a time, 200 ms each: the last start after 1.4 s.
    const events = 128;
    const { receiver, gateway, metrics } = await told(() => ({ afterMs: 200 }), { timeoutMs: 1_000 });
    for (let n = 0; n < events; n++) {
      gateway.events.publish('call.started', { callId: `c${n}`, callSid: `CA${n}` }, {});
    }
    await eventually('all requests', () => receiver.received.length >= events, 10_000);
    let text = '';
    while (!text.includes('trunkline_event_webhooks_pending 0')) text = await metrics();
    expect(text).toContain(`trunkline_event_webhooks_total{outcome="delivered"} ${events}`);
    expect(receiver.received).toHaveLength(events);
    expect(receiver.mostAtOnce).toBe(16);
  });

  it('does not keep waiting events out of the dead-letter file', async () => {
    const deadLetterFile = newFile();
    const { receiver, gateway } = await told(() => ({ silent: true }), { deadLetterFile });
    for (let n = 0; n < 40; n++) {
      gateway.events.publish('call.started', { callId: `c${n}`, callSid: `CA${n}` }, {});
    }
    await eventually('the first requests', () => receiver.received.length === 16);
    await gateway.close();
    const letters = linesOf(deadLetterFile);
    expect(new Set(letters.map(({ event }) => event.call.callId)).size).toBe(40);
    expect(letters.filter(({ tries }) => tries === 0)).toHaveLength(24);
  });
});

describe('the dead-letter file', () => {
  const letter = (n: number) => ({
    message: { id: `e-${n}`, body: JSON.stringify({ id: `e-${n}`, text: 'x'.repeat(80) }) },
    why: 'status 500',
    tries: 3,
  });
  const log = pino({ level: 'silent' });

  it('is bounded: at its size it is rotated, one older file is kept, and every line is complete', async () => {
    const file = newFile();
    const dead = new DeadLetter(file, log, systemClock, 2_000);
    for (let n = 0; n < 100; n++) {
      dead.add(letter(n));
      if (n % 5 === 4) await dead.close();
    }
    expect(statSync(file).size).toBeLessThanOrEqual(2_000);
    expect(statSync(`${file}.1`).size).toBeLessThanOrEqual(2_000);
    const ids = [...linesOf(`${file}.1`), ...linesOf(file)].map(({ event }) => event.id);
    expect(ids.at(-1)).toBe('e-99');
    expect(ids).toEqual(Array.from({ length: ids.length }, (_, i) => `e-${100 - ids.length + i}`));
    expect(dead.lost).toBe(0);
  });

  it('may be moved at any time: the next dead letters start a new one', async () => {
    const file = newFile();
    const dead = new DeadLetter(file, log, systemClock, 1_000);
    const addAndWait = async (...numbers: number[]) => {
      for (const n of numbers) dead.add(letter(n));
      await dead.close();
    };
    await addAndWait(1, 2, 3, 4);
    renameSync(file, `${file}.taken`);
    // More than would fit if the file were still there.
    await addAndWait(5, 6);
    await addAndWait(7);
    expect(linesOf(`${file}.taken`)).toHaveLength(4);
    expect(linesOf(file).map(({ event }) => event.id)).toEqual(['e-5', 'e-6', 'e-7']);
    expect(dead.lost).toBe(0);
  });

  it('keeps a cut line apart from the next one', async () => {
    const file = newFile();
    const dead = new DeadLetter(file, log, systemClock);
    dead.add(letter(1));
    await dead.close();
    // As a full disk or a crash leaves it.
    truncateSync(file, statSync(file).size - 10);
    for (const n of [2, 3]) dead.add(letter(n));
    await dead.close();
    const [cut, ...whole] = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(() => JSON.parse(cut ?? '')).toThrow();
    expect(whole.map((line) => JSON.parse(line).event.id)).toEqual(['e-2', 'e-3']);
  });

  it('continues after a restart', async () => {
    const file = newFile();
    for (const n of [1, 2]) {
      const dead = new DeadLetter(file, log, systemClock);
      dead.add(letter(n));
      await dead.close();
    }
    expect(linesOf(file).map(({ event }) => event.id)).toEqual(['e-1', 'e-2']);
  });

  it('exists from the start, readable only by its owner; a gateway that cannot create it does not listen', async () => {
    const deadLetterFile = newFile();
    await told(() => ({}), { deadLetterFile });
    expect(statSync(deadLetterFile).mode & 0o777).toBe(0o600);
    const nowhere = join(folder, 'no', 'such', 'folder', 'file');
    await expect(told(() => ({}), { deadLetterFile: nowhere })).rejects.toMatchObject({
      code: 'GW_DEAD_LETTER_FILE',
      message: `Expected a file to write to for EVENTS_DEAD_LETTER_FILE but received "${nowhere}"`,
    });
  });

  it('that cannot be written is counted, and harms nothing', async () => {
    const dead = new DeadLetter(join(folder, 'no', 'such', 'folder', 'file'), log, systemClock);
    dead.add(letter(1));
    await dead.close();
    expect(dead.lost).toBe(1);
  });

  it('that is not configured leaves only the count', async () => {
    const dead = new DeadLetter(undefined, log, systemClock);
    for (let n = 0; n < 3; n++) dead.add(letter(n));
    await dead.close();
    expect(dead.lost).toBe(3);
  });
});

describe('with a spool', () => {
  const publish = (gateway: Gateway, digits: string) => {
    for (const digit of digits) {
      for (let n = 0; n < 20; n++) {
        gateway.events.publish('call.dtmf', { callId: `c${n}`, callSid: `CA${n}` }, { digit });
      }
    }
  };
  const digitsOf = (events: readonly GatewayEvent[]) => {
    const calls = new Map<string, string>();
    for (const { call, data } of events) {
      calls.set(call.callId, (calls.get(call.callId) ?? '') + (data as { digit: string }).digit);
    }
    return [...calls.values()];
  };
  const newFolder = () => mkdtempSync(join(folder, 'spool-'));

  it.each(['close', 'closeNow'] as const)(
    'delivers after the next start what %s cannot deliver',
    async (way) => {
      const spoolDir = newFolder();
      const deadLetterFile = newFile();
      const { gateway } = await told(() => ({ silent: true }), { spoolDir, deadLetterFile });
      publish(gateway, '12');
      await gateway[way]();
      // The events of `closeNow` may come before the rest has ended.
      await gateway.close();
      const { receiver, gateway: next } = await told(() => ({}), { spoolDir, deadLetterFile });
      publish(next, '3');
      await eventually('all events', () => receiver.received.length === 60);
      expect(digitsOf(receiver.received.map(({ body }) => body))).toEqual(Array(20).fill('123'));
      expect(receiver.received.every(({ isSigned }) => isSigned)).toBe(true);
      await next.close();
      expect(readdirSync(spoolDir)).toEqual([]);
      expect(readFileSync(deadLetterFile, 'utf8')).toBe('');
    },
  );

  it('puts events that failed every attempt into the dead-letter file, and does not retry them', async () => {
    const spoolDir = newFolder();
    const deadLetterFile = newFile();
    const { gateway, metrics } = await told(() => ({ status: 500 }), { spoolDir, deadLetterFile, tries: 3 });
    publish(gateway, '1');
    await sleep(30);
    expect(await metrics()).toContain('trunkline_event_spool_events 20');
    await eventually('all dead', () => readFileSync(deadLetterFile, 'utf8').split('\n').length === 21);
    await gateway.close();
    expect(digitsOf(linesOf(deadLetterFile).map(({ event }) => event))).toEqual(Array(20).fill('1'));
    expect(readdirSync(spoolDir)).toEqual([]);
  });

  it('puts events that no disk accepted into the dead-letter file when the gateway closes', async () => {
    const spoolDir = newFolder();
    const deadLetterFile = newFile();
    const { gateway, metrics } = await told(() => ({ silent: true }), { spoolDir, deadLetterFile });
    rmSync(spoolDir, { recursive: true });
    publish(gateway, '1');
    await eventually('a failure', async () => !(await metrics()).includes('event_spool_failures_total 0'));
    await gateway.close();
    expect(digitsOf(linesOf(deadLetterFile).map(({ event }) => event))).toEqual(Array(20).fill('1'));
  });

  it('a gateway whose spool belongs to another does not listen', async () => {
    const spoolDir = newFolder();
    await told(() => ({}), { spoolDir });
    await expect(told(() => ({}), { spoolDir })).rejects.toMatchObject({ code: 'GW_SPOOL_TAKEN' });
  });
});

describe('invalid options', () => {
  const secret = SECRET;
  const url = 'https://a.example/events';
  it.each<[object, string]>([
    [{ url: 'ftp://a.example', secret }, 'eventWebhooks.url'],
    [{ url, secret: 'short' }, 'eventWebhooks.secret'],
    [{ url, secret, tries: 0 }, 'eventWebhooks.tries'],
    [{ url, secret, timeoutMs: 5 }, 'eventWebhooks.timeoutMs'],
    [{ url, secret, capacity: 1e9 }, 'eventWebhooks.capacity'],
  ])('%j', async (eventWebhooks, message) => {
    await expect(startGateway({ eventWebhooks: eventWebhooks as EventWebhookOptions })).rejects.toThrow(
      message,
    );
  });
});
