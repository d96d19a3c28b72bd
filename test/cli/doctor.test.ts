import { expect, it } from 'vitest';
import { trunkline } from '../support/command-line.js';

const doctor = (args: readonly string[], env: Record<string, string> = {}) =>
  trunkline(['doctor', ...args], env);

it('explains itself', async () => {
  const { code, stdout } = await doctor(['--help']);
  expect(code).toBe(0);
  for (const flag of ['--url', '--connect', '--ca', '--request', '--json']) expect(stdout).toContain(flag);
});

it('lists its findings with marks, the settings to change, and a total', async () => {
  const { code, stdout } = await doctor([], {
    TWILIO_VALIDATE: 'off',
    PORT: '0',
    PUBLIC_URL: 'voice.example.com',
  });
  expect(code).toBe(1);
  expect(stdout).toMatch(
    /^✗ environment +Expected an https URL .*\n +set PUBLIC_URL=https:\/\/voice\.example\.com$/m,
  );
  expect(stdout).toMatch(/^✓ native core +Audio runs on the /m);
  expect(stdout).toMatch(/^- Redis +REDIS_URL is not set/m);
  expect(stdout).toMatch(/^\d+ mistakes?, \d+ warnings?\.$/m);
});

it.each([
  [['--url', 'voice.example.com'], 'Expected an http(s) URL.'],
  [['--connect', 'voice.example.com'], 'Expected host:port.'],
  [['--connect', 'a:70000'], 'Expected host:port.'],
  [
    ['--ca', '/nowhere.pem'],
    'Expected a file that can be read for --ca but received /nowhere.pem: ENOENT: no such file or directory\n',
  ],
  [
    ['--request', '/nowhere.txt'],
    'Expected a file that can be read for --request but received /nowhere.txt: ENOENT: no such file or directory\n',
  ],
  [['--request', '/'], 'Expected a file that can be read for --request but received /: EISDIR: '],
])('rejects %j in one line', async (args, text) => {
  const { code, stdout, stderr } = await doctor(args);
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toContain(text);
  expect(stderr).not.toContain('    at ');
});
