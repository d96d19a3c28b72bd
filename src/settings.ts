import { isCommander } from './bridge/stream/command-rule.js';
import { STREAM_OPTIONS } from './bridge/stream/options.js';
import { isAgent } from './calls/agent-address.js';
import { isRedisUrl } from './fleet/redis-address.js';
import { isNetwork } from './http/strangers.js';
import { SERVERS } from './http/transport/transport.js';
import { LEG_RATES, type LegRate } from './legs/leg-rate.js';
import { TRANSCODERS } from './media/core.js';
import { DEFAULT_LEAD_MS } from './media/frame.js';
import { ROUTER_TIMEOUT_MS } from './router/question.js';
import {
  choice,
  type Format,
  list,
  number,
  numberOrAuto,
  onOff,
  type Setting,
  secondsAsMs,
  setting,
  text,
} from './setting.js';
import { isPublicUrl } from './twilio/public-url.js';
import { isWebhookSecret } from './webhooks/signature.js';

const httpUrl = text('an http(s) URL', (text) => /^https?:\/\//i.test(text) && URL.canParse(text));
const key = text('at least 16 characters', (text) => text.length >= 16);
const directory = text('a directory');

const publicUrl = text('an https URL without query (http only for a loopback host)', isPublicUrl);
const tunnel: Format<string> = {
  ...publicUrl,
  wanted: 'a host without scheme and path',
  parse: (host) => (/^[A-Za-z0-9.-]+(:\d+)?$/.test(host) ? `https://${host}` : undefined),
};

const commanders = list('users and roles like user:agent-1, user:bot-*, role:admin', isCommander, true);
const control: Format<'all' | readonly string[]> = {
  ...commanders,
  wanted: `all, ${commanders.wanted}`,
  type: "'all' | readonly string[]",
  parse: (text) => (text === 'all' ? 'all' : commanders.parse(text)),
  print: (value) => (value === 'all' ? 'all' : commanders.print(value)),
  accepts: (value) => value === 'all' || commanders.accepts(value),
};

const numbers = list(
  'numbers like +15551234567, +1555* or *, or SIP addresses',
  (text) => /^(\*|\+\d{1,15}\*?|sips?:[^\s<>"]+)$/.test(text),
  true,
);

const words = text('at most 16,384 characters', (text) => text.length <= 16_384);
const legRate: Format<LegRate> = {
  wanted: LEG_RATES.join(', ').replace(/, (\d+)$/, ' or $1'),
  wantedOption: LEG_RATES.join(', ').replace(/, (\d+)$/, ' or $1'),
  type: LEG_RATES.join(' | '),
  parse: (text) => LEG_RATES.find((rate) => String(rate) === text),
  print: String,
  accepts: (value) => LEG_RATES.some((rate) => rate === value),
};

type Fallback = 'busy' | 'default' | { readonly say: string };
const fallback: Format<Fallback> = {
  wanted: 'busy, default or say: and words',
  wantedOption: '"busy", "default" or { say }',
  type: "'busy' | 'default' | { readonly say: string }",
  parse(text) {
    const say = /^say:\s*(\S.*)$/s.exec(text)?.[1];
    return say === undefined ? (text as Fallback) : { say };
  },
  print: (value) => (typeof value === 'string' ? value : `say: ${value.say}`),
  accepts: (value) =>
    value === 'busy' || value === 'default' || typeof (value as { say?: unknown } | null)?.say === 'string',
};

/**
 * Every setting, by group: the one place for its name, values, default, option and meaning. The environment is read by it,
 * options are checked by it, and `serve --help`, `docs/configuration.md`, the type `Config` and the chart's schema are made
 * from it (`npm run docs`).
 */
export const SETTING_GROUPS: Readonly<Record<string, Readonly<Record<string, Setting>>>> = {
  Twilio: {
    TWILIO_ACCOUNT_SID: setting(
      text('AC and 32 hexadecimal digits', (text) => /^AC[0-9a-fA-F]{32}$/.test(text)),
      {
        option: 'twilio.accountSid',
        // Perhaps the token, put in the wrong place.
        isSecret: true,
        meaning: 'The account that calls belong to. Required while signatures are checked.',
      },
    ),
    TWILIO_AUTH_TOKEN: setting(list('auth tokens'), {
      option: 'twilio.authTokens',
      default: [],
      isSecret: true,
      isReloadable: true,
      meaning:
        'Auth tokens that may sign a webhook. REST requests use the first. Required while signatures are checked.',
    }),
    TWILIO_VALIDATE: setting(onOff, {
      option: 'twilio.validate',
      default: true,
      meaning: 'Whether signatures are checked. `off` lets anybody in: for development only.',
    }),
    TWILIO_FROM: setting(text('a phone number of yours'), {
      option: 'twilio.from',
      meaning: 'Caller ID of outbound calls that name none.',
    }),
    TWILIO_API_URL: setting(httpUrl, {
      option: 'twilio.apiUrl',
      unset: "Twilio's own",
      meaning: 'Where REST requests go: a compatible service, or the simulator.',
    }),
    PUBLIC_URL: setting(publicUrl, {
      option: 'publicUrl',
      unset: 'taken from each request',
      meaning: 'Where Twilio reaches the gateway, with the path prefix of a proxy. Outbound calls need it.',
    }),
    NGROK_URL: setting(tunnel, {
      option: 'publicUrl',
      isFixedInChart: true,
      meaning: 'The host of a tunnel, in place of `PUBLIC_URL`.',
    }),
    STREAM_STATUS: setting(onOff, {
      option: 'streamStatus',
      default: false,
      meaning: "Whether Twilio reports every stream's start, stop and failures, for the call's history.",
    }),
  },
  Server: {
    HOST: setting(text('an address to listen on'), {
      option: 'host',
      default: '127.0.0.1',
      isFixedInChart: true,
      meaning: 'Where the gateway listens.',
    }),
    PORT: setting(number(0, 65_535), {
      option: 'port',
      default: 3000,
      isFixedInChart: true,
      meaning: 'Port to listen on; 0 picks a free one.',
    }),
    OPERATIONS_PORT: setting(number(0, 65_535), {
      option: 'operationsPort',
      unset: 'the same port',
      isFixedInChart: true,
      meaning:
        'A second port for `/health`, `/ready`, `/metrics`, `/v1` and `/dashboard`; the first then answers carriers only. 0 picks a free one.',
    }),
    WORKERS: setting(numberOrAuto(1, 64), {
      option: 'workerCount',
      default: 1,
      meaning:
        'Processes among which `trunkline serve` divides the calls, all on one port; `auto` is one for each core.',
    }),
    SHARE_PORT: setting(onOff, {
      option: 'sharePort',
      default: false,
      isFixedInChart: true,
      meaning:
        "Whether several processes of this host listen on one port and share its calls. Needs `REDIS_URL`, and with Node's own server Node 22.12.",
    }),
    SERVER: setting(choice(SERVERS), {
      option: 'server',
      default: 'auto',
      meaning:
        "What serves: uWebSockets.js (`uws`), Node's own HTTP (`node`), or the first of them that loads.",
    }),
    TLS_CERT_FILE: setting(text('the path of a certificate'), {
      option: 'tls.certFile',
      opensGroup: true,
      isReloadable: true,
      isFixedInChart: true,
      meaning: 'Certificate: the gateway then serves https and wss itself.',
    }),
    TLS_KEY_FILE: setting(text('the path of a private key'), {
      option: 'tls.keyFile',
      opensGroup: true,
      isReloadable: true,
      isFixedInChart: true,
      meaning: 'Private key of the certificate.',
    }),
    TRUSTED_PROXIES: setting(list('addresses and networks like 10.0.0.0/8', isNetwork, true), {
      option: 'trustedProxies',
      unset: 'loopback and private networks',
      meaning: 'Proxies whose `X-Forwarded-For` is believed. Rate limits count by the address it gives.',
    }),
  },
  Operations: {
    CONTROL_API_KEY: setting(key, {
      option: 'controlApiKey',
      isSecret: true,
      isReloadable: true,
      meaning: 'Bearer key of `/v1/*` and the dashboard. Without it those routes do not exist.',
    }),
    METRICS_API_KEY: setting(key, {
      option: 'metricsApiKey',
      isSecret: true,
      isReloadable: true,
      meaning: 'Bearer key of `/metrics`. Without it anybody may read them.',
    }),
    LOG_LEVEL: setting(choice(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']), {
      option: 'logLevel',
      default: 'info',
      isReloadable: true,
      meaning: 'The least important log lines that are written.',
    }),
    DRAIN_SECONDS: setting(secondsAsMs(0, 86_400), {
      option: 'drainMs',
      default: 300_000,
      meaning:
        'How long SIGTERM waits for running calls that no other node takes over. In code it is the argument of `gateway.close`.',
    }),
    TRANSCODER: setting(choice(TRANSCODERS, 'auto, native or wasm'), {
      default: 'auto',
      meaning:
        'What processes audio: the addon (`native`), WebAssembly (`wasm`), or the first of them that loads. `/health` says which.',
    }),
  },
  Limits: {
    MAX_CALLS: setting(number(1, 1_000_000), {
      option: 'maxCalls',
      default: 1000,
      meaning: 'Calls at a time; further ones are answered busy.',
    }),
    MAX_LEGS: setting(number(0, 100_000), {
      option: 'maxLegs',
      default: 200,
      meaning: 'Programs in local rooms (raw legs) at a time.',
    }),
    MAX_LOOP_DELAY_MS: setting(number(0, 10_000, 'milliseconds', { isLimit: true }), {
      option: 'maxLoopDelayMs',
      default: 50,
      meaning:
        'Reject new calls above this event-loop delay; resume after 3 s below 80 % of it. 0 is no limit.',
    }),
    MAX_CPU_PERCENT: setting(number(0, 10_000, 'percent', { isLimit: true }), {
      option: 'maxCpuPercent',
      default: 85,
      meaning:
        'Reject new calls above this share of one core; resume after 3 s below 80 % of it. 0 is no limit.',
    }),
    STUCK_SECONDS: setting(number(1, 3_600, 'seconds'), {
      option: 'stuckSeconds',
      default: 30,
      meaning: 'Silence after which a live call is considered lost and ended.',
    }),
    LEAD_MS: setting(number(40, 10_000, 'milliseconds'), {
      option: 'leadMs',
      default: DEFAULT_LEAD_MS,
      meaning: 'Most audio that is sent ahead of a listener.',
    }),
  },
  Audio: {
    RECORD_DIR: setting(directory, {
      option: 'recordDir',
      meaning: 'Where recordings are written. Calls cannot be recorded without it.',
    }),
    PLAY_DIR: setting(directory, {
      option: 'playDir',
      meaning: 'Where the WAV files are that calls may be played by name, music on hold included.',
    }),
  },
  'Where calls go': {
    BRIDGE: setting(choice(['local', 'stream']), {
      unset: '`stream` with Stream keys, else `local`',
      meaning: 'Where calls are bridged: rooms within this process, or Stream calls.',
    }),
    LOCAL_ROOM: setting(choice(['call', 'to']), {
      option: 'localRoom',
      default: 'call',
      meaning:
        'Room of a call whose decision names none: `call`, one of its own; `to`, one for the called number, where strangers hear each other.',
    }),
    CALL_ROUTER_URL: setting(httpUrl, {
      option: 'router.url',
      opensGroup: true,
      meaning: 'Your own service that decides where each call goes. Needs `WEBHOOK_SECRET`.',
    }),
    CALL_ROUTER_TIMEOUT_MS: {
      ...ROUTER_TIMEOUT_MS,
      option: 'router.timeoutMs',
      meaning: 'Longest wait for one answer of the router. There are two tries.',
    },
    CALL_ROUTER_FALLBACK: setting(fallback, {
      option: 'router.fallback',
      default: 'busy',
      meaning:
        'What happens to a call that the router does not answer for: reject it, treat it as if there were no router, or say something.',
    }),
  },
  Agents: {
    AGENT: setting(text('a ws:// or wss:// URL, or a model like openai:gpt-realtime', isAgent), {
      option: 'agent',
      unset: 'none: callers are alone, with the echo agent',
      meaning:
        'Who answers calls, unless the decision for a call names somebody else or `agent: false`. A URL is dialled for each call.',
    }),
    AGENT_RATE: setting(legRate, {
      option: 'agents.rate',
      default: 16_000,
      meaning: 'Samples a second of the audio of agents behind a URL, both ways. Models have their own.',
    }),
    AGENT_RING: setting(text('ringback, silence, or the name of a file in PLAY_DIR'), {
      option: 'agents.ring',
      default: 'ringback',
      meaning: 'What a caller hears until the agent takes the call.',
    }),
    AGENT_INSTRUCTIONS: setting(words, {
      option: 'agents.instructions',
      unset: 'answer briefly and politely',
      meaning: 'What a model is to do.',
    }),
    AGENT_GREETING: setting(words, {
      option: 'agents.greeting',
      unset: 'greet, and ask how to help',
      meaning: "Instructions for a model's first words.",
    }),
    AGENT_VOICE: setting(text("the vendor's name of a voice"), {
      option: 'agents.voice',
      unset: "the vendor's own",
      meaning: 'The voice of a model.',
    }),
    AGENT_KNOWLEDGE: setting(directory, {
      option: 'agents.knowledge',
      meaning: 'Folder of Markdown files that a model may search to answer from. Read at the start.',
    }),
    AGENT_TRANSFER_TO: setting(numbers, {
      option: 'agents.transferTo',
      default: [],
      meaning: 'Numbers that agents may transfer callers to.',
    }),
    OPENAI_API_KEY: setting(text('a key of OpenAI'), {
      option: 'agents.openaiKey',
      isSecret: true,
      isReloadable: true,
      meaning: 'Key for `openai:` models.',
    }),
    OPENAI_BASE_URL: setting(httpUrl, {
      option: 'agents.openaiUrl',
      unset: "OpenAI's own",
      meaning: 'Another origin for `openai:` models: a proxy, or a test double.',
    }),
    GEMINI_API_KEY: setting(text('a key of the Gemini API'), {
      option: 'agents.geminiKey',
      isSecret: true,
      isReloadable: true,
      meaning: 'Key for `gemini:` models.',
    }),
    GEMINI_BASE_URL: setting(httpUrl, {
      option: 'agents.geminiUrl',
      unset: "Google's own",
      meaning: 'Another origin for `gemini:` models: a proxy, or a test double.',
    }),
  },
  Events: {
    EVENTS_WEBHOOK_URL: setting(httpUrl, {
      option: 'eventWebhooks.url',
      opensGroup: true,
      meaning: 'Your own service that receives every event. Needs `WEBHOOK_SECRET`.',
    }),
    EVENTS_DEAD_LETTER_FILE: setting(text('the path of a file'), {
      option: 'eventWebhooks.deadLetterFile',
      meaning: 'File for events that could not be delivered.',
    }),
    EVENTS_SPOOL_DIR: setting(directory, {
      option: 'eventWebhooks.spoolDir',
      meaning: 'Directory in which undelivered events survive a restart.',
    }),
    WEBHOOK_SECRET: setting(
      list('secrets of 16 bytes or more, as text or as whsec_ and base64', isWebhookSecret),
      {
        option: ['router.secret', 'eventWebhooks.secret', 'agents.secret'],
        opensGroup: ['router', 'eventWebhooks'],
        isSecret: true,
        isReloadable: true,
        meaning:
          'Signs requests to both services, and to agents. Give the new and the old one while you rotate it.',
      },
    ),
  },
  Fleet: {
    REDIS_URL: setting(text('a redis://, rediss:// or redis-sentinel:// URL', isRedisUrl), {
      option: 'redis.url',
      opensGroup: true,
      isSecret: true,
      unset: 'memory',
      meaning: 'The registry that several nodes share. A Redis Cluster serves with one of its shards.',
    }),
    NODE_ID: setting(
      text('1 to 64 letters, digits, ".", "_" or "-"', (text) => /^[A-Za-z0-9._-]{1,64}$/.test(text)),
      {
        option: 'redis.nodeId',
        unset: "the host's name",
        isFixedInChart: true,
        meaning: 'Name of this node in logs; a random part is added.',
      },
    ),
  },
  'Stream bridge': {
    STREAM_API_KEY: setting(text('a Stream API key'), {
      option: 'stream.apiKey',
      opensGroup: true,
      isSecret: true,
      meaning: 'Key of your Stream app.',
    }),
    STREAM_API_SECRET: setting(text('a Stream API secret'), {
      option: 'stream.apiSecret',
      opensGroup: true,
      isSecret: true,
      meaning: "Its secret. It stays in the gateway's process; media workers get user tokens only.",
    }),
    STREAM_BASE_URL: setting(httpUrl, {
      option: 'stream.baseUrl',
      unset: "Stream's own",
      meaning: 'Another origin: a proxy, or a test double.',
    }),
    STREAM_MEDIA: {
      ...STREAM_OPTIONS.media,
      option: 'stream.media',
      meaning: "Where WebRTC runs: in child processes, or in the gateway's own, for development.",
    },
    STREAM_STACK: {
      ...STREAM_OPTIONS.stack,
      option: 'stream.stack',
      meaning:
        'WebRTC of Stream calls: `lean`, our own at a third of the CPU; `wrtc`, libwebrtc; `auto`, the lean one where it loads.',
    },
    STREAM_LEGS_PER_WORKER: {
      ...STREAM_OPTIONS.legsPerWorker,
      option: 'stream.legsPerWorker',
      meaning: 'Phones that a media worker carries at a time.',
    },
    STREAM_JOIN_AT: {
      ...STREAM_OPTIONS.joinAt,
      option: 'stream.joinAt',
      meaning: 'When a phone is seen in its call: once it is answered, or while it still rings.',
    },
    STREAM_MAX_WORKER_DELAY_MS: {
      ...STREAM_OPTIONS.maxWorkerDelayMs,
      option: 'stream.maxWorkerDelayMs',
      meaning: "Reject new calls while a media worker's timers are later than this. 0 is no limit.",
    },
    STREAM_ALONE_SECONDS: setting(number(1, 86_400, 'seconds'), {
      option: 'stream.aloneSeconds',
      default: STREAM_OPTIONS.aloneSeconds.default,
      meaning: 'Hang up a phone that is alone in its call for so long.',
    }),
    STREAM_TRANSFER_TO: setting(numbers, {
      option: 'stream.transferTo',
      default: [],
      meaning: 'Numbers that `phone.transfer` may name.',
    }),
    STREAM_CONTROL: setting(control, {
      option: 'stream.control',
      default: STREAM_OPTIONS.control.default,
      meaning: 'Who in a call may command its phones: Stream users by ID and by role.',
    }),
  },
};

/** Every setting, by name. */
export const SETTINGS: ReadonlyMap<string, Setting> = new Map(
  Object.values(SETTING_GROUPS).flatMap((group) => Object.entries(group)),
);

/** Names of the settings that a running gateway takes; all others wait for a restart. */
export const RELOADABLE: ReadonlySet<string> = new Set(
  [...SETTINGS].flatMap(([name, { isReloadable }]) => (isReloadable ? [name] : [])),
);

/** The default as people read it: that of the environment, or what holds instead. */
export function shownDefault({ format, default: usual, unset }: Setting): string {
  const text = usual === undefined ? '' : format.print(usual);
  return text === '' ? (unset ?? '–') : `\`${text}\``;
}
