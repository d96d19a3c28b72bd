import { account } from './account.js';
import { certificate } from './certificate.js';
import type { Check, Finding, Result } from './check.js';
import { clock } from './clock.js';
import type { Context } from './context.js';
import { nativeCore } from './core.js';
import { environment } from './environment.js';
import { listener } from './listener.js';
import { numbers } from './numbers.js';
import { redis } from './redis.js';
import { route } from './route.js';
import { streamKeys } from './stream-keys.js';
import { upgrade } from './upgrade.js';
import { webhook } from './webhook.js';

/** All checks, ordered so that earlier findings explain later ones. */
export const CHECKS: readonly Check[] = [
  environment,
  nativeCore,
  listener,
  certificate,
  route,
  webhook,
  upgrade,
  clock,
  account,
  numbers,
  streamKeys,
  redis,
];

/** Runs all checks in order. Never rejects: a check that throws becomes a finding. */
export async function examine(
  context: Context,
  checks: readonly Check[] = CHECKS,
  onFinding: (finding: Finding) => void = () => {},
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const check of checks) {
    for (const result of await resultsOf(check, context, findings)) {
      const finding = { check: check.name, ...result };
      findings.push(finding);
      onFinding(finding);
    }
  }
  return findings;
}

async function resultsOf(
  check: Check,
  context: Context,
  earlier: readonly Finding[],
): Promise<readonly Result[]> {
  try {
    const results = await check.run(context, [...earlier]);
    return Array.isArray(results) ? (results as readonly Result[]) : [results as Result];
  } catch (error) {
    const { message } = error as Error;
    return [{ mark: 'fail', says: `This could not be checked: ${message}` }];
  }
}
