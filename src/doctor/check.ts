import type { Context } from './context.js';

/** `skip`: could not be asked, and that is no mistake by itself. */
export type Mark = 'ok' | 'warn' | 'fail' | 'skip';

/** What a check found. */
export interface Finding {
  /** Name of the check. */
  readonly check: string;
  readonly mark: Mark;
  /** One sentence: what is so. Holds no secret, and phone numbers only masked. */
  readonly says: string;
  /** What to set or do about it. */
  readonly set?: string;
}

/** What a check itself says; its name is added to it. */
export type Result = Omit<Finding, 'check'>;

/** One question to an installation. */
export interface Check {
  readonly name: string;
  /**
   * Asks it. What throws here is a fault of ours.
   * @param earlier what the checks before this one found
   */
  run(context: Context, earlier: readonly Finding[]): Promise<Result | readonly Result[]>;
}

/** Whether a check found a mistake. */
export function failed(findings: readonly Finding[], check: string): boolean {
  return findings.some((finding) => finding.check === check && finding.mark === 'fail');
}
