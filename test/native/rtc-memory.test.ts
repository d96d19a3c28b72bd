import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const child = fileURLToPath(new URL('./rtc-child.mjs', import.meta.url));

async function measured(what: string, ...flags: string[]): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', ...flags, child, what]);
  return Number(stdout);
}

/** A session has some 40 kB: a leak of one in ten would be seen. */
const MOST_GROWTH = 8 * 2 ** 20;

it('a thousand calls, of which each fourth fails, leave nothing behind', { timeout: 120_000 }, async () => {
  expect(await measured('memory')).toBeLessThan(MOST_GROWTH);
});

it('packets and frames leave nothing on the JavaScript heap', { timeout: 60_000 }, async () => {
  const flags = ['--max-semi-space-size=512', '--min-semi-space-size=512'];
  expect(await measured('heap', ...flags)).toBeLessThan(1);
});
