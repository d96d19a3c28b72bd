import { z } from 'zod';
import { isCommander } from './bridge/stream/command-rule.js';
import { GatewayError } from './errors.js';
import { isRedisUrl } from './fleet/redis-address.js';
import { isNetwork } from './http/strangers.js';
import { SERVERS, type ServerChoice } from './http/transport/servers.js';
import { TRANSCODERS } from './media/core.js';
import { LOG_LEVELS, type LogLevel } from './telemetry/log.js';
import { isPublicUrl } from './twilio/public-url.js';
import { isWebhookSecret } from './webhooks/signature.js';

/** What the environment says, checked; see the README for each name. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly server: ServerChoice;
  readonly operationsPort?: number;
  readonly metricsApiKey?: string;
  readonly trustedProxies?: readonly string[];
  readonly sharePort?: boolean;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly publicUrl?: string;
  readonly twilio: {
    readonly accountSid?: string;
    readonly authTokens: readonly string[];
    readonly validate: boolean;
    readonly from?: string;
    readonly apiUrl?: string;
  };
  /** Absent where calls are bridged to local rooms. */
  readonly stream?: {
    readonly apiKey: string;
    readonly apiSecret: string;
    readonly baseUrl?: string;
    readonly media: 'workers' | 'inline';
    readonly legsPerWorker: number;
    readonly joinAt: 'answer' | 'ring';
    readonly maxWorkerDelayMs: number;
    readonly aloneSeconds: number;
    /** Numbers a caller may be transferred to; one ending in `*` stands for all that begin alike. */
    readonly transferTo: readonly string[];
    /** Who in a call may command its phones: `user:<id>` and `role:<name>`, with a `*` at the end for all that begin alike. */
    readonly control: 'all' | readonly string[];
  };
  readonly localRoom: 'call' | 'to';
  readonly maxCalls: number;
  readonly maxLegs: number;
  readonly maxLoopDelayMs: number;
  readonly maxCpuPercent: number;
  readonly stuckSeconds: number;
  readonly streamStatus?: boolean;
  readonly leadMs: number;
  readonly drainMs: number;
  readonly recordDir?: string;
  readonly playDir?: string;
  readonly controlApiKey?: string;
  /** The user's own service that decides where calls go. */
  readonly router?: {
    readonly url: string;
    readonly secret: readonly string[];
    readonly timeoutMs: number;
    readonly fallback: 'busy' | 'default' | { readonly say: string };
  };
  /** The user's own service that is told of events. */
  readonly eventWebhooks?: {
    readonly url: string;
    readonly secret: readonly string[];
    readonly deadLetterFile?: string;
    readonly spoolDir?: string;
  };
  /** Absent where this node stands alone. */
  readonly redis?: { readonly url: string; readonly nodeId?: string };
  readonly logLevel: LogLevel;
}

const text = z.string().min(1);

const whole = (min: number, max: number) =>
  z.string().trim().regex(/^\d+$/).transform(Number).pipe(z.int().min(min).max(max));

const Environment = z.object({
  TWILIO_ACCOUNT_SID: text.regex(/^AC[0-9a-fA-F]{32}$/).optional(),
  TWILIO_AUTH_TOKEN: text
    .transform((list) =>
      list
        .split(',')
        .map((token) => token.trim())
        .filter((token) => token !== ''),
    )
    .pipe(z.array(z.string()).min(1))
    .optional(),
  TWILIO_VALIDATE: z.enum(['on', 'off']).default('on'),
  TWILIO_FROM: text.optional(),
  TWILIO_API_URL: z.url({ protocol: /^https?$/ }).optional(),
  PUBLIC_URL: text.refine(isPublicUrl).optional(),
  NGROK_URL: text
    .regex(/^[A-Za-z0-9.-]+(:\d+)?$/)
    .refine((host) => URL.canParse(`https://${host}`))
    .optional(),
  STREAM_API_KEY: text.optional(),
  STREAM_API_SECRET: text.optional(),
  STREAM_BASE_URL: z.url({ protocol: /^https?$/ }).optional(),
  STREAM_MEDIA: z.enum(['workers', 'inline']).default('workers'),
  STREAM_LEGS_PER_WORKER: whole(1, 50).default(20),
  STREAM_JOIN_AT: z.enum(['answer', 'ring']).default('answer'),
  STREAM_MAX_WORKER_DELAY_MS: whole(0, 10_000).default(20),
  STREAM_ALONE_SECONDS: whole(1, 86_400).default(60),
  STREAM_TRANSFER_TO: text
    .transform((list) =>
      list
        .split(',')
        .map((number) => number.trim())
        .filter((number) => number !== ''),
    )
    .pipe(z.array(z.string().regex(/^(\*|\+\d{1,15}\*?|sips?:[^\s<>"]+)$/)))
    .optional(),
  STREAM_CONTROL: text
    .transform((list) => (list === 'none' ? [] : list.split(',').map((commander) => commander.trim())))
    .pipe(z.array(z.string()))
    .refine((list) => (list.length === 1 && list[0] === 'all') || list.every(isCommander))
    .transform((list) => (list[0] === 'all' ? ('all' as const) : list))
    .default('all'),
  BRIDGE: z.enum(['local', 'stream']).optional(),
  LOCAL_ROOM: z.enum(['call', 'to']).default('call'),
  HOST: text.default('127.0.0.1'),
  PORT: whole(0, 65_535).default(3000),
  OPERATIONS_PORT: whole(1, 65_535).optional(),
  METRICS_API_KEY: text.min(16).optional(),
  TRUSTED_PROXIES: text
    .transform((list) => (list === 'none' ? [] : list.split(',').map((proxy) => proxy.trim())))
    .pipe(z.array(z.string().refine(isNetwork)))
    .optional(),
  SHARE_PORT: z.enum(['on', 'off']).default('off'),
  TLS_CERT_FILE: text.optional(),
  TLS_KEY_FILE: text.optional(),
  CONTROL_API_KEY: text.min(16).optional(),
  CALL_ROUTER_URL: z.url({ protocol: /^https?$/ }).optional(),
  CALL_ROUTER_TIMEOUT_MS: whole(100, 8_000).default(3_000),
  CALL_ROUTER_FALLBACK: z
    .union([z.enum(['busy', 'default']), z.string().regex(/^say:\s*\S/)])
    .transform((text) =>
      text === 'busy' || text === 'default' ? text : { say: text.slice('say:'.length).trim() },
    )
    .default('busy'),
  EVENTS_WEBHOOK_URL: z.url({ protocol: /^https?$/ }).optional(),
  EVENTS_DEAD_LETTER_FILE: text.optional(),
  EVENTS_SPOOL_DIR: text.optional(),
  WEBHOOK_SECRET: text
    .transform((list) => list.split(',').map((secret) => secret.trim()))
    .pipe(z.array(z.string().refine(isWebhookSecret)))
    .optional(),
  RECORD_DIR: text.optional(),
  PLAY_DIR: text.optional(),
  MAX_CALLS: whole(1, 1_000_000).default(1000),
  MAX_LEGS: whole(0, 100_000).default(200),
  MAX_LOOP_DELAY_MS: whole(0, 10_000).default(50),
  MAX_CPU_PERCENT: whole(0, 10_000).default(85),
  STUCK_SECONDS: whole(1, 3_600).default(30),
  STREAM_STATUS: z.enum(['on', 'off']).default('off'),
  LEAD_MS: whole(40, 10_000).default(120),
  DRAIN_SECONDS: whole(0, 86_400).default(300),
  REDIS_URL: text.refine(isRedisUrl).optional(),
  NODE_ID: text.regex(/^[A-Za-z0-9._-]{1,64}$/).optional(),
  TRANSCODER: z.enum(TRANSCODERS).default('auto'),
  SERVER: z.enum(SERVERS).default('auto'),
  LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
});

/** What each variable wants to be, for the one line that a mistake gets. */
const WANTED: Readonly<Record<keyof z.input<typeof Environment>, string>> = {
  TWILIO_ACCOUNT_SID: 'AC and 32 hexadecimal digits',
  TWILIO_AUTH_TOKEN: 'one auth token, or several separated by commas',
  TWILIO_VALIDATE: 'on or off',
  TWILIO_FROM: 'a phone number of yours',
  TWILIO_API_URL: 'an http(s) URL',
  PUBLIC_URL: 'an https URL without query (http only for a loopback host)',
  NGROK_URL: 'a host without scheme and path',
  STREAM_API_KEY: 'a Stream API key',
  STREAM_API_SECRET: 'a Stream API secret',
  STREAM_BASE_URL: 'an http(s) URL',
  STREAM_MEDIA: 'workers or inline',
  STREAM_LEGS_PER_WORKER: '1 to 50',
  STREAM_JOIN_AT: 'answer or ring',
  STREAM_MAX_WORKER_DELAY_MS: '0 to 10000 milliseconds',
  STREAM_ALONE_SECONDS: '1 to 86400 seconds',
  STREAM_TRANSFER_TO: 'numbers like +15551234567, +1555* or *, or SIP addresses, separated by commas',
  STREAM_CONTROL:
    'all, none, or users and roles like user:agent-1, user:bot-*, role:admin, separated by commas',
  BRIDGE: 'local or stream',
  LOCAL_ROOM: 'call or to',
  HOST: 'an address to listen on',
  PORT: '0 to 65535',
  OPERATIONS_PORT: '1 to 65535',
  METRICS_API_KEY: 'at least 16 characters',
  TRUSTED_PROXIES: 'addresses and networks like 10.0.0.0/8, separated by commas, or none',
  SHARE_PORT: 'on or off',
  TLS_CERT_FILE: 'the path of a certificate',
  TLS_KEY_FILE: 'the path of a private key',
  CONTROL_API_KEY: 'at least 16 characters',
  CALL_ROUTER_URL: 'an http(s) URL',
  CALL_ROUTER_TIMEOUT_MS: '100 to 8000 milliseconds',
  CALL_ROUTER_FALLBACK: 'busy, default or say: and words',
  EVENTS_WEBHOOK_URL: 'an http(s) URL',
  EVENTS_DEAD_LETTER_FILE: 'the path of a file',
  EVENTS_SPOOL_DIR: 'a directory',
  WEBHOOK_SECRET: '16 bytes or more, as text or as whsec_ and base64, or several separated by commas',
  RECORD_DIR: 'a directory',
  PLAY_DIR: 'a directory',
  MAX_CALLS: 'a whole number from 1',
  MAX_LEGS: 'a whole number up to 100000',
  MAX_LOOP_DELAY_MS: '0 to 10000 milliseconds',
  MAX_CPU_PERCENT: '0 to 10000 percent',
  STUCK_SECONDS: '1 to 3600 seconds',
  STREAM_STATUS: 'on or off',
  LEAD_MS: '40 to 10000 milliseconds',
  DRAIN_SECONDS: '0 to 86400 seconds',
  REDIS_URL: 'a redis://, rediss:// or redis-sentinel:// URL',
  NODE_ID: '1 to 64 letters, digits, ".", "_" or "-"',
  TRANSCODER: 'auto, native or wasm',
  SERVER: 'auto, uws or node',
  LOG_LEVEL: LOG_LEVELS.join(', '),
};

/** Every variable that is read. */
export const SETTINGS: readonly string[] = Object.keys(WANTED);

/** A wrong value of these is not shown: it is a secret, or perhaps one that was put in the wrong place. */
const SECRETS = new Set([
  'TWILIO_ACCOUNT_SID',
  'TWILIO_AUTH_TOKEN',
  'STREAM_API_SECRET',
  'CONTROL_API_KEY',
  'METRICS_API_KEY',
  'REDIS_URL',
  'WEBHOOK_SECRET',
]);

/**
 * Reads the configuration from environment variables.
 * @throws GatewayError `GW_CONFIG_INVALID`, its message one line for every mistake
 */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  // A variable set to empty text counts as not set, as is the habit of most shells.
  const given: Readonly<Record<string, string | undefined>> = Object.fromEntries(
    (Object.keys(WANTED) as (keyof typeof WANTED)[]).flatMap((name) =>
      env[name]?.trim() ? [[name, env[name].trim()]] : [],
    ),
  );
  const mistakes: string[] = [];
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    for (const name of new Set(parsed.error.issues.map((issue) => String(issue.path[0])))) {
      const received = SECRETS.has(name) ? 'another value' : JSON.stringify(withoutCredentials(env[name]));
      mistakes.push(`Expected ${WANTED[name as keyof typeof WANTED]} for ${name} but received ${received}`);
    }
  }
  mistakes.push(...contradictions(given));
  if (mistakes.length > 0 || !parsed.success) {
    throw new GatewayError('GW_CONFIG_INVALID', mistakes.join('\n'));
  }
  const e = parsed.data;
  const publicUrl = e.PUBLIC_URL ?? (e.NGROK_URL && `https://${e.NGROK_URL}`);
  return {
    host: e.HOST,
    port: e.PORT,
    server: e.SERVER,
    ...(e.OPERATIONS_PORT && { operationsPort: e.OPERATIONS_PORT }),
    ...(e.METRICS_API_KEY && { metricsApiKey: e.METRICS_API_KEY }),
    ...(e.TRUSTED_PROXIES && { trustedProxies: e.TRUSTED_PROXIES }),
    ...(e.SHARE_PORT === 'on' && { sharePort: true }),
    ...(e.TLS_CERT_FILE && e.TLS_KEY_FILE && { tls: { certFile: e.TLS_CERT_FILE, keyFile: e.TLS_KEY_FILE } }),
    ...(publicUrl && { publicUrl }),
    twilio: {
      ...(e.TWILIO_ACCOUNT_SID && { accountSid: e.TWILIO_ACCOUNT_SID }),
      authTokens: e.TWILIO_AUTH_TOKEN ?? [],
      validate: e.TWILIO_VALIDATE === 'on',
      ...(e.TWILIO_FROM && { from: e.TWILIO_FROM }),
      ...(e.TWILIO_API_URL && { apiUrl: e.TWILIO_API_URL }),
    },
    ...streamOf(e),
    localRoom: e.LOCAL_ROOM,
    maxCalls: e.MAX_CALLS,
    maxLegs: e.MAX_LEGS,
    maxLoopDelayMs: e.MAX_LOOP_DELAY_MS,
    maxCpuPercent: e.MAX_CPU_PERCENT,
    stuckSeconds: e.STUCK_SECONDS,
    ...(e.STREAM_STATUS === 'on' && { streamStatus: true }),
    leadMs: e.LEAD_MS,
    drainMs: e.DRAIN_SECONDS * 1000,
    ...(e.RECORD_DIR && { recordDir: e.RECORD_DIR }),
    ...(e.PLAY_DIR && { playDir: e.PLAY_DIR }),
    ...(e.CONTROL_API_KEY && { controlApiKey: e.CONTROL_API_KEY }),
    ...webhooksOf(e),
    ...(e.REDIS_URL && { redis: { url: e.REDIS_URL, ...(e.NODE_ID && { nodeId: e.NODE_ID }) } }),
    logLevel: e.LOG_LEVEL,
  };
}

/** Mistakes that no single variable shows. */
function contradictions(given: Readonly<Record<string, string | undefined>>): string[] {
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
    mistakes.push('Expected STREAM_API_KEY and STREAM_API_SECRET beside STREAM_BASE_URL but received none');
  }
  for (const name of ['CALL_ROUTER_URL', 'EVENTS_WEBHOOK_URL']) {
    if (given[name] !== undefined && given.WEBHOOK_SECRET === undefined) {
      mistakes.push(`Expected WEBHOOK_SECRET, which signs requests, beside ${name} but received none`);
    }
  }
  for (const name of ['EVENTS_DEAD_LETTER_FILE', 'EVENTS_SPOOL_DIR']) {
    if (given[name] !== undefined && given.EVENTS_WEBHOOK_URL === undefined) {
      mistakes.push(`Expected EVENTS_WEBHOOK_URL beside ${name} but received none`);
    }
  }
  if (given.OPERATIONS_PORT !== undefined && given.OPERATIONS_PORT === (given.PORT ?? '3000')) {
    mistakes.push(
      `Expected another port than PORT for OPERATIONS_PORT but received ${given.OPERATIONS_PORT}`,
    );
  }
  return mistakes;
}

/** Who is asked and told by signed requests. */
function webhooksOf(e: z.output<typeof Environment>): Pick<Config, 'router' | 'eventWebhooks'> {
  const secret = e.WEBHOOK_SECRET ?? [];
  return {
    ...(e.CALL_ROUTER_URL && {
      router: {
        url: e.CALL_ROUTER_URL,
        secret,
        timeoutMs: e.CALL_ROUTER_TIMEOUT_MS,
        fallback: e.CALL_ROUTER_FALLBACK,
      },
    }),
    ...(e.EVENTS_WEBHOOK_URL && {
      eventWebhooks: {
        url: e.EVENTS_WEBHOOK_URL,
        secret,
        ...(e.EVENTS_DEAD_LETTER_FILE && { deadLetterFile: e.EVENTS_DEAD_LETTER_FILE }),
        ...(e.EVENTS_SPOOL_DIR && { spoolDir: e.EVENTS_SPOOL_DIR }),
      },
    }),
  };
}

/** Stream is the bridge where its keys are given, unless the bridge is named. */
function streamOf(e: z.output<typeof Environment>): Pick<Config, 'stream'> {
  if (e.BRIDGE === 'local' || e.STREAM_API_KEY === undefined || e.STREAM_API_SECRET === undefined) return {};
  return {
    stream: {
      apiKey: e.STREAM_API_KEY,
      apiSecret: e.STREAM_API_SECRET,
      ...(e.STREAM_BASE_URL && { baseUrl: e.STREAM_BASE_URL }),
      media: e.STREAM_MEDIA,
      legsPerWorker: e.STREAM_LEGS_PER_WORKER,
      joinAt: e.STREAM_JOIN_AT,
      maxWorkerDelayMs: e.STREAM_MAX_WORKER_DELAY_MS,
      aloneSeconds: e.STREAM_ALONE_SECONDS,
      transferTo: e.STREAM_TRANSFER_TO ?? [],
      control: e.STREAM_CONTROL,
    },
  };
}

function withoutCredentials(value: string | undefined): string | undefined {
  return value?.replace(/\/\/[^/?#]*@/, '//…@');
}
