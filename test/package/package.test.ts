import { execFile, execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

it('the package holds what a user needs to build and run it, and nothing of ours', () => {
  const listed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const [{ files }] = JSON.parse(listed) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const needed of [
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    'binding.gyp',
    'native/addon.cc',
    'native/coefficients.h',
    'native/compile.mjs',
    'native/install.mjs',
    'native/kernels/avx2.cc',
    'native/kernels/simd.h',
    'native/wasm/trunkline-simd.wasm',
    'native/wasm/trunkline.wasm',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/bridge/stream/media-worker.js',
    'dist/cli/trunkline.js',
    'dist/simulator/index.js',
    'src/dashboard/README.md',
    'src/dashboard/page/index.html',
    'src/events/README.md',
    'src/router/README.md',
    'src/bridge/local/README.md',
    'src/ERRORS.md',
    'src/bridge/local/examples/agent.py',
    'src/simulator/fixtures/speech.wav',
  ]) {
    expect(paths).toContain(needed);
  }
  const roots = ['CHANGELOG.md', 'LICENSE', 'README.md', 'binding.gyp', 'package.json'];
  const folders = ['dist', 'native', 'prebuilds', 'src'];
  const stray = paths.filter(
    (path) =>
      !(roots.includes(path) || folders.includes(path.split('/')[0] as string)) ||
      /tsbuildinfo|clang-format|^native\/filter|^native\/wasm\/.*\.(cc|mjs)$|^src\/(?!simulator\/fixtures|dashboard\/page|bridge\/local\/examples|(?:bridge\/stream|bridge\/local|dashboard|router|events|simulator|server\/control)\/README|ERRORS\.md$)/.test(
        path,
      ),
  );
  expect(stray).toEqual([]);
});

describe('packed with a prebuilt addon and installed into an empty project', () => {
  let work: string;
  let project: string;
  let said: string;

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'trunkline-package-'));
    // A package folder of its own: the checkout must not get prebuilds.
    const folder = join(work, 'package');
    mkdirSync(join(folder, 'src/simulator'), { recursive: true });
    for (const name of [
      'native',
      'dist',
      'binding.gyp',
      'package.json',
      'README.md',
      'CHANGELOG.md',
      'LICENSE',
    ]) {
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    }
    for (const files of ['src/simulator/fixtures', 'src/dashboard/page']) {
      cpSync(join(ROOT, files), join(folder, files), { recursive: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    await run(process.execPath, ['native/prebuild.mjs'], { cwd: folder });
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', work], { cwd: folder });
    const tarball = readdirSync(work).find((name) => name.endsWith('.tgz')) as string;
    project = join(work, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{"name":"empty","version":"1.0.0"}');
    const install = ['install', join(work, tarball), '--no-audit', '--no-fund', '--foreground-scripts'];
    const { stdout, stderr } = await run('npm', install, { cwd: project, maxBuffer: 2 ** 26 });
    said = stdout + stderr;
  }, 300_000);
  afterAll(() => rmSync(work, { recursive: true }));

  const trunkline = (args: string[], env: Record<string, string> = {}) =>
    run(process.execPath, [join(project, 'node_modules/.bin/trunkline'), ...args], {
      cwd: project,
      env: { ...process.env, TRANSCODER: '', ...env },
      timeout: 60_000,
    });

  it('compiles nothing', () => {
    expect(said).toContain(`the prebuilt native core for ${process.platform}-${process.arch} fits`);
    const installed = join(project, 'node_modules/trunkline');
    expect(existsSync(join(installed, 'build'))).toBe(false);
    expect(readdirSync(join(installed, `prebuilds/${process.platform}-${process.arch}`))).toHaveLength(1);
  });

  it('runs on it', { timeout: 60_000 }, async () => {
    const { stdout } = await trunkline(['--version']);
    expect(stdout).toContain(`: prebuilds/${process.platform}-${process.arch}/trunkline`);
    expect((await trunkline(['demo', '--seconds', '3'])).stdout).toContain('The speech came back whole.');
  });

  it('runs on WebAssembly without it', { timeout: 60_000 }, async () => {
    rmSync(join(project, 'node_modules/trunkline/prebuilds'), { recursive: true });
    expect((await trunkline(['--version'])).stdout).toMatch(
      /wasm core, simd128: native\/wasm\/trunkline-simd\.wasm; not build/,
    );
    expect((await trunkline(['demo', '--seconds', '3'])).stdout).toContain('The speech came back whole.');
  });
});
