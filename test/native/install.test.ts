import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { expectHeard } from '../support/demo.js';
import { needs } from '../support/needs.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let copy: string;
beforeAll(() => {
  // A separate package folder: the build of the checkout must not be touched.
  copy = mkdtempSync(join(tmpdir(), 'trunkline-install-'));
  for (const name of ['native', 'dist', 'src/simulator/fixtures', 'binding.gyp', 'package.json']) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  // A copy and no link: the folder of the running Node is searched for compilers too, and here is nothing else.
  mkdirSync(join(copy, 'bin'));
  copyFileSync(process.execPath, join(copy, 'bin', 'node'));
});
afterAll(() => rmSync(copy, { recursive: true }));

function run(args: string[], path: string, more: Record<string, string> = {}) {
  return new Promise<{ code: number; output: string; stdout: string }>((resolve) => {
    // The headers of the real Node, if it has any: the copy has none.
    const prefix = dirname(dirname(process.execPath));
    const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h'))
      ? { npm_config_nodedir: prefix }
      : {};
    const env = { PATH: path, HOME: process.env.HOME, ...headers, ...more };
    execFile(join(copy, 'bin', 'node'), args, { cwd: copy, env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), output: stdout + stderr, stdout }),
    );
  });
}

it('installs without a compiler and says so; audio runs on WebAssembly', async () => {
  const { code, output } = await run([join('native', 'install.mjs')], join(copy, 'bin'));
  expect(code, output).toBe(0);
  expect(output).toContain('the native core was not compiled');
  expect(output).toContain('apt-get install -y g++ make python3');
  expect(existsSync(join(copy, 'build', 'Release', 'trunkline.node'))).toBe(false);

  const help = await run(['dist/cli/trunkline.js', 'serve', '--help'], join(copy, 'bin'));
  expect(help).toMatchObject({ code: 0, output: expect.stringContaining('Usage: trunkline serve') });

  const version = await run(['dist/cli/trunkline.js', '--version'], join(copy, 'bin'));
  const libc = process.platform === 'linux' ? ' glibc' : '';
  expect(version.output).toContain(
    `wasm core, simd128: native/wasm/trunkline-simd.wasm; no native core for ${process.platform}-${process.arch}${libc}\n`,
  );
  const demo = await run(['dist/cli/trunkline.js', 'demo', '--seconds', '1', '--json'], join(copy, 'bin'));
  expectHeard(demo.stdout);

  const native = await run(['dist/cli/trunkline.js', 'demo'], join(copy, 'bin'), { TRANSCODER: 'native' });
  expect(native.code).not.toBe(0);
  for (const text of ['1. Tried:', 'no native core for', `Node ${process.version}`, 'npm run prepare']) {
    expect(native.output).toContain(text);
  }
});

const canCompile = needs('a compiler, make and Python', 'apt-get install g++ make python3', () =>
  ['g++', 'make', 'python3'].every((program) => spawnSync(program, ['--version']).status === 0),
);

it.runIf(canCompile)('with a compiler it builds the core that then runs', async () => {
  const path = process.env.PATH ?? '';
  const { code, output } = await run([join('native', 'install.mjs')], path);
  expect(code, output).toBe(0);
  expect(output).toMatch(/native core compiled in/);
  const { output: version } = await run(
    ['-e', "console.log(require('./build/Release/trunkline.node').liveTranscoders())"],
    path,
  );
  expect(version.trim()).toBe('0');
});
