import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';

/** Where Linux shows control groups, and which one this process is in. */
const GROUPS = '/sys/fs/cgroup';
const OWN_GROUP = '/proc/self/cgroup';

/**
 * Cores that this process may use at once, at least 1: those it may run on, and no more than the CPU time of its control
 * groups: a container's limit, or `CPUQuota=` of systemd.
 */
export function usableCores(groups = GROUPS, ownGroup = OWN_GROUP): number {
  let cores = availableParallelism();
  // Its own group and all above it count.
  for (let group = groupOf(ownGroup); ; group = dirname(group)) {
    cores = Math.min(cores, coresOf(join(groups, group, 'cpu.max')));
    if (group === '/') return Math.max(1, Math.floor(cores));
  }
}

/** The group's path, such as `/system.slice/trunkline@a.service`; `/` within most containers. */
function groupOf(file: string): string {
  return join('/', /^0::(\/.*)$/m.exec(read(file))?.[1] ?? '/');
}

/** The share of CPU time in a file: quota and period in microseconds, or `max`. */
function coresOf(file: string): number {
  const [, quota, period] = /^(\d+) (\d+)\s*$/.exec(read(file)) ?? [];
  return quota === undefined ? Number.POSITIVE_INFINITY : Number(quota) / Number(period);
}

/** Empty where it is not Linux, or an older kind of control group. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
