import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './installed.js';

/**
 * A fenced block of a page. A comment in the line before its fence may say what a test needs to know, unseen by readers:
 * `<!-- given: declare const key: string; -->` stands before its code, `<!-- unchecked: the reason -->` exempts it.
 */
export interface Snippet {
  readonly page: string;
  /** Line of the fence, from 1. */
  readonly line: number;
  /** The language of the fence; empty without one. */
  readonly language: string;
  readonly code: string;
  readonly given: string;
  readonly unchecked: string | undefined;
}

const FENCE = /(?:^<!-- (given|unchecked): ([\s\S]*?) -->\n)?^( *)```(\w*)\n([\s\S]*?)^\3```$/gm;

/** What users read: the README and every page of `docs`. */
export const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** All fenced blocks of a page. */
export function blocks(page: string): Snippet[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(FENCE)].map((found) => {
    const [all, marker, note = '', indent = '', language = '', code = ''] = found;
    const before = text.slice(0, found.index + all.indexOf(`${indent}\`\`\``));
    return {
      page,
      line: before.split('\n').length,
      language,
      code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      given: marker === 'given' ? note : '',
      unchecked: marker === 'unchecked' ? note : undefined,
    };
  });
}

/** The blocks of one language in a page. */
export function snippets(page: string, language: string): string[] {
  return blocks(page).flatMap((block) => (block.language === language ? [block.code] : []));
}
