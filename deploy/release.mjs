/**
 * `npm run release -- VERSION`: makes a release of what is committed, and publishes nothing.
 *
 * Checks (lint, tests), sets the version (package.json, lock file, chart), dates the changelog, packs the tarball, writes its
 * SBOM and checksums, commits and tags. `--skip-checks` leaves out lint and tests, which then ran elsewhere.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const run = (command, ...args) => execFileSync(command, args, { stdio: 'inherit' });
const output = (command, ...args) =>
  execFileSync(command, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }).trim();

function fail(message) {
  console.error(message);
  process.exit(1);
}

/**
 * What is installed with the package. `npm sbom --omit=dev` loses whatever a dev dependency needs as well, so it is asked
 * about a manifest and a lock file that have none.
 */
function sbom() {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  delete manifest.devDependencies;
  delete lock.packages[''].devDependencies;
  lock.packages = Object.fromEntries(Object.entries(lock.packages).filter(([, { dev }]) => !dev));
  const bare = mkdtempSync(join(tmpdir(), 'sbom-'));
  try {
    writeFileSync(join(bare, 'package.json'), JSON.stringify(manifest));
    writeFileSync(join(bare, 'package-lock.json'), JSON.stringify(lock));
    const format = ['--sbom-format=cyclonedx', '--sbom-type=library', '--package-lock-only'];
    return output('npm', 'sbom', `--prefix=${bare}`, ...format);
  } finally {
    rmSync(bare, { recursive: true });
  }
}

const {
  values,
  positionals: [version],
} = parseArgs({ allowPositionals: true, options: { 'skip-checks': { type: 'boolean', default: false } } });
const { version: current } = JSON.parse(readFileSync('package.json', 'utf8'));
const numbers = (text) => text.split('.').map(Number);
const isNewer = (a, b) => {
  const at = numbers(a).findIndex((number, i) => number !== numbers(b)[i]);
  return at >= 0 && numbers(a)[at] > numbers(b)[at];
};

if (!/^\d+\.\d+\.\d+$/.test(version ?? '') || !isNewer(version, current)) {
  fail(`Expected a version above ${current} but received ${version ?? 'none'}`);
}
if (output('git', 'status', '--porcelain') !== '') fail('The checkout has changes that are not committed');
if (output('git', 'tag', '--list', `v${version}`) !== '') fail(`The tag v${version} exists already`);
const changelog = readFileSync('CHANGELOG.md', 'utf8');
const [, news = ''] = /^## Unreleased\n([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(changelog) ?? [];
if (news.trim() === '') fail('CHANGELOG.md has nothing under "## Unreleased"');

if (!values['skip-checks']) {
  run('npm', 'run', 'lint');
  run('npm', 'test');
  run('npm', 'run', 'test:shipped');
}

run('npm', 'version', version, '--no-git-tag-version', '--ignore-scripts');
const chart = 'deploy/helm/trunkline/Chart.yaml';
writeFileSync(
  chart,
  readFileSync(chart, 'utf8').replace(/^(version|appVersion): .*$/gm, (_, name) => `${name}: ${version}`),
);
const date = new Date().toISOString().slice(0, 10);
writeFileSync(
  'CHANGELOG.md',
  changelog.replace('## Unreleased\n', `## Unreleased\n\n## ${version} (${date})\n`),
);

const folder = join('release', version);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
// No file of an earlier layout may come along.
rmSync('dist', { recursive: true, force: true });
run('npm', 'pack', '--pack-destination', folder);
const files = [`trunkline-${version}.tgz`, `trunkline-${version}.sbom.json`];
writeFileSync(join(folder, files[1]), sbom());
const sums = files.map((file) => {
  const hash = createHash('sha256').update(readFileSync(join(folder, file)));
  return `${hash.digest('hex')}  ${file}\n`;
});
writeFileSync(join(folder, 'SHA256SUMS'), sums.join(''));

run(
  'git',
  'commit',
  '-qm',
  `Release ${version}`,
  '--',
  'package.json',
  'package-lock.json',
  'CHANGELOG.md',
  chart,
);
run('git', 'tag', '-a', `v${version}`, '-m', `Release ${version}`);
console.log(`
${folder} holds the tarball, its SBOM and SHA256SUMS. To publish:

  git push --follow-tags
  npm publish ${join(folder, files[0])}
`);
