import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { usableCores } from '../../src/workers/cores.js';

const all = availableParallelism();

/** Control groups with these limits, by their paths, and the group that a process is in. */
function usable(limits: Readonly<Record<string, string>>, own: string): number {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-groups-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [path, limit] of Object.entries(limits)) {
    mkdirSync(join(folder, path), { recursive: true });
    writeFileSync(join(folder, path, 'cpu.max'), limit);
  }
  writeFileSync(join(folder, 'own'), own);
  return usableCores(folder, join(folder, 'own'));
}

it.each([
  ['no limit', { '/': 'max 100000\n' }, '0::/\n', all],
  ['no control groups', {}, '', all],
  ['a limit of one core', { '/': '100000 100000\n' }, '0::/\n', 1],
  ['half a core, which is one', { '/': '50000 100000\n' }, '0::/\n', 1],
  ['more than there is', { '/': '99900000 100000\n' }, '0::/\n', all],
  [
    'a limit of a service',
    { '/system.slice/a.service': '100000 100000\n' },
    '0::/system.slice/a.service\n',
    1,
  ],
  [
    'a limit above the group',
    { '/system.slice': '100000 100000\n', '/system.slice/a.service': 'max 100000\n' },
    '0::/system.slice/a.service\n',
    1,
  ],
  ['an older hierarchy', { '/': 'max 100000\n' }, '4:cpu,cpuacct:/docker/abc\n', all],
])('counts the cores that may be used with %s', (_, limits, own, cores) => {
  expect(usable(limits, own)).toBe(cores);
});
