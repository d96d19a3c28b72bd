import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');

it.each([
  ['dependencies', 'To run'],
  ['optionalDependencies', 'Optional'],
  ['devDependencies', 'To work on it'],
])('docs/architecture.md gives a reason for each of the %s, and for no other', (kind, title) => {
  const part = read('docs/architecture.md')
    .split(/^## /m)
    .find((each) => each.startsWith(title));
  const named = [...(part ?? '').matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, names = '']) =>
    [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
  expect(named.sort()).toEqual(Object.keys(JSON.parse(read('package.json'))[kind]).sort());
});

it('every version is pinned', () => {
  const { dependencies, optionalDependencies, devDependencies } = JSON.parse(read('package.json'));
  for (const [name, version] of Object.entries({
    ...dependencies,
    ...optionalDependencies,
    ...devDependencies,
  })) {
    expect([name, version]).toEqual([name, expect.stringMatching(/^(npm:[\w@/.-]+@)?\d+\.\d+\.\d+$/)]);
  }
});
