import type { StreamBridgeOptions } from './bridge/stream/options.js';
import { GatewayError } from './errors.js';
import type { EventWebhookOptions } from './events/event-webhooks.js';
import type { RouterOptions } from './router/call-router.js';
import { SETTINGS } from './settings.js';

// generated: config
/** What the environment says, checked: options of a gateway, and how long it drains. */
export interface Config {
  /**
   * Where Twilio reaches the gateway, with the path prefix of a proxy. Outbound calls need it. Default: taken
   * from each request. In the environment: `PUBLIC_URL`.
   */
  readonly publicUrl?: string;
  /**
   * Whether Twilio reports every stream's start, stop and failures, for the call's history. Default: `false`.
   * In the environment: `STREAM_STATUS`.
   */
  readonly streamStatus: boolean;
  /** Where the gateway listens. Default: `127.0.0.1`. In the environment: `HOST`. */
  readonly host: string;
  /** Port to listen on; 0 picks a free one. 0 to 65535. Default: `3000`. In the environment: `PORT`. */
  readonly port: number;
  /**
   * A second port for `/health`, `/ready`, `/metrics`, `/v1` and `/dashboard`; the first then answers
   * carriers only. 0 picks a free one. 0 to 65535. Default: the same port. In the environment:
   * `OPERATIONS_PORT`.
   */
  readonly operationsPort?: number;
  /**
   * Processes among which `trunkline serve` divides the calls, all on one port; `auto` is one for each core.
   * Default: `1`. In the environment: `WORKERS`.
   */
  readonly workerCount: number | 'auto';
  /**
   * Whether several processes of this host listen on one port and share its calls. Needs `REDIS_URL`, and
   * with Node's own server Node 22.12. Default: `false`. In the environment: `SHARE_PORT`.
   */
  readonly sharePort: boolean;
  /**
   * What serves: uWebSockets.js (`uws`), Node's own HTTP (`node`), or the first of them that loads. Default:
   * `auto`. In the environment: `SERVER`.
   */
  readonly server: 'auto' | 'uws' | 'node';
  /**
   * Proxies whose `X-Forwarded-For` is believed. Rate limits count by the address it gives. Default: loopback
   * and private networks. In the environment: `TRUSTED_PROXIES`.
   */
  readonly trustedProxies?: readonly string[];
  /**
   * Bearer key of `/v1/*` and the dashboard. Without it those routes do not exist. In the environment:
   * `CONTROL_API_KEY`.
   */
  readonly controlApiKey?: string;
  /** Bearer key of `/metrics`. Without it anybody may read them. In the environment: `METRICS_API_KEY`. */
  readonly metricsApiKey?: string;
  /** The least important log lines that are written. Default: `info`. In the environment: `LOG_LEVEL`. */
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  /**
   * How long SIGTERM waits for running calls that no other node takes over. In code it is the argument of
   * `gateway.close`. 0 to 86400000 milliseconds. Default: `300000`. In the environment: `DRAIN_SECONDS`.
   */
  readonly drainMs: number;
  /**
   * Calls at a time; further ones are answered busy. 1 to 1000000. Default: `1000`. In the environment:
   * `MAX_CALLS`.
   */
  readonly maxCalls: number;
  /**
   * Programs in local rooms (raw legs) at a time. 0 to 100000. Default: `200`. In the environment:
   * `MAX_LEGS`.
   */
  readonly maxLegs: number;
  /**
   * Reject new calls above this event-loop delay; resume after 3 s below 80 % of it. 0 is no limit. 0 to
   * 10000 milliseconds. Default: `50`. In the environment: `MAX_LOOP_DELAY_MS`.
   */
  readonly maxLoopDelayMs: number;
  /**
   * Reject new calls above this share of one core; resume after 3 s below 80 % of it. 0 is no limit. 0 to
   * 10000 percent. Default: `85`. In the environment: `MAX_CPU_PERCENT`.
   */
  readonly maxCpuPercent: number;
  /**
   * Silence after which a live call is considered lost and ended. 1 to 3600 seconds. Default: `30`. In the
   * environment: `STUCK_SECONDS`.
   */
  readonly stuckSeconds: number;
  /**
   * Most audio that is sent ahead of a listener. 40 to 10000 milliseconds. Default: `120`. In the
   * environment: `LEAD_MS`.
   */
  readonly leadMs: number;
  /** Where recordings are written. Calls cannot be recorded without it. In the environment: `RECORD_DIR`. */
  readonly recordDir?: string;
  /**
   * Where the WAV files are that calls may be played by name, music on hold included. In the environment:
   * `PLAY_DIR`.
   */
  readonly playDir?: string;
  /**
   * Room of a call whose decision names none: `call`, one of its own; `to`, one for the called number, where
   * strangers hear each other. Default: `call`. In the environment: `LOCAL_ROOM`.
   */
  readonly localRoom: 'call' | 'to';
  /**
   * Who answers calls, unless the decision for a call names somebody else or `agent: false`. A URL is dialled
   * for each call. Default: none: callers are alone, with the echo agent. In the environment: `AGENT`.
   */
  readonly agent?: string;
  readonly twilio: {
    /**
     * The account that calls belong to. Required while signatures are checked. In the environment:
     * `TWILIO_ACCOUNT_SID`.
     */
    readonly accountSid?: string;
    /**
     * Auth tokens that may sign a webhook. REST requests use the first. Required while signatures are
     * checked. In the environment: `TWILIO_AUTH_TOKEN`.
     */
    readonly authTokens: readonly string[];
    /**
     * Whether signatures are checked. `off` lets anybody in: for development only. Default: `true`. In the
     * environment: `TWILIO_VALIDATE`.
     */
    readonly validate: boolean;
    /** Caller ID of outbound calls that name none. In the environment: `TWILIO_FROM`. */
    readonly from?: string;
    /**
     * Where REST requests go: a compatible service, or the simulator. Default: Twilio's own. In the
     * environment: `TWILIO_API_URL`.
     */
    readonly apiUrl?: string;
  };
  /** Absent without `TLS_CERT_FILE` and `TLS_KEY_FILE`. */
  readonly tls?: {
    /** Certificate: the gateway then serves https and wss itself. In the environment: `TLS_CERT_FILE`. */
    readonly certFile: string;
    /** Private key of the certificate. In the environment: `TLS_KEY_FILE`. */
    readonly keyFile: string;
  };
  /** Absent without `CALL_ROUTER_URL` and `WEBHOOK_SECRET`. */
  readonly router?: RouterOptions;
  readonly agents: {
    /**
     * Samples a second of the audio of agents behind a URL, both ways. Models have their own. Default:
     * `16000`. In the environment: `AGENT_RATE`.
     */
    readonly rate: 8000 | 16000 | 24000 | 48000;
    /**
     * What a caller hears until the agent takes the call. Default: `ringback`. In the environment:
     * `AGENT_RING`.
     */
    readonly ring: string;
    /**
     * What a model is to do. Default: answer briefly and politely. In the environment: `AGENT_INSTRUCTIONS`.
     */
    readonly instructions?: string;
    /**
     * Instructions for a model's first words. Default: greet, and ask how to help. In the environment:
     * `AGENT_GREETING`.
     */
    readonly greeting?: string;
    /** The voice of a model. Default: the vendor's own. In the environment: `AGENT_VOICE`. */
    readonly voice?: string;
    /**
     * Folder of Markdown files that a model may search to answer from. Read at the start. In the environment:
     * `AGENT_KNOWLEDGE`.
     */
    readonly knowledge?: string;
    /** Numbers that agents may transfer callers to. In the environment: `AGENT_TRANSFER_TO`. */
    readonly transferTo: readonly string[];
    /** Key for `openai:` models. In the environment: `OPENAI_API_KEY`. */
    readonly openaiKey?: string;
    /**
     * Another origin for `openai:` models: a proxy, or a test double. Default: OpenAI's own. In the
     * environment: `OPENAI_BASE_URL`.
     */
    readonly openaiUrl?: string;
    /** Key for `gemini:` models. In the environment: `GEMINI_API_KEY`. */
    readonly geminiKey?: string;
    /**
     * Another origin for `gemini:` models: a proxy, or a test double. Default: Google's own. In the
     * environment: `GEMINI_BASE_URL`.
     */
    readonly geminiUrl?: string;
    /**
     * Signs requests to both services, and to agents. Give the new and the old one while you rotate it. In
     * the environment: `WEBHOOK_SECRET`.
     */
    readonly secret?: readonly string[];
  };
  /** Absent without `EVENTS_WEBHOOK_URL` and `WEBHOOK_SECRET`. */
  readonly eventWebhooks?: EventWebhookOptions;
  /** Absent without `REDIS_URL`. */
  readonly redis?: {
    /**
     * The registry that several nodes share. A Redis Cluster serves with one of its shards. Default: memory.
     * In the environment: `REDIS_URL`.
     */
    readonly url: string;
    /**
     * Name of this node in logs; a random part is added. Default: the host's name. In the environment:
     * `NODE_ID`.
     */
    readonly nodeId?: string;
  };
  /** Absent without `STREAM_API_KEY` and `STREAM_API_SECRET`. */
  readonly stream?: StreamBridgeOptions;
}
// end

/**
 * Reads the configuration from environment variables.
 * @throws GatewayError `GW_CONFIG_INVALID`, its message one line for every mistake
 */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const given: Record<string, string> = {};
  const values = new Map<string, unknown>();
  const mistakes: string[] = [];
  for (const [name, { format, default: usual, isSecret }] of SETTINGS) {
    // An empty variable counts as not set, as in most shells.
    const text = env[name]?.trim();
    if (text) given[name] = text;
    const value = text ? format.parse(text) : usual;
    if (!text || (value !== undefined && format.accepts(value))) {
      values.set(name, value);
    } else {
      const received = isSecret ? 'another value' : JSON.stringify(withoutCredentials(text));
      mistakes.push(`Expected ${format.wanted} for ${name} but received ${received}`);
    }
  }
  mistakes.push(...contradictions(given, values));
  if (mistakes.length > 0) throw new GatewayError('GW_CONFIG_INVALID', mistakes.join('\n'));
  const config = optionsOf(values);
  if (given.BRIDGE === 'local') delete config.stream;
  return config as unknown as Config;
}

/** Builds options from the values of settings; a group only if every setting that it requires has a value. */
function optionsOf(values: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  const closed = new Set<string>();
  for (const [name, { option = [], opensGroup }] of SETTINGS) {
    const value = values.get(name);
    for (const path of [option].flat()) {
      const [group, member] = path.split('.') as [string, string?];
      if (value === undefined) {
        if (opensGroup === true || opensGroup?.includes(group)) closed.add(group);
      } else if (member === undefined) {
        options[group] ??= value;
      } else {
        options[group] = { [member]: value, ...(options[group] as object) };
      }
    }
  }
  for (const group of closed) delete options[group];
  return options;
}

/** Errors that involve more than one variable. */
function contradictions(
  given: Readonly<Record<string, string | undefined>>,
  values: ReadonlyMap<string, unknown>,
): string[] {
  const mistakes: string[] = [];
  const both = (a: string, b: string) => {
    if ((given[a] === undefined) !== (given[b] === undefined)) {
      const [set, unset] = given[a] === undefined ? [b, a] : [a, b];
      mistakes.push(`Expected both ${a} and ${b} or neither but received ${set} without ${unset}`);
    }
  };
  both('STREAM_API_KEY', 'STREAM_API_SECRET');
  both('TLS_CERT_FILE', 'TLS_KEY_FILE');
  if (given.TWILIO_VALIDATE !== 'off') {
    for (const name of ['TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN']) {
      if (given[name] === undefined) {
        mistakes.push(`Expected ${name} but received nothing (or set TWILIO_VALIDATE=off for development)`);
      }
    }
  }
  if (given.SHARE_PORT === 'on' && given.REDIS_URL === undefined) {
    mistakes.push('Expected REDIS_URL for SHARE_PORT=on but received none');
  }
  if (given.BRIDGE === 'stream' && given.STREAM_API_KEY === undefined) {
    mistakes.push('Expected STREAM_API_KEY and STREAM_API_SECRET for BRIDGE=stream but received none');
  }
  if (given.STREAM_BASE_URL !== undefined && given.STREAM_API_KEY === undefined) {
    mistakes.push('Expected STREAM_API_KEY and STREAM_API_SECRET for STREAM_BASE_URL but received none');
  }
  for (const name of ['CALL_ROUTER_URL', 'EVENTS_WEBHOOK_URL']) {
    if (given[name] !== undefined && given.WEBHOOK_SECRET === undefined) {
      mistakes.push(`Expected WEBHOOK_SECRET, which signs requests, for ${name} but received none`);
    }
  }
  for (const name of ['EVENTS_DEAD_LETTER_FILE', 'EVENTS_SPOOL_DIR']) {
    if (given[name] !== undefined && given.EVENTS_WEBHOOK_URL === undefined) {
      mistakes.push(`Expected EVENTS_WEBHOOK_URL for ${name} but received none`);
    }
  }
  if (values.get('OPERATIONS_PORT') && values.get('OPERATIONS_PORT') === values.get('PORT')) {
    mistakes.push(
      `Expected another port than PORT for OPERATIONS_PORT but received ${given.OPERATIONS_PORT}`,
    );
  }
  return mistakes;
}

/** A text without the user and password of a URL in it. */
export function withoutCredentials(value: string): string {
  return value.replace(/\/\/[^/?#]*@/, '//…@');
}
