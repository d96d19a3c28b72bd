import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { FIGURE_PAGES, withFigures } from '../../bench/readme.js';

it.each(FIGURE_PAGES)('the figures of %s are those of bench/results (npm run bench:readme)', (page) => {
  const text = readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8');
  expect(withFigures(page, text)).toBe(text);
});
