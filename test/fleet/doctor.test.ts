import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Finding } from '../../src/doctor/check.js';
import { SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, sign, voiceParameters } from '../support/caller.js';
import { makeCertificate } from '../support/certificate.js';
import { trunkline } from '../support/command-line.js';
import { FleetNode } from '../support/fleet.js';
import { describeBehindProxy, startHaproxy } from '../support/reverse-proxy.js';

const HOST = 'voice.example.com';
const PUBLIC_URL = `https://${HOST}`;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-doctor-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const ACCOUNT = { TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN };

/** Runs the command with an environment. */
async function doctor(
  env: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
  { root = ROOT, input = '' } = {},
) {
  const program = join(root, 'dist/cli/trunkline.js');
  const child = spawn(process.execPath, [program, 'doctor', '--json', ...flags], {
    env: { PATH: process.env.PATH, ...env },
  });
  child.stdin.end(input);
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const { ok, findings } = JSON.parse(output || '{}') as { ok?: boolean; findings?: Finding[] };
  const of = (name: string) => findings?.find(({ check }) => check === name);
  return { code, ok, findings, of, output, errors };
}

describeBehindProxy('the command', () => {
  it('finds no mistakes in a correct installation, finds them at another URL, and reveals no secret', async () => {
    const numbers = [{ phoneNumber: '+15550001111', voiceUrl: `${PUBLIC_URL}/twilio/voice` }];
    const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, numbers });
    try {
      const env = { ...ACCOUNT, TWILIO_API_URL: await twilio.listen(), PUBLIC_URL };
      const node = await FleetNode.start(env);
      const { cert, pem } = makeCertificate(HOST);
      const port = await startHaproxy({ to: node.address, pem });
      const here = { ...env, PORT: new URL(node.url).port };
      const flags = ['--connect', `127.0.0.1:${port}`, '--ca', cert];
      const { code, ok, findings, output } = await doctor(here, flags);
      expect(findings?.filter(({ mark }) => mark === 'fail')).toEqual([]);
      expect([code, ok]).toEqual([0, true]);
      expect(findings?.filter(({ mark }) => mark === 'ok').map(({ check }) => check)).toEqual(
        expect.arrayContaining(['gateway', 'proxy', 'webhook', 'media socket', 'phone numbers']),
      );
      expect(output).not.toContain(AUTH_TOKEN);
      expect(output).not.toContain('+15550001111');

      const elsewhere = await trunkline(['doctor', ...flags, '--url', `${PUBLIC_URL}/phones`], here);
      expect(elsewhere).toMatchObject({
        code: 1,
        stdout: expect.stringContaining(`set PUBLIC_URL=${PUBLIC_URL}/phones`),
      });
    } finally {
      await twilio.close();
    }
  });
});

it('reports a missing native core, and a missing WebAssembly core', async () => {
  const copy = join(folder, 'copy');
  for (const part of ['dist', 'native/wasm', 'package.json']) {
    cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const env = { TWILIO_VALIDATE: 'off', PORT: '0' };
  const slower = await doctor(env, [], { root: copy });
  expect(slower.of('native core')).toMatchObject({
    mark: 'warn',
    set: expect.stringContaining('npm run prepare'),
  });
  const none = await doctor({ ...env, TRANSCODER: 'native' }, [], { root: copy });
  expect(none.of('native core')).toMatchObject({
    mark: 'fail',
    says: expect.stringContaining('No core loads'),
  });
  expect([none.code, none.ok]).toEqual([1, false]);
});

it('reads a captured request from a file or standard input, and rejects anything else in one line', async () => {
  const env = { ...ACCOUNT, PUBLIC_URL };
  const parameters = voiceParameters();
  const request = [
    'POST /twilio/voice HTTP/1.1',
    'Host: localhost:3000',
    'Content-Type: application/x-www-form-urlencoded',
    `X-Twilio-Signature: ${sign(`${PUBLIC_URL}/twilio/voice`, parameters)}`,
    '',
    new URLSearchParams(parameters).toString(),
  ].join('\r\n');
  const file = join(folder, 'request.txt');
  writeFileSync(file, request);
  const read = await doctor(env, ['--request', file]);
  expect(read.findings?.at(-1)).toMatchObject({ mark: 'ok', says: 'The gateway accepts it' });
  expect(read.code).toBe(0);
  const piped = await doctor(env, ['--request', '-'], { input: request });
  expect([piped.code, piped.output]).toEqual([0, read.output]);
  const none = await doctor(env, ['--request', '-'], { input: 'hello' });
  expect([none.code, none.output]).toEqual([1, '']);
  expect(none.errors).toMatch(/^[^\n]*Expected a raw HTTP request[^\n]*\n$/);
});
