import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SRC = join(ROOT, 'src');
/** What any room may import. */
const GROUND = ['errors.ts', 'clock.ts', 'close-reason.ts', 'telemetry'];

/** Every import from one file of `src` to another. */
const arrows = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .flatMap((from) =>
    [...readFileSync(join(SRC, from), 'utf8').matchAll(/\b(?:from|import\()\s*'(\.[^']+)\.js'/g)].map(
      ([, path]) => ({ from, to: relative(SRC, join(SRC, dirname(from), `${path}.ts`)) }),
    ),
  );
const isWithin = (file: string, room: string) => file === room || file.startsWith(`${room}/`);

const rooms = readdirSync(SRC, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

const trial = mkdtempSync(join(tmpdir(), 'arrows-'));
afterAll(() => rm(trial, { recursive: true }));

it('the linter rejects an import from above in every room, in its subfolders too, and a cycle', async () => {
  await cp(join(ROOT, 'biome.json'), join(trial, 'biome.json'));
  symlinkSync(join(ROOT, 'node_modules'), join(trial, 'node_modules'));
  // The command line is the top.
  const below = rooms.filter((room) => room !== 'cli');
  for (const folder of below.flatMap((room) => [room, `${room}/inner`])) {
    await mkdir(join(trial, 'src', folder), { recursive: true });
    const up = folder.includes('/') ? '../..' : '..';
    await writeFile(join(trial, 'src', folder, 'upward.ts'), `import { x } from '${up}/cli/x.js';\n\nx();\n`);
  }
  await mkdir(join(trial, 'src/cli'));
  await writeFile(join(trial, 'src/cli/x.ts'), `import { y } from './y.js';\n\nexport const x = () => y;\n`);
  await writeFile(join(trial, 'src/cli/y.ts'), `import { x } from './x.js';\n\nexport const y = () => x;\n`);
  const found = await new Promise<string>((resolve) => {
    const args = ['lint', '--max-diagnostics=none', '--reporter=json', '--vcs-enabled=false', 'src'];
    execFile(join(ROOT, 'node_modules/.bin/biome'), args, { cwd: trial }, (_, stdout) => resolve(stdout));
  });
  const { diagnostics } = JSON.parse(found) as {
    diagnostics: { category: string; location: { path: string | { file: string } } }[];
  };
  const of = (rule: string) =>
    diagnostics
      .filter(({ category }) => category.endsWith(rule))
      .map(({ location: { path } }) => (typeof path === 'string' ? path : path.file))
      .sort();
  expect(of('/noRestrictedImports')).toEqual(
    below.flatMap((room) => [`src/${room}/inner/upward.ts`, `src/${room}/upward.ts`]).sort(),
  );
  expect(of('/noImportCycles')).toEqual(['src/cli/x.ts', 'src/cli/y.ts']);
});

it('no room holds more than 18 % of the source', () => {
  const linesOf = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|js|css|html)$/.test(file))
      .reduce((lines, file) => lines + readFileSync(join(folder, file), 'utf8').split('\n').length, 0);
  const all = linesOf(SRC);
  expect(rooms.filter((room) => linesOf(join(SRC, room)) > 0.18 * all)).toEqual([]);
});

it.each([
  ['http/transport', []],
  ['http/transport/node', ['http/transport']],
  ['http/transport/uws', ['http/transport']],
])('src/%s imports nothing from rooms above or beside it', (room, below) => {
  const own = arrows.filter(({ from }) => isWithin(from, room));
  expect(own.length).toBeGreaterThan(3);
  const allowed = [...GROUND, room];
  const isBelow = (to: string) =>
    allowed.some((each) => isWithin(to, each)) || below.some((each) => dirname(to) === each);
  expect(own.filter(({ to }) => !isBelow(to))).toEqual([]);
});
