import type { LoadReport } from '../simulator/load.js';
import { type Criterion, verdictOf } from './verdict.js';

/** Of `docs/simulate-report.schema.json`: fields are added within a version, and change or go with the next. */
const VERSION = 1;

/** A run and its verdict as JSON has them: without an echo, no figure that only an echo can give. */
export function measuredOf(report: LoadReport, checks: readonly Criterion[]): object {
  const faults = checks.filter(({ outcome }) => outcome === 'failed').map(({ detail }) => detail);
  return { version: VERSION, ...figuresOf(report), checks, verdict: verdictOf(checks), faults };
}

function figuresOf(report: LoadReport): object {
  if (report.echoes) return report;
  const { roundTrip, roundTripBins, pairing, framesMissing, pausesLeftOut, wordsShortenedMs, ...rest } =
    report;
  const { proof, delay, ...measured } = rest;
  const samples = measured.samples.map(({ roundTripP50Ms, roundTripP99Ms, ...sample }) => sample);
  return { ...measured, samples };
}
