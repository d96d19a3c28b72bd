import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './installed.js';

/** The pieces of code of one language in a page. */
export function snippets(page: string, language: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, code = '']) => code,
  );
}
