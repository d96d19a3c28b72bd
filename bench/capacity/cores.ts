import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';

/** Which core belongs to whom. */
export interface Cores {
  readonly gateway: number;
  readonly generator: number;
}

/** A core each for gateway and generator; `undefined` where processes cannot be pinned, or there is only one. */
export function coresOf(): Cores | undefined {
  if (cpus().length < 2 || !canPin()) return undefined;
  return { gateway: 0, generator: 1 };
}

/** Keeps this process off the gateway's core. */
export function pinSelf(core: number): void {
  taskset(['-a', '-c', '-p', String(core), String(process.pid)]);
}

function canPin(): boolean {
  try {
    taskset(['--version']);
    return true;
  } catch {
    return false;
  }
}

function taskset(args: readonly string[]): void {
  execFileSync('taskset', [...args], { stdio: 'ignore' });
}
