import { readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Directories that this process holds: it may have more than one gateway. */
const held = new Set<string>();

/** Keeps a directory for one process of this machine. The lock of a process that is gone is taken over. */
export class DirectoryLock {
  private readonly directory: string;
  private readonly file: string;

  /** @throws the system's error where the directory is not there */
  constructor(directory: string) {
    this.directory = realpathSync(directory);
    this.file = join(this.directory, 'lock');
  }

  /** Whether it is ours now. */
  acquire(): boolean {
    if (held.has(this.directory)) return false;
    for (const isLast of [false, true]) {
      try {
        writeFileSync(this.file, `${process.pid} ${birthOf(process.pid)}`, { flag: 'wx', mode: 0o600 });
        held.add(this.directory);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        if (isLast || this.isAlive()) return false;
        rmSync(this.file, { force: true });
      }
    }
    return false;
  }

  release(): void {
    if (held.delete(this.directory)) rmSync(this.file, { force: true });
  }

  /** Whether its holder runs: a process of the same number may be another, born at another time. */
  private isAlive(): boolean {
    const [pid = 0, birth] = readFileSync(this.file, 'utf8').split(' ').map(Number);
    // A crash may have left it empty; what this process holds was asked before.
    if (!(pid > 0) || pid === process.pid || birth !== birthOf(pid)) return false;
    try {
      return process.kill(pid, 0);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM';
    }
  }
}

/** When a process was born, in ticks since the machine was; 0 where nobody tells. */
function birthOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  } catch {
    return 0;
  }
}
