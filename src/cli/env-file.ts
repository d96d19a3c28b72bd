import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { GatewayError } from '../errors.js';

/**
 * The settings of a command: the environment, and before it what a file of lines `NAME=value` says, for that can be changed
 * while a program runs.
 * @param flag the file that `--env-file` names; default `ENV_FILE`, if that is set
 * @throws GatewayError `GW_CONFIG_INVALID` where the file cannot be read
 */
export function settingsOf(env: NodeJS.ProcessEnv, flag?: string): NodeJS.ProcessEnv {
  const file = flag ?? env.ENV_FILE?.trim();
  if (file === undefined || file === '') return env;
  try {
    return { ...env, ...parseEnv(readFileSync(file, 'utf8')) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const name = flag === undefined ? 'ENV_FILE' : '--env-file';
    const message = `Expected a readable file for ${name} but received ${JSON.stringify(file)} (${code})`;
    throw new GatewayError('GW_CONFIG_INVALID', message);
  }
}
