import type { Examination } from './examination.js';

/** `skipped`: does not apply to this agent, or could not be observed; `saw` says why. */
export type Result = 'passed' | 'failed' | 'skipped';

/** What a check found. */
export interface Verdict {
  readonly result: Result;
  /** What was seen, in one sentence. */
  readonly saw: string;
  /** How to mend it; for a passed check, how to do better. */
  readonly mend?: string;
}

/** One promise of the raw-leg protocol that an agent is tried on. */
export interface Check {
  readonly name: string;
  /** What an agent should do, in one sentence. */
  readonly wants: string;
  /** Judges what was seen so far: the question is asked before. */
  readonly needsAnswer?: true;
  /** @throws NotApplicable if the agent gave no occasion for it */
  run(examination: Examination): Promise<Verdict> | Verdict;
}

/** The agent gave no occasion for a check. */
export class NotApplicable extends Error {}

export const passed = (saw: string, mend?: string): Verdict => verdict('passed', saw, mend);
export const failed = (saw: string, mend: string): Verdict => verdict('failed', saw, mend);

function verdict(result: Result, saw: string, mend: string | undefined): Verdict {
  return mend === undefined ? { result, saw } : { result, saw, mend };
}
