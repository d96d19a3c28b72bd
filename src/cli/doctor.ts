import { Command, InvalidArgumentError } from 'commander';
import { parseCapturedRequest } from '../doctor/captured-request.js';
import type { Finding, Mark } from '../doctor/check.js';
import { type ContextOptions, createContext } from '../doctor/context.js';
import { CHECKS, examine } from '../doctor/doctor.js';
import { environment } from '../doctor/environment.js';
import { signatureOfRequest } from '../doctor/signature.js';
import { readInput } from './input-file.js';

interface DoctorFlags {
  readonly url?: string;
  readonly connect?: { readonly host: string; readonly port: number };
  readonly ca?: string;
  readonly request?: string;
  readonly json?: boolean;
}

const MARKS: Readonly<Record<Mark, string>> = { ok: '✓', warn: '!', fail: '✗', skip: '-' };
const NAME_WIDTH = 16;

/** `trunkline doctor` */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'say what is wrong with URL, proxy, TLS, signatures, clock, core, keys and Redis, and what to set',
    )
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
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      `
Reads the environment that serve reads. Places no call: it sends signed status callbacks and upgrades for calls that do
not exist. A captured request may be raw HTTP, a curl command, or JSON with url, headers and body.
Exit code 1 when a mistake was found.`,
    )
    .action(async (flags: DoctorFlags) => {
      const options: ContextOptions = {
        ...(flags.url !== undefined && { url: flags.url }),
        ...(flags.connect !== undefined && { connect: flags.connect }),
        ...(flags.ca !== undefined && { ca: readInput('--ca', flags.ca) }),
      };
      const checks =
        flags.request === undefined
          ? CHECKS
          : [environment, signatureOfRequest(parseCapturedRequest(requestText(flags.request)))];
      const show = flags.json ? () => {} : (finding: Finding) => console.log(lineOf(finding));
      const findings = await examine(createContext(process.env, options), checks, show);
      const ok = findings.every(({ mark }) => mark !== 'fail');
      if (flags.json) console.log(JSON.stringify({ ok, findings }, null, 2));
      else console.log(summary(findings));
      if (!ok) process.exitCode = 1;
    });
}

function lineOf({ mark, check, says, set }: Finding): string {
  const line = `${MARKS[mark]} ${check.padEnd(NAME_WIDTH)} ${says}`;
  return set === undefined ? line : `${line}\n${' '.repeat(NAME_WIDTH + 3)}set ${set}`;
}

function summary(findings: readonly Finding[]): string {
  const count = (mark: Mark) => findings.filter((finding) => finding.mark === mark).length;
  const [mistakes, warnings] = [count('fail'), count('warn')];
  if (mistakes + warnings === 0) return 'Nothing is wrong.';
  return `${mistakes} ${mistakes === 1 ? 'mistake' : 'mistakes'}, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}.`;
}

function requestText(file: string): string {
  return file === '-' ? readInput('--request', 'standard input', 0) : readInput('--request', file);
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
