import type { LoadReport } from '../simulator/load.js';

/** Speech that came back is the speech that was sent: µ-law twice and the filter leave more than this. */
const LEAST_CORRELATION = 0.98;

/** Why a run failed; empty where it did not. `echo`: the server sends back what it hears, so that can be proved. */
export function faultsOf(report: LoadReport, { echo }: { readonly echo: boolean }): string[] {
  const faults: string[] = [];
  if (report.failed > 0) faults.push(`${report.failed} calls failed, the first with: ${report.firstFailure}`);
  if (report.lostCalls > 0) faults.push(`${report.lostCalls} calls were cut off`);
  if (echo) {
    // As it came, not as it was heard: a loaded machine that starves the phone's playout is not the server's fault.
    const correlation = report.proof?.received.correlation;
    if (correlation === undefined) faults.push('no audio was recorded, so nothing proves that it came back');
    else if (correlation < LEAST_CORRELATION) {
      faults.push(`the audio did not come back: correlation ${correlation.toFixed(3)}`);
    }
    if (report.framesMissing > 0) faults.push(`${report.framesMissing} frames are missing`);
  }
  const warning = report.warnings.first;
  if (warning !== undefined) faults.push(`protocol warning ${warning.code}: ${warning.reason}`);
  return faults;
}
