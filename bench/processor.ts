import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks a second of `/proc`: 100 on every Linux that Node runs on. */
const TICKS = 100;

/** CPU seconds that a process has used, by the names of its threads. Linux only. */
export function threadSeconds(pid: number): Map<string, number> {
  const seconds = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const used = (Number(fields[11]) + Number(fields[12])) / TICKS;
      seconds.set(name, (seconds.get(name) ?? 0) + used);
    } catch {
      // The thread has ended.
    }
  }
  return seconds;
}

/** CPU milliseconds that a process, and those that it started and that still run, have used. Linux only. */
export function treeCpuMs(root: number): number {
  return processTree(root).reduce((total, pid) => total + (statOf(pid)[0]?.usedMs ?? 0), 0);
}

/** A process and those that it started, itself first. Linux only. */
export function processTree(root: number): number[] {
  const processes = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name) => statOf(Number(name)));
  const below = (pid: number): number[] => [
    pid,
    ...processes.filter(({ parent }) => parent === pid).flatMap((each) => below(each.pid)),
  ];
  return below(root);
}

/** Empty for a process that has ended. */
function statOf(pid: number): { pid: number; parent: number; usedMs: number }[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const usedMs = ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1_000;
    return [{ pid, parent: Number(fields[1]), usedMs }];
  } catch {
    return [];
  }
}

/** What cores have done so far, in milliseconds. */
export interface CoreTimes {
  /** For processes, by the kernel on their behalf included. */
  readonly busyMs: number;
  /** Wanted, but given to others by the host of this virtual machine. */
  readonly stolenMs: number;
}

/** @param core one of them; default all together. Linux only. */
export function coreTimes(core?: number): CoreTimes {
  const name = core === undefined ? 'cpu ' : `cpu${core} `;
  const line = readFileSync('/proc/stat', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(name));
  const [user = 0, nice = 0, system = 0, , , , , stolen = 0] = (line ?? '')
    .trim()
    .split(/ +/)
    .slice(1)
    .map((ticks) => (Number(ticks) / TICKS) * 1_000);
  return { busyMs: user + nice + system, stolenMs: stolen };
}

export function threadCount(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

/** Open files and sockets of a process. Linux only. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Milliseconds that a process' first thread was ready to run and had no core. Linux only. */
export function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
}

/** Share of one core, 0…, of a process and of each of its threads by name, over some time. */
export async function watchProcess(
  pid: number,
  ms: number,
): Promise<{ total: number; threads: [string, number][] }> {
  const before = threadSeconds(pid);
  const begun = performance.now();
  await new Promise((resolve) => setTimeout(resolve, ms));
  const seconds = (performance.now() - begun) / 1000;
  const threads = [...threadSeconds(pid)]
    .map(([name, used]): [string, number] => [name, (used - (before.get(name) ?? 0)) / seconds])
    .sort((a, b) => b[1] - a[1]);
  return { total: threads.reduce((sum, [, share]) => sum + share, 0), threads };
}
