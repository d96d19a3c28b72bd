import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readConfigFile } from '../../src/cli/config-file.js';
import { configOf, readSettings } from '../../src/cli/settings.js';
import { NumberPlan } from '../../src/router/number-plan.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, postForm, voiceParameters } from '../support/caller.js';
import { trunkline } from '../support/command-line.js';
import { freePort } from '../support/port.js';
import { snippets } from '../support/snippets.js';
import { eventually } from '../support/time.js';

const ACCOUNT = { TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN };

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-config-'));
  file = join(folder, 'gateway.yaml');
});
afterAll(() => rmSync(folder, { recursive: true }));

async function load(text: string, env: Record<string, string> = {}) {
  writeFileSync(file, text);
  return configOf(await readSettings({ ...ACCOUNT, ...env }, { config: file }));
}

/** The lines that a file is refused with, by its bare name. */
async function mistakes(text: string, env: Record<string, string> = {}): Promise<string[]> {
  const error = await load(text, env).then(
    () => undefined,
    (error: Error & { code?: string }) => error,
  );
  expect(error?.code).toBe('GW_CONFIG_INVALID');
  return (error?.message ?? '').replaceAll(`${folder}/`, '').split('\n');
}

const incoming = (to: string) => ({ to, direction: 'inbound' });

describe('the example of the page', () => {
  it('works as described', async () => {
    const [example = ''] = snippets('docs/config-file.md', 'yaml');
    const { config, plan } = await load(example);
    expect(config).toMatchObject({
      port: 8080,
      publicUrl: 'https://voice.example.com',
      trustedProxies: ['10.0.0.0/8', '192.168.1.1'],
    });
    const decide = (to: string) => plan?.decide(incoming(to));
    expect(decide('+15550100')).toEqual({ room: 'team' });
    expect(decide('+15550101')).toEqual({
      streamCall: { id: 'support' },
      user: { name: 'A caller' },
      before: [{ say: 'Please hold the line.' }],
    });
    expect(decide('+15559999')).toEqual({ agent: 'openai:gpt-realtime', after: [{ dial: '+15550199' }] });
    expect(decide('sip:desk@example.sip.twilio.com')).toEqual({ room: 'desk', mute: 'caller' });
    expect(decide('+4930123')).toEqual({ refuse: { say: 'This number is not in service.', language: 'en' } });
    expect(plan?.decide({ to: '+15550100', direction: 'outbound-api' })).toBeUndefined();
  });

  it('has the errors that the page shows', async () => {
    const text = 'log_level: info\nport: 80a\n\n\n\n\nnumbers:\n  +15550100: { refuse: later }\n';
    const page = readFileSync(new URL('../../docs/config-file.md', import.meta.url), 'utf8');
    const shown = [...page.matchAll(/^(Expected .*)$/gm)].map(([, line]) => line);
    expect(shown.length).toBeGreaterThan(1);
    expect(await mistakes(text)).toEqual(shown);
  });
});

describe('settings', () => {
  it('yield to the environment and to flags', async () => {
    const text = 'port: 1\nhost: 127.0.0.2\nlog_level: warn\nstream_status: on\n';
    writeFileSync(file, text);
    const env = { ...ACCOUNT, CONFIG_FILE: file, HOST: '127.0.0.3', LOG_LEVEL: ' ', PORT: '2' };
    const { config } = await configOf(await readSettings(env, { port: '3' }));
    expect(config).toMatchObject({ port: 3, host: '127.0.0.3', logLevel: 'warn', streamStatus: true });
  });

  it('may be numbers and lists', async () => {
    const { config } = await load('twilio_from: +15550001111\nlead_ms: 80\n');
    expect(config).toMatchObject({ twilio: { from: '+15550001111' }, leadMs: 80 });
    const env = { TWILIO_ACCOUNT_SID: ACCOUNT_SID };
    writeFileSync(file, 'twilio_auth_token: [0123, 1e3, b]\n');
    const tokens = await configOf(await readSettings(env, { config: file }));
    expect(tokens.config.twilio.authTokens).toEqual(['0123', '1e3', 'b']);
  });

  it('are all known', async () => {
    expect(await mistakes('prot: 1\nPORT: 2\nport: {a: 1}\nnode_id: [[a]]\n')).toEqual([
      'Expected a setting in lower case, or numbers, but received "prot" (gateway.yaml:1)',
      'Expected a setting in lower case, or numbers, but received "PORT" (gateway.yaml:2)',
      'Expected a text, a number or a list of those for port but received Object (gateway.yaml:3)',
      'Expected a text, a number or a list of those for node_id but received Array (gateway.yaml:4)',
    ]);
  });

  it('name the file in errors only if the value comes from it', async () => {
    expect(await mistakes('port: a\nlead_ms: 1\n', { PORT: 'b' })).toEqual([
      'Expected 0 to 65535 for PORT but received "b"',
      'Expected 40 to 10000 milliseconds for LEAD_MS but received "1" (gateway.yaml:2)',
    ]);
  });

  it('reveal no secret', async () => {
    const [line] = await mistakes('control_api_key: short\n');
    expect(line).toBe(
      'Expected at least 16 characters for CONTROL_API_KEY but received another value (gateway.yaml:1)',
    );
  });
});

describe('numbers', () => {
  it('are checked, and each error has its path', async () => {
    const text = `numbers:
  '555': { room: a }
  '*': { room: a }
  '+1':
    roms: a
    room: a
    streamCall: { id: b }
  '+2':
    before:
      - say: hello
      - shout: hello
  '+3': { bridge: false }
  '+4': busy
  '+5':
`;
    const found = await mistakes(text);
    expect(found.map((line) => line.replace(/^.* but received (.*)$/, '$1'))).toEqual([
      '"555" (gateway.yaml:2)',
      '"*" (gateway.yaml:3)',
      expect.stringMatching(/roms.*\(gateway\.yaml:4\)$/),
      'streamCall: beside a room (gateway.yaml:7)',
      'before.1: none of say, play, pause, dial (gateway.yaml:11)',
      'false: no code of yours takes the stream here (gateway.yaml:12)',
      expect.stringMatching(/\(gateway\.yaml:13\)$/),
    ]);
    expect(await mistakes('numbers: [a]\n')).toEqual([
      'Expected decisions by number for numbers but received Array (gateway.yaml:1)',
    ]);
  });

  it('match the whole number, then the longest prefix, then the default', () => {
    const plan = new NumberPlan(
      new Map([
        ['+1*', { room: 'one' }],
        ['+155*', { room: 'longer' }],
        ['+15', { room: 'whole' }],
      ]),
    );
    const rooms = ['+15', '+155', '+1555', '+16', '+2', ''].map((to) => plan.decide(incoming(to)));
    expect(rooms).toEqual([
      { room: 'whole' },
      { room: 'longer' },
      { room: 'longer' },
      { room: 'one' },
      undefined,
      undefined,
    ]);
  });

  it('exclude a router', async () => {
    const router = { CALL_ROUTER_URL: 'https://router.example.com', WEBHOOK_SECRET: 'sixteen-letters!' };
    expect(await mistakes('numbers:\n  default: { room: a }\n', router)).toEqual([
      'Expected numbers in the configuration file or CALL_ROUTER_URL but received both',
    ]);
  });
});

describe('a file', () => {
  it.each([
    ['a: b: c\n', /^Expected YAML but received what is none: .*\(gateway\.yaml:1\)$/],
    ['port: 1\nport: 2\n', /unique \(gateway\.yaml:2\)$/],
    ['port: !secret 1\n', /^Expected YAML but received what is none: .*\(gateway\.yaml:1\)$/],
    ['--- \nport: 1\n---\nport: 2\n', /^Expected YAML but received what is none: .*document/],
    ['- port\n', /^Expected settings by name, and numbers, but received Array \(gateway\.yaml:1\)$/],
    ['port\n', /^Expected settings by name, and numbers, but received "port"/],
    ['['.repeat(100_000), /^Expected YAML but received /],
    [
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'.replace(/./g, (c, i) => `${c}: &${c} [${`*${'abcdefg'[i]},`.repeat(9)}]\n`)}`,
      /^Expected YAML but received what cannot be read: /,
    ],
  ])('is rejected: %.20s', async (text, line) => {
    expect((await mistakes(text))[0]).toMatch(line);
  });

  it('is accepted or rejected, one line per error, whatever it contains', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '\n',
        '  ',
        ': ',
        '- ',
        '{',
        '}',
        '[',
        ']',
        ', ',
        '"',
        "'",
        '|',
        '>',
        '&a',
        '*a',
        '!',
        '#',
        '%',
        '---',
      ),
      fc.constantFrom(
        'numbers:\n',
        "'+15': ",
        'default: ',
        'port: ',
        'room: a',
        'refuse: ',
        'say: ',
        '"a\\nb": ',
        'null',
        '+1',
        '01',
      ),
      fc.constantFrom(
        'before: ',
        'parameters: ',
        'user: ',
        '__proto__: ',
        'constructor: ',
        'toString: ',
        '<<: ',
      ),
      fc.string({ unit: 'binary', maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        writeFileSync(file, pieces.join(''));
        const { mistakes, settings } = readConfigFile(file, '--config');
        for (const line of mistakes)
          expect(line).toMatch(/^Expected .* but received .* \(.*gateway\.yaml:\d+\)$/);
        for (const value of Object.values(settings)) expect(value).toBeTypeOf('string');
      }),
      { numRuns: 1_000 },
    );
  });

  it('may be empty', async () => {
    expect((await load('')).plan).toBeUndefined();
    expect((await load('# nothing\n')).config.port).toBe(3000);
  });

  it('has a size limit, whatever kind of file it is', async () => {
    expect(await mistakes(`# ${'a'.repeat(256 * 1024)}`)).toEqual([
      'Expected a readable file of at most 262144 bytes for --config but received "gateway.yaml" (larger)',
    ]);
    expect((await load(`# ${'a'.repeat(256 * 1024 - 2)}`)).config.port).toBe(3000);
    expect(() => readConfigFile('/dev/zero', 'CONFIG_FILE')).toThrow(
      /for CONFIG_FILE .*"\/dev\/zero" \(larger\)/,
    );
    expect(() => readConfigFile(folder, 'CONFIG_FILE')).toThrow(/\(EISDIR\)/);
    expect(() => readConfigFile(join(folder, 'none'), 'CONFIG_FILE')).toThrow(/\(ENOENT\)/);
  });
});

describe('the commands', () => {
  it('report all errors and exit with 1', async () => {
    writeFileSync(file, 'numbers:\n  a: { room: b }\n');
    const { code, stderr } = await trunkline(['serve', '--config', file, '--port', 'x'], ACCOUNT);
    expect(code).toBe(1);
    expect(stderr.split('\n')).toEqual([
      'Expected 0 to 65535 for PORT but received "x"',
      `Expected a number like +15551234567 or +1555*, a SIP address, or default for numbers but received "a" (${file}:2)`,
      '',
    ]);
  });

  it('are reported by doctor too', async () => {
    const port = await freePort();
    const public_url = `http://127.0.0.1:${port}`;
    writeFileSync(
      file,
      `public_url: ${public_url}\ntwilio_api_url: ${public_url}\nport: ${port}\nlead_ms: 1\nnumbers: 7\n`,
    );
    const { code, stdout } = await trunkline(['doctor', '--config', file, '--json'], ACCOUNT);
    expect(code).toBe(1);
    const { findings } = JSON.parse(stdout) as { findings: { check: string; says: string }[] };
    expect(findings.filter(({ check }) => check === 'environment').map(({ says }) => says)).toEqual([
      `Expected 40 to 10000 milliseconds for LEAD_MS but received "1" (${file}:4)`,
      `Expected decisions by number for numbers but received 7 (${file}:5)`,
    ]);
    expect(stdout).toContain(String(port));
  });
});

describe('serve', () => {
  let child: ChildProcess | undefined;
  afterEach(() => {
    child?.kill('SIGKILL');
  });

  it('applies it, and its changes after SIGHUP', async () => {
    const plan = (room: string, more = '') =>
      writeFileSync(
        file,
        `public_url: ${PUBLIC_URL}\nport: 1\nhost: 127.0.0.9\nnumbers:\n  +1*: { parameters: { room: ${room} } }\n  default: { refuse: busy }\n${more}`,
      );
    plan('first');
    const port = await freePort();
    const cli = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));
    const served = spawn(
      process.execPath,
      [cli, 'serve', '--config', file, '--port', String(port), '--host', '127.0.0.1'],
      { env: { PATH: process.env.PATH, ...ACCOUNT }, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    child = served;
    let log = '';
    served.stdout.on('data', (chunk) => {
      log += chunk;
    });
    const call = async (To: string) =>
      (await postForm(`http://127.0.0.1:${port}`, '/twilio/voice', voiceParameters({ To }))).text();
    await eventually('a gateway', () => log.includes('listening'));
    expect(await call('+15550100')).toContain('<Parameter name="room" value="first"/>');
    expect(await call('+4930123')).toContain('<Reject reason="busy"/>');

    plan('second');
    served.kill('SIGHUP');
    await eventually('it to be read', () => log.includes('settings read again'));
    expect(await call('+15550100')).toContain('<Parameter name="room" value="second"/>');

    plan('third', '  a: {}\n');
    served.kill('SIGHUP');
    await eventually('it to be refused', () => log.includes('settings not taken'));
    expect(log).toContain(`(${file}:7)`);
    expect(await call('+15550100')).toContain('<Parameter name="room" value="second"/>');
  });
});
