import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getLibFiles, ts } from '@ts-morph/common';
import { afterAll, expect, it } from 'vitest';
import { InstalledProject, manifest, ROOT } from '../support/installed.js';

/** Nothing that is optional, and nothing that has its types elsewhere. */
const project = new InstalledProject(
  (name) => !(name in manifest.optionalDependencies) && !['uWebSockets.js', 'ws', 'undici'].includes(name),
  ['@types/node', 'undici-types'],
);
afterAll(() => project.remove());

/** What a file exports by name. */
function exportsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8').replace(/\/\*.*?\*\//gs, '');
  return [...text.matchAll(/export (?:type )?\{([^}]*)\} from/g)].flatMap(([, names = '']) =>
    names
      .split(',')
      .map((name) =>
        name
          .trim()
          .replace(/^type /, '')
          .replace(/^.* as /, ''),
      )
      .filter((name) => name !== ''),
  );
}

const entries = [
  ['trunkline', exportsOf('dist/index.d.ts')],
  ['trunkline/simulator', exportsOf('dist/simulator/index.d.ts')],
] as const;

const files = [
  ...entries.map(([from, names], i) =>
    project.write(`all-${i}.ts`, `export { ${names.join(', ')} } from '${from}';`),
  ),
  project.write(
    'used.ts',
    `import { createGateway, createTranscoder, fromWs, type StreamCall, TwilioMediaStream, type WsSocket } from 'trunkline';
import { SimulatedTwilio } from 'trunkline/simulator';
export const made = [createGateway(), createTranscoder(), new TwilioMediaStream(), new SimulatedTwilio({ authToken: 'a' })];
export const stream = (socket: WsSocket) => fromWs(socket, { leadMs: 80 });
export const call: StreamCall = { cid: 'default:a' };
// @ts-expect-error a port is a number
createGateway({ port: '3000' });
`,
  ),
];

const options = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true,
  target: 'ES2022',
  module: 'NodeNext',
  moduleResolution: 'NodeNext',
  types: ['node'],
};

it('has something to compile', () => {
  for (const [, names] of entries) expect(names.length).toBeGreaterThan(20);
  expect(entries[0][1]).toContain('GatewayOptions');
});

it("every export compiles in a strict project that checks libraries, with today's compiler", () => {
  const config = project.write('tsconfig.json', JSON.stringify({ compilerOptions: options, files }));
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { stdout, status } = spawnSync(process.execPath, [compiler, '-p', config], { encoding: 'utf8' });
  expect([stdout, status]).toEqual(['', 0]);
});

it('and with TypeScript 5', () => {
  expect(ts.version).toMatch(/^5\./);
  for (const { fileName, text } of getLibFiles()) project.write(`lib/${fileName}`, text);
  const parsed = ts.convertCompilerOptionsFromJson(options, project.path);
  expect(parsed.errors).toEqual([]);
  const host = ts.createCompilerHost(parsed.options);
  host.getDefaultLibLocation = () => join(project.path, 'lib');
  host.getDefaultLibFileName = (given) => join(project.path, 'lib', ts.getDefaultLibFileName(given));
  host.getCurrentDirectory = () => project.path;
  const program = ts.createProgram(files, parsed.options, host);
  const found = ts.getPreEmitDiagnostics(program);
  expect(ts.formatDiagnostics(found, host)).toBe('');
});
