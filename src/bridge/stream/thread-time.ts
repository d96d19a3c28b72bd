import { readFileSync } from 'node:fs';

/** What Linux counts CPU time in, for every process that asks: hundredths of a second. */
const TICK_MS = 10;

/**
 * CPU time that the main thread of a process has had, in milliseconds; `undefined` where the system does not tell. A process
 * of native threads is busy while its main thread hangs: only that one counts.
 */
export function mainThreadMs(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'latin1');
    // Behind the name, which may hold anything: the state, and eleven fields later user and system time.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    return Number.isFinite(ticks) ? ticks * TICK_MS : undefined;
  } catch {
    return undefined;
  }
}
