import { execFile, spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { needs } from '../support/needs.js';
import { ROOT } from './toolchain.js';

let copy: string;
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'trunkline-rtc-install-'));
  for (const name of ['native', 'dist', 'binding.gyp', 'package.json']) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
});
afterAll(() => rmSync(copy, { recursive: true }));

const canCompile = needs('a compiler, make and Python', 'apt-get install g++ make python3', () =>
  ['g++', 'make', 'python3'].every((program) => spawnSync(program, ['--version']).status === 0),
);

const run = (...args: string[]) => promisify(execFile)(process.execPath, args, { cwd: copy });
const LOAD = `import('./dist/rtc/native.js').then(({ loadRtcNative }) => loadRtcNative().makeCertificate().fingerprint)`;

it.runIf(canCompile)(
  'where native/rtc does not compile, the core does, and the notice says what is missing',
  async () => {
    appendFileSync(join(copy, 'native/rtc/srtp.cc'), '\n#error "a header is missing"\n');
    const { stdout } = await run('native/install.mjs');
    expect(stdout).toMatch(/native core compiled in/);
    expect(stdout).toContain('the native WebRTC leg was not compiled: the compiler reported an error.');
    expect(stdout).toContain('The lean leg to Stream is not available.');
    expect(stdout).toContain('a header is missing');
    expect(existsSync(join(copy, 'build/Release/trunkline_rtc.node'))).toBe(false);
    const core = await run('-p', "require('./build/Release/trunkline.node').liveTranscoders()");
    expect(core.stdout.trim()).toBe('0');
    const { stdout: missing } = await run('-e', `${LOAD}.catch((error) => console.log(error.message))`);
    expect(missing).toContain('The native WebRTC leg cannot be had: there is none for');
    expect(missing).toContain('npm run prepare');
  },
);

it.runIf(canCompile)('where it compiles, it loads, and a file that is no addon is told', async () => {
  cpSync(join(ROOT, 'native/rtc'), join(copy, 'native/rtc'), { recursive: true });
  const { stdout } = await run('native/install.mjs');
  expect(stdout).not.toContain('not compiled');
  const { stdout: fingerprint } = await run('-e', `${LOAD}.then(console.log)`);
  expect(fingerprint).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}\n$/);
  cpSync(join(copy, 'package.json'), join(copy, 'build/Release/trunkline_rtc.node'));
  const { stdout: wrong } = await run('-e', `${LOAD}.catch((error) => console.log(error.message))`);
  expect(wrong).toMatch(
    /cannot be had: .*trunkline_rtc\.node: .*(invalid ELF header|not a mach-o file|too short)/,
  );
});
