import type { AgentsOptions } from './agents/agents.js';
import type { Bridge } from './bridge/bridge.js';
import type { PrepareCallHook } from './calls/decision.js';
import type { Apology } from './calls/session.js';
import type { Clock } from './clock.js';
import { type Config, withoutCredentials } from './config.js';
import { expected } from './errors.js';
import type { OwnRoutes } from './http/own-routes.js';
import { SETTINGS } from './settings.js';
import type { Logger } from './telemetry/log.js';
import { createRefusalTwiml } from './twilio/twiml.js';
import { secretsOf } from './webhooks/signature.js';
import type { MachineViews, OwnViews } from './workers/machine-views.js';
import type { Peers } from './workers/peers.js';
import type { OwnCalls, Places } from './workers/places.js';

/** Options that stand alone, and have the same names in the environment's {@link Config}. */
type PlainOptions = Omit<Config, 'twilio' | 'agents' | 'drainMs' | 'workerCount'>;

/** What a worker's gateway gets from its supervisor. */
export interface WorkerOptions {
  readonly peers: Peers;
  /** Whether all workers of the machine stop; default no. */
  readonly isMachineDraining?: () => boolean;
  /** Workers that the machine shall have. */
  readonly count: number;
  /** A directory of this machine's workers only, where they may listen on sockets. */
  readonly socketDir: string;
  /** Makes what shows all workers; without it the gateway shows itself. */
  readonly views?: (own: OwnViews) => MachineViews;
  /** Makes what brings sockets to the workers that have their rooms; without it this worker serves all that it gets. */
  readonly places?: (own: OwnCalls) => Places;
}

/**
 * How a gateway is made: every setting of {@link Config}, and what only a program can say. Everything has a default but who signs:
 * name auth tokens, or say `validate: false`.
 */
export interface GatewayOptions extends Partial<PlainOptions> {
  readonly twilio?: Partial<Config['twilio']>;
  /** How agents answer; in code also agents of your own, and tools for models. */
  readonly agents?: AgentsOptions;
  /**
   * Routes of yours beside the gateway's, such as `{ 'GET /prices/:id': (request) => Response.json(…) }`, by Fetch's `Request` and
   * `Response`. Bodies are of at most 64 KiB, and answers are sent whole. An address gets 50 a second at once.
   */
  readonly routes?: OwnRoutes;
  /** Decides where each call goes, as whom, or that it is rejected. */
  readonly prepareCall?: PrepareCallHook;
  /** Where calls are connected; default: Stream where `stream` is given, else rooms within this process. */
  readonly bridge?: Bridge;
  /** What a caller hears whose bridge fails, spoken by Twilio. Only a bridge that has a continuation after its stream uses it. */
  readonly apology?: Apology;
  /** Lifetime of an inbound call's token in milliseconds, more than 0; default 60,000. */
  readonly tokenTimeToLiveMs?: number;
  /** This gateway is one of the workers of a machine. @internal */
  readonly workers?: WorkerOptions;
  readonly log?: Logger;
  /** The time by which everything in the gateway waits and measures; default {@link systemClock}. */
  readonly clock?: Clock;
}

/** Options with the defaults of all settings but those of groups that are absent. */
export type CompleteOptions = GatewayOptions &
  PlainOptions &
  Pick<Config, 'twilio'> & { readonly agents: AgentsOptions };

/** Options that their rooms check and complete, and those of the command line. */
const ELSEWHERE = ['router', 'eventWebhooks', 'stream', 'drainMs', 'workerCount'];

/**
 * Checks options, and gives them the defaults of their settings.
 * @throws TypeError for an invalid value, or one that contradicts another
 */
export function completeOptions(options: GatewayOptions): CompleteOptions {
  const complete: Record<string, unknown> = {
    ...options,
    twilio: { ...options.twilio },
    agents: { ...options.agents },
  };
  for (const { format, option, default: usual, isSecret } of SETTINGS.values()) {
    if (typeof option !== 'string') continue;
    const [group, member] = option.split('.') as [string, string?];
    if (ELSEWHERE.includes(group)) continue;
    const holder = (member === undefined ? complete : complete[group]) as Record<string, unknown> | undefined;
    const name = member ?? group;
    if (holder === undefined) continue;
    if (typeof holder !== 'object' || holder === null) throw expected('an object', group, holder);
    if (holder[name] === undefined) {
      if (usual !== undefined) holder[name] = usual;
    } else if (!format.accepts(holder[name])) {
      const received = holder[name];
      const shown = typeof received === 'string' ? withoutCredentials(received) : received;
      if (!isSecret) throw expected(format.wantedOption, option, shown);
      throw new TypeError(`Expected ${format.wantedOption} for ${option} but received another value`);
    }
  }
  checkTogether(complete as unknown as CompleteOptions);
  return complete as unknown as CompleteOptions;
}

/** What no single option shows. */
function checkTogether(options: CompleteOptions): void {
  const { port, operationsPort, prepareCall, router, eventWebhooks, apology, sharePort, redis } = options;
  if (operationsPort !== undefined && operationsPort !== 0 && operationsPort === port) {
    throw expected('another port than port', 'operationsPort', operationsPort);
  }
  if (prepareCall !== undefined && typeof prepareCall !== 'function') {
    throw expected('a function', 'prepareCall', prepareCall);
  }
  if (prepareCall !== undefined && router !== undefined) {
    throw new TypeError('Expected prepareCall or router (CALL_ROUTER_URL) but received both');
  }
  for (const [name, signer] of Object.entries({ router, eventWebhooks })) {
    if (signer !== undefined) secretsOf(signer.secret, `${name}.secret`);
  }
  // Wrong words would only be found out when a caller should hear them.
  if (apology !== undefined) createRefusalTwiml(apology);
  if (sharePort && redis === undefined && options.workers === undefined) {
    throw new TypeError('Expected redis for sharePort but received none');
  }
}
