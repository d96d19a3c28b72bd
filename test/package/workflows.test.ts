import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { validateWorkflow } from '@action-validator/core';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { RELEASES } from '../platforms/node.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDER = join(ROOT, '.github/workflows');

interface Step {
  readonly uses?: string;
  readonly run?: string;
}
interface Job {
  readonly 'runs-on'?: string;
  readonly uses?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly 'timeout-minutes'?: number;
  readonly strategy?: {
    readonly matrix: Readonly<Record<string, readonly unknown[]>> & {
      readonly include?: readonly Readonly<Record<string, unknown>>[];
    };
  };
  readonly steps?: readonly Step[];
}
interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

const texts = Object.fromEntries(
  readdirSync(FOLDER).map((name) => [name, readFileSync(join(FOLDER, name), 'utf8')]),
);
const workflow = (name: string): Workflow => parse(texts[name] as string);
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

describe.each(Object.keys(texts))('the workflow %s', (name) => {
  const { permissions, jobs } = workflow(name);
  const steps = Object.values(jobs).flatMap((job) => job.steps ?? []);

  it('is valid', () => {
    expect(validateWorkflow(texts[name] as string).errors).toEqual([]);
  });

  it('may only read, except for the job that attaches the package to a release', () => {
    expect(permissions).toEqual({ contents: 'read' });
    const more = Object.entries(jobs).flatMap(([job, { permissions }]) => (permissions ? [job] : []));
    expect(more).toEqual(name === 'prebuild.yml' ? ['release'] : []);
    expect(jobs.release?.permissions ?? { contents: 'write' }).toEqual({ contents: 'write' });
  });

  it('uses only pinned actions of GitHub, and jobs with a timeout', () => {
    const uses = steps.flatMap(({ uses }) => uses ?? []);
    expect(uses.length).toBeGreaterThan(0);
    for (const action of uses) expect(action).toMatch(/^actions\/[a-z-]+@v\d+$/);
    for (const job of Object.values(jobs)) {
      if (job.uses) expect(existsSync(join(ROOT, job.uses)), job.uses).toBe(true);
      else expect(job['timeout-minutes']).toBeGreaterThan(0);
    }
  });

  it('runs scripts and files that exist', () => {
    const commands = steps.flatMap(({ run }) => run?.split(/&&|\|\|/) ?? []).map((command) => command.trim());
    for (const command of commands) {
      const script = /^npm (?:run (?:-s )?(\S+)|(test)\b)/.exec(command);
      if (script) expect(scripts).toHaveProperty([script[1] ?? (script[2] as string)]);
      const paths = command.match(/(?<= )(?:test|docs|\.ci)\/\S+|^\.ci\/\S+/g) ?? [];
      for (const path of paths) expect(existsSync(join(ROOT, path)), path).toBe(true);
    }
  });

  it('uses only fields of its matrix', () => {
    for (const job of Object.values(jobs)) {
      const { include = [], ...axes } = job.strategy?.matrix ?? {};
      const known = [...Object.keys(axes), ...include.flatMap((row) => Object.keys(row))];
      const asked = [...JSON.stringify(job).matchAll(/\bmatrix\.(\w+)/g)].map(([, key]) => key as string);
      expect(asked.filter((key) => !known.includes(key))).toEqual([]);
    }
  });
});

it('every supported Node runs on both C libraries, both processors and macOS', () => {
  const { linux, macos } = workflow('ci.yml').jobs;
  const majors = RELEASES.map((release) => Number(release.split('.')[0]));
  expect(linux?.strategy?.matrix.node).toEqual(majors);
  expect(macos?.strategy?.matrix.node).toEqual(majors);
  expect(linux?.strategy?.matrix.system).toEqual(['bookworm', 'trixie', 'alpine']);
  expect(linux?.strategy?.matrix.processor).toEqual(['x64', 'arm64']);
});
