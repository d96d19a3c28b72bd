import type { LineName, LineProfile } from '../simulator/line.js';

/** Without a script; callers with one are waited for, but not for ever. */
export const SECONDS = 10;
export const SCRIPT_SECONDS = 600;

/** What `trunkline simulate` was asked for. */
export interface SimulateFlags {
  readonly url: string;
  readonly target?: string;
  readonly calls: number;
  readonly rate: number;
  readonly duration?: number;
  readonly churn?: number;
  readonly profile?: string;
  readonly audio?: string;
  readonly script?: string;
  readonly record?: string;
  readonly line: LineName;
  readonly jitter?: number;
  readonly burst?: number;
  readonly stall?: Pick<LineProfile, 'stallMs' | 'stallEveryMs'>;
  readonly echo: boolean;
  readonly failP99?: number;
  readonly failWebhook?: number;
  readonly failGap?: number;
  readonly failMissing?: number;
  readonly failDelay?: number;
  readonly json?: string | true;
  readonly html?: string;
  readonly junit?: string;
  readonly accountSid?: string;
  readonly authToken?: string;
}
