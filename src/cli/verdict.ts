import type { LoadReport } from '../simulator/load.js';

/** Speech that came back is the speech that was sent: µ-law twice and the filter leave more than this. */
const LEAST_CORRELATION = 0.98;

/** Default limit on the growth of mouth-to-ear delay, in milliseconds. */
export const MOST_GROWN_MS = 60;

/** What a run must show to pass. */
export interface Expectations {
  /** The server sends back what it hears, so that can be proved. */
  readonly echo: boolean;
  /** Whether a slow generator makes the run void; not where server and phones are one process. Default false. */
  readonly judgesGenerator?: boolean | undefined;
  /** Most milliseconds of a frame's round trip, of a webhook, of a hand-over's silence: p99 each. */
  readonly roundTripMs?: number | undefined;
  readonly webhookMs?: number | undefined;
  readonly gapMs?: number | undefined;
  /** Percent of an echo's frames that may be missing; default 0. */
  readonly missingPercent?: number | undefined;
  /** Most milliseconds by which an echo may be later at the end, and 3 s after each stall, than at the beginning; default 100. */
  readonly grownMs?: number | undefined;
}

/** One check. */
export interface Criterion {
  readonly name: string;
  /** `invalid`: the run cannot tell. */
  readonly outcome: 'passed' | 'failed' | 'invalid';
  /** What was found. */
  readonly detail: string;
}

export type Verdict = Criterion['outcome'];

/** All findings about a run, good and bad. */
export function checksOf(report: LoadReport, expectations: Expectations): Criterion[] {
  const { echo, judgesGenerator = false, roundTripMs, webhookMs, gapMs } = expectations;
  const { failed, lostCalls, generator, script, warnings } = report;
  const checks: Criterion[] = [];
  if (judgesGenerator) {
    checks.push({
      name: 'the generator was not the limit',
      outcome: generator.limits.length > 0 ? 'invalid' : 'passed',
      detail:
        generator.limits.length > 0
          ? `the generator was the limit: ${generator.limits.join('; ')}`
          : `${(generator.cpu * 100).toFixed(0)} % of a core, frames ${generator.lateness.p99Ms.toFixed(1)} ms late (p99)`,
    });
    checks.push({
      name: 'the run was complete',
      outcome: report.aborted ? 'invalid' : 'passed',
      detail: report.aborted ? 'the run was ended before its time' : `${report.steps.length} steps`,
    });
  }
  checks.push(
    verdict('every call was connected', failed === 0 && report.calls > 0, {
      good: `${report.calls} calls`,
      bad:
        report.calls === 0
          ? 'no call was placed'
          : `${failed} calls failed, the first with: ${report.firstFailure}`,
    }),
    verdict('no call was cut off', lostCalls === 0, {
      good: `${report.calls - failed} calls, ${report.handovers.count} hand-overs`,
      bad: `${lostCalls} calls were cut off`,
    }),
  );
  if (script !== undefined) checks.push(scriptCheck(script));
  if (echo) {
    checks.push(...echoChecks(report, expectations.missingPercent ?? 0));
    checks.push(...delayChecks(report, expectations.grownMs));
  }
  checks.push(
    verdict('the server kept to the protocol', warnings.first === undefined, {
      good: 'no warning',
      bad: `protocol warning ${warnings.first?.code}: ${warnings.first?.reason}`,
    }),
  );
  if (roundTripMs !== undefined) {
    const measured = report.echoes ? report.roundTrip : { count: 0, p99Ms: 0 };
    checks.push(limit('round trip of a frame', measured, roundTripMs));
  }
  if (webhookMs !== undefined) checks.push(limit('answer to a webhook', report.webhook, webhookMs));
  if (gapMs !== undefined && report.handovers.count > 0) {
    checks.push(limit('silence of a hand-over', report.handovers.gap, gapMs));
  }
  return checks;
}

/** `invalid` outweighs `failed`: a run that cannot tell has shown nothing. */
export function verdictOf(checks: readonly Criterion[]): Verdict {
  const has = (outcome: Verdict) => checks.some((check) => check.outcome === outcome);
  return has('invalid') ? 'invalid' : has('failed') ? 'failed' : 'passed';
}

/** Why a run failed; empty if it did not. */
export function faultsOf(report: LoadReport, expectations: Expectations): string[] {
  return checksOf(report, expectations)
    .filter(({ outcome }) => outcome === 'failed')
    .map(({ detail }) => detail);
}

function echoChecks(report: LoadReport, missingPercent: number): Criterion[] {
  // As it came, not as it was heard: a loaded machine that starves the phone's playout is not the server's fault.
  const correlation = report.proof?.received.correlation;
  const share = report.framesSent === 0 ? 0 : (100 * report.framesMissing) / report.framesSent;
  return [
    verdict('the audio came back', correlation !== undefined && correlation >= LEAST_CORRELATION, {
      good: `correlation ${correlation?.toFixed(4)}`,
      bad:
        correlation === undefined
          ? 'no audio was recorded, so nothing proves that it came back'
          : `the audio did not come back: correlation ${correlation.toFixed(3)}`,
    }),
    verdict('no frame was missing', share <= missingPercent, {
      good:
        `${report.framesMissing} of ${report.framesSent} frames are missing, besides ${report.pausesLeftOut} of silence ` +
        `and ${report.wordsShortenedMs} ms by which words were shortened`,
      bad: `${report.framesMissing} frames are missing`,
    }),
  ];
}

/** Whether delay goes away again. A short run, or a sound that repeats itself, cannot tell; it must where a limit was asked for. */
function delayChecks({ delay, generator }: LoadReport, grownMs: number | undefined): Criterion[] {
  const most = grownMs ?? MOST_GROWN_MS;
  const name = `mouth to ear: at most ${most} ms longer at the end and 3 s after a stall`;
  if (delay === undefined) {
    if (grownMs === undefined) return [];
    return [{ name, outcome: 'failed', detail: 'mouth to ear: nothing was measured' }];
  }
  const { beginMs, endMs, stalls, afterStallMs = 0 } = delay;
  const grown = endMs - beginMs;
  const ends = `${beginMs.toFixed(0)} ms at the beginning, ${endMs.toFixed(0)} at the end`;
  const after =
    stalls === 0 ? '' : `, ${afterStallMs.toFixed(0)} more 3 s after the worst of ${stalls} stalls`;
  // What this program itself was late is not the server's.
  const isGood = Math.max(grown, afterStallMs) <= most + generator.lateness.maxMs;
  return [
    verdict(name, isGood, { good: ends + after, bad: `mouth to ear does not come back: ${ends}${after}` }),
  ];
}

function scriptCheck(script: NonNullable<LoadReport['script']>): Criterion {
  const { completed, failed, cutShort, firstFailure } = script;
  return verdict('every caller came to the end of the script', failed + cutShort === 0 && completed > 0, {
    good: `${completed} callers`,
    bad:
      failed > 0
        ? `${failed} callers could not follow the script, the first at ${firstFailure}`
        : cutShort > 0
          ? `${cutShort} callers were still at it when the run ended`
          : 'no caller came to the end of the script',
  });
}

function limit(
  what: string,
  { count, p99Ms }: Pick<LoadReport['roundTrip'], 'count' | 'p99Ms'>,
  most: number,
): Criterion {
  const found = `${p99Ms.toFixed(1)} ms`;
  return verdict(`${what}: p99 at most ${most} ms`, count > 0 && p99Ms <= most, {
    good: found,
    bad: count === 0 ? `${what}: nothing was measured` : `${what}: p99 ${found}, more than ${most} ms`,
  });
}

function verdict(name: string, isGood: boolean, detail: { good: string; bad: string }): Criterion {
  return isGood
    ? { name, outcome: 'passed', detail: detail.good }
    : { name, outcome: 'failed', detail: detail.bad };
}
