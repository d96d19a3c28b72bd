import { Command, InvalidArgumentError } from 'commander';
import type { DoctorFlags } from './diagnosis.js';
import type { Shell } from './shell.js';

/** `trunkline doctor` */
export function doctorCommand(shell: Shell): Command {
  return new Command('doctor')
    .option('--url <url>', 'probe this public URL in place of PUBLIC_URL', publicUrl)
    .option(
      '--connect <host:port>',
      'connect here in place of the public host, e.g. to a proxy not yet in DNS',
      endpoint,
    )
    .option('--ca <file>', 'PEM of an authority to trust besides the usual ones')
    .option(
      '--request <file>',
      'a captured request of Twilio’s to explain in place of all that; - is standard input',
    )
    .option('--config <file>', 'YAML that serve is given (default: CONFIG_FILE)')
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      `
Reads the environment that serve reads. Places no call: it sends signed status callbacks and upgrades for calls that do
not exist. A captured request may be raw HTTP, a curl command, or JSON with url, headers and body.
Exit code 1 when a mistake was found.`,
    )
    .action(async (flags: DoctorFlags) => {
      const { diagnose } = await import('./diagnosis.js');
      if (!(await diagnose(flags, shell))) shell.exitCode = 1;
    });
}

/** Also one that serve would refuse: it is what Twilio was told. */
function publicUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new InvalidArgumentError('Expected an http(s) URL.');
  }
  return text.replace(/\/twilio\/voice\/?$/, '');
}

function endpoint(text: string): { host: string; port: number } {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || !(Number(port) > 0 && Number(port) < 65_536)) {
    throw new InvalidArgumentError('Expected host:port.');
  }
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}
