import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { ERROR_CHAPTERS } from '../../src/error-catalogue.js';
import { openApiDocument } from '../../src/http/openapi/document.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Whole codes: those of the simulator that end in a number are Twilio's own. */
const codesIn = (text: string) =>
  new Set((text.match(/\bGW_[A-Z0-9_]*[A-Z0-9]\b/g) ?? []).filter((code) => !/^GW_SIM(_\d+)?$/.test(code)));
const catalogue = Object.values(ERROR_CHAPTERS).flatMap((chapter) => Object.keys(chapter));

it('the catalogue lists every code once, and no code that nothing reports', () => {
  const files = ['src', 'native'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|cc|h)$/.test(file) && file !== 'error-catalogue.ts')
      .map((file) => readFileSync(join(root, folder, file), 'utf8')),
  );
  expect(catalogue.toSorted()).toEqual([...codesIn(files.join('\n'))].toSorted());
});

it('every code in the OpenAPI document is in the catalogue', () => {
  expect([...codesIn(JSON.stringify(openApiDocument))].filter((code) => !catalogue.includes(code))).toEqual(
    [],
  );
});
