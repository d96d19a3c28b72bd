import { createHash } from 'node:crypto';
import { GatewayError } from '../errors.js';
import type { FormParameters } from '../twilio/form.js';
import { parseJsonObject } from './json-object.js';
import { type RedisCommands, type RedisValue, script } from './redis.js';

/** What another node must know to take a call. */
export interface CallFacts {
  readonly callId: string;
  readonly callSid: string | undefined;
  readonly direction: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** What the webhook said; absent for calls placed by us. */
  readonly webhook: FormParameters | undefined;
  /** What the hook decided. */
  readonly decision: unknown;
}

/** Where a call stands in the registry. */
export type EntryState = 'ringing' | 'live' | 'detached' | 'ended';

/** Why a call changed nodes: its node went away by itself, or was lost. */
export type HandoverReason = 'drain' | 'lost';

export interface Entry {
  readonly node: string;
  readonly state: EntryState;
  readonly facts: CallFacts | undefined;
  /** TwiML for a caller whose call has ended. */
  readonly next: string | undefined;
}

/** A call that was taken. */
export interface Taken {
  readonly facts: CallFacts;
  /** The node that announced it. */
  readonly from: string;
  /** The node that had its last socket, if there was one. */
  readonly last: string | undefined;
  /** Why it was handed over; `undefined` for a call that connects for the first time. */
  readonly handover: HandoverReason | undefined;
}

export type Attachment =
  | {
      readonly attached: true;
      readonly facts: CallFacts;
      /** Tokens in a row that nobody took, this one included. */
      readonly rings: number;
      /** The node where it rang until now, with another token. */
      readonly rangAt: string | undefined;
    }
  | {
      readonly attached: false;
      readonly why: 'unknown' | 'ended' | 'exhausted';
      readonly next: string | undefined;
    };

/** A live call is forgotten so long after its node last said that it lives. */
const LIVE_MS = 120_000;
/** An ended call is remembered for whoever comes late. */
const ENDED_MS = 90_000;
/** Its CallSid is remembered for whoever sends its webhook again, as the claim of a node that there is not. */
const ENDED_SID_MS = 3_600_000;
export const ENDED_NODE = 'ended';
/** A detached one waits for Twilio's question. */
export const DETACHED_MS = 60_000;
/** A hook decides within ten seconds, and Twilio waits for no longer than fifteen. */
const CLAIM_MS = 20_000;
/** A call that only shows that others could be made. */
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
/** Hand-overs in a row before a call is given up; one that talked for a while in between starts counting anew. */
const MAX_HANDOVERS = 5;
/** Tokens given out in a row that nobody takes: its sockets come to nodes that refuse them. */
const MAX_RINGS = 12;

const NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) ";

/** Who answers a CallSid: `<callId> <node>`. One whose node is gone is given to the next who asks. */
const CLAIM = script(`
local held = redis.pcall('GET', KEYS[1])
-- What cannot be read is nobody's.
if type(held) == 'string' and string.find(held, '^%S+ %S+$') and held ~= ARGV[3] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`);

/** Writes a call down, unless another node has it. */
const PUT = script(`${NOW}
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
return 1`);

/** Uses up a token: the only place where that happens, and atomic. */
const TAKE = script(`${NOW}
local c = redis.call('HMGET', KEYS[1], 'state', 'hash', 'expires', 'node', 'facts', 'why', 'taken', 'last', 'sid')
if not c[1] then return {'unknown'} end
if c[2] ~= ARGV[1] then return {'wrong'} end
if c[7] == ARGV[1] then return {'used'} end
if c[1] ~= 'ringing' or now > tonumber(c[3]) then return {'expired'} end
redis.call('HSET', KEYS[1], 'state', 'live', 'node', ARGV[2], 'since', now, 'taken', ARGV[1], 'last', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if c[9] then redis.call('PEXPIRE', c[9], ARGV[3]) end
return {'taken', c[4], c[5], c[6], c[8]}`);

/** Keeps calls: of each key 1 where it was ours, 0 where it is missing, -1 where another node has it. */
const KEEP = script(`
local answers = {}
for i, key in ipairs(KEYS) do
  local c = redis.call('HMGET', key, 'node', 'sid', 'state')
  if not c[1] then answers[i] = 0
  elseif c[1] ~= ARGV[1] then answers[i] = -1
  -- Another node knows that it is over: it is remembered as long as that said.
  elseif c[3] == 'ended' then answers[i] = 1
  else
    redis.call('PEXPIRE', key, ARGV[2])
    -- As long as the call: Twilio asks for it by nothing else.
    if c[2] and redis.call('PEXPIRE', c[2], ARGV[2]) == 0 then redis.call('SET', c[2], ARGV[2 + i], 'PX', ARGV[2]) end
    answers[i] = 1
  end
end
return answers`);

/** Ends or detaches a call that is still ours, or anybody's, and perhaps only in one state. */
const LEAVE = script(`
local node = redis.call('HGET', KEYS[1], 'node')
if not node or (node ~= ARGV[1] and ARGV[1] ~= '*') then return 0 end
local state = redis.call('HGET', KEYS[1], 'state')
if ARGV[6] ~= '' and state ~= ARGV[6] then return 0 end
-- Another node knows better: nobody waits for one that is over.
if state == 'ended' and ARGV[2] ~= 'ended' then return 1 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'next', ARGV[3], 'why', ARGV[4])
if ARGV[2] == 'ended' then redis.call('HDEL', KEYS[1], 'facts') end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if KEYS[2] then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
-- Longer than the call itself: a webhook that is sent again must not make it ring anew.
local held = KEYS[2] and ARGV[7] and redis.call('GET', KEYS[2])
if held and string.sub(held, 1, #ARGV[7]) == ARGV[7] then
  redis.call('SET', KEYS[2], ARGV[7] .. '${ENDED_NODE}', 'PX', ARGV[8])
end
return 1`);

/** Makes a call ring again, with another token, for whichever node takes it. */
const ATTACH = script(`${NOW}
local c = redis.call('HMGET', KEYS[1], 'state', 'facts', 'handovers', 'since', 'next', 'why', 'rings', 'node')
if not c[1] and redis.call('PTTL', KEYS[1]) == -2 then return {'unknown'} end
if c[1] == 'ended' then return {'ended', c[5]} end
-- Not written by this version.
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
return {'attached', c[2], rings, c[1] == 'ringing' and c[8] or ''}`);

const READ = script(`return redis.call('HMGET', KEYS[1], 'node', 'state', 'facts', 'next')`);

/** Notes what Twilio calls a call that we placed, and makes it findable by that. */
const BIND = script(`
local facts = redis.call('HGET', KEYS[1], 'facts')
if not facts then return 0 end
local f = cjson.decode(facts)
if f.callSid == ARGV[1] then return 1 end
-- Not encoded anew: Lua cannot tell an empty list from an empty object.
redis.call('HSET', KEYS[1], 'facts', '{"callSid":' .. cjson.encode(ARGV[1]) .. ',' .. string.sub(facts, 2))
redis.call('HSET', KEYS[1], 'sid', KEYS[2])
redis.call('SET', KEYS[2], ARGV[2], 'PX', redis.call('PTTL', KEYS[1]))
return 1`);

const LOOK_UP = script("return redis.call('GET', KEYS[1])");

/**
 * The calls of a fleet, on Redis: who holds which, what another node needs to take it over, and its token, of which only
 * the hash is kept. Every method throws GatewayError `GW_REGISTRY_DOWN` (503) where Redis does not answer, and
 * `GW_REGISTRY_ERROR` (503) where it answers with an error.
 */
export class RedisCallRegistry {
  constructor(
    private readonly redis: RedisCommands,
    /** This process. */
    readonly node: string,
    /**
     * A stream that lasted so long, in milliseconds, was a good one. Above the silence that ends a stream: one of which
     * nothing was ever heard was not.
     */
    private readonly calmMs: number,
  ) {}

  get isUp(): boolean {
    return this.redis.isUp;
  }

  /**
   * Answers who deals with a CallSid: we, with the id given, or another one who did before.
   * @param insteadOf a claim that is void because its node is gone
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

  /** Who deals with a CallSid, if anybody. */
  async find(callSid: string): Promise<{ callId: string; node: string } | undefined> {
    const claim = await this.redis.runScript(LOOK_UP, [sidKey(callSid)], []);
    const found = claim === null ? undefined : parseClaim(String(claim));
    if (found?.callId === '' || found?.node === '') throw foreign(`the claim of ${callSid}`, claim);
    return found;
  }

  /**
   * Announces a call that rings here; its token is good for `timeToLiveMs`.
   * @returns false where another node has a call of that id
   */
  async announce(facts: CallFacts, token: string, timeToLiveMs: number): Promise<boolean> {
    return this.put(facts, 'ringing', hashOf(token), timeToLiveMs, 2 * timeToLiveMs);
  }

  /**
   * Writes a live call down again that Redis has lost.
   * @returns false where another node has it
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

  /** Notes what Twilio calls a call that we placed. */
  async bindSid(callId: string, callSid: string): Promise<void> {
    await this.redis.runScript(
      BIND,
      [callKey(callId), sidKey(callSid)],
      [callSid, claimOf(callId, this.node)],
    );
  }

  /**
   * Takes a call by its token, which is used up.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_TOKEN_INVALID` (401), `GW_TOKEN_USED` (409),
   * `GW_TOKEN_EXPIRED` (410)
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
   * Says that live calls live.
   * @returns those that Redis has lost, and those that another node has
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
   * The call waits for Twilio's question and whichever node answers it.
   * @returns false where it is another node's, or Redis has lost it
   */
  async detach(callId: string, callSid: string | undefined, why: HandoverReason): Promise<boolean> {
    return this.leave(callId, callSid, 'detached', '', why, DETACHED_MS, this.node);
  }

  /**
   * The call is over.
   * @param next TwiML for a caller who is still there
   * @param anybodys whether it may be another node's, e.g. one that is gone
   * @returns false where it is another node's, or Redis has lost it
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

  /** The call was not connected in time here; if it was elsewhere, this changes nothing. */
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

  /** Gives a call whose stream is over another token, unless it has ended or goes round in circles. */
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
   * Does with a call that nobody makes what is done with others, each script once. Nothing of it stays.
   * @throws GatewayError as {@link RedisCommands.runScript}, and `GW_REGISTRY_ERROR` (503) where Redis does not keep what it took
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

/** What another node wrote; one of another version may have written something else. */
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
      return new GatewayError(
        'GW_TOKEN_USED',
        `Expected an unused token for call ${callId} but received one used before`,
      );
    case 'expired':
      return new GatewayError(
        'GW_TOKEN_EXPIRED',
        `Expected a token within its life for call ${callId} but received an expired one`,
      );
    default:
      return new GatewayError(
        'GW_CALL_UNKNOWN',
        `Expected the id of a known call but received ${JSON.stringify(callId)}`,
      );
  }
}
