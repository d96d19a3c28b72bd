import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const ROOT = new URL('../../', import.meta.url);
const SECURITY = readFileSync(new URL('SECURITY.md', ROOT), 'utf8');

const claims = [...SECURITY.matchAll(/\[test\]\((\S+) (["'])(.+?)\2\)/g)].map(
  ([, file = '', , name = '']) => [file, name],
);

it('SECURITY.md has a test for every claim', () => {
  const parts = SECURITY.split(/^## /m);
  const claimed = parts.filter((part) => /^(What is checked|What is never|Limits)/.test(part));
  expect(claimed).toHaveLength(3);
  for (const part of claimed) {
    for (const line of part.split(/\n(?=- )/).filter((each) => each.startsWith('- ')))
      expect(line).toContain('[test](');
    for (const row of part.split('\n').filter((each) => /^\| (?!what|---)/.test(each)))
      expect(row).toContain('[test](');
  }
  expect(claims).toHaveLength(SECURITY.split('[test](').length - 1);
});

it.each(claims)('%s has "%s"', (file, name) => {
  const text = readFileSync(new URL(file, ROOT), 'utf8').replaceAll("\\'", "'");
  expect(["'", '"', '`'].some((quote) => text.includes(`${quote}${name}${quote}`))).toBe(true);
});
