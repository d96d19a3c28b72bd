import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import type { Config } from '../config.js';
import { GatewayError } from '../errors.js';
import type { NumberPlan } from '../router/number-plan.js';
import type { ConfigFile } from './config-file.js';

/** Where a command may find settings besides the environment. */
export interface SettingsFlags {
  /** File that `--env-file` names; default `ENV_FILE`. */
  readonly envFile?: string;
  /** File that `--config` names; default `CONFIG_FILE`. */
  readonly config?: string;
  /** Take precedence over everything else. */
  readonly agent?: string;
  readonly host?: string;
  readonly port?: string;
  readonly workers?: string;
}

/** All inputs of a command, not yet checked. */
export interface Settings {
  /** By the names of the environment. */
  readonly env: NodeJS.ProcessEnv;
  readonly file: ConfigFile | undefined;
}

/**
 * The settings of a command, in order of weight: flags, a file of lines `NAME=value`, which can be changed while a program
 * runs, the environment, and the configuration file.
 * @throws GatewayError `GW_CONFIG_INVALID` where a file cannot be read
 */
export async function readSettings(env: NodeJS.ProcessEnv, flags: SettingsFlags = {}): Promise<Settings> {
  const told = environmentOf(env, flags.envFile);
  const path = flags.config ?? told.CONFIG_FILE?.trim();
  const file =
    path === undefined || path === ''
      ? undefined
      : // Loaded here: few have such a file.
        (await import('./config-file.js')).readConfigFile(
          path,
          flags.config === undefined ? 'CONFIG_FILE' : '--config',
        );
  const { agent, host, port, workers } = flags;
  return {
    file,
    env: {
      ...file?.settings,
      // A variable set to empty text counts as not set.
      ...Object.fromEntries(Object.entries(told).filter(([, value]) => value?.trim())),
      ...(agent !== undefined && { AGENT: agent }),
      ...(host !== undefined && { HOST: host }),
      ...(port !== undefined && { PORT: port }),
      ...(workers !== undefined && { WORKERS: workers }),
    },
  };
}

function environmentOf(env: NodeJS.ProcessEnv, flag: string | undefined): NodeJS.ProcessEnv {
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

/**
 * What settings come to.
 * @throws GatewayError `GW_CONFIG_INVALID`, its message one line for every mistake, with its place where that is a file
 */
export async function configOf({
  env,
  file,
}: Settings): Promise<{ config: Config; plan: NumberPlan | undefined }> {
  const { readConfig } = await import('../config.js');
  const mistakes: string[] = [];
  let config: Config | undefined;
  try {
    config = readConfig(env);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    mistakes.push(...error.message.split('\n').map((line) => withPlace(line, env, file)));
  }
  mistakes.push(...(file?.mistakes ?? []));
  if (file?.plan !== undefined && env.CALL_ROUTER_URL?.trim()) {
    mistakes.push('Expected numbers in the configuration file or CALL_ROUTER_URL but received both');
  }
  if (config === undefined || mistakes.length > 0) {
    throw new GatewayError('GW_CONFIG_INVALID', mistakes.join('\n'));
  }
  return { config, plan: file?.plan };
}

/** Tells where the value stands that a mistake is about, if that is the configuration file. */
function withPlace(line: string, env: NodeJS.ProcessEnv, file: ConfigFile | undefined): string {
  const name = / for ([A-Z][A-Z_]+) but received /.exec(line)?.[1] ?? '';
  const place = file?.settings[name] === env[name] ? file?.places.get(name) : undefined;
  return place === undefined ? line : `${line} (${place})`;
}
