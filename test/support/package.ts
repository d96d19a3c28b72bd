import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(ROOT, 'node_modules/.cache');
const MADE_OF = ['binding.gyp', 'native'];

/**
 * The cores that go into the package, as its folder `prebuilds`: compiled when their sources have changed, and never within
 * the checkout, which would run on them.
 */
export function prebuilds(): string {
  const hash = createHash('sha256');
  for (const path of MADE_OF.flatMap(filesOf))
    hash.update(`${path}\0`).update(readFileSync(join(ROOT, path)));
  const made = join(CACHE, `trunkline-prebuilds-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(made)) return made;
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, 'trunkline-checkout-'));
  try {
    for (const name of MADE_OF) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    execFileSync(process.execPath, ['native/prebuild.mjs'], { cwd: folder, stdio: 'pipe' });
    for (const old of readdirSync(CACHE)) {
      if (old.startsWith('trunkline-prebuilds-')) rmSync(join(CACHE, old), { recursive: true });
    }
    renameSync(join(folder, 'prebuilds'), made);
    return made;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function filesOf(path: string): string[] {
  const whole = join(ROOT, path);
  if (!statSync(whole).isDirectory()) return [path];
  const inside = readdirSync(whole, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name));
  return inside.filter((name) => statSync(join(ROOT, name)).isFile()).toSorted();
}

/**
 * Packs the checkout's `dist`, with the prebuilt cores, as it would be published.
 * @param to a folder
 * @returns the tarball's path
 */
export function pack(to: string): string {
  const folder = mkdtempSync(join(to, 'checkout-'));
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
  const shipped = [
    'package.json',
    'README.md',
    'LICENSE',
    ...files.filter((file) => !/^!|\*|^prebuilds$/.test(file)),
  ];
  for (const name of [...shipped, 'native/wasm']) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  cpSync(prebuilds(), join(folder, 'prebuilds'), { recursive: true });
  const said = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', to], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  rmSync(folder, { recursive: true });
  const [{ filename }] = JSON.parse(said) as [{ filename: string }];
  return join(to, filename);
}
