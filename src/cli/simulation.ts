import { systemClock } from '../clock.js';
import { GatewayError } from '../errors.js';
import { AudioSource } from '../simulator/audio.js';
import { LINES } from '../simulator/line.js';
import { type LoadReport, runLoad } from '../simulator/load.js';
import { type LoadStep, parseLoadSteps } from '../simulator/load-steps.js';
import { printableUrl } from '../simulator/printable-url.js';
import { readScript } from '../simulator/script.js';
import { prepareFolder, unwritable } from './files.js';
import { htmlReport } from './html-report.js';
import { junitXml, type RunFacts } from './junit.js';
import { measuredOf } from './measured.js';
import { RunProgress } from './progress.js';
import { ReportFiles } from './report-files.js';
import type { Shell } from './shell.js';
import { SCRIPT_SECONDS, SECONDS, type SimulateFlags } from './simulate-flags.js';
import { loadTable } from './table.js';
import { type Criterion, checksOf, type Expectations, verdictOf } from './verdict.js';

/** Runs the simulation and prints the result. Returns whether it passed. */
export async function runSimulation(flags: SimulateFlags, shell: Shell): Promise<boolean> {
  const files = new ReportFiles();
  try {
    files.add('--html', flags.html);
    files.add('--junit', flags.junit);
    files.add('--json', flags.json === true ? undefined : flags.json);
    return await runAndTell(flags, files, shell);
  } finally {
    files.close();
  }
}

async function runAndTell(flags: SimulateFlags, files: ReportFiles, shell: Shell): Promise<boolean> {
  const { console } = shell;
  const begunAt = systemClock.date();
  const unsaved: (GatewayError | undefined)[] = [];
  const report = await simulate(flags, shell, (cause) => {
    unsaved[0] ??= unwritable('a folder', '--record', flags.record ?? '', cause);
  });
  const checks = checksOf(report, expectationsOf(flags));
  const verdict = verdictOf(checks);
  const faults = detailsOf(checks, 'failed');
  const facts: RunFacts = {
    target: printableUrl(flags.url),
    begunAt,
    seconds: (systemClock.date().getTime() - begunAt.getTime()) / 1000,
  };
  const json = JSON.stringify(measuredOf(report, checks), null, 2);
  // Standard output is one document where a machine reads it.
  const say = flags.json === true ? console.error : console.log;
  if (flags.json === true) console.log(json);
  else {
    console.log(loadTable(report));
    console.log(`generator: ${(report.generator.cpu * 100).toFixed(0)} % of a core`);
  }
  if (faults.length > 0) say(`FAILED: ${faults.join('; ')}`);
  if (verdict === 'invalid') say(`INVALID: ${detailsOf(checks, 'invalid').join('; ')}`);
  if (verdict === 'passed') say('PASSED');
  // The verdict has been printed, and a failed file must not prevent the others.
  unsaved.push(
    files.write('--html', () => htmlReport(report, checks, facts)),
    files.write('--junit', () => junitXml(report, checks, facts)),
    files.write('--json', () => json),
  );
  const mistakes = unsaved.filter((mistake) => mistake !== undefined);
  for (const { message } of mistakes) console.error(message);
  return verdict === 'passed' && mistakes.length === 0;
}

async function simulate(
  flags: SimulateFlags,
  shell: Shell,
  onUnsaved: (error: Error) => void,
): Promise<LoadReport> {
  const { env, signals } = shell;
  const authToken = (flags.authToken ?? env.TWILIO_AUTH_TOKEN)?.split(',')[0]?.trim();
  const accountSid = flags.accountSid ?? env.TWILIO_ACCOUNT_SID;
  if (!authToken) {
    throw new GatewayError(
      'GW_AUTH_TOKEN_MISSING',
      'Expected --auth-token (or TWILIO_AUTH_TOKEN) to sign with but received none',
    );
  }
  if (!URL.canParse(flags.url)) {
    throw new GatewayError(
      'GW_SIM_OPTIONS',
      `Expected an absolute URL for --url but received "${printableUrl(flags.url)}"`,
    );
  }
  checkBars(flags);
  const steps = stepsOf(flags);
  const script = flags.script === undefined ? undefined : readScript(flags.script);
  if (flags.record !== undefined) prepareFolder('--record', flags.record);
  const progress = new RunProgress(flags.calls, flags.duration ?? SECONDS, shell);
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  signals.once('SIGINT', leave).once('SIGTERM', leave);
  try {
    return await runLoad({
      webhookUrl: flags.url,
      authToken,
      steps,
      signal: leaving.signal,
      onProgress: progress.update,
      onUnsaved,
      echoes: flags.echo,
      profile: {
        ...LINES[flags.line],
        ...(flags.jitter !== undefined && { jitterMs: flags.jitter }),
        ...(flags.burst !== undefined && { burstFrames: flags.burst }),
        ...flags.stall,
      },
      ...(script !== undefined && { script }),
      ...(accountSid !== undefined && { accountSid }),
      ...(flags.audio !== undefined && { audio: AudioSource.file(flags.audio) }),
      ...(flags.record !== undefined && { recordDirectory: flags.record, proofCalls: 4 }),
      ...(flags.target !== undefined && { dial: { publicUrl: publicBase(flags.url), target: flags.target } }),
    });
  } finally {
    progress.stop();
    signals.off('SIGINT', leave).off('SIGTERM', leave);
  }
}

/** What is never measured cannot be too much. */
function checkBars({ echo, script, failP99, failMissing, failDelay }: SimulateFlags): void {
  if (echo && script === undefined) return;
  const bars = { '--fail-p99': failP99, '--fail-missing': failMissing, '--fail-delay': failDelay };
  for (const [bar, value] of Object.entries(bars)) {
    if (value === undefined) continue;
    throw new GatewayError(
      'GW_SIM_OPTIONS',
      `Expected an echo to measure for ${bar} but received ${echo ? '--script' : '--no-echo'}`,
    );
  }
}

function stepsOf(flags: SimulateFlags): LoadStep[] {
  const { profile, calls, rate, churn } = flags;
  if (profile !== undefined) return parseLoadSteps(profile, calls);
  const seconds = flags.duration ?? (flags.script === undefined ? SECONDS : SCRIPT_SECONDS);
  return [
    { kind: 'ramp', calls, rate },
    churn === undefined ? { kind: 'hold', seconds } : { kind: 'churn', rate: churn, seconds },
  ];
}

function expectationsOf(flags: SimulateFlags): Expectations {
  return {
    echo: flags.echo && flags.script === undefined,
    judgesGenerator: true,
    roundTripMs: flags.failP99,
    webhookMs: flags.failWebhook,
    gapMs: flags.failGap,
    missingPercent: flags.failMissing,
    grownMs: flags.failDelay,
  };
}

function detailsOf(checks: readonly Criterion[], outcome: Criterion['outcome']): string[] {
  return checks.filter((check) => check.outcome === outcome).map(({ detail }) => detail);
}

/** `https://host/prefix` of `https://host/prefix/twilio/voice`; of another server's webhook nothing is stripped. */
function publicBase(webhookUrl: string): string {
  const url = new URL(webhookUrl);
  return url.origin + (/^(.*)\/twilio\/voice\/?$/.exec(url.pathname)?.[1] ?? '');
}
