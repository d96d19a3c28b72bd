import { GatewayError } from '../errors.js';

/** One part of a run. */
export type LoadStep =
  /** Calls are placed, or hung up, at `rate` a second until there are `calls`. */
  | { readonly kind: 'ramp'; readonly calls: number; readonly rate: number }
  /** All talk for so many seconds. */
  | { readonly kind: 'hold'; readonly seconds: number }
  /** All talk, and `rate` times a second the oldest call hangs up and a new one takes its place. */
  | { readonly kind: 'churn'; readonly rate: number; readonly seconds: number };

/** Limits of a run, whichever way it is described. */
export const MOST_CALLS = 10_000;
export const MOST_CALLS_A_SECOND = 1000;
export const LONGEST_STEP_SECONDS = 86_400;
const MOST_STEPS = 100;

const RATE = String.raw`(\d+(?:\.\d+)?)\/s`;
const RAMP = new RegExp(String.raw`^ramp:(?:(\d+)@)?${RATE}$`);
const HOLD = /^hold:(\S+)$/;
const CHURN = new RegExp(String.raw`^churn:${RATE}@(\S+)$`);
const EXAMPLE = 'ramp:200@10/s, hold:60s, churn:5/s@60s';

/**
 * Reads `ramp:200@10/s,hold:60s,churn:5/s@60s,ramp:0@50/s`.
 * @param calls what a ramp that names no number goes to
 * @throws GatewayError `GW_SIM_PROFILE` that names the step which is wrong
 */
export function parseLoadSteps(text: string, calls: number): LoadStep[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > MOST_STEPS) throw wrong(`at most ${MOST_STEPS} steps`, `${parts.length}`);
  const steps = parts.map((part) => stepOf(part, calls));
  if (steps[0]?.kind !== 'ramp' || steps[0].calls === 0) {
    throw wrong('a ramp to at least one call for its first step', `"${parts[0]}"`);
  }
  return steps;
}

/** How long the steps take where everything answers at once, in seconds. */
export function secondsOf(steps: readonly LoadStep[]): number {
  let live = 0;
  let seconds = 0;
  for (const step of steps) {
    if (step.kind === 'ramp') {
      seconds += Math.abs(step.calls - live) / step.rate;
      live = step.calls;
    } else seconds += step.seconds;
  }
  return seconds;
}

/** A step as people say it. */
export function describeStep(step: LoadStep): string {
  switch (step.kind) {
    case 'ramp':
      return `ramping to ${count(step.calls)} at ${step.rate} a second`;
    case 'hold':
      return `talking for ${step.seconds} s`;
    case 'churn':
      return `talking for ${step.seconds} s, ${step.rate} calls replaced a second`;
  }
}

/**
 * Milliseconds of `500ms`, `1.5s`, `2m` or `1h`; `undefined` for anything else.
 */
export function durationOf(text: string): number | undefined {
  const [, figure, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  if (figure === undefined || unit === undefined) return undefined;
  return Number(figure) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit] as number);
}

function count(calls: number): string {
  return calls === 1 ? '1 call' : `${calls} calls`;
}

function stepOf(part: string, calls: number): LoadStep {
  const ramp = RAMP.exec(part);
  if (ramp !== null) {
    const to = ramp[1] === undefined ? calls : Number(ramp[1]);
    if (to > MOST_CALLS) throw wrong(`0 to ${MOST_CALLS} calls`, `"${part}"`);
    return { kind: 'ramp', calls: to, rate: rateOf(ramp[2] as string, part) };
  }
  const hold = HOLD.exec(part);
  if (hold !== null) return { kind: 'hold', seconds: stepSeconds(hold[1] as string, part) };
  const churn = CHURN.exec(part);
  if (churn !== null) {
    const [, rate, time] = churn as unknown as [string, string, string];
    return { kind: 'churn', rate: rateOf(rate, part), seconds: stepSeconds(time, part) };
  }
  throw wrong(`steps as in "${EXAMPLE}"`, `"${part}"`);
}

function rateOf(text: string, part: string): number {
  const rate = Number(text);
  if (rate > 0 && rate <= MOST_CALLS_A_SECOND) return rate;
  throw wrong(`more than 0 and at most ${MOST_CALLS_A_SECOND} calls a second`, `"${part}"`);
}

function stepSeconds(text: string, part: string): number {
  const milliseconds = durationOf(text);
  if (milliseconds !== undefined && milliseconds > 0 && milliseconds <= LONGEST_STEP_SECONDS * 1000) {
    return milliseconds / 1000;
  }
  throw wrong('a time up to 24h such as 60s, 5m or 1h', `"${part}"`);
}

function wrong(what: string, received: string): GatewayError {
  return new GatewayError('GW_SIM_PROFILE', `Expected ${what} for the profile but received ${received}`);
}
