import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Pages that a person reads; `docs` and `deploy` with all folders in them. */
const PAGES = ['README.md', 'CHANGELOG.md', 'SECURITY.md', 'CONTRIBUTING.md', 'docs', 'deploy', 'native']
  .filter((path) => existsSync(join(ROOT, path)))
  .flatMap((path) =>
    statSync(join(ROOT, path)).isDirectory()
      ? readdirSync(join(ROOT, path), { recursive: true, encoding: 'utf8' })
          .filter((name) => /\.md$|llms\.txt$/.test(name))
          .map((name) => join(path, name))
      : [path],
  );

/** A page without what it shows as code: brackets mean nothing there. */
function proseOf(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8')
    .replace(/^( *)(```+|~~~+)[\s\S]*?^\1\2$/gm, '')
    .replace(/^(?: {4}|\t).*$/gm, (line) => (/^\s+(?:[-*|]|\d+\.)/.test(line) ? line : ''))
    .replace(/(`+)[^`]*?\1/g, (code) => (code.includes('\n') ? '' : code.replace(/[[\]()]/g, '')));
}

/** Where a page's links lead: inline links, pictures, reference definitions and HTML. */
function linksOf(page: string): string[] {
  const text = proseOf(page);
  const inline = /\]\(\s*<?([^\s)>]+)>?(?:\s+"(?:[^"\\]|\\.)*")?\s*\)/g;
  const others = [/^\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)/gm, /\b(?:href|src)="([^"]+)"/g];
  return [inline, ...others].flatMap((pattern) =>
    [...text.matchAll(pattern)].map(([, target = '']) => target),
  );
}

/** The anchors of a page, as GitHub makes them of its headings. */
function anchorsOf(page: string): Set<string> {
  const text = readFileSync(join(ROOT, page), 'utf8').replace(/^( *)```[\s\S]*?^\1```$/gm, '');
  const anchors = new Set([...text.matchAll(/<a (?:id|name)="([^"]+)"/g)].map(([, id = '']) => id));
  for (const [, heading = ''] of text.matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const anchor = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Why a link leads nowhere; `undefined` of one that does lead somewhere, or out of the repository. */
function faultOf(page: string, link: string): string | undefined {
  if (/^[a-z][a-z\d+.-]*:/i.test(link)) return undefined;
  const [path = '', anchor] = decodeURIComponent(link).split('#');
  const target = path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path));
  if (target.startsWith('..') || path.startsWith('/')) return 'leads out of the repository';
  if (!existsSync(join(ROOT, target))) return 'no such file';
  if (anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor))
    return 'no such heading';
  return undefined;
}

it.each(PAGES.map((page) => page.split(sep).join('/')))('every link of %s leads somewhere', (page) => {
  const faults = linksOf(page).flatMap((link) => {
    const fault = faultOf(page, link);
    return fault === undefined ? [] : [`${link}: ${fault}`];
  });
  expect(faults).toEqual([]);
});

it('finds dead links, and accepts valid pages, anchors and external addresses', () => {
  expect(faultOf('docs/router.md', 'no-such-page.md')).toBe('no such file');
  expect(faultOf('docs/router.md', '#no-such-heading')).toBe('no such heading');
  expect(faultOf('docs/router.md', '../../outside.md')).toBe('leads out of the repository');
  expect(faultOf('docs/router.md', '#the-signature')).toBeUndefined();
  expect(faultOf('docs/router.md', 'https://example.com/#there')).toBeUndefined();
  expect(linksOf('docs/router.md')).toContain('events.md');
});
