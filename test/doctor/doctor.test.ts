import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config.js';
import { parseCapturedRequest } from '../../src/doctor/captured-request.js';
import type { Check, Finding } from '../../src/doctor/check.js';
import { type ContextOptions, createContext } from '../../src/doctor/context.js';
import { examine } from '../../src/doctor/doctor.js';
import { environment } from '../../src/doctor/environment.js';
import { signatureOfRequest } from '../../src/doctor/signature.js';
import { createGateway, type Gateway } from '../../src/index.js';
import { SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, sign, voiceParameters } from '../support/caller.js';
import { makeCertificate } from '../support/certificate.js';
import { freePort } from '../support/port.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { describeBehindProxy, startHaproxy, startNginx } from '../support/reverse-proxy.js';
import { StreamDouble } from '../support/stream/double.js';
import { VirtualClock } from '../support/virtual-clock.js';

const HOST = 'voice.example.com';
const PUBLIC_URL = `https://${HOST}`;

/**
 * Nobody advances it, so timeouts never fire on a busy machine. Starts at half a second, because a Date
 * header has whole seconds.
 */
const clock = new VirtualClock(Math.floor(Date.now() / 1_000) * 1_000 + 500);
let twilio: SimulatedTwilio;
let apiUrl: string;
let tls: { cert: string; pem: string };
let ca: string;

beforeAll(async () => {
  twilio = new SimulatedTwilio({
    accountSid: ACCOUNT_SID,
    authToken: AUTH_TOKEN,
    numbers: [{ phoneNumber: '+15550001111', voiceUrl: `${PUBLIC_URL}/twilio/voice` }],
    clock,
  });
  apiUrl = await twilio.listen();
});
afterAll(() => twilio.close());

const running: (Gateway | StreamDouble)[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each.close()));
});

type Environment = Readonly<Record<string, string>>;

interface Setup {
  /** Changes to the gateway's environment; an empty text removes a variable. */
  readonly gateway?: Environment;
  /** Additional proxy rules. */
  readonly proxy?: readonly string[];
  /** Changes to the doctor's environment. */
  readonly doctor?: Environment;
  readonly options?: ContextOptions;
}

interface Verdict {
  readonly findings: readonly Finding[];
  /** Mistakes by check. */
  readonly mistakes: Readonly<Record<string, string>>;
  readonly output: string;
}

/** Runs the doctor with an environment. */
async function run(
  env: Environment,
  options: ContextOptions = {},
  checks?: readonly Check[],
): Promise<Verdict> {
  const findings = await examine(createContext(env, { clock, ...options }), checks);
  const wrong = findings.filter(({ mark }) => mark === 'fail');
  return {
    findings,
    mistakes: Object.fromEntries(wrong.map(({ check, says, set }) => [check, `${says} | ${set}`])),
    output: JSON.stringify(findings),
  };
}

const ACCOUNT = () => ({
  TWILIO_ACCOUNT_SID: ACCOUNT_SID,
  TWILIO_AUTH_TOKEN: AUTH_TOKEN,
  TWILIO_API_URL: apiUrl,
  PUBLIC_URL,
});

/** Starts a gateway from an environment, like `serve`. */
async function serve(env: Environment = {}): Promise<URL> {
  const own = { PORT: '0', LOG_LEVEL: 'silent', MAX_LOOP_DELAY_MS: '0', MAX_CPU_PERCENT: '0' };
  const gateway = createGateway(readConfig({ ...own, ...ACCOUNT(), ...env }));
  running.push(gateway);
  return new URL((await gateway.listen()).url);
}

const at = (port: number) => ({ connect: { host: '127.0.0.1', port }, ca });

/** Runs the doctor against a gateway behind a proxy. */
async function examined({ gateway, proxy = [], doctor, options }: Setup = {}): Promise<Verdict> {
  const { host, port } = await serve(gateway);
  const proxied = await startHaproxy({ to: host, pem: tls.pem, lines: proxy });
  return run({ ...ACCOUNT(), PORT: port, ...doctor }, { ...at(proxied), ...options });
}

describeBehindProxy('doctor', () => {
  beforeAll(() => {
    tls = makeCertificate(HOST);
    ca = readFileSync(tls.cert, 'utf8');
  });

  it('finds no mistakes in a correct installation', async () => {
    const { findings, output } = await examined();
    expect(findings.filter(({ mark }) => mark === 'fail' || mark === 'warn')).toEqual([]);
    expect(findings.filter(({ mark }) => mark === 'ok').map(({ check }) => check)).toEqual(
      expect.arrayContaining([
        'proxy',
        'webhook',
        'media socket',
        'clock',
        'Twilio account',
        'phone numbers',
      ]),
    );
    expect(output).not.toContain(AUTH_TOKEN);
    expect(output).not.toContain('+15550001111');
  });

  it('finds none with a path prefix, stripped or forwarded', async () => {
    const env = { PUBLIC_URL: `${PUBLIC_URL}/phones` };
    const numbers = /phone numbers/;
    for (const proxy of [[], ['http-request replace-path /phones(.*) \\1']]) {
      const { mistakes } = await examined({ gateway: env, doctor: env, proxy });
      expect(Object.keys(mistakes).filter((check) => !numbers.test(check))).toEqual([]);
    }
  });

  it('finds a gateway that believes it has another host', async () => {
    const old = { PUBLIC_URL: 'https://old.example.com' };
    const told = await examined({ gateway: old, doctor: old, options: { url: PUBLIC_URL } });
    expect(told.mistakes.webhook).toContain('Wrong host');
    expect(told.mistakes.webhook).toContain(`PUBLIC_URL=${PUBLIC_URL}`);
    // Its old URL cannot be guessed, but the difference is found.
    const { mistakes } = await examined({ gateway: old });
    expect(mistakes.gateway).toContain('different PUBLIC_URL');
    expect(mistakes.webhook).toContain('PUBLIC_URL there as they are here');
  });

  it('finds a wrong scheme: no PUBLIC_URL, and a proxy that does not say https', async () => {
    const { mistakes } = await examined({ gateway: { PUBLIC_URL: '' }, doctor: { PORT: '0' } });
    expect(mistakes.webhook).toContain('Wrong scheme');
    expect(mistakes.webhook).toContain('X-Forwarded-Proto');
    const told = await examined({
      gateway: { PUBLIC_URL: '' },
      doctor: { PORT: '0' },
      proxy: ['http-request set-header X-Forwarded-Proto https'],
    });
    expect(told.mistakes).toEqual({});
  });

  it('finds a proxy that changes Host', async () => {
    const { mistakes } = await examined({
      gateway: { PUBLIC_URL: '' },
      doctor: { PORT: '0' },
      proxy: [
        'http-request set-header X-Forwarded-Proto https',
        'http-request set-header Host localhost:3000',
      ],
    });
    expect(mistakes.webhook).toContain('Wrong host');
  });

  it('finds a missing path prefix', async () => {
    const { mistakes } = await examined({ options: { url: `${PUBLIC_URL}/phones` } });
    expect(Object.values(mistakes).join()).toContain('/phones');
    expect(Object.values(mistakes).join()).toContain(`PUBLIC_URL=${PUBLIC_URL}/phones`);
  });

  it('finds a proxy that adds a trailing slash', async () => {
    const { mistakes } = await examined({ proxy: ['http-request replace-path (.*[^/]) \\1/'] });
    expect(mistakes.proxy).toContain('trailing slash');
  });

  it('finds a redirect that breaks the POST', async () => {
    const { mistakes } = await examined({
      proxy: ['http-request redirect prefix https://www.voice.example.com code 301'],
    });
    expect(mistakes.proxy).toContain('redirect');
  });

  it('finds a token unknown to the running gateway', async () => {
    const { mistakes } = await examined({ gateway: { TWILIO_AUTH_TOKEN: 'another-token' } });
    expect(mistakes.webhook).toContain('every token');
  });

  it('finds a rotated token', async () => {
    const behind = await examined({
      gateway: { TWILIO_AUTH_TOKEN: 'the-old-token' },
      doctor: { TWILIO_AUTH_TOKEN: `${AUTH_TOKEN},the-old-token` },
    });
    expect(behind.mistakes.webhook).toContain('token 2');
    const stale = await examined({
      gateway: { TWILIO_AUTH_TOKEN: 'the-old-token' },
      doctor: { TWILIO_AUTH_TOKEN: 'the-old-token' },
    });
    expect(stale.mistakes['Twilio account']).toContain('rotated');
  });

  it('finds a Region’s token', async () => {
    const ireland = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: 'token-of-ireland' });
    try {
      const regions = [{ name: 'IE1 (Ireland)', apiUrl: await ireland.listen() }];
      const env = { ...ACCOUNT(), TWILIO_AUTH_TOKEN: 'token-of-ireland', PUBLIC_URL: '' };
      const findings = await examine(createContext(env, { regions, clock }));
      const found = findings.find(({ check }) => check === 'Twilio account');
      expect(found).toMatchObject({ mark: 'fail', says: expect.stringContaining('Region IE1') });
    } finally {
      await ireland.close();
    }
  });

  it('finds http where https is required', async () => {
    const { mistakes } = await examined({ doctor: { PUBLIC_URL: `http://${HOST}` } });
    expect(mistakes.environment).toContain(`PUBLIC_URL=${PUBLIC_URL}`);
    const plain = await examined({ options: { url: `http://${HOST}` } });
    expect(plain.mistakes.certificate).toContain('https');
  });

  it('finds a certificate that Twilio would reject', async () => {
    const other = makeCertificate('other.example.com');
    const { host } = await serve();
    const { connect } = at(await startHaproxy({ to: host, pem: other.pem }));
    const named = await run(ACCOUNT(), { connect, ca: readFileSync(other.cert, 'utf8') });
    expect(named.mistakes.certificate).toContain('other.example.com');
    const unknown = await run(ACCOUNT(), { connect });
    expect(unknown.mistakes.certificate).toMatch(/reject|issuer/);
  });

  it('finds an nginx that drops the WebSocket upgrade, and one that uses HTTP/1.0, its default', async () => {
    const { host } = await serve();
    const behind = async (lines: readonly string[]) =>
      (await run(ACCOUNT(), at(await startNginx({ to: host, pem: tls.pem, lines })))).mistakes;
    const dropped = await behind(['proxy_http_version 1.1;']);
    expect(Object.keys(dropped)).toEqual(['media socket']);
    expect(dropped['media socket']).toContain('drops the WebSocket upgrade');
    expect((await behind([])).proxy).toContain('HTTP/1.0');
    const right = ['proxy_http_version 1.1;', 'proxy_set_header Upgrade $http_upgrade;'];
    expect(await behind([...right, 'proxy_set_header Connection "upgrade";'])).toEqual({});
  });

  it('finds a proxy that adds an Origin, and one that drops signatures', async () => {
    const origin = await examined({
      proxy: ['http-request set-header Origin https://voice.example.com if { hdr(upgrade) -i websocket }'],
    });
    expect(origin.mistakes['media socket']).toContain('Origin');
    const unsigned = await examined({ proxy: ['http-request del-header X-Twilio-Signature'] });
    expect(unsigned.mistakes.webhook).toContain('drops the X-Twilio-Signature header');
  });

  it('finds a query string on the stream URL', async () => {
    const { mistakes } = await examined({
      proxy: ['http-request set-query from=proxy if { hdr(upgrade) -i websocket }'],
    });
    expect(Object.keys(mistakes)).toEqual(['media socket']);
    expect(mistakes['media socket']).toContain('query string');
  });

  it('finds a wrong clock', async () => {
    const later = new Date(clock.date().getTime() + 3_600_000).toUTCString();
    const { mistakes } = await examined({ proxy: [`http-after-response set-header Date "${later}"`] });
    expect(mistakes.clock).toMatch(/This clock is 3600 s behind that of the gateway’s address/);
  });

  it('finds that no gateway is running', async () => {
    const port = await startHaproxy({ to: `127.0.0.1:${await freePort()}`, pem: tls.pem });
    expect((await run(ACCOUNT(), at(port))).mistakes.proxy).toContain('503');
    const nobody = await run(ACCOUNT(), at(await freePort()));
    expect(nobody.mistakes.proxy).toContain('Nothing answers');
  });

  it('finds that signatures are not checked', async () => {
    const { mistakes } = await examined({ gateway: { TWILIO_VALIDATE: 'off' } });
    expect(mistakes.webhook).toContain('does not check signatures');
  });

  it('finds a number that calls another address', async () => {
    const { mistakes } = await examined({
      gateway: { PUBLIC_URL: `${PUBLIC_URL}/phones` },
      doctor: { PUBLIC_URL: `${PUBLIC_URL}/phones` },
    });
    expect(mistakes['phone numbers']).toContain('path');
    expect(mistakes['phone numbers']).not.toContain('+15550001111');
  });

  it('finds keys that Stream rejects', async () => {
    const double = await StreamDouble.start();
    running.push(double);
    const stream = { STREAM_API_KEY: double.apiKey, STREAM_BASE_URL: double.url };
    const wrong = await examined({ doctor: { ...stream, STREAM_API_SECRET: 'wrong-secret' } });
    expect(wrong.mistakes['Stream keys']).toContain('Stream rejects');
    const right = await examined({ doctor: { ...stream, STREAM_API_SECRET: double.apiSecret } });
    expect(right.mistakes).toEqual({});
  });
});

describeOnRedis('doctor, of Redis', () => {
  const env = (url: string) => ({ ...ACCOUNT(), PUBLIC_URL: '', REDIS_URL: url });

  it('finds one that is down, one with another password, and a replica', async () => {
    const redis = await RedisServer.start('--requirepass', 'right');
    const found = async (url: string) => (await run(env(url))).mistakes.Redis;
    expect(await found(`redis://127.0.0.1:${await freePort()}`)).toContain('nothing listens there');
    expect(await found(redis.url.replace('//', '//:wrong@'))).toContain('rejects this user');
    expect(await found(redis.url.replace('//', '//:right@'))).toBeUndefined();
    const { port } = new URL(redis.url);
    const replica = await RedisServer.start('--replicaof', '127.0.0.1', port);
    expect(await found(replica.url)).toContain('read-only replica');
  });
});

describe('doctor, of a captured request', () => {
  const explain = (request: string, env: Environment = {}) =>
    run({ ...ACCOUNT(), ...env }, {}, [environment, signatureOfRequest(parseCapturedRequest(request))]);
  const parameters = voiceParameters();
  const body = new URLSearchParams(parameters).toString();
  const raw = (signature: string, path = '/twilio/voice', host = 'localhost:3000') =>
    [
      `POST ${path} HTTP/1.1`,
      `Host: ${host}`,
      'Content-Type: application/x-www-form-urlencoded',
      `X-Twilio-Signature: ${signature}`,
      '',
      body,
    ].join('\r\n');

  it('accepts a valid one as raw HTTP, curl command or JSON', async () => {
    const signature = sign(`${PUBLIC_URL}/twilio/voice`, parameters);
    const kept = [
      raw(signature),
      `curl -X POST https://${HOST}/twilio/voice -H 'X-Twilio-Signature: ${signature}' -H 'Content-Type: application/x-www-form-urlencoded' --data '${body}'`,
      JSON.stringify({
        method: 'POST',
        url: `${PUBLIC_URL}/twilio/voice`,
        headers: { 'X-Twilio-Signature': signature, 'Content-Type': 'application/x-www-form-urlencoded' },
        body,
      }),
    ];
    for (const request of kept) {
      const { findings, mistakes } = await explain(request);
      expect(findings.at(-1)).toMatchObject({ mark: 'ok', says: 'The gateway accepts it' });
      expect(mistakes).toEqual({});
    }
  });

  it.each([
    ['another host', 'https://old.example.com', '/twilio/voice', 'PUBLIC_URL=https://old.example.com'],
    ['a path prefix', `${PUBLIC_URL}/phones`, '/phones/twilio/voice', `PUBLIC_URL=${PUBLIC_URL}/phones`],
  ])('reports which URL it was signed for: %s', async (_, base, path, set) => {
    const request = raw(sign(`${base}/twilio/voice`, parameters), path, new URL(base).host);
    const { mistakes, output } = await explain(request);
    expect(mistakes.signature).toBeDefined();
    expect(output).toContain(`${base}/twilio/voice`);
    expect(output).toContain(set);
  });

  it('reports one signed for http, with a trailing slash, or with another token', async () => {
    const http = await explain(raw(sign(`http://${HOST}/twilio/voice`, parameters)));
    expect(http.mistakes.signature).toBeDefined();
    expect(http.output).toContain('URL is http');
    const slash = await explain(raw(sign(`${PUBLIC_URL}/twilio/voice/`, parameters), '/twilio/voice/'));
    expect(slash.output).toContain('trailing slash');
    const token = await explain(raw(sign(`${PUBLIC_URL}/twilio/voice`, parameters, 'another-token')));
    expect(token.mistakes.signature).toContain('None of the 1 tokens signed');
    const second = await explain(raw(sign(`${PUBLIC_URL}/twilio/voice`, parameters, 'second')), {
      TWILIO_AUTH_TOKEN: `${AUTH_TOKEN},second`,
    });
    expect(second.output).toContain('token 2');
  });
});
