import { Command, Option } from 'commander';
import type { DemoFlags } from './demo-local.js';
import type { Shell } from './shell.js';
import { whole } from './whole.js';

/** `trunkline demo` */
export function demoCommand(shell: Shell): Command {
  return new Command('demo')
    .addOption(
      new Option('--bridge <bridge>', 'where the calls go; stream: to an agent in a Stream call')
        .choices(['local', 'stream'])
        .default('local'),
    )
    .option(
      '--agent',
      'ask an agent that answers from a knowledge base; its model is simulated unless OPENAI_API_KEY is set',
    )
    .option('--calls <n>', 'calls at the same time', whole(1, 1000), 1)
    .option('--seconds <n>', 'how long they talk', whole(1, 600), 8)
    .option('--record <dir>', 'write what the first callers hear as WAV files')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
--bridge stream needs STREAM_API_KEY and STREAM_API_SECRET; with STREAM_BASE_URL the calls go to another origin.
--agent takes one call to one agent, however --calls and --seconds are set.
Exit code 1 when the audio did not come back, or not the right answers.`,
    )
    .action(async (flags: DemoFlags) => {
      if (!(await run(flags, shell))) shell.exitCode = 1;
    });
}

/** @returns whether everything was heard that should be */
async function run(flags: DemoFlags, shell: Shell): Promise<boolean> {
  if (flags.agent) return (await import('./demo-agent.js')).runAgentDemo(flags, shell);
  if (flags.bridge === 'local') return (await import('./demo-local.js')).runLocalDemo(flags, shell);
  return (await import('./demo-stream.js')).runStreamDemo(flags, shell);
}
