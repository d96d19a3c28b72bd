import { parseCapturedRequest } from '../doctor/captured-request.js';
import type { Finding, Mark } from '../doctor/check.js';
import { type ContextOptions, createContext } from '../doctor/context.js';
import { CHECKS, examine } from '../doctor/doctor.js';
import { environment } from '../doctor/environment.js';
import { signatureOfRequest } from '../doctor/signature.js';
import { GatewayError } from '../errors.js';
import { readInput } from './files.js';
import { configOf, readSettings, type Settings } from './settings.js';
import type { Shell } from './shell.js';

/** What `trunkline doctor` was asked for. */
export interface DoctorFlags {
  readonly url?: string;
  readonly connect?: { readonly host: string; readonly port: number };
  readonly ca?: string;
  readonly request?: string;
  readonly json?: boolean;
  readonly config?: string;
}

const MARKS: Readonly<Record<Mark, string>> = { ok: '✓', warn: '!', fail: '✗', skip: '-' };
const NAME_WIDTH = 16;

/** Examines the installation and prints the findings. Returns whether there was no mistake. */
export async function diagnose(flags: DoctorFlags, { console, env }: Shell): Promise<boolean> {
  const settings = await readSettings(env, flags.config === undefined ? {} : { config: flags.config });
  const options: ContextOptions = {
    mistakes: await mistakesOf(settings),
    ...(flags.url !== undefined && { url: flags.url }),
    ...(flags.connect !== undefined && { connect: flags.connect }),
    ...(flags.ca !== undefined && { ca: readInput('--ca', flags.ca) }),
  };
  const checks =
    flags.request === undefined
      ? CHECKS
      : [environment, signatureOfRequest(parseCapturedRequest(requestText(flags.request)))];
  const show = flags.json ? () => {} : (finding: Finding) => console.log(lineOf(finding));
  const findings = await examine(createContext(settings.env, options), checks, show);
  const ok = findings.every(({ mark }) => mark !== 'fail');
  console.log(flags.json ? JSON.stringify({ ok, findings }, null, 2) : summary(findings));
  return ok;
}

/** As `serve` would complain of them. */
async function mistakesOf(settings: Settings): Promise<readonly string[]> {
  try {
    await configOf(settings);
    return [];
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return error.message.split('\n');
  }
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
