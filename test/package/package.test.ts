import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

it('the package contains what a user needs to run it, and nothing else', () => {
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
    'docs/third-party-licences.md',
    'docs/library.md',
    'docs/config-file.md',
    'docs/examples/library-express.ts',
    'native/wasm/trunkline-simd.wasm',
    'native/wasm/trunkline.wasm',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/bridge/stream/media-worker.js',
    'dist/cli/trunkline.js',
    'dist/simulator/index.js',
    'docs/dashboard.md',
    'docs/simulate-report.schema.json',
    'src/agents/examples/phone-rag/inbound.ts',
    'src/agents/examples/phone-rag/knowledge/opening-hours.md',
    'src/dashboard/page/index.html',
    'docs/events.md',
    'docs/router.md',
    'docs/agents.md',
    'docs/raw-legs.md',
    'docs/errors.md',
    'docs/examples/agent.py',
    'docs/raw-leg.schema.json',
    'src/agents/python/trunkline_agent.py',
    'src/simulator/fixtures/speech.wav',
    'src/simulator/fixtures/voice/greeting.wav',
  ]) {
    expect(paths).toContain(needed);
  }
  const roots = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'];
  const folders = ['dist', 'docs', 'native', 'prebuilds', 'src'];
  const stray = paths.filter(
    (path) =>
      !(roots.includes(path) || folders.includes(path.split('/')[0] as string)) ||
      /tsbuildinfo|^native\/(?!wasm\/[^/]+\.wasm$)|^src\/(?!agents\/(examples|python)|simulator\/fixtures|dashboard\/page)/.test(
        path,
      ),
  );
  expect(stray).toEqual([]);
});

it('nothing in it runs or compiles during installation', () => {
  const { scripts, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  expect(Object.keys(scripts).filter((name) => /^(pre|post)?install$/.test(name))).toEqual([]);
  expect(Object.keys(dependencies).filter((name) => /node-gyp|node-addon-api|prebuild/.test(name))).toEqual(
    [],
  );
});

it('the lock file has everything that npm ci needs, on other systems too', () => {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; optionalDependencies?: Record<string, string> }>;
  };
  const wanted = Object.entries(packages).flatMap(([user, { optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies).map(([name, range]) => ({ user, name, range })),
  );
  expect(wanted.length).toBeGreaterThan(20);
  const missing = wanted.filter(({ user, name, range }) => {
    const near =
      packages[`${user}/node_modules/${name}`.replace(/^\//, '')] ?? packages[`node_modules/${name}`];
    // npm resolves ranges; a version that is named must be there.
    return near === undefined || (/^\d/.test(range) && near.version !== range);
  });
  expect(missing).toEqual([]);
});
