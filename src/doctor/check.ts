import type { Context } from './context.js';

/** `skip`: could not be checked, which is not a mistake by itself. */
export type Mark = 'ok' | 'warn' | 'fail' | 'skip';

/** The result of a check. */
export interface Finding {
  /** Name of the check. */
  readonly check: string;
  readonly mark: Mark;
  /** The finding in one sentence. Contains no secrets, and phone numbers only masked. */
  readonly says: string;
  /** What to set or do about it. */
  readonly set?: string;
}

/** A check's own result, without its name. */
export type Result = Omit<Finding, 'check'>;

/** One check of an installation. */
export interface Check {
  readonly name: string;
  /**
   * Runs the check. Errors thrown here are internal.
   * @param earlier findings of the checks before this one
   */
  run(context: Context, earlier: readonly Finding[]): Promise<Result | readonly Result[]>;
}

/** Whether a check failed. */
export function failed(findings: readonly Finding[], check: string): boolean {
  return findings.some((finding) => finding.check === check && finding.mark === 'fail');
}
