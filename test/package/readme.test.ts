import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { withFigures } from '../../bench/readme.js';

it("the README's figures are those of bench/results (npm run bench:readme)", () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  expect(withFigures(readme)).toBe(readme);
});
