import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '../errors.js';

/** Keys of a Stream app and where it is. */
export interface StreamKeys {
  readonly apiKey: string;
  readonly apiSecret: string;
  /** Stream's own where absent. */
  readonly baseUrl?: string;
}

/** The same from `src/cli` and `dist/cli`; the published package does not hold it. */
const PROGRAM = fileURLToPath(new URL('../../test/support/stream/main.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Starts this repository's test double of Stream as a process of its own.
 * @throws GatewayError `GW_STREAM_KEYS_MISSING` outside of a checkout
 */
export async function startStreamDouble(): Promise<{ keys: StreamKeys; close(): Promise<void> }> {
  if (!existsSync(PROGRAM)) {
    throw new GatewayError(
      'GW_STREAM_KEYS_MISSING',
      'Expected STREAM_API_KEY and STREAM_API_SECRET for --bridge stream but received none ' +
        '(only a checkout of the repository has a test double of Stream)',
    );
  }
  const double = spawn(process.execPath, ['--import', 'tsx', PROGRAM], {
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(double, 'exit');
  const [line] = await Promise.race([
    once(createInterface(double.stdout), 'line'),
    exited.then(([code]) => {
      throw new GatewayError(
        'GW_STREAM_DOUBLE',
        `Expected the test double to start but received exit code ${code}`,
      );
    }),
  ]);
  const { url, apiKey, apiSecret } = JSON.parse(String(line));
  return {
    keys: { apiKey, apiSecret, baseUrl: url },
    async close() {
      double.stdin.end();
      await exited;
    },
  };
}
