import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { apiReference } from '../../docs/api.js';
import { ERROR_CHAPTERS } from '../../src/error-catalogue.js';
import { ROOT } from '../support/installed.js';

describe.each(apiReference().map((reference) => [basename(reference.path), reference] as const))(
  'docs/api/%s',
  (_, { path, shouldBe, omissions }) => {
    it('says what the declarations and their comments say (else: npm run docs)', () =>
      expect(readFileSync(path, 'utf8')).toBe(shouldBe));

    it('explains everything that is exported, with units, limits and errors', () =>
      expect(omissions).toEqual([]));
  },
);

it('names only error codes that exist in doc comments', () => {
  const codes = Object.values(ERROR_CHAPTERS).flatMap((chapter) => Object.keys(chapter));
  const unknown = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const comments = readFileSync(join(ROOT, 'src', file), 'utf8').match(/\/\*\*[\s\S]*?\*\//g) ?? [];
      return [...comments.join().matchAll(/\bGW_[A-Z_]*[A-Z]\b/g)]
        .filter(([code]) => !codes.includes(code))
        .map(([code]) => `${file}: ${code}`);
    });
  expect(unknown).toEqual([]);
});
