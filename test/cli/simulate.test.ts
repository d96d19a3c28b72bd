import { execFile } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { htmlReport } from '../../src/cli/html-report.js';
import { junitXml } from '../../src/cli/junit.js';
import type { ShellOptions } from '../../src/cli/shell.js';
import { linePlot } from '../../src/cli/svg-plot.js';
import { loadTable } from '../../src/cli/table.js';
import { checksOf, verdictOf } from '../../src/cli/verdict.js';
import {
  type LoadReport,
  parseLoadSteps,
  parseScript,
  runLoad,
  writeWav,
} from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { type Ran, trunkline } from '../support/command-line.js';
import { startGateway } from '../support/gateway.js';
import { freePort } from '../support/port.js';
import { ReferenceGateway } from '../support/reference-gateway.js';
import { eventually } from '../support/time.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-simulate-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string) => join(folder, name);

const ACCOUNT = { TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN };

const simulate = (args: readonly string[], options?: ShellOptions) =>
  trunkline(['simulate', ...args], ACCOUNT, options);

/** This machine may be slow; audio that is late for that reason is not dropped. */
const PATIENT = { leadMs: 10_000 };

const to = (url: string) => ['--url', `${PUBLIC_URL}/twilio/voice`, '--target', url];
/** Echoes that are late at the end of a call are not missing: those that arrived must match. */
const LATE = ['--fail-missing', '100'];
/** One call that hardly begins. */
const BRIEFLY = ['--profile', 'ramp:1@50/s,hold:100ms'];

/** A busy machine may be the limit; all other findings of a run must still hold. */
function expectPassed(result: Ran, report: Judged) {
  const said = result.stdout + result.stderr;
  expect(report.faults, said).toEqual([]);
  expect(result.code).toBe(report.verdict === 'passed' ? 0 : 1);
  expect(said).toMatch(report.verdict === 'passed' ? /^PASSED$/m : /^INVALID: the generator was the limit/m);
}

interface Judged {
  readonly verdict: string;
  readonly faults: readonly string[];
}

describe('trunkline simulate', () => {
  it('follows a profile and reports for people, machines and CI', async () => {
    const { url, gateway } = await startGateway(PATIENT);
    const result = await simulate([
      ...to(url),
      '--profile',
      // A ramp waits until all calls talk, also the one to as many as there are.
      'ramp:10@50/s, hold:300ms, churn:10/s@500ms, ramp:10@50/s, ramp:2@50/s, hold:300ms',
      ...LATE,
      ...['--line', 'jittery', '--fail-p99', '60000', '--fail-webhook', '60000', '--fail-gap', '60000'],
      ...['--json', file('r.json'), '--html', file('r.html'), '--junit', file('r.xml')],
    ]);
    const report = JSON.parse(readFileSync(file('r.json'), 'utf8'));
    expectPassed(result, report);
    expect(report).toMatchObject({ calls: 15, failed: 0, lostCalls: 0, streams: 15, heldMs: 1100 });
    expect(report.steps.map((step: { kind: string }) => step.kind)).toEqual([
      'ramp',
      'hold',
      'churn',
      'ramp',
      'ramp',
      'hold',
    ]);
    // Plain lines where there is no terminal: one a step.
    expect(result.stderr.trim().split('\n')).toEqual([
      'ramping to 10 calls at 50 a second',
      'talking for 0.3 s',
      'talking for 0.5 s, 10 calls replaced a second',
      'ramping to 10 calls at 50 a second',
      'ramping to 2 calls at 50 a second',
      'talking for 0.3 s',
      'hanging up',
    ]);
    expect(gateway.calls.size).toBe(0);

    const xml = readFileSync(file('r.xml'), 'utf8');
    expect(XMLValidator.validate(xml)).toBe(true);
    const { testsuites } = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '' }).parse(xml);
    expect(testsuites).toMatchObject({ tests: '9', failures: '0' });
    expect(testsuites.testsuite).toMatchObject({ name: `${PUBLIC_URL}/twilio/voice`, tests: '9' });
    expect(testsuites.testsuite.testcase.map((each: { name: string }) => each.name)).toEqual(
      report.checks.map((check: { name: string }) => check.name),
    );

    const html = readFileSync(file('r.html'), 'utf8');
    expect(html).toMatch(/^<!doctype html>/);
    expect([...html.matchAll(/<svg [^>]*aria-label="([^"]*)/g)].map(([, title]) => title)).toEqual([
      'Calls',
      'Round trip of a frame',
      'Round trips of all frames',
      'CPU of the generator itself',
    ]);
    // One file that makes no requests and does not contain the key.
    expect(html).not.toMatch(/<script|<link|<img|src=|url\(/);
    expect(html + xml).not.toContain(AUTH_TOKEN);
  });

  it('works against another server', async () => {
    const other = await ReferenceGateway.listen({ authToken: AUTH_TOKEN });
    const result = await simulate([
      '--url',
      other.voiceUrl,
      '--calls',
      '3',
      '--duration',
      '1',
      ...LATE,
      '--json',
    ]);
    expectPassed(result, JSON.parse(result.stdout));
    expect(other.mediaCount).toBeGreaterThan(100);
    await other.close();
  });

  it('does not change the paths of another server behind --target', async () => {
    const paths: string[] = [];
    const other = createServer((request, response) => {
      paths.push(`${request.headers.host}${request.url}`);
      response.writeHead(503).end();
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const target = `http://127.0.0.1:${port}`;
    await simulate(['--url', 'https://voice.example.com/api/calls/in', '--target', target, ...BRIEFLY]);
    expect(paths).toEqual(['voice.example.com/api/calls/in']);
    other.close();
  });

  // The program itself: util-linux's script gives it a terminal; other systems' take other flags.
  it.skipIf(process.platform !== 'linux')('draws a bar on a terminal', async () => {
    const { url } = await startGateway(PATIENT);
    const program = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));
    const command = [process.execPath, program, 'simulate', ...to(url), '--duration', '1'].join(' ');
    const env = { PATH: process.env.PATH, ...ACCOUNT };
    const screen = await new Promise<string>((resolve) => {
      const child = execFile('script', ['-qec', command, '/dev/null'], { env }, (_, stdout) =>
        resolve(stdout),
      );
      child.stdin?.end();
    });
    expect(screen).toMatch(/talking for 1 s [█░]+ \d\/1, 1 call talks/);
    expect(screen).toMatch(/PASSED|INVALID/);
  });

  it('leads its callers through a script', async () => {
    const keys: string[] = [];
    const { url, gateway } = await startGateway(PATIENT);
    gateway.on('call', (_, stream) => stream.on('dtmf', (digit) => keys.push(digit)));
    writeWav(file('word.wav'), new Int16Array(1_600).fill(8_000));
    writeFileSync(file('order.txt'), 'say word.wav # 0.2 s\nwait for silence 200ms\npress 5#\nhang up\n');
    const args = [...to(url), '--script', file('order.txt'), '--calls', '2', '--json', file('s.json')];
    const result = await simulate(args);
    const report = JSON.parse(readFileSync(file('s.json'), 'utf8'));
    expectPassed(result, report);
    expect(report.script).toEqual({ name: 'order.txt', completed: 2, failed: 0, cutShort: 0 });
    expect(result.stdout).toContain('order.txt: 2 callers came to its end, 0 could not, 0 were cut short');
    expect(keys.sort()).toEqual(['#', '#', '5', '5']);
  });

  it('fails if a script cannot be followed, and says where', async () => {
    const { url } = await startGateway(PATIENT);
    writeFileSync(file('hopeless.txt'), '\nwait for end within 200ms\n');
    const { code, stdout } = await simulate([...to(url), '--script', file('hopeless.txt')]);
    expect(code).toBe(1);
    expect(stdout).toContain(
      'FAILED: 1 callers could not follow the script, the first at hopeless.txt:2: ' +
        'Expected "wait for end within 200ms" but received a call that continues after 0.2 s',
    );
  });

  it('neither reports nor judges echo figures if no echo is expected', async () => {
    const agent = await ReferenceGateway.listen({
      authToken: AUTH_TOKEN,
      // It sends its own audio, frame for frame, so that it could be mistaken for an echo.
      onStream: (socket) =>
        socket.on('message', (data) => {
          const { event, streamSid } = JSON.parse(String(data));
          if (event !== 'media') return;
          const payload = Buffer.alloc(160, 0x55).toString('base64');
          socket.send(JSON.stringify({ event, streamSid, media: { payload } }));
        }),
    });
    try {
      const [json, html, junit] = [file('own.json'), file('own.html'), file('own.xml')];
      const files = ['--json', json, '--html', html, '--junit', junit];
      const args = ['--url', agent.voiceUrl, '--duration', '2', '--no-echo', ...files];
      const result = await simulate(args);
      const report = JSON.parse(readFileSync(json, 'utf8'));
      expectPassed(result, report);
      expect(report).toMatchObject({ echoes: false, framesReceived: expect.any(Number) });
      expect(report.framesReceived).toBeGreaterThan(50);
      const said = [result.stdout, ...[json, html, junit].map((each) => readFileSync(each, 'utf8'))];
      expect(result.stdout).toContain('no echo was expected, so round trips were not measured');
      const figures =
        /roundTrip|round trip of a frame|came ?back|missing|pauses|shortened|mouth ?to ?ear|correlation|pairing/i;
      for (const text of said) expect(text).not.toMatch(figures);
    } finally {
      await agent.close();
    }
  });

  it('rejects a limit on figures that it does not measure', async () => {
    writeFileSync(file('nothing.txt'), 'hang up\n');
    for (const bar of ['--fail-p99', '--fail-missing', '--fail-delay']) {
      for (const [why, args] of [
        ['--no-echo', ['--no-echo']],
        ['--script', ['--script', file('nothing.txt')]],
      ] as const) {
        const { code, stderr } = await simulate([
          '--url',
          'https://gateway.invalid/voice',
          bar,
          '5',
          ...args,
        ]);
        expect(stderr).toContain(`Expected an echo to measure for ${bar} but received ${why}`);
        expect(code).toBe(1);
      }
    }
  });

  it('fails if a limit is exceeded', async () => {
    const slow = await ReferenceGateway.listen({
      authToken: AUTH_TOKEN,
      // Everything is echoed, but late.
      onStream: (socket) =>
        socket.on('message', (data) => {
          const { event, streamSid, media } = JSON.parse(String(data));
          if (event !== 'media') return;
          const back = JSON.stringify({ event, streamSid, media: { payload: media.payload } });
          setTimeout(() => socket.send(back), 200);
        }),
    });
    const args = [
      '--url',
      slow.voiceUrl,
      '--profile',
      'ramp:1@50/s,hold:500ms',
      '--fail-delay',
      '100',
      '--fail-p99',
      '199',
      '--fail-missing',
      '100',
    ];
    const { code, stdout } = await simulate([...args, '--junit', file('slow.xml')]);
    await slow.close();
    expect(code).toBe(1);
    expect(stdout).toMatch(/FAILED: .*round trip of a frame: p99 \d{3,}\.\d ms, more than 199 ms/);
    // Half a second has no beginning and no end.
    expect(stdout).toContain('mouth to ear: nothing was measured');
    const { testsuites } = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '' }).parse(
      readFileSync(file('slow.xml'), 'utf8'),
    );
    const failed = testsuites.testsuite.testcase.filter((each: object) => 'failure' in each);
    expect(failed).toHaveLength(Number(testsuites.failures));
    expect(failed.map((each: { name: string }) => each.name)).toContain(
      'round trip of a frame: p99 at most 199 ms',
    );
  });

  it('does not call a run valid when it was the limit itself', async () => {
    const { url } = await startGateway(PATIENT);
    const busy = setInterval(() => {
      const end = performance.now() + 80;
      while (performance.now() < end);
    }, 90);
    const args = [...to(url), '--duration', '1', '--junit', file('busy.xml'), '--html', file('busy.html')];
    const { code, stdout } = await simulate(args).finally(() => clearInterval(busy));
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^INVALID: the generator was the limit: (it used \d+ % of a core|\d+ % of its frames left)/m,
    );
    expect(stdout).not.toContain('PASSED');
    expect(readFileSync(file('busy.xml'), 'utf8')).toMatch(
      /<testsuites name="trunkline simulate" tests="\d+" failures="\d+" errors="1"/,
    );
    expect(readFileSync(file('busy.html'), 'utf8')).toContain('Invalid: this run proves nothing');
  });

  it('hangs up when interrupted, and gives no verdict', async () => {
    const { url, gateway } = await startGateway(PATIENT);
    const signals = new EventEmitter();
    let started = 0;
    gateway.on('call', (_, stream) =>
      stream.on('start', () => {
        started += 1;
        if (started === 3) signals.emit('SIGINT');
      }),
    );
    const { code, stdout } = await simulate([...to(url), '--calls', '3', '--json'], { signals });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ calls: 3, aborted: true, verdict: 'invalid', lostCalls: 0 });
    expect(signals.eventNames()).toEqual([]);
    await eventually('no call', () => gateway.calls.size === 0);
  });

  it('keeps user, password and query of the URL out of all output', async () => {
    const port = await freePort();
    const reports = ['--json', file('c.json'), '--html', file('c.html'), '--junit', file('c.xml')];
    const { code, stdout, stderr } = await simulate([
      ...['--url', `http://bob:hunter2@127.0.0.1:${port}/twilio/voice?token=s3cret`, ...BRIEFLY],
      ...reports,
    ]);
    expect(code).toBe(1);
    const written = ['c.json', 'c.html', 'c.xml'].map((name) => readFileSync(file(name), 'utf8'));
    for (const text of written) {
      expect(text).toContain(`Expected an answer from http://127.0.0.1:${port}/twilio/voice but`);
    }
    expect([stdout, stderr, ...written].join()).not.toMatch(/bob|hunter2|s3cret/);
  });

  it('does not start if a report cannot be written', async () => {
    const { url, gateway } = await startGateway(PATIENT);
    const calls: string[] = [];
    gateway.on('call', ({ callId }) => calls.push(callId));
    writeFileSync(file('kept.json'), 'what was here');
    for (const [option, path, reason] of [
      ['--html', file('none/r.html'), 'ENOENT'],
      ['--junit', folder, 'EISDIR'],
      ['--json', file('kept.json/r.json'), 'ENOTDIR'],
      ['--record', file('kept.json'), 'EEXIST'],
    ]) {
      const others = [
        '--json',
        file('kept.json'),
        '--html',
        file('trial.html'),
        '--junit',
        file('trial.xml'),
      ];
      const { code, stdout, stderr } = await simulate([...to(url), ...others, option, path] as string[]);
      expect(code).toBe(1);
      const what = option === '--record' ? 'a folder' : 'a file';
      expect(stderr).toContain(
        `Expected ${what} that can be written for ${option} but received ${path}: ${reason}: `,
      );
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(stdout).toBe('');
    }
    expect(calls).toEqual([]);
    // What was tried is as it was.
    expect(readFileSync(file('kept.json'), 'utf8')).toBe('what was here');
    expect(existsSync(file('trial.html')) || existsSync(file('trial.xml'))).toBe(false);
  });

  it('loses neither the verdict nor other files if one can no longer be written', async () => {
    const { url, gateway } = await startGateway(PATIENT);
    mkdirSync(file('gone'));
    gateway.once('call', () => rmSync(file('gone'), { recursive: true }));
    const result = await simulate([
      ...[...to(url), ...BRIEFLY, '--record', file('gone')],
      ...['--html', file('gone/l.html'), '--junit', file('l.xml'), '--json', file('l.json')],
    ]);
    expect(result.code).toBe(1);
    expect(result.stdout).toMatch(/^(PASSED$|INVALID: |FAILED: )/m);
    expect(JSON.parse(readFileSync(file('l.json'), 'utf8'))).toMatchObject({ calls: 1 });
    expect(XMLValidator.validate(readFileSync(file('l.xml'), 'utf8'))).toBe(true);
    const mistakes = result.stderr.split('\n').filter((line) => line.startsWith('Expected'));
    expect(mistakes).toEqual([
      expect.stringContaining(
        `a folder that can be written for --record but received ${file('gone')}: ENOENT: `,
      ),
      expect.stringContaining(
        `a file that can be written for --html but received ${file('gone/l.html')}: ENOENT: `,
      ),
    ]);
  });

  it('rejects what it cannot do', async () => {
    writeFileSync(file('bad.txt'), 'sing\npress x\n');
    for (const [args, message] of [
      [['--profile', 'ramp:5'], 'Expected steps as in "ramp:200@10/s'],
      [['--profile', 'ramp:5/s', '--duration', '5'], "option '--profile <steps>' cannot be used with option"],
      [['--line', 'wet'], 'Allowed choices are clean, jittery, bursty, stalling, mobile'],
      [['--stall', '10s@5s'], 'Expected a time of 20ms to 30s and a longer one, such as 500ms@10s.'],
      [['--fail-missing', '101'], 'Expected a whole number from 0 to 100.'],
      [['--script', file('none.txt')], 'Expected a script at'],
      [['--script', file('bad.txt')], 'bad.txt:2: Expected keys 0-9, *, #, A-D and w for press'],
      [['--script', file('bad.txt'), '--audio', 'x.wav'], 'cannot be used with option'],
    ] as const) {
      const { code, stderr } = await simulate(['--url', 'https://gateway.invalid/voice', ...args]);
      expect(stderr).toContain(message);
      expect(code).toBe(1);
    }
  });
});

describe('its documentation', () => {
  const readme = readFileSync(new URL('../../docs/simulator.md', import.meta.url), 'utf8');
  const flagsIn = (text: string) => new Set(text.match(/--[a-z][a-z0-9-]+/g));

  it('names no unknown flag, and help names no undocumented one', async () => {
    const { stdout } = await simulate(['--help']);
    const [documented, known] = [flagsIn(readme), flagsIn(stdout)];
    expect([...documented].filter((flag) => !known.has(flag))).toEqual([]);
    const obvious = ['--help', '--account-sid', '--audio', '--record'];
    expect([...known].filter((flag) => !documented.has(flag) && !obvious.includes(flag))).toEqual([]);
  });

  it('has a readable script and a readable profile', () => {
    const text = /# order\.txt\n([\s\S]*?)\n```/.exec(readme)?.[1] ?? '';
    writeWav(file('order.wav'), new Int16Array(160));
    expect(parseScript(text, 'order.txt', folder).steps.map((step) => step.does)).toEqual([
      'wait for sound',
      'wait for silence',
      'say',
      'wait for sound',
      'wait for silence',
      'press',
      'hang up',
    ]);
    const profile = /--profile (ramp\S+)/.exec(readme)?.[1] ?? '';
    expect(parseLoadSteps(profile, 1)).toHaveLength(4);
  });
});

describe('a report', () => {
  let gateway: ReferenceGateway;
  afterEach(() => gateway.close());

  /** A run against a server that refuses with a text that is made to hurt. */
  async function refused(): Promise<LoadReport> {
    gateway = await ReferenceGateway.listen({
      answer: () =>
        `<Response><Redirect>/"&lt;script&gt;alert('x')&lt;/script&gt;&#27;</Redirect></Response>`,
    });
    return runLoad({ webhookUrl: gateway.voiceUrl, authToken: '12345', calls: 2, durationMs: 100 });
  }

  it('escapes what comes from a server', async () => {
    const report = await refused();
    expect(report.failed).toBe(2);
    const nasty = { ...report, firstFailure: `<script>alert("1 & '2'")</script>\u0000\u001b\ud800]]>` };
    const checks = checksOf(nasty, { echo: false, judgesGenerator: true });
    const facts = { target: 'https://x.invalid/<b>', begunAt: new Date(0), seconds: 1 };
    const html = htmlReport(nasty, checks, facts);
    expect(html).not.toMatch(/<script|<b>/);
    expect(html).toContain('&lt;script&gt;alert(&quot;1 &amp; &#39;2&#39;&quot;)&lt;/script&gt;');
    const xml = junitXml(nasty, checks, facts);
    expect(XMLValidator.validate(xml)).toBe(true);
    const parser = new XMLParser({
      ignoreAttributes: false,
      attributeNamePrefix: '',
      htmlEntities: true,
    });
    const cases = parser.parse(xml).testsuites.testsuite.testcase;
    const connected = cases.find((each: { name: string }) => each.name === 'every call was connected');
    expect(connected.failure.message).toBe(
      `2 calls failed, the first with: <script>alert("1 & '2'")</script>\ufffd\ufffd\ufffd]]>`,
    );
  });

  it('is invalid rather than failed, and says what else was wrong', async () => {
    const report = await refused();
    const generator = { ...report.generator, limits: ['it was asleep'] };
    const checks = checksOf({ ...report, generator }, { echo: true, judgesGenerator: true });
    expect(verdictOf(checks)).toBe('invalid');
    expect(checks[0]).toMatchObject({
      outcome: 'invalid',
      detail: 'the generator was the limit: it was asleep',
    });
    expect(checks.filter((check) => check.outcome === 'failed').map((check) => check.name)).toEqual([
      'every call was connected',
      'the audio came back',
    ]);
    const missing = { ...report, framesSent: 100, framesMissing: 1 };
    const failed = (missingPercent?: number) =>
      checksOf(missing, { echo: true, missingPercent }).some(
        ({ detail }) => detail === '1 frames are missing',
      );
    expect([failed(), failed(1)]).toEqual([true, false]);
    const shorter = { ...report, framesSent: 100, pausesLeftOut: 30, wordsShortenedMs: 60 };
    expect(checksOf(shorter, { echo: true }).find(({ name }) => name === 'no frame was missing')).toEqual({
      name: 'no frame was missing',
      outcome: 'passed',
      detail: '0 of 100 frames are missing, besides 30 of silence and 60 ms by which words were shortened',
    });
    const judged = checksOf({ ...report, generator }, { echo: false });
    expect(verdictOf(judged)).toBe('failed');
    const aborted = checksOf({ ...report, aborted: true }, { echo: false, judgesGenerator: true });
    expect(aborted.find((check) => check.name === 'the run was complete')?.outcome).toBe('invalid');
    // No stream came up: a limit on round trips shows nothing.
    expect(report.roundTrip.count).toBe(0);
    expect(checksOf(report, { echo: false, roundTripMs: 1_000 }).at(-1)).toMatchObject({
      outcome: 'failed',
      detail: 'round trip of a frame: nothing was measured',
    });
  });

  it('fails if delay remains, apart from delay of the generator', async () => {
    const report = await refused();
    const samples = [40, 540, 1_040].map((delayMs, seconds) => ({ seconds, delayMs }));
    const delay = {
      tracks: [{ samples, stalls: [] }],
      beginMs: 40,
      endMs: 141,
      stalls: 0,
      afterStallMs: undefined,
    };
    const lateness = { ...report.generator.lateness, maxMs: 0 };
    const judged = (changes: Partial<typeof delay> | undefined, grownMs?: number, maxMs = 0) => {
      const run = {
        ...report,
        delay: changes && { ...delay, ...changes },
        generator: { ...report.generator, lateness: { ...lateness, maxMs } },
      };
      const checks = checksOf(run, { echo: true, grownMs });
      return checks.find(({ name }) => name.startsWith('mouth to ear'));
    };
    expect(judged({})).toEqual({
      name: 'mouth to ear: at most 60 ms longer at the end and 3 s after a stall',
      outcome: 'failed',
      detail: 'mouth to ear does not come back: 40 ms at the beginning, 141 at the end',
    });
    expect(judged({ endMs: 100 })).toMatchObject({
      outcome: 'passed',
      detail: '40 ms at the beginning, 100 at the end',
    });
    expect(judged({}, 101)?.outcome).toBe('passed');
    expect(judged({}, 100, 1)?.outcome).toBe('passed');
    expect(judged({ endMs: 30 }, 0)?.outcome).toBe('passed');
    expect(judged({ endMs: 40, stalls: 2, afterStallMs: 480 } as object)).toMatchObject({
      outcome: 'failed',
      detail: expect.stringContaining('40 at the end, 480 more 3 s after the worst of 2 stalls'),
    });
    // What was not measured is no fault, unless it was asked for.
    expect(judged(undefined)).toBeUndefined();
    expect(judged(undefined, 100)).toMatchObject({
      outcome: 'failed',
      detail: 'mouth to ear: nothing was measured',
    });
    const facts = { target: 'https://x.invalid/', begunAt: new Date(0), seconds: 1 };
    const html = htmlReport({ ...report, delay }, [], facts);
    expect(html).toContain('aria-label="Mouth to ear"');
    expect(html.match(/<svg /g)).toHaveLength(4);
    expect(junitXml({ ...report, delay }, [], facts)).toContain('name="mouthToEarEndMs" value="141"');
    expect(loadTable({ ...report, delay })).toContain(
      'mouth to ear: 40.0 ms at the beginning, 141.0 at the end',
    );
  });

  it('plots nothing, one value and many, without NaN', async () => {
    gateway = await ReferenceGateway.listen();
    for (const points of [
      [],
      [[1, 0]],
      [
        [0.25, 3],
        [2, 1e6],
      ],
      [[1, 0.0004]],
    ] as [number, number][][]) {
      const svg = linePlot('A & B', 'ms', [{ name: '<p99>', points }]);
      expect(svg).not.toMatch(/NaN|Infinity/);
      expect(svg).toContain('aria-label="A &amp; B"');
      expect(svg).toContain('&lt;p99&gt;');
      expect(XMLValidator.validate(svg)).toBe(true);
    }
  });
});
