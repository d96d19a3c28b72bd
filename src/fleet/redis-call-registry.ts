import { createHash } from 'node:crypto';
import { GatewayError } from '../errors.js';
import type { FormParameters } from '../twilio/form.js';
import { parseJsonObject } from './json-object.js';
import { type RedisCommands, type RedisValue, script } from './redis.js';

/** What another node needs to take over a call. */
export interface CallFacts {
  readonly callId: string;
  readonly callSid: string | undefined;
  readonly direction: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** The webhook's parameters; undefined for calls placed by us. */
  readonly webhook: FormParameters | undefined;
  /** The hook's decision. */
  readonly decision: unknown;
}

/** State of a call in the registry. */
export type EntryState = 'ringing' | 'live' | 'detached' | 'ended';

/** Why a call changed nodes: its node drained, or was lost. */
export type HandoverReason = 'drain' | 'lost';

export interface Entry {
  readonly node: string;
  readonly state: EntryState;
  readonly facts: CallFacts | undefined;
  /** TwiML for a caller whose call has ended. */
  readonly next: string | undefined;
}

/** A call whose token was claimed. */
export interface Taken {
  readonly facts: CallFacts;
  /** The node that announced it. */
  readonly from: string;
  /** The node that held its previous socket, if any. */
  readonly last: string | undefined;
  /** Why it was handed over; `undefined` if it connects for the first time. */
  readonly handover: HandoverReason | undefined;
}

export type Attachment =
  | {
      readonly attached: true;
      readonly facts: CallFacts;
      /** Consecutive tokens that nobody claimed, including this one. */
      readonly rings: number;
      /** The node where it was ringing with the previous token. */
      readonly rangAt: string | undefined;
    }
  | {
      readonly attached: false;
      readonly why: 'unknown' | 'ended' | 'exhausted';
      readonly next: string | undefined;
    };

/** Lease of a live call. */
const LIVE_MS = 120_000;
/** How long an ended call is remembered for late requests. */
const ENDED_MS = 90_000;
/** How long its CallSid is remembered against replayed webhooks, as a claim of the pseudo node `ended`. */
const ENDED_SID_MS = 3_600_000;
export const ENDED_NODE = 'ended';
/** How long a detached call waits for Twilio's continuation request. */
export const DETACHED_MS = 60_000;
/** A hook decides within ten seconds, and Twilio waits at most fifteen. */
const CLAIM_MS = 20_000;
/** Lifetime of the test entry of {@link RedisCallRegistry.rehearse}. */
const REHEARSAL_MS = 10_000;
const NOBODY = {
  callSid: undefined,
  direction: undefined,
  from: undefined,
  to: undefined,
  startedAt: 0,
  webhook: undefined,
  decision: {},
};
/** Maximum handovers in a row before a call is given up; a healthy stream in between resets the count. */
const MAX_HANDOVERS = 5;
/** Maximum tokens in a row that nobody claims, because nodes reject the sockets. */
const MAX_RINGS = 12;

const NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) ";

/**
 * Who answers a CallSid: `<callId> <node>`. If that node is gone, the next node that asks takes the claim.
 */
const CLAIM = script(
  'claim',
  `
local held = redis.pcall('GET', KEYS[1])
-- An unreadable claim counts as none.
if type(held) == 'string' and string.find(held, '^%S+ %S+$') and held ~= ARGV[3] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`,
);

/** Writes a call, unless another node owns it. */
const PUT = script(
  'put',
  `${NOW}
local node = redis.call('HGET', KEYS[1], 'node')
if node and node ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'state', ARGV[2], 'facts', ARGV[3], 'hash', ARGV[4],
  'expires', now + ARGV[5], 'since', now)
if ARGV[2] == 'live' then redis.call('HSET', KEYS[1], 'last', ARGV[1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if KEYS[2] then
  redis.call('HSET', KEYS[1], 'sid', KEYS[2])
  redis.call('SET', KEYS[2], ARGV[7], 'PX', ARGV[6])
end
return 1`,
);

/** Uses up a token: the only place where that happens, and atomic. */
const TAKE = script(
  'take',
  `${NOW}
local c = redis.call('HMGET', KEYS[1], 'state', 'hash', 'expires', 'node', 'facts', 'why', 'taken', 'last', 'sid')
if not c[1] then return {'unknown'} end
if c[2] ~= ARGV[1] then return {'wrong'} end
if c[7] == ARGV[1] then return {'used'} end
if c[1] ~= 'ringing' or now > tonumber(c[3]) then return {'expired'} end
redis.call('HSET', KEYS[1], 'state', 'live', 'node', ARGV[2], 'since', now, 'taken', ARGV[1], 'last', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if c[9] then redis.call('PEXPIRE', c[9], ARGV[3]) end
return {'taken', c[4], c[5], c[6], c[8]}`,
);

/** Renews calls. For each key: 1 if ours, 0 if missing, -1 if another node owns it. */
const KEEP = script(
  'keep',
  `
local answers = {}
for i, key in ipairs(KEYS) do
  local c = redis.call('HMGET', key, 'node', 'sid', 'state')
  if not c[1] then answers[i] = 0
  elseif c[1] ~= ARGV[1] then answers[i] = -1
  -- Another node has ended it: leave its expiry alone.
  elseif c[3] == 'ended' then answers[i] = 1
  else
    redis.call('PEXPIRE', key, ARGV[2])
    -- Keep the CallSid as long as the call: Twilio uses nothing else.
    if c[2] and redis.call('PEXPIRE', c[2], ARGV[2]) == 0 then redis.call('SET', c[2], ARGV[2 + i], 'PX', ARGV[2]) end
    answers[i] = 1
  end
end
return answers`,
);

/** Ends or detaches a call that is ours, or anybody's, optionally only in one state. */
const LEAVE = script(
  'leave',
  `
local node = redis.call('HGET', KEYS[1], 'node')
if not node or (node ~= ARGV[1] and ARGV[1] ~= '*') then return 0 end
local state = redis.call('HGET', KEYS[1], 'state')
if ARGV[6] ~= '' and state ~= ARGV[6] then return 0 end
-- Another node has ended it: do not detach it.
if state == 'ended' and ARGV[2] ~= 'ended' then return 1 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'next', ARGV[3], 'why', ARGV[4])
if ARGV[2] == 'ended' then redis.call('HDEL', KEYS[1], 'facts') end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if KEYS[2] then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
-- Keep the CallSid longer than the call: a replayed webhook must not ring again.
local held = KEYS[2] and ARGV[7] and redis.call('GET', KEYS[2])
if held and string.sub(held, 1, #ARGV[7]) == ARGV[7] then
  redis.call('SET', KEYS[2], ARGV[7] .. '${ENDED_NODE}', 'PX', ARGV[8])
end
return 1`,
);

/** Makes a call ring again with a new token, for any node to claim. */
const ATTACH = script(
  'attach',
  `${NOW}
local c = redis.call('HMGET', KEYS[1], 'state', 'facts', 'handovers', 'since', 'next', 'why', 'rings', 'node')
if not c[1] and redis.call('PTTL', KEYS[1]) == -2 then return {'unknown'} end
if c[1] == 'ended' then return {'ended', c[5]} end
-- Written by an incompatible version.
if not c[1] or not c[2] then return {'odd'} end
local handovers, rings = tonumber(c[3] or '0'), tonumber(c[7] or '0') + 1
if c[1] ~= 'ringing' then
  if now - tonumber(c[4]) >= tonumber(ARGV[5]) then handovers = 0 end
  handovers, rings = handovers + 1, 1
end
if handovers > tonumber(ARGV[4]) or rings > tonumber(ARGV[6]) then return {'exhausted'} end
local why = c[6]
if c[1] == 'live' or not why then why = 'lost' end
redis.call('HSET', KEYS[1], 'state', 'ringing', 'node', ARGV[1], 'hash', ARGV[2], 'expires', now + ARGV[3],
  'handovers', handovers, 'rings', rings, 'why', why)
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[3])
if KEYS[2] then redis.call('PEXPIRE', KEYS[2], 2 * ARGV[3]) end
return {'attached', c[2], rings, c[1] == 'ringing' and c[8] or ''}`,
);

const READ = script('read', `return redis.call('HMGET', KEYS[1], 'node', 'state', 'facts', 'next')`);

/** Sets the CallSid of a call we placed, and indexes the call by it. */
const BIND = script(
  'bind',
  `
local facts = redis.call('HGET', KEYS[1], 'facts')
if not facts then return 0 end
local f = cjson.decode(facts)
if f.callSid == ARGV[1] then return 1 end
-- Do not re-encode: Lua cannot tell an empty list from an empty object.
redis.call('HSET', KEYS[1], 'facts', '{"callSid":' .. cjson.encode(ARGV[1]) .. ',' .. string.sub(facts, 2))
redis.call('HSET', KEYS[1], 'sid', KEYS[2])
redis.call('SET', KEYS[2], ARGV[2], 'PX', redis.call('PTTL', KEYS[1]))
return 1`,
);

const LOOK_UP = script('lookUp', "return redis.call('GET', KEYS[1])");

/**
 * The calls of a fleet in Redis: which node holds each, what another node needs to take it over, and the hash
 * of its token. Every method throws GatewayError `GW_REGISTRY_DOWN` (503) if Redis does not answer, and
 * `GW_REGISTRY_ERROR` (503) if it answers with an error.
 */
export class RedisCallRegistry {
  constructor(
    private readonly redis: RedisCommands,
    /** Name of this process. */
    readonly node: string,
    /**
     * A stream that lasted this long, in milliseconds, was healthy. Longer than the silence that ends a
     * stream, so that one without any audio does not count.
     */
    private readonly calmMs: number,
  ) {}

  get isUp(): boolean {
    return this.redis.isUp;
  }

  /**
   * Claims a CallSid. Returns our claim with the given id, or the node that claimed it before.
   * @param insteadOf an earlier claim that is void because its node is gone
   */
  async claim(
    callSid: string,
    callId: string,
    insteadOf?: { callId: string; node: string },
  ): Promise<{ callId: string; node: string }> {
    const held = insteadOf === undefined ? '' : claimOf(insteadOf.callId, insteadOf.node);
    const claim = await this.redis.runScript(
      CLAIM,
      [sidKey(callSid)],
      [claimOf(callId, this.node), CLAIM_MS, held],
    );
    return parseClaim(String(claim));
  }

  /** Returns the claim of a CallSid, if any. */
  async find(callSid: string): Promise<{ callId: string; node: string } | undefined> {
    const claim = await this.redis.runScript(LOOK_UP, [sidKey(callSid)], []);
    const found = claim === null ? undefined : parseClaim(String(claim));
    if (found?.callId === '' || found?.node === '') throw foreign(`the claim of ${callSid}`, claim);
    return found;
  }

  /**
   * Announces a call that rings here; its token is valid for `timeToLiveMs` milliseconds.
   * @returns false if another node has a call of that id
   */
  async announce(facts: CallFacts, token: string, timeToLiveMs: number): Promise<boolean> {
    return this.put(facts, 'ringing', hashOf(token), timeToLiveMs, 2 * timeToLiveMs);
  }

  /**
   * Restores a live call that Redis has lost.
   * @returns false if another node owns it
   */
  async restore(facts: CallFacts, token: string): Promise<boolean> {
    return this.put(facts, 'live', hashOf(token), 0, LIVE_MS);
  }

  private async put(
    facts: CallFacts,
    state: EntryState,
    hash: string,
    timeToLiveMs: number,
    keptMs: number,
  ): Promise<boolean> {
    const { callId, callSid } = facts;
    const keys = [callKey(callId), ...(callSid === undefined ? [] : [sidKey(callSid)])];
    const claim = claimOf(callId, this.node);
    const values = [this.node, state, JSON.stringify(facts), hash, timeToLiveMs, keptMs, claim];
    return (await this.redis.runScript(PUT, keys, values)) === 1;
  }

  /** Sets the CallSid of a call we placed. */
  async bindSid(callId: string, callSid: string): Promise<void> {
    await this.redis.runScript(
      BIND,
      [callKey(callId), sidKey(callSid)],
      [callSid, claimOf(callId, this.node)],
    );
  }

  /**
   * Claims a call by its token, which is used up.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_TOKEN_INVALID` (401), `GW_TOKEN_USED` (409),
   *   `GW_TOKEN_EXPIRED` (410)
   */
  async claimToken(callId: string, token: string): Promise<Taken> {
    const answer = await this.redis.runScript(TAKE, [callKey(callId)], [hashOf(token), this.node, LIVE_MS]);
    const [what, from, facts, why, last] = answer as readonly RedisValue[];
    if (what !== 'taken') throw refusal(String(what), callId);
    return {
      facts: parseFacts(facts, callId),
      from: String(from),
      last: last ? String(last) : undefined,
      handover: why ? (why === 'drain' ? 'drain' : 'lost') : undefined,
    };
  }

  /**
   * Renews live calls.
   * @returns those that Redis has lost, and those that another node owns
   */
  async renew(callIds: readonly string[]): Promise<{ lost: string[]; taken: string[] }> {
    if (callIds.length === 0) return { lost: [], taken: [] };
    const values = [this.node, LIVE_MS, ...callIds.map((callId) => claimOf(callId, this.node))];
    const answers = (await this.redis.runScript(KEEP, callIds.map(callKey), values)) as readonly number[];
    return {
      lost: callIds.filter((_, i) => answers[i] === 0),
      taken: callIds.filter((_, i) => answers[i] === -1),
    };
  }

  /**
   * Detaches the call: it waits for Twilio's continuation request on any node.
   * @returns false if another node owns it, or Redis has lost it
   */
  async detach(callId: string, callSid: string | undefined, why: HandoverReason): Promise<boolean> {
    return this.leave(callId, callSid, 'detached', '', why, DETACHED_MS, this.node);
  }

  /**
   * Marks the call as ended.
   * @param next TwiML for a caller who is still on the line
   * @param anybodys whether another node may own it, e.g. one that is gone
   * @returns false if another node owns it, or Redis has lost it
   */
  async finish(
    callId: string,
    callSid: string | undefined,
    next: string,
    anybodys = false,
  ): Promise<boolean> {
    const node = anybodys ? '*' : this.node;
    return this.leave(callId, callSid, 'ended', next, '', ENDED_MS, node, '', [`${callId} `, ENDED_SID_MS]);
  }

  /** Expires a call that did not connect here in time; no effect if it connected elsewhere. */
  async expire(callId: string, callSid: string | undefined): Promise<void> {
    await this.leave(callId, callSid, 'ended', '', '', ENDED_MS, this.node, 'ringing');
  }

  private async leave(
    callId: string,
    callSid: string | undefined,
    state: EntryState,
    next: string,
    why: string,
    keptMs: number,
    node: string,
    only: EntryState | '' = '',
    more: readonly (string | number)[] = [],
  ): Promise<boolean> {
    const keys = [callKey(callId), ...(callSid === undefined ? [] : [sidKey(callSid)])];
    return (await this.redis.runScript(LEAVE, keys, [node, state, next, why, keptMs, only, ...more])) === 1;
  }

  /** Gives a call whose stream has ended a new token, unless it has ended or keeps failing. */
  async attach(callId: string, callSid: string, token: string, timeToLiveMs: number): Promise<Attachment> {
    const values = [this.node, hashOf(token), timeToLiveMs, MAX_HANDOVERS, this.calmMs, MAX_RINGS];
    const answer = await this.redis.runScript(ATTACH, [callKey(callId), sidKey(callSid)], values);
    const [what, value, rings, rangAt] = answer as readonly RedisValue[];
    if (what === 'attached') {
      return {
        attached: true,
        facts: parseFacts(value, callId),
        rings: Number(rings),
        rangAt: rangAt ? String(rangAt) : undefined,
      };
    }
    if (what === 'odd') throw foreign(`the entry of call ${callId}`, 'another one');
    const why = what as 'unknown' | 'ended' | 'exhausted';
    return { attached: false, why, next: value ? String(value) : undefined };
  }

  /**
   * Runs each script once, as for a real call, on a test entry that is removed afterwards.
   * @throws GatewayError as {@link RedisCommands.runScript}, and `GW_REGISTRY_ERROR` (503) if Redis does not
   *   store what it accepted
   */
  async rehearse(callId: string): Promise<void> {
    const callSid = callId;
    const facts = { ...NOBODY, callId };
    const token = callId;
    await this.claim(callSid, callId);
    await this.announce(facts, token, REHEARSAL_MS);
    await this.bindSid(callId, callSid);
    await this.claimToken(callId, token);
    const { lost } = await this.renew([callId, `${callId}-2`]);
    await this.detach(callId, callSid, 'drain');
    const { attached } = await this.attach(callId, callSid, token, REHEARSAL_MS);
    const entry = await this.read(callId);
    const claim = await this.find(callSid);
    const isEnded = await this.leave(callId, callSid, 'ended', '', '', 1, this.node);
    const isKept = lost.length === 1 && attached && entry?.state === 'ringing' && claim?.callId === callId;
    if (!isKept || !isEnded) throw foreign('a call', 'something else than was written');
  }

  async read(callId: string): Promise<Entry | undefined> {
    const answer = (await this.redis.runScript(READ, [callKey(callId)], [])) as readonly RedisValue[];
    const [node, state, facts, next] = answer;
    if (node === null) return undefined;
    return {
      node: String(node),
      state: state as EntryState,
      facts: facts ? parseFacts(facts, callId) : undefined,
      next: next ? String(next) : undefined,
    };
  }
}

function callKey(callId: string): string {
  return `trunkline:call:${callId}`;
}

function sidKey(callSid: string): string {
  return `trunkline:sid:${callSid}`;
}

function claimOf(callId: string, node: string): string {
  return `${callId} ${node}`;
}

function parseClaim(claim: string): { callId: string; node: string } {
  const [callId = '', node = ''] = claim.split(' ');
  return { callId, node };
}

/** Parses the facts another node wrote. An incompatible version may have written something else. */
function parseFacts(text: RedisValue | undefined, callId: string): CallFacts {
  const facts = parseJsonObject(String(text));
  const { startedAt, webhook, decision, ...more } = facts ?? {};
  const isText = (value: unknown) => value === undefined || typeof value === 'string';
  const isObject = (value: unknown) => typeof value === 'object' && value !== null;
  const isOurs =
    more.callId === callId &&
    Number.isFinite(startedAt) &&
    [more.callSid, more.direction, more.from, more.to].every(isText) &&
    (webhook === undefined || isObject(webhook)) &&
    isObject(decision);
  if (!isOurs) throw foreign(`the facts of call ${callId}`, 'another text');
  return facts as unknown as CallFacts;
}

function foreign(what: string, received: unknown): GatewayError {
  const message = `Expected ${what} from the registry but received ${String(received).slice(0, 60)}`;
  return new GatewayError('GW_REGISTRY_ERROR', message);
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

function refusal(what: string, callId: string): GatewayError {
  switch (what) {
    case 'wrong':
      return new GatewayError(
        'GW_TOKEN_INVALID',
        `Expected the token of call ${callId} but received another one`,
      );
    case 'used':
      return new GatewayError('GW_TOKEN_USED', `The token of call ${callId} has already been used`);
    case 'expired':
      return new GatewayError('GW_TOKEN_EXPIRED', `The token of call ${callId} has expired`);
    default:
      return new GatewayError(
        'GW_CALL_UNKNOWN',
        `Expected the id of a known call but received ${JSON.stringify(callId)}`,
      );
  }
}
