import { DialRefused } from './agent-line.js';
import { type Check, NotApplicable, type Verdict } from './check.js';
import { answer } from './checks/answer.js';
import { backlog } from './checks/backlog.js';
import { bargeIn } from './checks/barge-in.js';
import { commands } from './checks/commands.js';
import { ending } from './checks/ending.js';
import { keys } from './checks/keys.js';
import { limits } from './checks/limits.js';
import { marks } from './checks/marks.js';
import { pace } from './checks/pace.js';
import { pings } from './checks/pings.js';
import { rate } from './checks/rate.js';
import { reconnect } from './checks/reconnect.js';
import { samples } from './checks/samples.js';
import { signature } from './checks/signature.js';
import { slowGateway } from './checks/slow-gateway.js';
import { staleAudio } from './checks/stale-audio.js';
import { twoCalls } from './checks/two-calls.js';
import { upgrade } from './checks/upgrade.js';
import { Examination, type ExaminationOptions } from './examination.js';

/** All checks. Those at the end judge what was seen in the calls of the others. */
export const AGENT_CHECKS: readonly Check[] = [
  upgrade,
  signature,
  answer,
  bargeIn,
  staleAudio,
  keys,
  slowGateway,
  reconnect,
  ending,
  twoCalls,
  samples,
  rate,
  pace,
  limits,
  backlog,
  marks,
  commands,
  pings,
];

/** A check and what it found. */
export interface AgentFinding extends Verdict {
  readonly check: string;
}

/** Told while an agent is examined. */
export interface ExaminationListener {
  readonly onCheck?: (check: Check) => void;
  readonly onFinding?: (finding: AgentFinding) => void;
}

/** Examines an agent by calling it as a gateway does. */
export async function examineAgent(
  options: ExaminationOptions,
  checks: readonly Check[] = AGENT_CHECKS,
  { onCheck, onFinding }: ExaminationListener = {},
): Promise<AgentFinding[]> {
  const examination = await Examination.of(options);
  const findings: AgentFinding[] = [];
  try {
    for (const check of checks) {
      onCheck?.(check);
      const finding = { check: check.name, ...(await verdictOf(check, examination)) };
      findings.push(finding);
      onFinding?.(finding);
    }
  } finally {
    await examination.close();
  }
  return findings;
}

async function verdictOf(check: Check, examination: Examination): Promise<Verdict> {
  try {
    if (check.needsAnswer) await examination.answered();
    return await check.run(examination);
  } catch (error) {
    if (error instanceof NotApplicable) return { result: 'skipped', saw: error.message };
    if (error instanceof DialRefused) {
      return { result: 'skipped', saw: 'No call could be placed' };
    }
    throw error;
  }
}
