import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { InstalledProject, ROOT } from '../support/installed.js';
import { snippets } from '../support/snippets.js';

const DEVELOPMENT = [
  'express',
  'fastify',
  '@fastify/websocket',
  'ws',
  '@types/node',
  '@types/express',
  '@types/ws',
];
const project = new InstalledProject(() => false, [...DEVELOPMENT, 'pino', 'zod', 'twilio']);
afterAll(() => project.remove());

it('every piece of the pages, and all examples, compile in a strict project', () => {
  const examples = readdirSync(join(ROOT, 'docs/examples')).filter((name) => name.endsWith('.ts'));
  const pieces = [
    ...snippets('docs/library.md', 'ts'),
    ...snippets('docs/attach.md', 'ts'),
    ...examples.map((name) => readFileSync(join(ROOT, 'docs/examples', name), 'utf8')),
  ];
  expect(pieces.length).toBeGreaterThan(10);
  const files = pieces.map((code, i) => project.write(`piece-${i}.ts`, code));
  const options = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    noEmit: true,
    // Express and Fastify have mistakes of their own.
    skipLibCheck: true,
    target: 'ES2022',
    module: 'NodeNext',
    moduleResolution: 'NodeNext',
    types: ['node'],
  };
  const config = project.write('tsconfig.json', JSON.stringify({ compilerOptions: options, files }));
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { stdout, status } = spawnSync(process.execPath, [compiler, '-p', config], { encoding: 'utf8' });
  expect([stdout, status]).toEqual(['', 0]);
});

it.each(['express', 'fastify'])('docs/library.md shows the example of %s as it is run', (name) => {
  const code = readFileSync(join(ROOT, `docs/examples/library-${name}.ts`), 'utf8');
  expect(snippets('docs/library.md', 'ts')).toContain(code);
});

it('docs/library.md names every option of a signed request', () => {
  const page = readFileSync(join(ROOT, 'docs/library.md'), 'utf8');
  const source = readFileSync(join(ROOT, 'src/twilio/signed-request.ts'), 'utf8');
  const [, body = ''] = /interface SignedRequestOptions \{([\s\S]*?)\n\}/.exec(source) ?? [];
  const names = [...body.matchAll(/readonly (\w+)\?:/g)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(2);
  for (const name of names) expect(page).toContain(`| \`${name}\` |`);
});
