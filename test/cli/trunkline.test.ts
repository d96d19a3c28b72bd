import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { eventually } from '../support/time.js';

const PROGRAM = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the command line as a user would, in an environment of its own. */
function trunkline(args: string[], env: Record<string, string> = {}) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const options = { env: { PATH: process.env.PATH, ...env }, timeout: 60_000 };
    execFile(process.execPath, [PROGRAM, ...args], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('trunkline', () => {
  it('explains itself', async () => {
    for (const args of [
      ['--help'],
      ['serve', '--help'],
      ['demo', '--help'],
      ['simulate', '--help'],
      ['call', '--help'],
    ]) {
      const { code, stdout } = await trunkline(args);
      expect(code).toBe(0);
      expect(stdout).toContain('Usage: trunkline');
    }
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    const [first, core] = (await trunkline(['--version'])).stdout.split('\n');
    expect(first).toBe(version);
    expect(core).toMatch(/^(native|wasm) core, \w+: (build|prebuilds|native)\//);
  });

  it('says what is wrong, and exits with 1', async () => {
    expect(await trunkline(['nonsense'])).toMatchObject({ code: 1 });
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
      stderr: expect.stringContaining('Expected a gateway at http://127.0.0.1:9'),
    });
  });
});

describe('trunkline demo', () => {
  it('proves that the speech came back, for people and for machines', { timeout: 60_000 }, async () => {
    const people = await trunkline(['demo', '--seconds', '3', '--record', folder]);
    expect(people.stdout).toContain('The speech came back whole.');
    expect(people.code).toBe(0);
    const [recording] = readdirSync(folder).filter((name) => name.endsWith('.wav'));
    expect(readFileSync(join(folder, recording as string)).length).toBeGreaterThan(3 * 16_000);

    const machines = await trunkline(['demo', '--seconds', '2', '--calls', '10', '--json']);
    const report = JSON.parse(machines.stdout);
    expect(report.faults).toEqual([]);
    expect(report.phones).toMatchObject({ calls: 10, streams: 10, failed: 0, framesMissing: 0 });
    expect(report.gateway.traffic.framesOut).toBeGreaterThanOrEqual(10 * 90);
    expect(report.gateway.latency.gateway.p50Us).toBeGreaterThan(0);
    expect(report.phones.proof.received.correlation).toBeGreaterThan(0.98);
  });
});

describe('trunkline simulate', () => {
  it('calls a running gateway by its public name', { timeout: 60_000 }, async () => {
    const { url, gateway } = await startWithCarrier();
    const json = join(folder, 'report.json');
    const args = [
      'simulate',
      '--url',
      `${PUBLIC_URL}/twilio/voice`,
      '--target',
      url,
      '--calls',
      '5',
      '--duration',
      '2',
      '--json',
      json,
    ];
    const env = { TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN };
    const good = await trunkline(args, env);
    expect(good.code, good.stdout + good.stderr).toBe(0);
    expect(JSON.parse(readFileSync(json, 'utf8'))).toMatchObject({ calls: 5, failed: 0, faults: [] });
    expect(gateway.calls.size).toBe(0);

    const bad = await trunkline(args, { ...env, TWILIO_AUTH_TOKEN: 'another' });
    expect(bad.code).toBe(1);
    expect(bad.stdout).toContain('FAILED: 5 calls failed');
  });
});

describe('trunkline call', () => {
  it('runs a gateway for one call, and ends with it', { timeout: 60_000 }, async () => {
    const { twilio, apiUrl } = await startWithCarrier({ callee: { does: 'busy' } });
    const port = await freePort();
    const env = {
      TWILIO_ACCOUNT_SID: ACCOUNT_SID,
      TWILIO_AUTH_TOKEN: AUTH_TOKEN,
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
