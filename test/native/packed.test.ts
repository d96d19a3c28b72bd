import { execFile, spawnSync } from 'node:child_process';
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
import { expectHeard } from '../support/demo.js';
import { needs } from '../support/needs.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const isEquipped = needs(
  'a compiler, make, Python and a registry of npm packages',
  'apt-get install g++ make python3, and a network',
  () =>
    ['g++', 'make', 'python3'].every((program) => spawnSync(program, ['--version']).status === 0) &&
    spawnSync('npm', ['ping']).status === 0,
);

describe.runIf(isEquipped)('packed with a prebuilt addon and installed into an empty project', () => {
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
  }, 600_000);
  afterAll(() => rmSync(work, { recursive: true }));

  const trunkline = (args: string[], env: Record<string, string> = {}) =>
    run(process.execPath, [join(project, 'node_modules/.bin/trunkline'), ...args], {
      cwd: project,
      env: { ...process.env, TRANSCODER: '', ...env },
    });

  /** Its exit code tells how it went, too; what it reports tells more. */
  const demo = () =>
    trunkline(['demo', '--seconds', '1', '--json']).then(
      ({ stdout }) => stdout,
      ({ stdout }: { stdout: string }) => stdout,
    );

  it('compiles nothing', () => {
    expect(said).toContain(`the prebuilt native core for ${process.platform}-${process.arch} fits`);
    const installed = join(project, 'node_modules/trunkline');
    expect(existsSync(join(installed, 'build'))).toBe(false);
    expect(readdirSync(join(installed, `prebuilds/${process.platform}-${process.arch}`))).toHaveLength(1);
  });

  it('runs on it', async () => {
    const { stdout } = await trunkline(['--version']);
    expect(stdout).toContain(`: prebuilds/${process.platform}-${process.arch}/trunkline`);
    expectHeard(await demo());
  });

  it('runs on WebAssembly without it', async () => {
    rmSync(join(project, 'node_modules/trunkline/prebuilds'), { recursive: true });
    expect((await trunkline(['--version'])).stdout).toMatch(
      /wasm core, simd128: native\/wasm\/trunkline-simd\.wasm; not build/,
    );
    expectHeard(await demo());
  });
});
