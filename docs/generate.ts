/**
 * `npm run docs`: writes what pages say of tables in the source between `<!-- generated: NAME -->` and `<!-- end -->`. A test
 * (test/package/generated.test.ts) fails where a page is behind its table.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ERROR_CHAPTERS } from '../src/error-catalogue.js';

interface Row {
  readonly status?: number;
  readonly meaning: string;
}

function errors(): string {
  return Object.entries(ERROR_CHAPTERS)
    .map(([title, chapter]) => {
      const rows = Object.entries<Row>(chapter).map(
        ([code, { status, meaning }]) => `| \`${code}\` | ${status ?? '–'} | ${meaning} |`,
      );
      return [`## ${title}`, '', '| code | status | meaning |', '|---|---|---|', ...rows].join('\n');
    })
    .join('\n\n');
}

/** Every generated part: its page, and what makes it. */
const PARTS: readonly { readonly page: string; readonly name: string; readonly make: () => string }[] = [
  { page: 'errors.md', name: 'errors', make: errors },
];

/** The pages with generated parts, as they are and as they should be. */
export function generatedPages(): {
  readonly path: string;
  readonly is: string;
  readonly shouldBe: string;
}[] {
  return [...new Set(PARTS.map(({ page }) => page))].map((page) => {
    const path = fileURLToPath(new URL(page, import.meta.url));
    const is = readFileSync(path, 'utf8');
    let shouldBe = is;
    for (const { name, make } of PARTS.filter((part) => part.page === page)) {
      const begin = `<!-- generated: ${name} -->\n`;
      const from = shouldBe.indexOf(begin);
      const to = shouldBe.indexOf('\n<!-- end -->', from);
      if (from < 0 || to < 0) throw new Error(`${page} has no place for "${name}"`);
      shouldBe = `${shouldBe.slice(0, from + begin.length)}\n${make()}\n${shouldBe.slice(to)}`;
    }
    return { path, is, shouldBe };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, is, shouldBe } of generatedPages()) if (is !== shouldBe) writeFileSync(path, shouldBe);
}
