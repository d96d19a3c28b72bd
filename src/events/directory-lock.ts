import { readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Directories held by this process, which may run more than one gateway. */
const held = new Set<string>();

/** Reserves a directory for one process of this machine. Takes over the lock of a dead process. */
export class DirectoryLock {
  private readonly directory: string;
  private readonly file: string;

  /** @throws the file system's error if the directory does not exist */
  constructor(directory: string) {
    this.directory = realpathSync(directory);
    this.file = join(this.directory, 'lock');
  }

  /** Tries to acquire the lock. */
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

  /** Whether the holder is running. A process with the same id but another start time is a different one. */
  private isAlive(): boolean {
    const [pid = 0, birth] = readFileSync(this.file, 'utf8').split(' ').map(Number);
    // A crash may have left it empty; directories of this process were checked before.
    if (!(pid > 0) || pid === process.pid || birth !== birthOf(pid)) return false;
    try {
      return process.kill(pid, 0);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM';
    }
  }
}

/** A process's start time in clock ticks since boot; 0 if unknown. */
function birthOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  } catch {
    return 0;
  }
}
