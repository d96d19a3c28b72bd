import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { account } from '../../src/doctor/account.js';
import { certificate } from '../../src/doctor/certificate.js';
import type { Check } from '../../src/doctor/check.js';
import { clock as time } from '../../src/doctor/clock.js';
import { type ContextOptions, createContext } from '../../src/doctor/context.js';
import { examine } from '../../src/doctor/doctor.js';
import { environment } from '../../src/doctor/environment.js';
import { listener } from '../../src/doctor/listener.js';
import { numbers } from '../../src/doctor/numbers.js';
import { redis } from '../../src/doctor/redis.js';
import { route } from '../../src/doctor/route.js';
import { streamKeys } from '../../src/doctor/stream-keys.js';
import { type NumberFacts, SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { freePort } from '../support/port.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';
import { VirtualClock } from '../support/virtual-clock.js';

const PUBLIC_URL = 'https://voice.example.com';
const NOON = Date.UTC(2026, 0, 1, 12);
const WEBHOOK = `${PUBLIC_URL}/twilio/voice`;

const running: SimulatedTwilio[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((twilio) => twilio.close()));
});

async function startTwilio(facts: readonly NumberFacts[] = [], authToken = AUTH_TOKEN): Promise<string> {
  const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken, numbers: facts });
  running.push(twilio);
  return twilio.listen();
}

/** What checks say, including marks; timeouts never fire unless another clock is given. */
async function said(checks: readonly Check[], env: Record<string, string>, options: ContextOptions = {}) {
  const given = { TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN, PUBLIC_URL, ...env };
  const findings = await examine(createContext(given, { clock: new VirtualClock(), ...options }), checks);
  return findings.map(({ mark, says, set }) => `${mark}: ${says} | ${set ?? ''}`).join('\n');
}

describe('doctor, of the environment', () => {
  it('reports all mistakes at once, and continues with the rest', async () => {
    const env = {
      PUBLIC_URL: 'voice.example.com',
      PORT: 'many',
      STREAM_API_KEY: 'key',
      TWILIO_ACCOUNT_SID: 'AC1',
    };
    const lines = (await said([environment], env)).split('\n');
    expect(lines).toHaveLength(4);
    expect(lines.every((line) => line.startsWith('fail: Expected'))).toBe(true);
    expect(lines.join()).toContain('PUBLIC_URL=https://voice.example.com');
    const { config } = createContext({ ...env, TWILIO_AUTH_TOKEN: AUTH_TOKEN, MAX_CALLS: '7' });
    expect(config).toMatchObject({ maxCalls: 7, port: 3000, twilio: { authTokens: [AUTH_TOKEN] } });
  });

  it('strips query and fragment from a public URL', async () => {
    for (const PUBLIC of [`${PUBLIC_URL}/p?token=1`, `${PUBLIC_URL}/p#x`]) {
      expect(await said([environment], { PUBLIC_URL: PUBLIC })).toContain(`| PUBLIC_URL=${PUBLIC_URL}/p`);
    }
  });

  it('warns about unchecked signatures and a missing public URL', async () => {
    const env = { PUBLIC_URL: '', TWILIO_VALIDATE: 'off', TWILIO_AUTH_TOKEN: '', TWILIO_ACCOUNT_SID: '' };
    expect((await said([environment], env)).match(/^warn: /gm)).toHaveLength(2);
    expect(await said([environment], {})).toMatch(/^ok: /);
  });
});

describe('doctor, of the gateway on this machine', () => {
  it('finds one with another environment, something else, and nothing', async () => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const { port } = new URL(url);
    expect(await said([listener], { PORT: port })).toBe(`ok: A gateway listens at ${url} | `);
    expect(await said([listener], { PORT: port, TWILIO_AUTH_TOKEN: 'another' })).toContain(
      'different PUBLIC_URL or TWILIO_AUTH_TOKEN',
    );
    const apiUrl = await startTwilio();
    expect(await said([listener], { PORT: new URL(apiUrl).port })).toContain(
      'warn: Something other than a gateway listens',
    );
    expect(await said([listener], { PORT: String(await freePort()) })).toContain('skip: No gateway listens');
    expect(await said([listener], { PORT: '0' })).toContain('skip: ');
  });
});

describe('doctor, of the Twilio account', () => {
  it('identifies each token of a list', async () => {
    const TWILIO_API_URL = await startTwilio();
    const ireland = await startTwilio([], 'ireland');
    const regions = [
      { name: 'AU1 (Australia)', apiUrl: `http://127.0.0.1:${await freePort()}` },
      { name: 'IE1 (Ireland)', apiUrl: ireland },
    ];
    const of = (TWILIO_AUTH_TOKEN: string) =>
      said([account], { TWILIO_API_URL, TWILIO_AUTH_TOKEN }, { regions });
    expect(await of(AUTH_TOKEN)).toBe('ok: Twilio accepts the account and its auth token | ');
    expect(await of(`${AUTH_TOKEN},ireland`)).toContain('ok: Token 2 belongs to Region IE1');
    expect(await of(`${AUTH_TOKEN},old`)).toContain('warn: Twilio rejects token 2');
    expect(await of(`old,${AUTH_TOKEN}`)).toMatch(/^fail: .*with token 2 in front$/);
    expect(await of('ireland')).toContain(`TWILIO_API_URL=${ireland}`);
    expect(await of('old')).toContain('the token was rotated');
  });

  it('only warns if Twilio cannot be reached: inbound calls still work', async () => {
    const TWILIO_API_URL = `http://127.0.0.1:${await freePort()}`;
    const text = await said([account, numbers], { TWILIO_API_URL });
    expect(text).toMatch(/^warn: .*\nskip: /);
    expect(text).not.toContain(AUTH_TOKEN);
  });
});

describe('doctor, of phone numbers', () => {
  const number = (voiceUrl: string, more: Partial<NumberFacts> = {}) => ({
    phoneNumber: '+15551234567',
    voiceUrl,
    ...more,
  });
  const of = async (facts: readonly NumberFacts[]) =>
    said([account, numbers], { TWILIO_API_URL: await startTwilio(facts) }).then((text) =>
      text.split('\n').slice(1),
    );

  it.each<[string, string, string]>([
    ['http', WEBHOOK.replace('https', 'http'), 'another scheme'],
    ['a trailing slash', `${WEBHOOK}/`, 'another trailing slash'],
    ['another path', `${PUBLIC_URL}/phones/twilio/voice`, 'another path'],
    ['another port', 'https://voice.example.com:8443/twilio/voice', 'another port'],
    ['another host', 'https://old.example.com/twilio/voice', 'another host'],
  ])('finds one that calls %s', async (_, voiceUrl, what) => {
    const [line = '', ...more] = await of([number(voiceUrl)]);
    expect(more).toEqual([]);
    expect(line).toMatch(/^fail: /);
    expect(line).toContain(what);
    expect(line).not.toContain('+15551234567');
  });

  it('finds one that uses GET', async () => {
    expect((await of([number(WEBHOOK, { voiceMethod: 'GET' })])).join()).toContain('uses GET');
  });

  it('ignores numbers of other programs, on any number of pages', async () => {
    const others = Array.from({ length: 450 }, (_, i) =>
      number(`https://other.example/${i}`, { phoneNumber: `+1555${i}` }),
    );
    expect(await of(others)).toEqual([expect.stringContaining('warn: None of the account’s 450 numbers')]);
    expect(await of([...others, number(`${WEBHOOK}?team=1`)])).toEqual([
      `ok: One number calls ${WEBHOOK} | `,
    ]);
    const staging = number('https://staging.example.com/twilio/voice', { phoneNumber: '+15550002222' });
    expect(await of([number(WEBHOOK), number(WEBHOOK), staging])).toEqual([
      `ok: 2 numbers call ${WEBHOOK} | `,
    ]);
  });

  it('reports only a few if all are wrong', async () => {
    expect(await of(Array.from({ length: 50 }, () => number(`${WEBHOOK}/`)))).toHaveLength(5);
  });
});

describe('doctor, of the clock', () => {
  /** The result if the clock of Twilio’s API differs by this many milliseconds. */
  const at = async (ms: number) => {
    const api = createHttpServer((_, response) =>
      response.setHeader('date', new Date(NOON + ms).toUTCString()).end(),
    );
    await once(api.listen(0, '127.0.0.1'), 'listening');
    const { port } = api.address() as AddressInfo;
    try {
      const env = { PUBLIC_URL: '', TWILIO_API_URL: `http://127.0.0.1:${port}` };
      // A Date header has whole seconds; half of one has passed.
      return await said([time], env, { clock: new VirtualClock(NOON + 500) });
    } finally {
      api.close();
    }
  };

  it.each([
    [3_000, /^ok: /],
    [-3_000, /^ok: /],
    [-4_000, /^warn: This clock is 4 s ahead of that of Twilio’s API/],
    [30_000, /^warn: This clock is 30 s behind that of Twilio’s API/],
    [31_000, /^fail: This clock is 31 s behind that of Twilio’s API/],
    [-3_600_000, /^fail: This clock is 3600 s ahead of that of Twilio’s API/],
  ])('distinguishes ahead from behind, and small from large: %i ms', async (ms, says) => {
    expect(await at(ms)).toMatch(says);
  });

  it('allows for the duration of the request', async () => {
    const clock = new VirtualClock(NOON);
    const api = createHttpServer((_, response) => {
      response.setHeader('date', clock.date().toUTCString());
      clock.advance(9_000);
      response.end();
    });
    await once(api.listen(0, '127.0.0.1'), 'listening');
    const { port } = api.address() as AddressInfo;
    try {
      const env = { PUBLIC_URL: '', TWILIO_API_URL: `http://127.0.0.1:${port}` };
      expect(await said([time], env, { clock })).toMatch(/^warn: This clock is 4 s ahead/);
    } finally {
      api.close();
    }
  });
});

describe('doctor, of peers that never answer', () => {
  it.each([
    ['a proxy', route, 10_000, (port: number) => ({ PUBLIC_URL: `http://127.0.0.1:${port}` })],
    ['a certificate', certificate, 10_000, (port: number) => ({ PUBLIC_URL: `https://127.0.0.1:${port}` })],
    ['a Redis', redis, 2_000, (port: number) => ({ REDIS_URL: `redis://:a-password@127.0.0.1:${port}` })],
  ])('waits this long for %s and no longer', async (_, check, ms, env) => {
    const clock = new VirtualClock();
    const silent = createServer((socket) => socket.on('error', () => {}).resume());
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    try {
      const connected = once(silent, 'connection');
      let text = '';
      const asked = said([check], env((silent.address() as AddressInfo).port), { clock }).then((all) => {
        text = all;
      });
      await connected;
      await clock.pass(ms - 1);
      expect(text).toBe('');
      clock.advance(1);
      await asked;
      expect(text).toMatch(/^fail: .*no answer within/);
      expect(text).not.toContain('a-password');
    } finally {
      silent.close();
    }
  });
});

describe('doctor, of Stream', () => {
  it('tells an unreachable Stream from rejected keys', async () => {
    const clock = new VirtualClock();
    clock.start();
    const env = {
      STREAM_API_KEY: 'k',
      STREAM_API_SECRET: 'a-secret',
      STREAM_BASE_URL: `http://127.0.0.1:${await freePort()}`,
    };
    const text = await said([streamKeys], env, { clock });
    clock.halt();
    expect(text).toMatch(/^fail: Stream cannot be used: .*STREAM_BASE_URL, or BRIDGE=local$/);
    expect(text).not.toContain('a-secret');
    expect(await said([streamKeys], {})).toMatch(/^skip: /);
  });
});

describeOnRedis('doctor, of a Redis that hangs', () => {
  it('does not wait for it', async () => {
    const server = await RedisServer.start();
    expect(await said([redis], { REDIS_URL: server.url })).toMatch(/^ok: /);
    server.freeze();
    const clock = new VirtualClock();
    const asked = said([redis], { REDIS_URL: server.url }, { clock });
    await eventually('a wait', () => clock.pending > 0);
    await clock.pass(2_000);
    expect(await asked).toMatch(/^fail: .*no answer within/);
  });
});
