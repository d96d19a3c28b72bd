import { Command, InvalidArgumentError, Option } from 'commander';
import { GatewayError } from '../errors.js';
import { AudioSource } from '../simulator/audio.js';
import { LINES, type LineName, type LineProfile } from '../simulator/line.js';
import { type LoadReport, runLoad } from '../simulator/load.js';
import {
  durationOf,
  LONGEST_STEP_SECONDS,
  type LoadStep,
  MOST_CALLS,
  MOST_CALLS_A_SECOND,
  parseLoadSteps,
} from '../simulator/load-steps.js';
import { printableUrl } from '../simulator/printable-url.js';
import { readScript } from '../simulator/script.js';
import { unwritable } from './file-error.js';
import { htmlReport } from './html-report.js';
import { junitXml, type RunFacts } from './junit.js';
import { loadTable } from './load-table.js';
import { prepareFolder } from './output-folder.js';
import { RunProgress } from './progress.js';
import { ReportFiles } from './report-files.js';
import { type Check, checksOf, type Expectations, verdictOf } from './verdict.js';
import { whole } from './whole.js';

/** Without a script; callers with one are waited for, but not for ever. */
const SECONDS = 10;
const SCRIPT_SECONDS = 600;

interface SimulateFlags {
  readonly url: string;
  readonly target?: string;
  readonly calls: number;
  readonly rate: number;
  readonly duration?: number;
  readonly churn?: number;
  readonly profile?: string;
  readonly audio?: string;
  readonly script?: string;
  readonly record?: string;
  readonly line: LineName;
  readonly jitter?: number;
  readonly burst?: number;
  readonly stall?: Pick<LineProfile, 'stallMs' | 'stallEveryMs'>;
  readonly echo: boolean;
  readonly failP99?: number;
  readonly failWebhook?: number;
  readonly failGap?: number;
  readonly failMissing?: number;
  readonly json?: string | true;
  readonly html?: string;
  readonly junit?: string;
  readonly accountSid?: string;
  readonly authToken?: string;
}

/** `trunkline simulate` */
export function simulateCommand(): Command {
  return new Command('simulate')
    .description('place signed calls as Twilio would, against any server that speaks Media Streams')
    .requiredOption('--url <url>', 'the voice webhook, as Twilio would be told: https://host/twilio/voice')
    .option('--target <url>', 'connect here instead, e.g. http://127.0.0.1:3000, and sign for --url')
    .addOption(new Option('--account-sid <sid>', 'account that calls').env('TWILIO_ACCOUNT_SID'))
    .addOption(new Option('--auth-token <token>', 'signs webhook and upgrade').env('TWILIO_AUTH_TOKEN'))
    .optionsGroup('How many, how long:')
    .option('--calls <n>', 'calls at the same time', whole(1, MOST_CALLS), 1)
    .option('--rate <cps>', 'calls placed a second', whole(1, MOST_CALLS_A_SECOND), 20)
    .option(
      '--duration <s>',
      `seconds all of them talk (default: ${SECONDS}; with --script until all are done, ${SCRIPT_SECONDS} at most)`,
      whole(1, LONGEST_STEP_SECONDS),
    )
    .option('--churn <cps>', 'calls hung up and replaced a second meanwhile', whole(1, MOST_CALLS_A_SECOND))
    .addOption(
      new Option(
        '--profile <steps>',
        'instead: ramp:200@10/s,hold:60s,churn:5/s@60s,ramp:0@50/s (a ramp without a number goes to --calls)',
      ).conflicts(['rate', 'duration', 'churn']),
    )
    .optionsGroup('What the callers do:')
    .addOption(
      new Option('--audio <file>', 'WAV that they say (default: a recording that comes along)').conflicts(
        'script',
      ),
    )
    .option('--script <file>', 'steps that each follows: say, press, wait, hang up …')
    .option('--record <dir>', 'write what the first callers hear as WAV files')
    .optionsGroup('The line between:')
    .addOption(new Option('--line <kind>', 'how good it is').choices(Object.keys(LINES)).default('clean'))
    .option('--jitter <ms>', 'send frames up to so much late', whole(0, 1000))
    .option('--burst <frames>', 'send frames in bursts of so many', whole(1, 500))
    .option('--stall <time@every>', 'nothing passes for a time every so often: 500ms@10s', stall)
    .optionsGroup('What is expected:')
    .option('--no-echo', 'the server is no echo: do not expect the audio back (a script does not either)')
    .option('--fail-p99 <ms>', 'most milliseconds of a frame’s round trip, p99', whole(1, 60_000))
    .option('--fail-webhook <ms>', 'most milliseconds of a webhook, p99', whole(1, 60_000))
    .option('--fail-gap <ms>', 'most milliseconds of silence at a hand-over, p99', whole(1, 60_000))
    .option('--fail-missing <percent>', 'frames of an echo that may be missing (default: 0)', whole(0, 100))
    .optionsGroup('What is told:')
    .option('--json [file]', 'the report as JSON, to standard output where no file is named')
    .option('--html <file>', 'the report with plots as one HTML file')
    .option('--junit <file>', 'the checks as JUnit XML, for CI')
    .addHelpText(
      'after',
      `
Exit code 1 when a call failed or was cut off, the audio did not come back whole from an echo, a script could not be
followed or a limit was exceeded; and when the run is invalid, because this program itself was the limit.`,
    )
    .action(async (flags: SimulateFlags) => {
      if (!(await run(flags))) process.exitCode = 1;
    });
}

async function run(flags: SimulateFlags): Promise<boolean> {
  const files = new ReportFiles();
  try {
    files.add('--html', flags.html);
    files.add('--junit', flags.junit);
    files.add('--json', flags.json === true ? undefined : flags.json);
    return await runAndTell(flags, files);
  } finally {
    files.close();
  }
}

async function runAndTell(flags: SimulateFlags, files: ReportFiles): Promise<boolean> {
  const begunAt = new Date();
  const unsaved: (GatewayError | undefined)[] = [];
  const report = await simulate(flags, (cause) => {
    unsaved[0] ??= unwritable('a folder', '--record', flags.record ?? '', cause);
  });
  const checks = checksOf(report, expectationsOf(flags));
  const verdict = verdictOf(checks);
  const faults = detailsOf(checks, 'failed');
  const facts: RunFacts = {
    target: printableUrl(flags.url),
    begunAt,
    seconds: (Date.now() - begunAt.getTime()) / 1000,
  };
  const json = JSON.stringify({ ...report, checks, verdict, faults }, null, 2);
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
  // The verdict stands by now, and no file is lost for another's sake.
  unsaved.push(
    files.write('--html', () => htmlReport(report, checks, facts)),
    files.write('--junit', () => junitXml(report, checks, facts)),
    files.write('--json', () => json),
  );
  const mistakes = unsaved.filter((mistake) => mistake !== undefined);
  for (const { message } of mistakes) console.error(message);
  return verdict === 'passed' && mistakes.length === 0;
}

async function simulate(flags: SimulateFlags, onUnsaved: (error: Error) => void): Promise<LoadReport> {
  const authToken = flags.authToken?.split(',')[0]?.trim();
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
  const steps = stepsOf(flags);
  const script = flags.script === undefined ? undefined : readScript(flags.script);
  if (flags.record !== undefined) prepareFolder('--record', flags.record);
  const progress = new RunProgress(flags.calls, flags.duration ?? SECONDS);
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  process.once('SIGINT', leave).once('SIGTERM', leave);
  try {
    return await runLoad({
      webhookUrl: flags.url,
      authToken,
      steps,
      signal: leaving.signal,
      onProgress: progress.update,
      onUnsaved,
      profile: {
        ...LINES[flags.line],
        ...(flags.jitter !== undefined && { jitterMs: flags.jitter }),
        ...(flags.burst !== undefined && { burstFrames: flags.burst }),
        ...flags.stall,
      },
      ...(script !== undefined && { script }),
      ...(flags.accountSid !== undefined && { accountSid: flags.accountSid }),
      ...(flags.audio !== undefined && { audio: AudioSource.file(flags.audio) }),
      ...(flags.record !== undefined && { recordDirectory: flags.record, proofCalls: 4 }),
      ...(flags.target !== undefined && { dial: { publicUrl: publicBase(flags.url), target: flags.target } }),
    });
  } finally {
    progress.stop();
    process.off('SIGINT', leave).off('SIGTERM', leave);
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
  };
}

function detailsOf(checks: readonly Check[], outcome: Check['outcome']): string[] {
  return checks.filter((check) => check.outcome === outcome).map(({ detail }) => detail);
}

function stall(text: string): Pick<LineProfile, 'stallMs' | 'stallEveryMs'> {
  const [time = '', every = ''] = text.split('@');
  const [stallMs = 0, stallEveryMs = 0] = [durationOf(time), durationOf(every)];
  if (!(stallMs >= 20 && stallMs <= 30_000 && stallEveryMs > stallMs && stallEveryMs >= 100)) {
    throw new InvalidArgumentError('Expected a time of 20ms to 30s and a longer one, such as 500ms@10s.');
  }
  return { stallMs, stallEveryMs };
}

/** `https://host/prefix` of `https://host/prefix/twilio/voice`; of another server's webhook nothing is stripped. */
function publicBase(webhookUrl: string): string {
  const url = new URL(webhookUrl);
  return url.origin + (/^(.*)\/twilio\/voice\/?$/.exec(url.pathname)?.[1] ?? '');
}
