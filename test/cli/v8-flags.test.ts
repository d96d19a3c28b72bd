import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { v8Flags } from '../../src/cli/v8-flags.js';

/** Keeps objects alive, so that the young generation grows as far as it may. */
const SCRIPT = `
  const kept = [];
  for (let i = 0; i < 500_000; i++) kept[i % 100_000] = { i };
  const { space_size } = require('v8').getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
  console.log(space_size / 2 ** 20);
`;

async function youngMegabytes(flags: readonly string[]): Promise<number> {
  return Number((await promisify(execFile)(process.execPath, [...flags, '-e', SCRIPT])).stdout);
}

describe("V8's flags", () => {
  test('keep the young generation of a process with one core small', async () => {
    expect(await youngMegabytes(v8Flags(1))).toBeLessThanOrEqual(3);
    expect(await youngMegabytes([])).toBeGreaterThan(3);
  });

  test('leave a process with several cores as it is', () => {
    expect(v8Flags(2)).toEqual([]);
  });
});
