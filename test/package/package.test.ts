import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';

it('the package holds what a user needs to build and run it, and nothing of ours', () => {
  const root = new URL('../..', import.meta.url);
  const listed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
  });
  const [{ files }] = JSON.parse(listed) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const needed of [
    'README.md',
    'LICENSE',
    'binding.gyp',
    'native/addon.cc',
    'native/coefficients.h',
    'native/install.mjs',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/cli/trunkline.js',
    'dist/simulator/index.js',
    'src/simulator/fixtures/speech.wav',
  ]) {
    expect(paths).toContain(needed);
  }
  expect(paths.filter((path) => /^(test|bench|build|\.ci)\/|tsbuildinfo/.test(path))).toEqual([]);
});
