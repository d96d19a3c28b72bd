import { type Clock, systemClock } from '../clock.js';
import { type Config, readConfig } from '../config.js';
import { GatewayError } from '../errors.js';
import { type PublicOrigin, parsePublicUrl } from '../twilio/public-url.js';
import { Wire, type WireOptions } from './wire.js';

/** One of Twilio's Regions; each has its own auth tokens. */
export interface Region {
  readonly name: string;
  readonly apiUrl: string;
}

/** Source: twilio.com/docs/global-infrastructure/understanding-edge-locations. */
const REGIONS: readonly Region[] = [
  { name: 'IE1 (Ireland)', apiUrl: 'https://api.dublin.ie1.twilio.com' },
  { name: 'AU1 (Australia)', apiUrl: 'https://api.sydney.au1.twilio.com' },
];

/** What all checks share. */
export interface Context {
  /** The configuration from the environment, without the invalid variables. */
  readonly config: Config;
  /** Mistakes in the environment, one line each. */
  readonly mistakes: readonly string[];
  /** Where Twilio reaches the gateway; this is probed. */
  readonly at: PublicOrigin | undefined;
  readonly wire: Wire;
  /** Regions where a rejected token may be valid. */
  readonly regions: readonly Region[];
  readonly clock: Clock;
}

export interface ContextOptions extends WireOptions {
  /** Probed instead of PUBLIC_URL. */
  readonly url?: string;
  /** Mistakes in the settings, if the caller knows more than the environment shows. */
  readonly mistakes?: readonly string[];
  readonly regions?: readonly Region[];
}

export function createContext(env: NodeJS.ProcessEnv, options: ContextOptions = {}): Context {
  const { config, mistakes } = readLeniently(env, options.mistakes ?? mistakesOf(env));
  const { url = config.publicUrl } = options;
  return {
    config,
    mistakes,
    at: url === undefined ? undefined : parsePublicUrl(url),
    wire: new Wire(options),
    // A custom API URL has no known Regions.
    regions: options.regions ?? (config.twilio.apiUrl === undefined ? REGIONS : []),
    clock: options.clock ?? systemClock,
  };
}

function mistakesOf(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'GW_CONFIG_INVALID') throw error;
    return error.message.split('\n');
  }
}

/** Reads the configuration like `serve`, but leaves out the variables that it rejects. */
function readLeniently(env: NodeJS.ProcessEnv, mistakes: readonly string[]) {
  if (mistakes.length === 0) return { config: readConfig(env), mistakes };
  const named = new Set(mistakes.flatMap((line) => line.match(/\b[A-Z][A-Z_]+\b/g) ?? []));
  const rest = Object.entries(env).filter(([name]) => !named.has(name));
  return { config: readConfig({ ...Object.fromEntries(rest), TWILIO_VALIDATE: 'off' }), mistakes };
}
