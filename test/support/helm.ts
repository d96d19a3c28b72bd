import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { needs } from './needs.js';

/** Where `fetch-helm.ts` leaves it. */
export const FETCHED_HELM = fileURLToPath(new URL('../../node_modules/.cache/helm/helm', import.meta.url));

const HELM = existsSync(FETCHED_HELM) ? FETCHED_HELM : 'helm';

export const hasHelm = needs(
  'helm',
  'npx tsx test/support/fetch-helm.ts',
  () => helm(['version']).failed === '',
);

/**
 * Runs helm.
 * @param values passed as a values file, if given
 * @returns what it wrote, and what it had against its work; empty text is nothing
 */
export function helm(args: readonly string[], values?: unknown): { output: string; failed: string } {
  const { status, stdout, stderr } = spawnSync(
    HELM,
    [...args, ...(values === undefined ? [] : ['-f', '-'])],
    {
      input: JSON.stringify(values ?? null),
      encoding: 'utf8',
    },
  );
  return {
    output: stdout ?? '',
    failed: status === 0 ? '' : `${stdout ?? ''}${stderr ?? 'there is no helm'}`,
  };
}
