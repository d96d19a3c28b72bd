import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const child = fileURLToPath(new URL('../support/allocation-child.mjs', import.meta.url));

async function bytesPerFrame(work: string): Promise<number> {
  const flags = ['--expose-gc', '--max-semi-space-size=512', '--min-semi-space-size=512'];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, child, work]);
  return Number(stdout);
}

test('a million frames, in and out, leave nothing on the JavaScript heap', { timeout: 60_000 }, async () => {
  // A thing of 12 bytes every twelfth frame would be seen; what Node does besides is not.
  expect(await bytesPerFrame('frames')).toBeLessThan(1);
});

test('the measurement sees a number that a frame leaves there', { timeout: 60_000 }, async () => {
  expect(await bytesPerFrame('boxing')).toBeGreaterThan(8);
});
