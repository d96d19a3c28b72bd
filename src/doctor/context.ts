import { type Clock, systemClock } from '../clock.js';
import { type Config, readConfig } from '../config.js';
import { GatewayError } from '../errors.js';
import { type PublicOrigin, parsePublicUrl } from '../twilio/public-url.js';
import { Wire, type WireOptions } from './wire.js';

/** One of Twilio's Regions; each has auth tokens of its own. */
export interface Region {
  readonly name: string;
  readonly apiUrl: string;
}

/** Source: twilio.com/docs/global-infrastructure/understanding-edge-locations. */
const REGIONS: readonly Region[] = [
  { name: 'IE1 (Ireland)', apiUrl: 'https://api.dublin.ie1.twilio.com' },
  { name: 'AU1 (Australia)', apiUrl: 'https://api.sydney.au1.twilio.com' },
];

/** What all checks know. */
export interface Context {
  /** What the environment says, without what is wrong in it. */
  readonly config: Config;
  /** What is wrong in it, a line each. */
  readonly mistakes: readonly string[];
  /** Where Twilio reaches the gateway: what is probed. */
  readonly at: PublicOrigin | undefined;
  readonly wire: Wire;
  /** Where a token that Twilio refuses may belong. */
  readonly regions: readonly Region[];
  readonly clock: Clock;
}

export interface ContextOptions extends WireOptions {
  /** Probed in place of PUBLIC_URL. */
  readonly url?: string;
  /** What is wrong with the settings, where somebody knows better than the environment alone tells. */
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
    // Another API than Twilio's own has no Regions that we know of.
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

/** As `serve` reads it; where that refuses, what is left without the variables that it complains of. */
function readLeniently(env: NodeJS.ProcessEnv, mistakes: readonly string[]) {
  if (mistakes.length === 0) return { config: readConfig(env), mistakes };
  const named = new Set(mistakes.flatMap((line) => line.match(/\b[A-Z][A-Z_]+\b/g) ?? []));
  const rest = Object.entries(env).filter(([name]) => !named.has(name));
  return { config: readConfig({ ...Object.fromEntries(rest), TWILIO_VALIDATE: 'off' }), mistakes };
}
