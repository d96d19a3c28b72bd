import { type Clock, systemClock } from '../clock.js';

/**
 * A monotonic time stamp that costs nothing to carry with a frame: units of 100 ns in a wrapping 32-bit
 * integer, which V8 keeps as a small integer where a float would be boxed at every call.
 */
export type IngressTime = number;

/** Units of a {@link IngressTime} in one microsecond. */
export const INGRESS_TICKS_PER_MICROSECOND = 10;

/** Marks audio that did not come in by a socket: how long it was here says nothing of the gateway. */
export const NO_INGRESS_TIME: IngressTime = -(2 ** 31);

/** A reading of a {@link Clock} as a stamp. */
export function ingressTimeOf(ms: number): IngressTime {
  return (ms * 10_000) | 0;
}

/** The present as a stamp. */
export function ingressNow(clock: Clock): IngressTime {
  return ingressTimeOf(clock.now());
}

/** Stamps between two stamps, right across the wrap; meaningful up to 214 s. */
export function ingressTicksBetween(earlier: IngressTime, later: IngressTime): number {
  return (later - earlier) | 0;
}

/** From this process's stamps to those of the machine's monotonic clock, which all its processes share. */
const MACHINE_OFFSET = Number(
  BigInt.asIntN(32, process.hrtime.bigint() / 100n - BigInt(Math.round(systemClock.now() * 10_000))),
);

/** A stamp as another process of this machine can read it. */
export function toMachineIngressTime(stamp: IngressTime): number {
  return stamp === NO_INGRESS_TIME ? NO_INGRESS_TIME : (stamp + MACHINE_OFFSET) | 0;
}

/** What another process of this machine wrote with {@link toMachineIngressTime}, as a stamp of this one. */
export function fromMachineIngressTime(stamp: number): IngressTime {
  return stamp === NO_INGRESS_TIME ? NO_INGRESS_TIME : (stamp - MACHINE_OFFSET) | 0;
}
