import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EventWebhookOptions, GatewayOptions } from '../../src/index.js';
import { WebhookSender } from '../../src/webhooks/sender.js';
import { postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { type Asked, HOSTILITIES, HostileReceiver, type Hostility } from '../support/hostile.js';
import { SECRET } from '../support/receiver.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const CONNECTIONS = 3;
const TIMEOUT_MS = 2_000;
/** Time step of the virtual clock. */
const STEP_MS = 5;

describe('a receiver that', () => {
  it.each(Object.entries(HOSTILITIES))('%s holds nothing beyond its timeout', async (_, hostility) => {
    const receiver = await HostileReceiver.start(() => hostility);
    const sender = new WebhookSender({
      url: receiver.url(hostility.scheme),
      secrets: [SECRET],
      connections: CONNECTIONS,
      clock,
    });
    const post = (n: number) => sender.post({ id: `e-${n}`, body: '{}' }, TIMEOUT_MS);
    const begun = clock.now();
    const results = await Promise.allSettled([...Array(2 * CONNECTIONS).keys()].map(post));
    expect(clock.now() - begun).toBeLessThanOrEqual(TIMEOUT_MS + STEP_MS);
    expect(receiver.met).toBeGreaterThanOrEqual(CONNECTIONS);
    for (const result of results) {
      const isTaken = result.status === 'fulfilled' && result.value.status < 300;
      expect(isTaken).toBe(hostility.takes === true);
      if (result.status === 'rejected') {
        expect(result.reason.code).toMatch(/^GW_WEBHOOK_(TIMEOUT|UNREACHABLE|ANSWER_TOO_LARGE)$/);
      }
    }
    receiver.heal();
    if (!results.some(({ status }) => status === 'fulfilled')) {
      await eventually('no connection', () => receiver.sockets.size === 0);
    }
    if (hostility.scheme === undefined) {
      const again = await Promise.allSettled([...Array(2 * CONNECTIONS).keys()].map(post));
      const isFresh = again.filter((result) => result.status === 'fulfilled' && result.value.status === 204);
      // A kept-alive connection may fail once more.
      expect(isFresh.length).toBeGreaterThanOrEqual(CONNECTIONS);
      expect(receiver.taken.length).toBe(isFresh.length);
    }
    sender.close();
    await eventually('no connection', () => receiver.sockets.size === 0);
  });
});

describe('random responses', () => {
  const pieces = [
    ...['HTTP/1.1 200 OK', 'HTTP/1.1 101 Over', 'HTTP/1.1 100 More', 'HTTP/1.1 103 Hint', 'HTTP/1.0 304 Old'],
    ...['content-length: 5', 'content-length: 0', 'content-length: 99999999999999999999'],
    ...[
      'transfer-encoding: chunked',
      'connection: upgrade',
      'upgrade: x',
      'connection: close',
      'keep-alive: timeout=-1',
    ],
    ...['', '', 'hello', '5', '0', 'ffffffffffffffff', ' folded', 'a\0b', 'x'.repeat(5_000)],
  ].map((line) => `${line}\r\n`);
  const piece = fc.constantFrom(...pieces, '\n', '\r', ':', '\x80');
  const answer = fc.record({
    parts: fc.array(piece, { maxLength: 12 }).map((parts) => ['HTTP/1.1 200 OK\r\n', ...parts]),
    end: fc.constantFrom('end', 'reset', 'stay'),
  });

  it('end correctly in any order and in any pieces', async () => {
    const answers = fc.sample(answer, { numRuns: 600, seed: 16 });
    let nth = 0;
    const receiver = await HostileReceiver.start(() => ({
      act: (socket) => {
        const { parts, end } = answers[nth++ % answers.length] as (typeof answers)[0];
        for (const part of parts) socket.write(part, 'latin1');
        if (end === 'end') socket.end();
        if (end === 'reset') setImmediate(() => socket.resetAndDestroy());
      },
    }));
    const sender = new WebhookSender({ url: receiver.url(), secrets: [SECRET], connections: 20, clock });
    const post = () =>
      sender.post({ id: 'e-1', body: '{}' }, TIMEOUT_MS).then(
        ({ status }) => String(status),
        ({ code }) => code as string,
      );
    for (let round = 0; round < 30; round++) {
      const ends = await Promise.all(Array.from({ length: 20 }, post));
      for (const end of ends)
        expect(end).toMatch(/^(\d{3}|GW_WEBHOOK_(TIMEOUT|UNREACHABLE|ANSWER_TOO_LARGE))$/);
    }
    receiver.heal();
    const healed = await Promise.all(Array.from({ length: 60 }, post));
    expect(healed.filter((status) => status === '204').length).toBeGreaterThanOrEqual(40);
    sender.close();
  });
});

/** Receivers that can tell requests apart and accept none. */
const CHOOSY = Object.entries(HOSTILITIES).filter(
  ([, { early, scheme, takes }]) => !early && scheme === undefined && !takes,
);
const hostility = (name: string) => HOSTILITIES[name] as Hostility;

async function told(
  choose: (asked?: Asked) => Hostility | undefined,
  more: Partial<EventWebhookOptions> = {},
  options: GatewayOptions = {},
) {
  const receiver = await HostileReceiver.start(choose);
  const { gateway, url } = await startGateway({
    ...options,
    eventWebhooks: { url: receiver.url(), secret: SECRET, timeoutMs: 1_000, ...more },
  });
  const publish = (callId: string, digit: string) =>
    gateway.events.publish('call.dtmf', { callId, callSid: 'CA1' }, { digit });
  /** Keys by call in order of delivery, each once. */
  const taken = () => {
    const calls = new Map<string, string>();
    const seen = new Set<string>();
    for (const { body } of receiver.taken) {
      if (seen.has(body.id) || body.type !== 'call.dtmf') continue;
      seen.add(body.id);
      calls.set(body.call.callId, (calls.get(body.call.callId) ?? '') + body.data.digit);
    }
    return calls;
  };
  return { receiver, gateway, url, publish, taken };
}

describe('events', () => {
  it('of other calls are delivered, and routers asked, whatever hostile thing a receiver does', async () => {
    const router = await HostileReceiver.start(() => undefined);
    const { receiver, publish, taken, url } = await told(
      (asked) => HOSTILITIES[asked?.body.call.callId],
      {},
      { router: { url: router.url(), secret: SECRET, timeoutMs: 1_000 } },
    );
    for (const digit of '123') {
      for (const [name] of CHOOSY) publish(name, digit);
      for (let n = 0; n < 50; n++) publish(`good-${n}`, digit);
    }
    const isGood = (callId: string) => callId.startsWith('good-');
    const good = () => [...taken()].filter(([callId]) => isGood(callId)).map(([, digits]) => digits);
    await eventually('all of the others', () => good().join() === Array(50).fill('123').join(), 60_000);
    await eventually('each hostility', () => receiver.met >= CHOOSY.length);
    const twiml = await Promise.all(
      Array.from({ length: 20 }, async () =>
        (await postForm(url, '/twilio/voice', voiceParameters())).text(),
      ),
    );
    expect(twiml.every((answer) => answer.includes('<Connect>'))).toBe(true);
    expect(router.taken).toHaveLength(20);
    receiver.heal();
    const all = 50 + CHOOSY.length;
    await eventually('all', () => [...taken().values()].join('') === '123'.repeat(all), 60_000);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('trunkline_event_webhooks_total{outcome="dead"} 0');
  });

  it.each([
    'switches protocols',
    'never answers',
    'resets the connection',
    'drips a header',
    'answers twice',
  ])('flow within two seconds after a receiver recovers that %s', async (name) => {
    // Each next attempt would be at least half a minute away.
    const { receiver, publish, taken } = await told(() => hostility(name), { firstPauseMs: 60_000 });
    for (const digit of '12') for (let n = 0; n < 100; n++) publish(`c-${n}`, digit);
    await eventually('a try of each', () => receiver.met >= 100, 20_000);
    await sleep(5_000);
    expect(receiver.taken).toHaveLength(0);
    receiver.heal();
    await eventually('the first', () => receiver.taken.length > 0, 2_000);
    await eventually('all', () => [...taken().values()].join('') === '12'.repeat(100), 5_000);
  });

  it('that a receiver never accepts are not retried forever, nor more than once a second', async () => {
    const { receiver, publish, gateway } = await told(
      (asked) => (asked?.body.call.callId === 'poison' ? hostility('answers twice') : undefined),
      { firstPauseMs: 10_000, tries: 2 },
    );
    publish('poison', '1');
    for (let n = 0; n < 200; n++) {
      publish('good', '2');
      await sleep(100);
    }
    // While others are accepted, it is only tried in turn.
    expect(receiver.met).toBe(2);
    publish('poison', '1');
    await sleep(20_000);
    // Alone, it is the one tried out of turn.
    expect(receiver.met).toBeGreaterThan(4);
    expect(receiver.met).toBeLessThanOrEqual(2 + 2 + 10);
    await gateway.close();
  });
});

describe('a router that', () => {
  it.each(Object.entries(HOSTILITIES))('%s gets the fallback in time', async (_, hostility) => {
    const router = await HostileReceiver.start(() => hostility);
    const { url, gateway } = await startGateway({
      router: { url: router.url(hostility.scheme), secret: SECRET, timeoutMs: TIMEOUT_MS },
    });
    const ask = async () => (await postForm(url, '/twilio/voice', voiceParameters())).text();
    const begun = clock.now();
    const answers = await Promise.all([...Array(4).keys()].map(ask));
    // Two attempts and the pause between them; the webhook itself may be slow on a busy machine.
    expect(clock.now() - begun).toBeLessThan(10_000);
    expect(answers.every((answer) => answer.includes('<Reject reason="busy"/>'))).toBe(true);
    expect(router.met).toBeGreaterThan(0);
    expect(gateway.stats().activeCalls).toBe(0);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('trunkline_router_questions_total{outcome="answered"} 0');
    if (hostility.scheme !== undefined) return;
    router.heal();
    // Its last connections may be old ones.
    await eventually('the router', async () => (await ask()).includes('<Connect>'), 20_000);
  });
});
