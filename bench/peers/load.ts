import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { Cores } from '../capacity/cores.js';
import { Generator, type GeneratorProgram, type GeneratorReport } from '../capacity/generator.js';
import { LIMITS } from '../capacity/quality.js';
import { coreTimes, treeCpuMs } from '../processor.js';
import type { Peer, RunningPeer } from './peer.js';

/** Calls placed a second. */
const RATE = 200;
/** Most that the host of a virtual machine may take of it. */
const MAX_STOLEN = 0.01;

export interface Conditions {
  readonly program: GeneratorProgram;
  readonly cores: Cores | undefined;
  readonly warmUpMs: number;
  readonly holdMs: number;
}

/** What one server did with so many calls for a while. Shares are of one core, unless said otherwise. */
export interface Load {
  readonly calls: number;
  readonly phones: GeneratorReport;
  /** Calls that did not begin, or ended before the hold. */
  readonly lostBefore: number;
  readonly cpu: number;
  /** Of that, what a proxy in front used. */
  readonly frontCpu: number;
  /** Microseconds of CPU for a frame in and one out. */
  readonly usPerPair: number;
  /** What other processes used of the server's core; of all cores where it has none to itself. */
  readonly foreign: number;
  /** Share of the whole machine that its host gave to others. */
  readonly stolen: number;
}

/** Starts a server and a generator, holds the calls, and ends both. */
export async function load(peer: Peer, calls: number, conditions: Conditions): Promise<Load> {
  const { program, cores } = conditions;
  const server = await peer.start(cores?.gateway);
  try {
    const start = peer.isRtp ? Generator.startRtp : Generator.start;
    const generator = await start(program, calls, cores?.generator, peer.ciphers);
    try {
      const lostBefore = await connect(server, generator, calls);
      await server.onConnected?.();
      await pause(conditions.warmUpMs);
      return { ...(await hold(server, generator, calls, conditions)), lostBefore };
    } finally {
      generator.kill();
    }
  } finally {
    await server.stop();
  }
}

/** @returns calls that failed or ended */
async function connect(server: RunningPeer, generator: Generator, calls: number): Promise<number> {
  const begun = performance.now();
  for (let i = 0; i < calls; i++) {
    const wait = begun + (i * 1_000) / RATE - performance.now();
    if (wait > 1) await pause(wait);
    const order = await server.order();
    if ('near' in order) generator.callRtp(order);
    else generator.call(order);
  }
  const { failed, lost } = await generator.connected(calls);
  // Frames pair anew, so that a round trip leaves out what a filter keeps back: the check of the sound measures that.
  await generator.settle();
  return failed + lost;
}

async function hold(
  { pids, frontPid }: RunningPeer,
  generator: Generator,
  calls: number,
  { cores, holdMs }: Conditions,
): Promise<Omit<Load, 'lostBefore'>> {
  const usedMs = () => pids.reduce((total, pid) => total + treeCpuMs(pid), 0);
  const read = () => ({
    at: performance.now(),
    used: usedMs(),
    usedInFront: frontPid === undefined ? 0 : treeCpuMs(frontPid),
    busy: coreTimes(cores?.gateway).busyMs,
    stolen: coreTimes().stolenMs,
  });
  const before = read();
  await generator.hold();
  await pause(holdMs);
  const after = read();
  const phones = await generator.endHold();
  const elapsed = after.at - before.at;
  const cpu = (after.used - before.used) / elapsed;
  const others = cores === undefined ? phones.cpu : 0;
  return {
    calls,
    phones,
    cpu,
    frontCpu: (after.usedInFront - before.usedInFront) / elapsed,
    usPerPair: (cpu * phones.heldMs * 1_000) / phones.sent,
    foreign: Math.max(0, (after.busy - before.busy) / elapsed - cpu - others),
    stolen: (after.stolen - before.stolen) / elapsed / cpus().length,
  };
}

/** Whether neither the generator, nor other processes, nor the host limited the server. */
export function isValid({ phones, foreign, stolen }: Load): boolean {
  return (
    phones.cpu <= LIMITS.generatorCpu &&
    phones.lateness.p99Ms <= LIMITS.latenessMs &&
    foreign <= LIMITS.waited &&
    stolen <= MAX_STOLEN
  );
}

/** Whether every call lasted, and every frame was echoed in time. */
export function isCarried({ phones, lostBefore }: Load): boolean {
  return (
    phones.roundTrip.p99Ms <= LIMITS.p99Ms &&
    phones.missing + phones.discarded + phones.failed + phones.lost + lostBefore === 0
  );
}
