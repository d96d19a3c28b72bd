import type { Clock } from '../../clock.js';
import { expected } from '../../errors.js';
import { choice, number, onOff } from '../../setting.js';
import type { Logger } from '../../telemetry/log.js';
import { type CommandRule, isCommander, type TransferRule } from './command-rule.js';
import { STACKS, type StackChoice } from './stack-choice.js';

/** Account, limits and behaviour of a {@link StreamBridge}. */
export interface StreamBridgeOptions {
  readonly apiKey: string;
  /** Never leaves this process: media workers get user tokens only. */
  readonly apiSecret: string;
  /** Origin in place of Stream's own. */
  readonly baseUrl?: string;
  /** Media in child processes (default), or within this one, for development. */
  readonly media?: 'workers' | 'inline';
  /**
   * WebRTC of Stream calls: `lean`, our own; `wrtc`, libwebrtc; or `auto` (default): the lean one where it loads, and as long as
   * it can do what Stream asks for.
   */
  readonly stack?: StackChoice;
  /** Number of calls a media worker carries at a time, 1 to 100, of which libwebrtc takes no more than 50; default 20. */
  readonly legsPerWorker?: number;
  /** Number of calls after which a media worker is replaced, more than 0; default 1,000. */
  readonly recycleAfter?: number;
  /** Resident memory in megabytes after which a media worker is replaced, more than 0; default 1,000. */
  readonly memoryLimitMb?: number;
  /**
   * When a phone becomes visible in its call: once it is answered (default), or while it still `ring`s. Invisible
   * preparations happen while it rings in either case.
   */
  readonly joinAt?: 'answer' | 'ring';
  /**
   * Rejects new calls as busy while a media worker's timers are later than this, in milliseconds (90th percentile of a
   * second), or while joins take too long. Default 20, up to 10,000; 0 for no limit.
   */
  readonly maxWorkerDelayMs?: number;
  /** Below this percentage of idle processor time, a third of that delay is enough; 0 to 90, default 15. */
  readonly minIdlePercent?: number;
  /** Longest time to join a call, at first and again after a loss, in seconds; more than 0, default 15. */
  readonly joinSeconds?: number;
  /** A phone that is alone in its call for this many seconds is hung up; more than 0, default 60. */
  readonly aloneSeconds?: number;
  /** Seconds without a sign of life from the media server after which the phone rejoins the call; more than 0, default 3. */
  readonly watchdogSeconds?: number;
  /** Lifetime of a user token in seconds, more than 0; the client renews it. Default 3,600. */
  readonly tokenSeconds?: number;
  /** Numbers that `phone.transfer` may name: a rule, or a list in which a trailing `*` stands for anything. Default: none. */
  readonly transferTo?: TransferRule | readonly string[];
  /**
   * Who in a Stream call may command its phones (`phone.clear`, `phone.hangup`, …): `all` (default), a list of `user:<id>` and
   * `role:<name>` (of the user at Stream, not in the call) in which a trailing `*` stands for anything, or a rule. Commands of
   * others are ignored.
   */
  readonly control?: 'all' | CommandRule | readonly string[];
  /** Plays ringback (of the United States) to the caller if a join takes longer than two seconds; default true. */
  readonly ringback?: boolean;
  /** What a caller hears while alone in the call: nothing (default), or comfort noise at about -60 dBFS. */
  readonly whileAlone?: 'silence' | 'comfort-noise';
  /** Sequence of 1 to 4 keys of `0–9 * # A–D` by which a caller mutes and unmutes the phone, e.g. `*6`; none by default. */
  readonly muteKey?: string;
  readonly log?: Logger;
  /** Default {@link systemClock}. Media workers use their own. */
  readonly clock?: Clock;
}

/** One thread for all legs: more than this no worker carries. */
export const MAX_LEGS_PER_WORKER = 100;
/** With libwebrtc there are five threads a leg besides, and one that mixes for all of them. */
export const MAX_WRTC_LEGS = 50;

/** What options may be, and their defaults; some are settings as well. */
export const STREAM_OPTIONS = {
  media: { format: choice(['workers', 'inline']), default: 'workers' },
  stack: { format: choice(STACKS), default: 'auto' },
  legsPerWorker: { format: number(1, MAX_LEGS_PER_WORKER), default: 20 },
  joinAt: { format: choice(['answer', 'ring']), default: 'answer' },
  maxWorkerDelayMs: { format: number(0, 10_000, 'milliseconds'), default: 20 },
  minIdlePercent: { format: number(0, 90, 'percent'), default: 15 },
  ringback: { format: onOff, default: true },
  whileAlone: { format: choice(['silence', 'comfort-noise']), default: 'silence' },
  aloneSeconds: { default: 60 },
  control: { default: 'all' },
} as const;

/** Node's timers take no more milliseconds than 31 bits hold, and fire at once for more. */
const LONGEST_SECONDS = 2_147_483;

/** @throws TypeError for options out of range */
export function checkStreamOptions(options: StreamBridgeOptions): void {
  const { apiKey, apiSecret, muteKey, transferTo = [], control = STREAM_OPTIONS.control.default } = options;
  if (typeof apiKey !== 'string' || apiKey === '') throw expected('a Stream API key', 'apiKey', apiKey);
  if (typeof apiSecret !== 'string' || apiSecret === '') {
    throw new TypeError('Expected a Stream API secret for apiSecret but received none');
  }
  for (const [name, option] of Object.entries(STREAM_OPTIONS)) {
    const value = options[name as keyof typeof STREAM_OPTIONS];
    if (value === undefined || !('format' in option) || option.format.accepts(value)) continue;
    throw expected(option.format.wantedOption, name, value);
  }
  if (muteKey !== undefined && !(typeof muteKey === 'string' && /^[0-9*#A-D]{1,4}$/.test(muteKey))) {
    throw expected('1 to 4 of 0-9 * # A-D', 'muteKey', muteKey);
  }
  const isList = Array.isArray(transferTo) && transferTo.every((number) => typeof number === 'string');
  if (typeof transferTo !== 'function' && !isList) {
    throw expected('a function or a list of numbers', 'transferTo', transferTo);
  }
  if (
    control !== 'all' &&
    typeof control !== 'function' &&
    !(Array.isArray(control) && control.every(isCommander))
  ) {
    throw expected('"all", a function or a list like user:agent-1, role:admin', 'control', control);
  }
  for (const name of [
    'recycleAfter',
    'memoryLimitMb',
    'joinSeconds',
    'aloneSeconds',
    'watchdogSeconds',
    'tokenSeconds',
  ] as const) {
    const value = options[name];
    if (value !== undefined && !(value > 0 && value <= LONGEST_SECONDS)) {
      throw expected(`a positive number up to ${LONGEST_SECONDS}`, name, value);
    }
  }
}
