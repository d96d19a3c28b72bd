import { Command, InvalidArgumentError } from 'commander';
import { LEG_RATES } from '../legs/leg-rate.js';
import type { ConformanceFlags } from './agent-verdict.js';
import type { Shell } from './shell.js';
import { whole } from './whole.js';

/** `trunkline conformance` */
export function conformanceCommand(shell: Shell): Command {
  return new Command('conformance')
    .argument('[url]', 'ws: or wss: URL of the agent')
    .option('--secret <secret>', 'signs the calls, and tries wrong signatures (default: WEBHOOK_SECRET)')
    .option('--rate <hz>', `sample rate of the calls: ${LEG_RATES.join(', ')}`, rate, 16_000)
    .option('--one-rate', 'the agent has no other rate than --rate')
    .option('--keys <digits>', 'keys that the agent reacts to', keys)
    .option('--timeout <seconds>', 'longest wait for an answer to a spoken question', whole(1, 60), 10)
    .option('--limit <seconds>', 'longest time for everything', whole(5, 600), 60)
    .option('--checks [names]', 'run only these, separated by commas; without names, list them all')
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      `
Calls the agent as a gateway does: dials, asks a spoken question, interrupts the answer, loses the connection, hangs up.
The agent hears English. Exit code 1 when a check failed.`,
    )
    .action(async (url: string | undefined, flags: ConformanceFlags) => {
      const { judge } = await import('./agent-verdict.js');
      if (!(await judge(url, flags, shell))) shell.exitCode = 1;
    });
}

function rate(text: string): number {
  if (LEG_RATES.some((each) => each === Number(text))) return Number(text);
  throw new InvalidArgumentError(`Expected ${LEG_RATES.join(', ')}.`);
}

function keys(text: string): string {
  if (/^[0-9*#A-D]{1,16}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected up to 16 of 0-9 * # A-D.');
}
