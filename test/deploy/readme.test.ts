import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../support/dockerfile.js';
import { hasHelm, helm } from '../support/helm.js';

const INDEX = readFileSync(`${ROOT}deploy/README.md`, 'utf8');
const GUIDE = readFileSync(`${ROOT}docs/operations.md`, 'utf8');

it('the index of deploy has a line for each file and folder, and for no missing one', () => {
  const named = [...INDEX.matchAll(/^\| `([\w./]+)` \|/gm)].map(([, path]) => path as string);
  expect(named.filter((path) => !existsSync(`${ROOT}deploy/${path}`))).toEqual([]);
  for (const entry of readdirSync(`${ROOT}deploy`)) {
    if (entry !== 'README.md' && !entry.endsWith('.dockerignore'))
      expect(INDEX, entry).toContain(`\`${entry}`);
  }
});

describe("the operator's guide", () => {
  it('names no missing file of deploy', () => {
    const named = [...GUIDE.matchAll(/\bdeploy\/([\w./@-]+\w)/g)].map(([, path]) => path as string);
    expect(named.length).toBeGreaterThan(10);
    // What a reader makes of an example.
    const made = ['.env'];
    expect(named.filter((path) => !made.includes(path) && !existsSync(`${ROOT}deploy/${path}`))).toEqual([]);
  });

  it.runIf(hasHelm)('installs the chart with valid helm commands', () => {
    const [, install = ''] = /^helm upgrade --install ((?:.*\\\n)*.*)$/m.exec(GUIDE) ?? [];
    const words = install.replaceAll('\\\n', ' ').trim().split(/\s+/);
    const [, files = ''] = /`(-f deploy\/helm\/[\w.]+)`/.exec(GUIDE) ?? [];
    const [, timeouts = ''] = /`(--set route\.timeouts[^`]+)`/.exec(GUIDE) ?? [];
    for (const option of [
      '',
      files,
      timeouts,
      '--set metrics.podMonitor=false,metrics.prometheusRule=false',
    ]) {
      const args = [...words, ...option.split(' ').filter((word) => word !== '')];
      expect(
        helm(['template', ...args.map((word) => word.replace(/^deploy\//, `${ROOT}deploy/`))]).failed,
      ).toBe('');
    }
    expect([words[0], files, timeouts]).toEqual([
      'trunkline',
      expect.stringMatching(/./),
      expect.stringMatching(/./),
    ]);
  });
});
