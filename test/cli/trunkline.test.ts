import { spawn } from 'node:child_process';
import { on, once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SETTINGS } from '../../src/settings.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { trunkline } from '../support/command-line.js';
import { HOSTILITIES, HostileReceiver } from '../support/hostile.js';
import { freePort } from '../support/port.js';
import { eventually } from '../support/time.js';

const DIST = new URL('../../dist/', import.meta.url).href;
const COMMANDS = ['serve', 'demo', 'simulate', 'call', 'doctor'];
const ACCOUNT = { TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts the program itself, as a user would. */
function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [fileURLToPath(`${DIST}cli/trunkline.js`), ...args], {
    env: { PATH: process.env.PATH, ...env },
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const exited = once(child, 'close') as Promise<[code: number | null, signal: string | null]>;
  return { child, output, exited };
}

/** Which packages, and which files and folders in `dist`, the modules are from that Node noted as run. */
function loadedBy(coverage: string): { packages: string[]; parts: string[] } {
  const [file] = readdirSync(coverage);
  const { result } = JSON.parse(readFileSync(join(coverage, file as string), 'utf8')) as {
    result: { url: string }[];
  };
  const named = (pattern: RegExp) =>
    [...new Set(result.flatMap(({ url }) => pattern.exec(url)?.[1] ?? []))].sort();
  return {
    packages: named(/\/node_modules\/((?:@[^/]+\/)?[^/]+)\//),
    parts: named(new RegExp(`^${DIST}([^/]+)`)),
  };
}

describe('trunkline', () => {
  it('explains itself without loading anything, and loads its core only for --version', async () => {
    const asked = [['--version'], ['--help'], ...COMMANDS.map((command) => [command, '--help'])];
    const runs = asked.map(async (args) => {
      const coverage = join(folder, args.join());
      const { output, exited } = start(args, { NODE_V8_COVERAGE: coverage });
      expect(await exited).toEqual([0, null]);
      return { args, ...output, ...loadedBy(coverage) };
    });
    const [version, ...help] = await Promise.all(runs);
    for (const { args, stdout, packages, parts } of help) {
      expect(stdout).toContain(['Usage: trunkline', ...args.slice(0, -1)].join(' '));
      expect(packages).toEqual(['commander']);
      // Each command loads what its own help names, such as the settings of `serve`.
      if (args[0] === '--help')
        expect(parts).toEqual(['cli', 'error-catalogue.js', 'errors.js', 'version.js']);
    }
    const { version: number } = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    );
    expect(version?.stdout).toMatch(
      /^\S+\n(native|wasm) core, \w+: (build|prebuilds|native)\/.*\n(uws|node) server: \S.*\n$/,
    );
    expect(version?.stdout.split('\n')[0]).toBe(number);
    expect(version?.packages.filter((name) => !/uws|uWebSockets/.test(name))).toEqual(['commander']);
    const parts = [
      'cli',
      'close-reason.js',
      'error-catalogue.js',
      'errors.js',
      'http',
      'media',
      'version.js',
    ];
    expect(version?.parts).toEqual(parts);
  });

  it('reports with --version what cannot be loaded, and exits with 1', async () => {
    const withoutUws = fileURLToPath(new URL('../support/without-uws.cjs', import.meta.url));
    const env = { SERVER: 'uws', NODE_OPTIONS: `--require ${JSON.stringify(withoutUws)}` };
    const { output, exited } = start(['--version'], env);
    expect(await exited).toEqual([1, null]);
    expect(output.stdout).toMatch(
      /\n(native|wasm) core, .*\nuWebSockets\.js cannot be loaded: .*SERVER=node/,
    );
  });

  it('lists every setting with its meaning, values and default in serve --help', async () => {
    const { stdout } = await trunkline(['serve', '--help']);
    const text = stdout.replace(/\s+/g, ' ');
    for (const [name, { meaning, format }] of SETTINGS) {
      expect(text).toContain(` ${name} ${meaning.replaceAll('`', '')} (${format.wanted}`);
    }
    expect(text).toContain('(40 to 10000 milliseconds; default: 120)');
  });

  it('says what is wrong, and exits with 1', async () => {
    expect(await trunkline(['nonsense'])).toMatchObject({ code: 1 });
    expect((await trunkline([])).stderr).toContain('Usage: trunkline');
    expect(await trunkline(['demo', '--calls', '0'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('from 1 to 1000'),
    });
    expect(await trunkline(['simulate', '--url', 'https://x.invalid/'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('TWILIO_AUTH_TOKEN'),
    });
    expect(
      await trunkline(['call', '--to', '+1555', '--gateway', 'http://127.0.0.1:9'], {
        CONTROL_API_KEY: 'k'.repeat(16),
      }),
    ).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('No gateway answers at http://127.0.0.1:9'),
    });
  });
});

describe('trunkline demo', () => {
  it('proves that the speech returned, for people and for machines', async () => {
    const people = await trunkline(['demo', '--seconds', '1', '--record', folder]);
    // Echoes that are late at the end of a call count as missing; those that arrived must match.
    expect(people.stdout).toMatch(/^(The speech came back whole\.|FAILED: \d+ frames are missing)$/m);
    expect(people.code).toBe(people.stdout.includes('FAILED') ? 1 : 0);
    const [recording] = readdirSync(folder).filter((name) => name.endsWith('.wav'));
    expect(readFileSync(join(folder, recording as string)).length).toBeGreaterThan(16_000);

    const machines = await trunkline(['demo', '--seconds', '1', '--calls', '10', '--json']);
    const report = JSON.parse(machines.stdout);
    const { framesMissing } = report.phones;
    expect(report.faults).toEqual(framesMissing === 0 ? [] : [`${framesMissing} frames are missing`]);
    expect(machines.code).toBe(framesMissing === 0 ? 0 : 1);
    expect(report.phones).toMatchObject({ calls: 10, streams: 10, failed: 0 });
    expect(report.gateway.traffic).toMatchObject({ droppedLead: 0, droppedBackpressure: 0 });
    expect(report.gateway.traffic.framesOut).toBeGreaterThanOrEqual(10 * 45);
    expect(report.gateway.latency.gateway.p50Us).toBeGreaterThan(0);
    expect(report.phones.proof.received.correlation).toBeGreaterThan(0.98);
  });
});

describe('trunkline serve', () => {
  it('is called by its public name, and ends on request', async () => {
    const { child, output, exited } = start(['serve'], {
      ...ACCOUNT,
      PUBLIC_URL,
      PORT: '0',
      // The machine may be slow: that must not reject calls or drop audio.
      MAX_LOOP_DELAY_MS: '0',
      MAX_CPU_PERCENT: '0',
      LEAD_MS: '10000',
    });
    try {
      let url: string | undefined;
      for await (const [line] of on(createInterface(child.stdout), 'line')) {
        url = (JSON.parse(line) as { url?: string }).url;
        if (url !== undefined) break;
      }
      const at = ['--url', `${PUBLIC_URL}/twilio/voice`, '--target', url as string];
      const lateness = ['--fail-missing', '100'];
      const args = ['simulate', ...at, ...lateness, '--profile', 'ramp:5@50/s, hold:500ms', '--json'];
      const { code, stdout } = await trunkline(args, ACCOUNT);
      const report = JSON.parse(stdout);
      expect(report).toMatchObject({ calls: 5, streams: 5, failed: 0, faults: [] });
      // Where this process was too busy the run says so, and proves nothing of the gateway.
      expect(code).toBe(report.verdict === 'passed' ? 0 : 1);

      const bad = await trunkline(args, { ...ACCOUNT, TWILIO_AUTH_TOKEN: 'another' });
      expect(bad.code).toBe(1);
      expect(bad.stderr).toContain('FAILED: 5 calls failed');
      child.kill('SIGTERM');
      expect(await exited, output.stdout).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

describe('trunkline call', () => {
  it('runs a gateway for one call, and ends with it', async () => {
    const { twilio, apiUrl } = await startWithCarrier({ callee: { does: 'busy' } });
    const port = await freePort();
    const env = {
      ...ACCOUNT,
      TWILIO_API_URL: apiUrl,
      PUBLIC_URL: `http://127.0.0.1:${port}`,
      PORT: String(port),
    };
    const { code, stdout, stderr } = await trunkline(
      ['call', '--to', '+15551234567', '--from', '+15550001111', '--json'],
      env,
    );
    expect(code, stderr).toBe(1);
    expect(stderr).toContain('the call was not answered');
    expect(JSON.parse(stdout)).toMatchObject({ callSid: expect.stringMatching(/^CA/) });
    await eventually('the call to be over', () => twilio.liveCalls === 0);
  });

  it.each(['switches protocols', 'speaks another protocol', 'hangs up', 'sends a small bomb'])(
    'says that there is no gateway where somebody %s',
    async (name) => {
      const other = await HostileReceiver.start(() => HOSTILITIES[name]);
      const url = new URL(other.url()).origin;
      const { code, stderr } = await trunkline(['call', '--to', '+15551234567', '--gateway', url], {
        CONTROL_API_KEY: 'k'.repeat(16),
      });
      expect(code).toBe(1);
      expect(stderr).toContain(`No gateway answers at ${url}`);
    },
  );

  it('asks a running gateway', async () => {
    const { url, gateway } = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 60_000 } },
      { controlApiKey: 'k'.repeat(16) },
    );
    const { code, stdout } = await trunkline(['call', '--to', '+15551234567', '--gateway', url], {
      CONTROL_API_KEY: 'k'.repeat(16),
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^calling \+15551234567: CA[0-9a-f]{32}/);
    expect(gateway.calls.listActive()).toHaveLength(1);
  });
});
