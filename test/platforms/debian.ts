import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export interface Debian {
  readonly release: number;
  readonly codename: string;
}

export const RELEASES: readonly Debian[] = [
  { release: 11, codename: 'bullseye' },
  { release: 12, codename: 'bookworm' },
  { release: 13, codename: 'trixie' },
];

/** Beside the base system: Node 26 needs it. */
const PACKAGE = 'libatomic1';

/** Why none of this can run here; undefined if it can. */
export function whyNot(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'Linux on x64 is needed';
  if (process.getuid?.() !== 0) return 'root rights are needed';
  if (spawnSync('debootstrap', ['--version']).error)
    return 'debootstrap is needed (apt-get install debootstrap)';
  const mount = 'mount -t tmpfs none /mnt && umount /mnt';
  if (spawnSync('unshare', ['--mount', 'sh', '-c', mount]).status !== 0) return 'rights to mount are needed';
  return undefined;
}

/** An installed release of Debian: a folder that programs take for the whole disk. */
export class Root {
  /** Version of its C library, as `2.36`. */
  readonly glibc: string;

  private constructor(
    readonly debian: Debian,
    readonly folder: string,
  ) {
    const said = execFileSync('chroot', [folder, 'getconf', 'GNU_LIBC_VERSION'], { encoding: 'utf8' });
    this.glibc = said.trim().replace('glibc ', '');
  }

  /** Its base system, from the folder `cache` or from where this machine has its packages. */
  static make(debian: Debian, cache: string): Root {
    const folder = join(cache, `${debian.codename}-${PACKAGE}`);
    if (!existsSync(folder)) {
      const unfinished = `${folder}-unfinished`;
      rmSync(unfinished, { recursive: true, force: true });
      mkdirSync(unfinished, { recursive: true });
      execFileSync(
        'debootstrap',
        ['--variant=minbase', `--include=${PACKAGE}`, debian.codename, unfinished, ...mirror()],
        {
          stdio: ['ignore', 'ignore', 'inherit'],
        },
      );
      renameSync(unfinished, folder);
    }
    return new Root(debian, folder);
  }

  /**
   * What runs a command in there, with the network of this machine. Mounts and processes last as long as it does.
   * @param folders which of this machine's folders are where in there
   */
  command(
    args: readonly string[],
    folders: Readonly<Record<string, string>>,
    env: Readonly<Record<string, string>> = {},
  ): readonly [program: string, args: readonly string[]] {
    const script = [
      'root=$1; shift',
      'mount -t proc proc "$root/proc"',
      'while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --bind "$2" "$root$1"; shift 2; done; shift',
      'exec chroot "$root" env -i HOME=/root PATH=/node:/usr/bin:/bin "$@"',
    ].join('\n');
    const mounts = Object.entries(folders).flat();
    const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const inside = ['sh', '-ec', script, 'sh', this.folder, ...mounts, '--', ...settings, ...args];
    return ['unshare', ['--mount', '--pid', '--fork', '--kill-child', ...inside]];
  }
}

/** Where this machine's own packages come from, which may be a mirror; else debootstrap knows where. */
function mirror(): string[] {
  const said =
    spawnSync('apt-get', ['indextargets', '--format', '$(SITE)'], { encoding: 'utf8' }).stdout ?? '';
  return said
    .split('\n')
    .filter((site) => /\/debian\/?$/.test(site))
    .slice(0, 1);
}
