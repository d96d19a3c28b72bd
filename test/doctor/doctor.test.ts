import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { readConfig } from '../../src/config.js';
import type { Finding } from '../../src/doctor/check.js';
import { createContext } from '../../src/doctor/context.js';
import { examine } from '../../src/doctor/doctor.js';
import { createGateway } from '../../src/index.js';
import { SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, sign, voiceParameters } from '../support/caller.js';
import { makeCertificate } from '../support/certificate.js';
import { type Ran, trunkline } from '../support/command-line.js';
import { freePort } from '../support/port.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { describeBehindProxy, startHaproxy, startNginx } from '../support/reverse-proxy.js';
import { StreamDouble } from '../support/stream/double.js';

const HOST = 'voice.example.com';
const PUBLIC_URL = `https://${HOST}`;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let twilio: SimulatedTwilio;
let apiUrl: string;
let tls: { cert: string; pem: string };

beforeAll(async () => {
  tls = makeCertificate(HOST);
  twilio = new SimulatedTwilio({
    accountSid: ACCOUNT_SID,
    authToken: AUTH_TOKEN,
    numbers: [{ phoneNumber: '+15550001111', voiceUrl: `${PUBLIC_URL}/twilio/voice` }],
  });
  apiUrl = await twilio.listen();
});
afterAll(() => twilio.close());

/** Closed after the test. */
const running: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each.close()));
});

type Environment = Readonly<Record<string, string>>;

interface Setup {
  /** What the gateway runs with, besides the right things; empty text takes one away. */
  readonly gateway?: Environment;
  /** What the proxy does besides passing on. */
  readonly proxy?: readonly string[];
  /** What the doctor is told, likewise. */
  readonly doctor?: Environment;
  readonly flags?: readonly string[];
}

interface Verdict {
  readonly code: number;
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  /** What is wrong, by check. */
  readonly mistakes: Readonly<Record<string, string>>;
  readonly output: string;
}

async function run(env: Environment, flags: readonly string[]): Promise<Verdict> {
  return verdictOf(await trunkline(['doctor', '--json', ...flags], env));
}

/** Starts the program of an installation, and says something to it. */
async function start(root: string, env: Environment, flags: readonly string[], input = ''): Promise<Verdict> {
  const child = spawn(process.execPath, [join(root, 'dist/cli/trunkline.js'), 'doctor', '--json', ...flags], {
    env: { PATH: process.env.PATH, ...env },
  });
  child.stdin.end(input);
  const text = async (stream: Readable) => (await stream.setEncoding('utf8').toArray()).join('');
  const closed = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await closed) as [number];
  return verdictOf({ code, stdout, stderr });
}

function verdictOf({ code, stdout, stderr }: Ran): Verdict {
  if (stdout === '') throw new Error(`nothing was said: ${stderr}`);
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: Finding[] };
  const wrong = findings.filter(({ mark }) => mark === 'fail');
  return {
    code,
    ok,
    findings,
    mistakes: Object.fromEntries(wrong.map(({ check, says, set }) => [check, `${says} | ${set}`])),
    output: stdout,
  };
}

const ACCOUNT = () => ({
  TWILIO_ACCOUNT_SID: ACCOUNT_SID,
  TWILIO_AUTH_TOKEN: AUTH_TOKEN,
  TWILIO_API_URL: apiUrl,
  PUBLIC_URL,
});

/** A gateway that is set up as its environment says; where it listens. */
async function serve(env: Environment): Promise<URL> {
  // This machine may be slow: nobody is turned away for that.
  const quiet = { PORT: '0', MAX_LOOP_DELAY_MS: '0', MAX_CPU_PERCENT: '0', LOG_LEVEL: 'silent' };
  const gateway = createGateway(readConfig({ ...ACCOUNT(), ...quiet, ...env }));
  running.push(gateway);
  return new URL((await gateway.listen()).url);
}

/** A gateway behind a proxy, and what the doctor says of them. */
async function examined({ gateway = {}, proxy = [], doctor = {}, flags = [] }: Setup): Promise<Verdict> {
  const node = await serve(gateway);
  const port = await startHaproxy({ to: node.host, pem: tls.pem, lines: proxy });
  const env = { ...ACCOUNT(), PORT: node.port, ...doctor };
  return run(env, ['--connect', `127.0.0.1:${port}`, '--ca', tls.cert, ...flags]);
}

describeBehindProxy('doctor', () => {
  it('finds nothing wrong where nothing is', async () => {
    const { code, ok, findings, output } = await examined({});
    expect(findings.filter(({ mark }) => mark === 'fail' || mark === 'warn')).toEqual([]);
    expect([code, ok]).toEqual([0, true]);
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

  it('says the same with a path prefix, stripped or passed on', async () => {
    const env = { PUBLIC_URL: `${PUBLIC_URL}/phones` };
    const numbers = /phone numbers/;
    for (const proxy of [[], ['http-request replace-path /phones(.*) \\1']]) {
      const { mistakes } = await examined({ gateway: env, doctor: env, proxy });
      expect(Object.keys(mistakes).filter((check) => !numbers.test(check))).toEqual([]);
    }
  });

  it('finds a gateway that takes itself for another host', async () => {
    const old = { PUBLIC_URL: 'https://old.example.com' };
    const told = await examined({ gateway: old, doctor: old, flags: ['--url', PUBLIC_URL] });
    expect(told.code).toBe(1);
    expect(told.mistakes.webhook).toContain('Wrong host');
    expect(told.mistakes.webhook).toContain(`PUBLIC_URL=${PUBLIC_URL}`);
    // Nobody can guess what it was told elsewhere; that it is something else can be known.
    const { mistakes } = await examined({ gateway: old });
    expect(mistakes.gateway).toContain('another PUBLIC_URL');
    expect(mistakes.webhook).toContain('PUBLIC_URL as they are here where the gateway runs');
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
    const { mistakes } = await examined({ flags: ['--url', `${PUBLIC_URL}/phones`] });
    expect(Object.values(mistakes).join()).toContain('/phones');
    expect(Object.values(mistakes).join()).toContain(`PUBLIC_URL=${PUBLIC_URL}/phones`);
  });

  it('finds a proxy that adds a trailing slash', async () => {
    const { mistakes } = await examined({ proxy: ['http-request replace-path (.*[^/]) \\1/'] });
    expect(mistakes.proxy).toContain('trailing slash');
  });

  it('finds a redirect in the way of the POST', async () => {
    const { mistakes } = await examined({
      proxy: ['http-request redirect prefix https://www.voice.example.com code 301'],
    });
    expect(mistakes.proxy).toContain('redirect');
  });

  it('finds a token that the running gateway does not know', async () => {
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

  it('finds the token of a Region', async () => {
    const ireland = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: 'token-of-ireland' });
    try {
      const regions = [{ name: 'IE1 (Ireland)', apiUrl: await ireland.listen() }];
      const env = { ...ACCOUNT(), TWILIO_AUTH_TOKEN: 'token-of-ireland', PUBLIC_URL: '' };
      const findings = await examine(createContext(env, { regions }));
      const found = findings.find(({ check }) => check === 'Twilio account');
      expect(found).toMatchObject({ mark: 'fail', says: expect.stringContaining('Region IE1') });
    } finally {
      await ireland.close();
    }
  });

  it('finds http where https must be', async () => {
    const { mistakes } = await examined({ doctor: { PUBLIC_URL: `http://${HOST}` } });
    expect(mistakes.environment).toContain(`PUBLIC_URL=${PUBLIC_URL}`);
    const plain = await examined({ flags: ['--url', `http://${HOST}`] });
    expect(plain.mistakes.certificate).toContain('https');
  });

  it('finds a certificate that Twilio would not take', async () => {
    const other = makeCertificate('other.example.com');
    const node = await serve({});
    const port = await startHaproxy({ to: node.host, pem: other.pem });
    const connect = ['--connect', `127.0.0.1:${port}`];
    const named = await run(ACCOUNT(), [...connect, '--ca', other.cert]);
    expect(named.mistakes.certificate).toContain('other.example.com');
    const unknown = await run(ACCOUNT(), connect);
    expect(unknown.mistakes.certificate).toMatch(/refuse|issuer/);
  });

  it('finds an nginx that drops the WebSocket upgrade, and one that speaks HTTP/1.0 as it does by default', async () => {
    const node = await serve({});
    const behind = async (lines: readonly string[]) => {
      const port = await startNginx({ to: node.host, pem: tls.pem, lines });
      return (await run(ACCOUNT(), ['--connect', `127.0.0.1:${port}`, '--ca', tls.cert])).mistakes;
    };
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
    expect(unsigned.mistakes.webhook).toContain('drops the header X-Twilio-Signature');
  });

  it('finds a query string on the stream URL', async () => {
    const { mistakes } = await examined({
      proxy: ['http-request set-query from=proxy if { hdr(upgrade) -i websocket }'],
    });
    expect(Object.keys(mistakes)).toEqual(['media socket']);
    expect(mistakes['media socket']).toContain('query string');
  });

  it('finds a clock that is wrong', async () => {
    const { mistakes } = await examined({
      proxy: ['http-after-response set-header Date "Tue, 01 Jan 2030 00:00:00 GMT"'],
    });
    expect(mistakes.clock).toMatch(/This clock is \d+ s behind that of the gateway’s address/);
  });

  it('finds that the gateway is not there', async () => {
    const port = await startHaproxy({ to: `127.0.0.1:${await freePort()}`, pem: tls.pem });
    const flags = ['--connect', `127.0.0.1:${port}`, '--ca', tls.cert];
    const { mistakes } = await run(ACCOUNT(), flags);
    expect(mistakes.proxy).toContain('503');
    const nobody = await run(ACCOUNT(), ['--connect', `127.0.0.1:${await freePort()}`, '--ca', tls.cert]);
    expect(nobody.mistakes.proxy).toContain('Nothing answers');
  });

  it('finds that signatures are not checked', async () => {
    const { mistakes } = await examined({ gateway: { TWILIO_VALIDATE: 'off' } });
    expect(mistakes.webhook).toContain('checks no signatures');
  });

  it('finds a number that calls another address', async () => {
    const { mistakes } = await examined({
      gateway: { PUBLIC_URL: `${PUBLIC_URL}/phones` },
      doctor: { PUBLIC_URL: `${PUBLIC_URL}/phones` },
    });
    expect(mistakes['phone numbers']).toContain('path');
    expect(mistakes['phone numbers']).not.toContain('+15550001111');
  });

  it('finds keys that Stream refuses', async () => {
    const double = await StreamDouble.start();
    running.push(double);
    const stream = { STREAM_API_KEY: double.apiKey, STREAM_BASE_URL: double.url };
    const wrong = await examined({ doctor: { ...stream, STREAM_API_SECRET: 'wrong-secret' } });
    expect(wrong.mistakes['Stream keys']).toContain('Stream refuses');
    const right = await examined({ doctor: { ...stream, STREAM_API_SECRET: double.apiSecret } });
    expect(right.mistakes).toEqual({});
  });

  it('finds that the native core is missing, and where even WebAssembly is', async () => {
    const copy = mkdtempSync(join(tmpdir(), 'trunkline-copy-'));
    try {
      for (const part of ['dist', 'native/wasm', 'package.json']) {
        cpSync(join(ROOT, part), join(copy, part), { recursive: true });
      }
      symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
      const slower = await start(copy, { ...ACCOUNT(), PUBLIC_URL: '' }, []);
      const core = slower.findings.find(({ check }) => check === 'native core');
      expect(core).toMatchObject({ mark: 'warn', set: expect.stringContaining('npm rebuild') });
      const none = await start(copy, { ...ACCOUNT(), PUBLIC_URL: '', TRANSCODER: 'native' }, []);
      expect(none.mistakes['native core']).toContain('No core loads');
    } finally {
      rmSync(copy, { recursive: true });
    }
  });
});

describeOnRedis('doctor, of Redis', () => {
  const env = (url: string) => ({ ...ACCOUNT(), PUBLIC_URL: '', REDIS_URL: url });

  it('finds one that is not there, one with another password, and a replica', async () => {
    const redis = await RedisServer.start('--requirepass', 'right');
    const found = async (url: string) => (await run(env(url), [])).mistakes.Redis;
    expect(await found(`redis://127.0.0.1:${await freePort()}`)).toContain('can not be reached');
    expect(await found(redis.url.replace('//', '//:wrong@'))).toContain('lets nobody in');
    expect(await found(redis.url.replace('//', '//:right@'))).toBeUndefined();
    const { port } = new URL(redis.url);
    const replica = await RedisServer.start('--replicaof', '127.0.0.1', port);
    expect(await found(replica.url)).toContain('slave');
  });
});

describeBehindProxy('doctor, of a captured request', () => {
  const explain = async (request: string, env: Environment = {}) => {
    const folder = mkdtempSync(join(tmpdir(), 'trunkline-request-'));
    try {
      const file = join(folder, 'request.txt');
      writeFileSync(file, request);
      return await run({ ...ACCOUNT(), ...env }, ['--request', file]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
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

  it('takes one that is right, as raw HTTP, curl command or JSON, from a file or standard input', async () => {
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
      const { code, findings } = await explain(request);
      expect(findings.at(-1)).toMatchObject({ mark: 'ok', says: 'The gateway takes it as it is' });
      expect(code).toBe(0);
    }
    const piped = await start(ROOT, ACCOUNT(), ['--request', '-'], raw(signature));
    expect(piped.code).toBe(0);
  });

  it.each([
    ['another host', 'https://old.example.com', '/twilio/voice', 'PUBLIC_URL=https://old.example.com'],
    ['a path prefix', `${PUBLIC_URL}/phones`, '/phones/twilio/voice', `PUBLIC_URL=${PUBLIC_URL}/phones`],
  ])('says for which URL it was signed: %s', async (_, base, path, set) => {
    const request = raw(sign(`${base}/twilio/voice`, parameters), path, new URL(base).host);
    const { code, output } = await explain(request);
    expect(code).toBe(1);
    expect(output).toContain(`${base}/twilio/voice`);
    expect(output).toContain(set);
  });

  it('says so where it was signed for http, with a trailing slash, or with another token', async () => {
    const http = await explain(raw(sign(`http://${HOST}/twilio/voice`, parameters)));
    expect(http.mistakes.signature).toBeDefined();
    expect(http.output).toContain('http URL');
    const slash = await explain(raw(sign(`${PUBLIC_URL}/twilio/voice/`, parameters), '/twilio/voice/'));
    expect(slash.output).toContain('trailing slash');
    const token = await explain(raw(sign(`${PUBLIC_URL}/twilio/voice`, parameters, 'another-token')));
    expect(token.mistakes.signature).toContain('None of the 1 tokens signed it');
    const second = await explain(raw(sign(`${PUBLIC_URL}/twilio/voice`, parameters, 'second')), {
      TWILIO_AUTH_TOKEN: `${AUTH_TOKEN},second`,
    });
    expect(second.output).toContain('token 2');
  });

  it('refuses what is no request in one line', async () => {
    await expect(explain('hello')).rejects.toThrow('Expected a raw HTTP request');
  });
});
