import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { openApiDocument } from '../../src/http/openapi/document.js';

const root = fileURLToPath(new URL('../../src', import.meta.url));
/** Whole codes: those of the simulator that end in a number are Twilio's own. */
const codesIn = (text: string) =>
  new Set((text.match(/\bGW_[A-Z0-9_]*[A-Z0-9]\b/g) ?? []).filter((code) => !/^GW_SIM(_\d+)?$/.test(code)));
const documented = readFileSync(join(root, 'ERRORS.md'), 'utf8');

it('every code of an error is told in ERRORS.md once, and no other', () => {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const used = codesIn(files.map((file) => readFileSync(join(root, file), 'utf8')).join('\n'));
  expect([...codesIn(documented)].toSorted()).toEqual([...used].toSorted());
  const rows = documented.split('\n').filter((line) => line.startsWith('| `GW_'));
  const told = rows.flatMap((row) => [...codesIn(row.split('|')[1] ?? '')]);
  expect(told.toSorted()).toEqual([...new Set(told)].toSorted());
});

it('every code that the control API documents is one of them', () => {
  const known = codesIn(documented);
  expect([...codesIn(JSON.stringify(openApiDocument))].filter((code) => !known.has(code))).toEqual([]);
});
