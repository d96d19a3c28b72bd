import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { afterAll, expect, it } from 'vitest';
import { pack } from '../support/package.js';

const folder = mkdtempSync(join(tmpdir(), 'publish-'));
const tarball = readFileSync(pack(folder));
afterAll(() => rmSync(folder, { recursive: true }));

it('publint finds nothing wrong with the package', async () => {
  const bytes = tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.byteLength);
  const { messages } = await publint({ pack: { tarball: bytes as ArrayBuffer }, strict: true });
  expect(messages).toEqual([]);
});

it('its types resolve as the modules do, in Node and in bundlers', async () => {
  const checked = await checkPackage(createPackageFromTarballData(tarball));
  if (checked.types === false) throw new Error('the package has no types');
  const problems = checked.problems.map((problem) =>
    'resolutionKind' in problem ? `${problem.kind} in ${problem.resolutionKind}` : problem.kind,
  );
  // The package is ESM only. CommonJS reaches it by import(), or by require() of an ES module since Node 20.19, and
  // TypeScript's oldest resolution, of Node 10, knows no exports.
  const expected = ['CJSResolvesToESM in node16-cjs', 'NoResolution in node10'];
  expect(problems.filter((problem) => !expected.includes(problem))).toEqual([]);
});
