import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../support/installed.js';

interface Locked {
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
}
const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
  readonly packages: Readonly<Record<string, Locked>>;
};
const told = readFileSync(join(ROOT, 'docs/third-party-licences.md'), 'utf8');
/** Installed packages, and those that `--omit=optional` leaves out. */
const shipped = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
const nameOf = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
const others = told.split('\n').find((line) => line.startsWith('All other packages')) ?? '';
const open: readonly string[] = others.match(/[\w.-]+\w/g) ?? [];

describe('docs/third-party-licences.md', () => {
  it('names every licence, and every package with an uncommon one', () => {
    expect(open).toContain('MIT');
    const odd = shipped.filter(([, { license = '' }]) =>
      license
        .replace(/[()]/g, '')
        .split(/ AND | OR /)
        .some((each) => !open.includes(each)),
    );
    expect(odd.length).toBeGreaterThan(0);
    for (const [path, { optional }] of odd) {
      expect(told, nameOf(path)).toContain(`\`${nameOf(path)}\``);
      expect(optional, path).toBe(true);
    }
  });

  it('describes the licence of Stream correctly', () => {
    const own = shipped.filter(([path]) => nameOf(path).startsWith('@stream-io/'));
    const texts = own
      .map(([path]) => join(ROOT, path, 'LICENSE'))
      .filter(existsSync)
      .map((file) => readFileSync(file, 'utf8').replace(/\s+/g, ' '));
    expect(texts.length).toBeGreaterThan(1);
    for (const text of texts) {
      expect(text).toContain('SOURCE CODE LICENSE AGREEMENT');
      expect(text).toMatch(/CURRENT CUSTOMER OF STREAM\.IO.*NOT A COMPETITOR OF STREAM\.IO/);
    }
    expect(told).toMatch(/current customer of Stream and no competitor/);
  });

  it('is in the package, next to a licence that machines recognise', () => {
    const { files, license } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect([license, files.includes('docs')]).toEqual(['MIT', true]);
    expect(readFileSync(join(ROOT, 'LICENSE'), 'utf8')).toMatch(
      /^MIT License\n\nCopyright \(c\) \d{4} [^\n]+\n\nPermission is/,
    );
  });
});
