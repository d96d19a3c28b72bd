import { Command, InvalidArgumentError, Option } from 'commander';
import { LINES } from '../simulator/line.js';
import {
  durationOf,
  LONGEST_STEP_SECONDS,
  MOST_CALLS,
  MOST_CALLS_A_SECOND,
} from '../simulator/load-steps.js';
import type { Shell } from './shell.js';
import { SCRIPT_SECONDS, SECONDS, type SimulateFlags } from './simulate-flags.js';
import { MOST_GROWN_MS } from './verdict.js';
import { whole } from './whole.js';

/** `trunkline simulate` */
export function simulateCommand(shell: Shell): Command {
  return new Command('simulate')
    .requiredOption('--url <url>', 'the voice webhook, as Twilio would be told: https://host/twilio/voice')
    .option('--target <url>', 'connect here instead, e.g. http://127.0.0.1:3000, and sign for --url')
    .option('--account-sid <sid>', 'account that calls (default: TWILIO_ACCOUNT_SID)')
    .option('--auth-token <token>', 'signs webhook and upgrade (default: TWILIO_AUTH_TOKEN)')
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
    .option(
      '--fail-missing <percent>',
      'frames of words of an echo that may be missing (default: 0)',
      whole(0, 100),
    )
    .option(
      '--fail-delay <ms>',
      'how much longer mouth to ear may be at the end, and 3 s after a stall, than at the beginning ' +
        `(default: ${MOST_GROWN_MS}, where an echo of some seconds can tell)`,
      whole(0, 60_000),
    )
    .optionsGroup('Output:')
    .option('--json [file]', 'the report as JSON, to standard output where no file is named')
    .option('--html <file>', 'the report with plots as one HTML file')
    .option('--junit <file>', 'the checks as JUnit XML, for CI')
    .addHelpText(
      'after',
      `
Exit code 1 when a call failed or was cut off, the audio did not come back whole from an echo, or later and later, a script
could not be followed or a limit was exceeded; and when the run is invalid, because this program itself was the limit.
Pauses that an echo leaves out to be in time again, and words that it says a little faster, are counted and no fault.`,
    )
    .action(async (flags: SimulateFlags) => {
      const { runSimulation } = await import('./simulation.js');
      if (!(await runSimulation(flags, shell))) shell.exitCode = 1;
    });
}

function stall(text: string): SimulateFlags['stall'] {
  const [time = '', every = ''] = text.split('@');
  const [stallMs = 0, stallEveryMs = 0] = [durationOf(time), durationOf(every)];
  if (!(stallMs >= 20 && stallMs <= 30_000 && stallEveryMs > stallMs && stallEveryMs >= 100)) {
    throw new InvalidArgumentError('Expected a time of 20ms to 30s and a longer one, such as 500ms@10s.');
  }
  return { stallMs, stallEveryMs };
}
