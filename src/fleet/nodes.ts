import { randomUUID } from 'node:crypto';
import type { Clock, Timeout, Timer } from '../clock.js';
import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError } from '../errors.js';
import { parseJsonObject } from './json-object.js';
import { isRegistryDown, type RedisCommands, type RedisLink, type RedisValue, script } from './redis.js';

/** Also how soon it is known that Redis has lost all it knew. */
const BEAT_MS = 500;
/** A node that has not been heard of for so long is gone. */
const ALIVE_MS = 4_000;
/** Most questions that wait for their answers. */
const MAX_QUESTIONS = 10_000;
const ANSWER_MS = 2_000;

/**
 * Says that we live, forgets who has long been gone, and answers whether we were known, and who lives: name, then what it
 * said.
 */
const BEAT = script(`
local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)
local had = redis.call('HGET', KEYS[1], ARGV[1]) and 1 or 0
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
local all, alive = redis.call('HGETALL', KEYS[1]), {had}
for i = 1, #all, 2 do
  local at, state = string.match(all[i + 1], '^(%d+) (.*)$')
  if not at or now - at > tonumber(ARGV[3]) * 15 then redis.call('HDEL', KEYS[1], all[i])
  elseif now - at <= tonumber(ARGV[3]) then alive[#alive + 1] = all[i] alive[#alive + 1] = state end
end
return alive`);

/** What a node says of itself with every beat. */
export interface NodeState {
  readonly calls: number;
  /** It hands its calls over and takes no others. */
  readonly draining: boolean;
  /** It would take a new call now. */
  readonly open: boolean;
}

/** Answers what another node asks; the answer and what it throws travel back. */
export type Answerer = (what: string, about: Readonly<Record<string, unknown>>) => unknown;

interface Waiting {
  readonly node: string;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: GatewayError) => void;
  readonly timeout: Timeout;
}

type Letter =
  | {
      readonly id: string;
      readonly from: string;
      readonly what: string;
      readonly about: Record<string, unknown>;
    }
  | {
      readonly re: string;
      readonly answer?: unknown;
      readonly error?: { code: ErrorCode; message: string; status: number };
    };

/** The nodes of a fleet: who lives, and a way to ask each. */
export class Nodes {
  private states = new Map<string, NodeState>();
  private readonly waiting = new Map<string, Waiting>();
  /** Since when the registry answers without a break, in monotonic milliseconds. */
  private heardSince = Number.POSITIVE_INFINITY;
  /** Whether the registry was told of us, and is to know of us still. */
  private isKnown = false;
  private timer: Timer | undefined;

  constructor(
    private readonly redis: RedisLink,
    readonly self: string,
    private readonly state: () => NodeState,
    private readonly answer: Answerer,
    /** Told of what went wrong with the registry besides its being away. */
    private readonly onFault: (error: unknown) => void,
    /** Told that the registry answers and has lost what it knew: it was emptied, or another one is in its place. */
    private readonly onForgotten: () => void,
    private readonly clock: Clock,
  ) {}

  /** Begins to say that we live, and to listen. */
  open(): void {
    this.redis.subscribe(channelOf(this.self), (text) => {
      this.receive(text).catch(this.onFault);
    });
    void this.beat();
    this.timer = this.clock.every(BEAT_MS, () => void this.beat());
    this.timer.unref();
  }

  /** Says good-bye, so that nobody counts on us. */
  async close(): Promise<void> {
    this.clock.cancel(this.timer);
    for (const [id, { node }] of this.waiting) this.take(id)?.reject(gone(node));
    await this.say('').catch(() => {});
  }

  /** Nodes that live, this one among them; this one alone where nobody knows. */
  get alive(): ReadonlyMap<string, NodeState> {
    const alive = new Map(this.redis.isUp ? this.states : []);
    alive.set(this.self, this.state());
    return alive;
  }

  /** Nodes that would take a call, besides this one. */
  get takers(): string[] {
    return [...this.alive]
      .filter(([node, { draining }]) => node !== this.self && !draining)
      .map(([node]) => node);
  }

  /** Whether another node would take a new call now. */
  get isAnyOpen(): boolean {
    return [...this.alive].some(([node, { open }]) => node !== this.self && open);
  }

  /** Whether everybody who lives has had the time to say so: a Redis that comes back may have forgotten them. */
  get knowsAll(): boolean {
    return this.clock.now() - this.heardSince > ALIVE_MS;
  }

  /** The registry is away: when it is back, it may have forgotten. */
  lost(): void {
    this.heardSince = Number.POSITIVE_INFINITY;
    this.isKnown = false;
  }

  /** Says how we are, and learns how the others are; also done twice a second. */
  async beat(): Promise<void> {
    try {
      await this.say(JSON.stringify(this.state()));
    } catch (error) {
      this.heardSince = Number.POSITIVE_INFINITY;
      // The link tells of its loss; a beat more or less does not matter.
      if (!isRegistryDown(error)) this.onFault(error);
    }
  }

  private async say(state: string): Promise<void> {
    const { wasKnown, states } = await beat(this.redis, this.self, state);
    this.states = states;
    if (this.isKnown && !wasKnown) {
      this.heardSince = Number.POSITIVE_INFINITY;
      this.onForgotten();
    }
    this.isKnown = state !== '';
    this.heardSince = Math.min(this.heardSince, this.clock.now());
    if (!this.knowsAll) return;
    // A machine that lost its power still has its connection at Redis: nobody waits for its answers.
    for (const [id, { node }] of this.waiting) if (!states.has(node)) this.take(id)?.reject(gone(node));
  }

  /** Tells another node something that needs no answer, and does not fail. */
  tell(node: string, what: string, about: Record<string, unknown>): void {
    this.redis
      .publish(channelOf(node), JSON.stringify({ id: '', from: this.self, what, about }))
      .catch(() => {});
  }

  /**
   * Asks another node.
   * @throws GatewayError `GW_NODE_GONE` (503) where it is not there or says nothing in time, `GW_REGISTRY_DOWN` (503),
   * or what the other node threw
   */
  async ask(
    node: string,
    what: string,
    about: Record<string, unknown>,
    withinMs = ANSWER_MS,
  ): Promise<unknown> {
    if (this.waiting.size >= MAX_QUESTIONS) throw gone(node);
    // Who is not known to live may just have come.
    if (!this.states.has(node)) await this.beat();
    if (this.knowsAll && !this.states.has(node)) throw gone(node);
    const id = randomUUID();
    const answered = new Promise<unknown>((resolve, reject) => {
      const timeout = this.clock.timeout(withinMs, () => {
        this.waiting.delete(id);
        reject(gone(node));
      });
      this.waiting.set(id, { node, resolve, reject, timeout });
    });
    // Whoever is told below that nobody listens does not wait for it.
    answered.catch(() => {});
    try {
      const listeners = await this.redis.publish(
        channelOf(node),
        JSON.stringify({ id, from: this.self, what, about }),
      );
      // A process that is gone listens no more: known at once, long before its beats are missed.
      if (listeners === 0) throw gone(node);
    } catch (error) {
      this.take(id);
      throw error;
    }
    return answered;
  }

  private async receive(text: string): Promise<void> {
    const letter = parseJsonObject(text) as Letter | undefined;
    if (letter === undefined) return;
    if ('re' in letter) {
      const waiting = this.take(letter.re);
      if (letter.error === undefined) waiting?.resolve(letter.answer);
      else {
        waiting?.reject(errorOf(letter.error));
      }
      return;
    }
    const { id, from, what, about } = letter;
    const reply = await this.replyTo(what, about);
    if (id === '') return;
    this.redis.publish(channelOf(from), JSON.stringify({ re: id, ...reply })).catch(() => {});
  }

  private async replyTo(what: string, about: Record<string, unknown>): Promise<object> {
    try {
      return { answer: await this.answer(what, about) };
    } catch (error) {
      if (!(error instanceof GatewayError)) {
        this.onFault(error);
        return {
          error: {
            code: 'GW_INTERNAL',
            message: 'Expected an answer but failed; the log of that node says why',
            status: 500,
          },
        };
      }
      const { code, message, status } = error;
      return { error: { code, message, status } };
    }
  }

  private take(id: string): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    waiting?.timeout.cancel();
    return waiting;
  }
}

/** What another node threw; one of another version may have thrown something else. */
function errorOf(error: unknown): GatewayError {
  const { code, message, status } = (error ?? {}) as Partial<Record<string, unknown>>;
  if (typeof code !== 'string' || !code.startsWith('GW_') || !Number.isInteger(status)) {
    return new GatewayError('GW_REGISTRY_ERROR', 'Another node gave an answer that cannot be read');
  }
  return new GatewayError(code as ErrorCode, String(message), { status: status as number });
}

/** Says how a node is, in JSON; nothing, where nobody is to count on it. */
async function beat(
  redis: RedisCommands,
  node: string,
  state: string,
): Promise<{ wasKnown: boolean; states: Map<string, NodeState> }> {
  const [had, ...alive] = (await redis.runScript(
    BEAT,
    ['trunkline:nodes'],
    [node, state, ALIVE_MS],
  )) as RedisValue[];
  const states = new Map<string, NodeState>();
  for (let i = 0; i + 1 < alive.length; i += 2) {
    const said = parseJsonObject(String(alive[i + 1]));
    if (said === undefined) continue;
    // Another version may say less, or more.
    const calls = Number.isSafeInteger(said.calls) ? Number(said.calls) : 0;
    states.set(String(alive[i]), { calls, draining: said.draining === true, open: said.open !== false });
  }
  return { wasKnown: had === 1, states };
}

/** The nodes that live, for one that is none of them. */
export async function readNodes(redis: RedisCommands, self: string): Promise<ReadonlyMap<string, NodeState>> {
  return (await beat(redis, self, '')).states;
}

/** Where a node is asked. */
export function channelOf(node: string): string {
  return `trunkline:node:${node}`;
}

function gone(node: string): GatewayError {
  return new GatewayError('GW_NODE_GONE', `Expected an answer of node ${node} but received none`);
}
