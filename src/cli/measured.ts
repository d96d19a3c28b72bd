import type { LoadReport } from '../simulator/load.js';

/** A report as JSON tells it: without an echo, none of the figures that only an echo can give. */
export function measuredOf(report: LoadReport): object {
  if (report.echoes) return report;
  const { roundTrip, pairing, framesMissing, pausesLeftOut, wordsShortenedMs, proof, delay, ...measured } =
    report;
  const samples = measured.samples.map(({ roundTripP50Ms, roundTripP99Ms, ...sample }) => sample);
  return { ...measured, samples };
}
