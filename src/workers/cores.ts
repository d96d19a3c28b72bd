import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Where Linux tells a control group's share of CPU time: quota and period in microseconds, or `max`. */
const CPU_MAX = '/sys/fs/cgroup/cpu.max';

/** Cores that this process may use at once, at least 1: those it may run on, and no more than its container's limit. */
export function usableCores(limitFile = CPU_MAX): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(coresOfGroup(limitFile))));
}

function coresOfGroup(limitFile: string): number {
  try {
    const [, quota, period] = /^(\d+) (\d+)\s*$/.exec(readFileSync(limitFile, 'utf8')) ?? [];
    return quota === undefined ? Number.POSITIVE_INFINITY : Number(quota) / Number(period);
  } catch {
    // Not Linux, or an older kind of control group.
    return Number.POSITIVE_INFINITY;
  }
}
