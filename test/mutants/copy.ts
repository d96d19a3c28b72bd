import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Fault } from './faults.js';

export const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));

const COMPILE_ADDON =
  "const { compile } = await import('./native/compile.mjs'); const { ok, output } = compile(); if (!ok) throw output";

/** A copy of the checkout as it stands, committed or not, in which faults are planted. The checkout itself is left alone. */
export class Copy {
  private readonly folder = mkdtempSync(join(tmpdir(), 'trunkline-mutants-'));
  readonly root = join(this.folder, 'checkout');
  /** Files in which a fault is, as they were. */
  private readonly right = new Map<string, string>();

  constructor() {
    const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
    const files = execFileSync('git', list, { cwd: CHECKOUT, encoding: 'utf8' }).split('\0');
    for (const file of [...files.filter((name) => name !== ''), 'build']) {
      const from = join(CHECKOUT, file);
      if (existsSync(from)) copy(from, join(this.root, file));
    }
    // Each package is linked, the folder is the copy's own: tools write to it.
    const packages = join(this.root, 'node_modules');
    mkdirSync(packages);
    for (const name of readdirSync(join(CHECKOUT, 'node_modules'))) {
      if (!name.startsWith('.vite')) symlinkSync(join(CHECKOUT, 'node_modules', name), join(packages, name));
    }
    copy(join(this.root, 'build'), join(this.folder, 'build'));
  }

  /** Plants faults; compiles the addon where one is in it. */
  plant(...faults: readonly Fault[]): void {
    for (const { file, from, to } of faults) {
      const at = join(this.root, file);
      const text = readFileSync(at, 'utf8');
      if (!this.right.has(file)) this.right.set(file, text);
      writeFileSync(
        at,
        text.replace(from, () => to),
      );
    }
    if (faults.some(({ file }) => isNative(file))) this.compile('--input-type=module', '-e', COMPILE_ADDON);
  }

  /** Everything is right again. */
  takeOut(): void {
    for (const [file, text] of this.right) writeFileSync(join(this.root, file), text);
    if ([...this.right.keys()].some(isNative)) {
      remove(join(this.root, 'build'));
      copy(join(this.folder, 'build'), join(this.root, 'build'));
    }
    this.right.clear();
  }

  /** @throws Error with the compiler's message if a fault does not compile */
  check(faults: readonly Fault[]): void {
    this.plant(...faults);
    this.compile('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json');
    this.takeOut();
  }

  remove(): void {
    remove(this.folder);
  }

  private compile(...command: string[]): void {
    try {
      execFileSync(process.execPath, command, { cwd: this.root, encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(`Expected faults that compile but received ${(stdout + stderr).trim()}`);
    }
  }
}

function isNative(file: string): boolean {
  return file.startsWith('native/');
}

function copy(from: string, to: string): void {
  cpSync(from, to, { recursive: true, verbatimSymlinks: true });
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
