/**
 * A monotonic time stamp that costs nothing to carry with a frame: units of 100 ns in a wrapping 32-bit
 * integer, which V8 keeps as a small integer where a float would be boxed at every call.
 */
export type Stamp = number;

/** Units of a {@link Stamp} in one microsecond. */
export const STAMPS_PER_MICROSECOND = 10;

/** Marks audio that did not come in by a socket: how long it was here says nothing of the gateway. */
export const NO_STAMP: Stamp = -(2 ** 31);

/** A reading of a {@link Clock} as a stamp. */
export function stampOf(ms: number): Stamp {
  return (ms * 10_000) | 0;
}

/** The present as a stamp. */
export function stampNow(clock: Clock): Stamp {
  return stampOf(clock.now());
}

/** Stamps between two stamps, right across the wrap; meaningful up to 214 s. */
export function stampsBetween(earlier: Stamp, later: Stamp): number {
  return (later - earlier) | 0;
}

/** From this process's stamps to those of the machine's monotonic clock, which all its processes share. */
const MACHINE_OFFSET = Number(
  BigInt.asIntN(32, process.hrtime.bigint() / 100n - BigInt(Math.round(systemClock.now() * 10_000))),
);

/** A stamp as another process of this machine can read it. */
export function toMachineStamp(stamp: Stamp): number {
  return stamp === NO_STAMP ? NO_STAMP : (stamp + MACHINE_OFFSET) | 0;
}

/** What another process of this machine wrote with {@link toMachineStamp}, as a stamp of this one. */
export function fromMachineStamp(stamp: number): Stamp {
  return stamp === NO_STAMP ? NO_STAMP : (stamp - MACHINE_OFFSET) | 0;
}

import { type Clock, systemClock } from '../clock.js';
