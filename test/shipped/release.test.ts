import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prebuilds } from '../support/package.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'release-'));
const checkout = join(folder, 'checkout');
afterAll(() => rmSync(folder, { recursive: true }));

const git = (...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', ...args], {
    cwd: checkout,
    encoding: 'utf8',
  });
const read = (file: string) => readFileSync(join(checkout, file), 'utf8');

function release(version: string) {
  const name = { GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@example.com' };
  const committer = { GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@example.com' };
  return spawnSync(process.execPath, ['deploy/release.mjs', version, '--skip-checks'], {
    cwd: checkout,
    encoding: 'utf8',
    env: { ...process.env, ...name, ...committer },
  });
}

beforeAll(() => {
  execFileSync('git', ['clone', '-q', '--depth=1', `file://${ROOT}`, checkout]);
  // What is tried is what stands here, committed or not.
  for (const file of [
    'deploy/release.mjs',
    'package.json',
    'package-lock.json',
    'CHANGELOG.md',
    '.gitignore',
  ])
    cpSync(join(ROOT, file), join(checkout, file));
  // The cores are compiled once, by another test: see test/native for their build.
  const manifest = JSON.parse(read('package.json'));
  manifest.scripts.prepare = manifest.scripts['prebuild:addon'] = 'true';
  writeFileSync(join(checkout, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  appendFileSync(join(checkout, '.gitignore'), 'node_modules\n');
  const log = read('CHANGELOG.md').replace('## Unreleased\n', '## Unreleased\n\n- A new thing.\n');
  writeFileSync(join(checkout, 'CHANGELOG.md'), log);
  git('add', '-A');
  git('commit', '-qm', 'as it is here');
  cpSync(prebuilds(), join(checkout, 'prebuilds'), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
});

describe('npm run release', () => {
  it.each(['0.0.1', '1.2', 'next'])('rejects version %s and changes nothing', (version) => {
    const { status, stderr } = release(version);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^Expected a version above \d+\.\d+\.\d+ but received /);
    expect(git('status', '--porcelain')).toBe('');
  });

  it('rejects a checkout with uncommitted changes', () => {
    appendFileSync(join(checkout, 'LICENSE'), '\n');
    const { status, stderr } = release('90.1.0');
    git('checkout', '-q', 'LICENSE');
    expect([status, stderr]).toEqual([1, 'The checkout has changes that are not committed\n']);
  });

  it('sets the version, dates the changelog, packs, and commits and tags it', () => {
    const { status, stderr } = release('90.1.0');
    expect(status, stderr).toBe(0);
    expect(JSON.parse(read('package.json')).version).toBe('90.1.0');
    expect(JSON.parse(read('package-lock.json')).version).toBe('90.1.0');
    expect(read('deploy/helm/trunkline/Chart.yaml')).toMatch(/^version: 90\.1\.0\nappVersion: 90\.1\.0$/m);
    expect(read('CHANGELOG.md')).toMatch(
      /## Unreleased\n\n## 90\.1\.0 \(\d{4}-\d\d-\d\d\)\n\n- A new thing\.\n/,
    );
    expect(git('status', '--porcelain')).toBe('');
    expect(git('tag', '--points-at', 'HEAD')).toBe('v90.1.0\n');
    const files = 'release/90.1.0';
    const sums = read(`${files}/SHA256SUMS`).trim().split('\n');
    expect(sums.map((line) => line.split('  ')[1])).toEqual([
      'trunkline-90.1.0.tgz',
      'trunkline-90.1.0.sbom.json',
    ]);
    for (const line of sums) {
      const [sum, file] = line.split('  ') as [string, string];
      expect(
        createHash('sha256')
          .update(readFileSync(join(checkout, files, file)))
          .digest('hex'),
      ).toBe(sum);
    }
    const packed = execFileSync('tar', ['-tzf', join(checkout, files, 'trunkline-90.1.0.tgz')], {
      encoding: 'utf8',
    });
    for (const file of [
      'dist/index.js',
      'dist/cli/trunkline.js',
      'prebuilds/linux-x64/trunkline.glibc.node',
      'README.md',
    ])
      expect(packed.split('\n')).toContain(`package/${file}`);
  });

  it('lists in the SBOM what is installed with it, without development dependencies', () => {
    const { dependencies, optionalDependencies, devDependencies } = JSON.parse(read('package.json'));
    const { components } = JSON.parse(read('release/90.1.0/trunkline-90.1.0.sbom.json')) as {
      components: { group?: string; name: string; version: string; purl: string }[];
    };
    const purls = components.map(({ purl }) => decodeURIComponent(purl));
    for (const [name, version] of Object.entries({ ...dependencies, ...optionalDependencies })) {
      const [, alias = `${name}@${version}`] = /^npm:(.*)$/.exec(String(version)) ?? [];
      expect(purls).toContain(`pkg:npm/${alias}`);
    }
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { dev?: true }>;
    };
    // Some of them are also runtime dependencies.
    const forWork = Object.keys(devDependencies).filter((name) => packages[`node_modules/${name}`]?.dev);
    expect(forWork.length).toBeGreaterThan(20);
    for (const name of forWork) expect(purls).not.toContain(`pkg:npm/${name}@${devDependencies[name]}`);
  });
});
