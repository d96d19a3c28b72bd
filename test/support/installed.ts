import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Manifest {
  readonly files: readonly string[];
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

export const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;

/** The files of the package that run, with every core that was built. */
const PARTS = [
  'package.json',
  'dist',
  'build/Release',
  'prebuilds',
  'native/wasm',
  'src/dashboard/page',
  'src/simulator/fixtures',
];

/** A project of its own, with the package in it as npm would install it. */
export class InstalledProject {
  readonly path = mkdtempSync(join(tmpdir(), 'trunkline-project-'));

  /**
   * @param isThere which packages are installed with it; those of our dependencies that it wants nothing of are not to be found
   * @param more packages of our development that the project has, too
   */
  constructor(isThere: (name: string) => boolean, more: readonly string[] = []) {
    const { dependencies, optionalDependencies } = manifest;
    const names = [...Object.keys(dependencies), ...Object.keys(optionalDependencies)].filter(isThere);
    for (const name of [...names, ...more]) {
      const link = join(this.path, 'node_modules', name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules', name), link);
    }
    // Copied, because a linked package would resolve its dependencies from its target.
    const home = join(this.path, 'node_modules', 'trunkline');
    for (const part of PARTS.filter((each) => existsSync(join(ROOT, each)))) {
      cpSync(join(ROOT, part), join(home, part), { recursive: true });
    }
    this.write('package.json', JSON.stringify({ private: true, type: 'module' }));
  }

  write(file: string, text: string): string {
    const path = join(this.path, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
