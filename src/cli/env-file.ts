import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { GatewayError } from '../errors.js';

/**
 * The settings of a command: the environment, and before it what a file of lines `NAME=value` says, for that can be changed
 * while a program runs.
 * @param file default `ENV_FILE`, if that is set
 * @throws GatewayError `GW_CONFIG_INVALID` where the file cannot be read
 */
export function settingsOf(env: NodeJS.ProcessEnv, file = env.ENV_FILE?.trim()): NodeJS.ProcessEnv {
  if (file === undefined || file === '') return env;
  try {
    return { ...env, ...parseEnv(readFileSync(file, 'utf8')) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const message = `Expected a readable file for ENV_FILE but received ${JSON.stringify(file)} (${code})`;
    throw new GatewayError('GW_CONFIG_INVALID', message);
  }
}
