import type { Held, Outcome } from './trial.js';

/** What a held call is promised, and what a generator must be able to do to tell. */
export const LIMITS = {
  /** p99 of round trips at the phones, and of frames within the gateway. */
  p99Ms: 10,
  /** The generator's share of its core, and p99 of how late its frames leave. */
  generatorCpu: 0.7,
  latenessMs: 2,
  /** Share of the time that others kept the gateway off its core. */
  waited: 0.1,
  proof: 0.98,
} as const;

/** Whether the figures tell of the gateway: not of a generator at its limit, nor of others on the gateway's core. */
export function isValid({ phones, gatewayWaited }: Held): boolean {
  return (
    phones.cpu <= LIMITS.generatorCpu &&
    phones.lateness.p99Ms <= LIMITS.latenessMs &&
    gatewayWaited <= LIMITS.waited
  );
}

/** Whether every call lasted, and every frame was echoed in time with the caller's own voice. */
export function isOk(outcome: Outcome): boolean {
  const { phones, gateway } = outcome;
  return (
    isValid(outcome) &&
    phones.roundTrip.p99Ms <= LIMITS.p99Ms &&
    gateway.p99Us <= LIMITS.p99Ms * 1_000 &&
    outcome.dropped + phones.missing + phones.discarded === 0 &&
    phones.failed + phones.lost + outcome.unanswered === 0 &&
    outcome.proof >= LIMITS.proof
  );
}
