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
    .option('--calls <n>', 'calls at the same time', whole(1, 1000), 1)
    .option('--seconds <n>', 'how long they talk', whole(1, 600), 8)
    .option('--record <dir>', 'write what the first callers hear as WAV files')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
--bridge stream needs STREAM_API_KEY and STREAM_API_SECRET; with STREAM_BASE_URL the calls go to another origin.
Exit code 1 when the audio did not come back.`,
    )
    .action(async (flags: DemoFlags) => {
      const ok =
        flags.bridge === 'local'
          ? await (await import('./demo-local.js')).runLocalDemo(flags, shell)
          : await (await import('./demo-stream.js')).runStreamDemo(flags, shell);
      if (!ok) shell.exitCode = 1;
    });
}
