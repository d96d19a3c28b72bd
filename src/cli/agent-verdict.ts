import { Presets, SingleBar } from 'cli-progress';
import { systemClock } from '../clock.js';
import type { Check, Result } from '../conformance/check.js';
import { AGENT_CHECKS, type AgentFinding, examineAgent } from '../conformance/conformance.js';
import { checkAgentUrl } from '../conformance/examination.js';
import { GatewayError } from '../errors.js';
import type { LegRate } from '../legs/leg-rate.js';
import type { Shell } from './shell.js';

/** What `trunkline conformance` was asked for. */
export interface ConformanceFlags {
  readonly secret?: string;
  readonly rate: LegRate;
  readonly oneRate?: boolean;
  readonly keys?: string;
  readonly timeout: number;
  readonly limit: number;
  readonly checks?: string | true;
  readonly json?: boolean;
}

const MARKS: Readonly<Record<Result, string>> = { passed: '✓', failed: '✗', skipped: '-' };
const NAME_WIDTH = 14;

/** Examines an agent and prints the findings. Returns whether no check failed. */
export async function judge(
  url: string | undefined,
  flags: ConformanceFlags,
  shell: Shell,
): Promise<boolean> {
  const { console, env } = shell;
  if (flags.checks === true) {
    for (const { name, wants } of AGENT_CHECKS) console.log(`${name.padEnd(NAME_WIDTH)} ${wants}`);
    return true;
  }
  checkAgentUrl(url);
  const { rate, oneRate: hasOneRate, keys, timeout, limit, json, secret = env.WEBHOOK_SECRET } = flags;
  const checks = checksOf(flags.checks);
  const limits = { timeoutMs: timeout * 1_000, limitMs: limit * 1_000 };
  const progress = new CheckProgress(checks, shell);
  const findings = await examineAgent(
    { url, rate, hasOneRate, keys, secret, ...limits, clock: systemClock },
    checks,
    {
      onCheck: (check) => progress.show(check),
      onFinding: (finding) => {
        progress.hide();
        if (!json) console.log(lineOf(finding));
      },
    },
  ).finally(() => progress.hide());
  const ok = findings.every(({ result }) => result !== 'failed');
  console.log(json ? JSON.stringify({ ok, url, rate, findings }, null, 2) : summary(findings));
  return ok;
}

/** The checks that `--checks` names. */
function checksOf(names: string | undefined): readonly Check[] {
  if (names === undefined) return AGENT_CHECKS;
  return names.split(',').map((name) => {
    const check = AGENT_CHECKS.find((each) => each.name === name.trim());
    if (check !== undefined) return check;
    const all = AGENT_CHECKS.map((each) => each.name).join(', ');
    throw new GatewayError('GW_BAD_REQUEST', `Expected names of checks (${all}) but received "${name}"`);
  });
}

function lineOf({ result, check, saw, mend }: AgentFinding): string {
  const line = `${MARKS[result]} ${check.padEnd(NAME_WIDTH)} ${saw}`;
  return mend === undefined ? line : `${line}\n${' '.repeat(NAME_WIDTH + 3)}${mend}`;
}

function summary(findings: readonly AgentFinding[]): string {
  const count = (result: Result) => findings.filter((finding) => finding.result === result).length;
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} not applicable.`;
}

/** Which check is running, on a terminal. */
class CheckProgress {
  private readonly bar: SingleBar | undefined;
  private done = 0;

  constructor(
    private readonly checks: readonly Check[],
    { stderr }: Shell,
  ) {
    if (!stderr.isTTY) return;
    const format = '{bar} {value}/{total} {name}';
    this.bar = new SingleBar({ format, stream: stderr, clearOnComplete: true }, Presets.shades_classic);
  }

  show({ name }: Check): void {
    this.bar?.start(this.checks.length, this.done, { name });
    this.done += 1;
  }

  hide(): void {
    this.bar?.stop();
  }
}
