import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.js';
import { VirtualClock } from './virtual-clock.js';

/** The time of gateways, phones and tests of this file: the machine's, unless the file asked for {@link virtualTime}. */
export let clock: Clock = systemClock;

/**
 * Puts gateways, phones and tests of this file on a clock that moves on whenever the process has nothing else to do: minutes
 * pass in a second, and in a busy machine they only take longer. For files that have everything in their own process.
 */
export function virtualTime(): VirtualClock {
  const virtual = new VirtualClock();
  clock = virtual;
  beforeAll(() => virtual.start());
  afterAll(() => {
    virtual.halt();
    clock = systemClock;
  });
  return virtual;
}

export function sleep(ms: number): Promise<void> {
  return clock.sleep(ms);
}

/** How late this process's timers are: a bound in real time means less by that. */
const RESOLUTION_MS = 10;
/** Timers of a free machine are no later. */
const USUAL_MS = 3;
const lateness = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
lateness.enable();
const POLL_MS = 5;

/**
 * Waits until `condition` holds; fails with `what` after `ms`. In real time only what the machine gave to this process counts:
 * a poll that comes late counts as one poll, and the bound is six times as long in any case.
 */
export async function eventually(
  what: string,
  condition: () => boolean | undefined | Promise<boolean | undefined>,
  ms = 5_000,
): Promise<void> {
  const begun = clock.now();
  const polls = (ms * (clock === systemClock ? 6 : 1)) / POLL_MS;
  for (let poll = 0; !(await condition()); poll++) {
    if (poll >= polls)
      throw new Error(`Expected ${what} within ${Math.round(clock.now() - begun)} ms, ${late()}`);
    await clock.sleep(POLL_MS);
  }
}

/** A bound in real milliseconds on this machine: the given one, plus how late its timers are. */
export function bound(ms: number): number {
  const lateMs = lateness.percentile(99) / 1e6 - RESOLUTION_MS;
  return ms * (1 + Math.max(0, lateMs - USUAL_MS) / USUAL_MS);
}

function late(): string {
  const [p99, max] = [lateness.percentile(99), lateness.max].map((ns) => Math.round(ns / 1e6));
  return `with timers up to ${max} ms late (p99 ${p99} ms)`;
}
