import { basename } from 'node:path';
import { expect, it } from 'vitest';
import { generatedPages } from '../../docs/generate.js';

it.each(generatedPages().map((page) => [basename(page.path), page] as const))(
  '%s is up to date with the source (if not: npm run docs)',
  (_, { is, shouldBe }) => expect(is).toBe(shouldBe),
);
