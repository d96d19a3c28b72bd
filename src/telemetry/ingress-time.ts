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

/** The reading behind the latest message's stamp; an array, because a variable would box it every time. */
const latestMs = new Float64Array(1);
let latestStamp = NO_INGRESS_TIME;
let latestClock: Clock | undefined;

/** Stamps a message that has just arrived. @param ms a reading of the clock, made for it */
export function arrivedAt(ms: number, clock: Clock): IngressTime {
  latestMs[0] = ms;
  latestStamp = ingressTimeOf(ms);
  latestClock = clock;
  return latestStamp;
}

/**
 * The present, for audio with this stamp: while it is the latest message's, the reading made for that, because
 * another one costs more than most of the work between.
 */
export function presentOf(stamp: IngressTime, clock: Clock): number {
  return stamp === latestStamp && clock === latestClock ? (latestMs[0] as number) : +clock.now();
}

/** Called before audio that has waited is passed on: {@link presentOf} reads the clock again then. */
export function audioWaited(): void {
  latestClock = undefined;
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
