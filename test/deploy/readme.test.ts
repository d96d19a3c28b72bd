import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../support/dockerfile.js';
import { hasHelm, helm } from '../support/helm.js';

const GUIDE = readFileSync(`${ROOT}deploy/README.md`, 'utf8');

describe("the operator's guide", () => {
  it('has a line for each file and folder, and none for one that is not there', () => {
    const named = [...GUIDE.matchAll(/^\| `([\w./]+)` \|/gm)].map(([, path]) => path as string);
    expect(named.filter((path) => /[./]/.test(path) && !existsSync(`${ROOT}deploy/${path}`))).toEqual([]);
    for (const entry of readdirSync(`${ROOT}deploy`)) {
      if (entry !== 'README.md' && !entry.endsWith('.dockerignore'))
        expect(GUIDE, entry).toContain(`\`${entry}`);
    }
    for (const [, path] of GUIDE.matchAll(
      /`(?:deploy\/)?((?:helm|prometheus|systemd|grafana)\/[\w./@-]+)`/g,
    )) {
      expect(existsSync(`${ROOT}deploy/${path}`), path).toBe(true);
    }
  });

  it('links to headings that it has', () => {
    const anchors = [...GUIDE.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    const links = [...GUIDE.matchAll(/\]\(#([\w-]+)\)/g)].map(([, anchor]) => anchor as string);
    expect(links.length).toBeGreaterThan(3);
    expect(links.filter((anchor) => !anchors.includes(anchor))).toEqual([]);
  });

  it.runIf(hasHelm)('installs the chart by commands that helm takes', () => {
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
