import { randomUUID } from 'node:crypto';
import type { Clock, Timeout, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import { parseJsonObject } from './json-object.js';
import { isRegistryDown, type RedisCommands, type RedisValue, type RegistryLink, script } from './redis.js';
import { receivedError, type SentError, sentError } from './sent-error.js';

/** Also how soon a node notices that Redis has lost its data. */
const HEARTBEAT_MS = 500;
/** A node without a heartbeat for this long is gone. */
const ALIVE_MS = 4_000;
/** Maximum requests in flight. */
const MAX_REQUESTS = 10_000;
const ANSWER_MS = 2_000;

/**
 * Records our heartbeat, removes nodes gone for long, and returns whether we were known, followed by each
 * live node's name and state.
 */
const BEAT = script(
  'beat',
  `
local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)
local had = redis.call('HGET', KEYS[1], ARGV[1]) and 1 or 0
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
local all, alive = redis.call('HGETALL', KEYS[1]), {had}
for i = 1, #all, 2 do
  local at, state = string.match(all[i + 1], '^(%d+) (.*)$')
  if not at or now - at > tonumber(ARGV[3]) * 15 then redis.call('HDEL', KEYS[1], all[i])
  elseif now - at <= tonumber(ARGV[3]) then alive[#alive + 1] = all[i] alive[#alive + 1] = state end
end
return alive`,
);

/** A node's state, sent with every heartbeat. */
export interface NodeState {
  readonly calls: number;
  /** The node is handing over its calls and accepts no others. */
  readonly draining: boolean;
  /** The node would accept a new call now. */
  readonly open: boolean;
}

/** Handles another node's request; its result or error is sent back. */
export type RequestHandler = (what: string, about: Readonly<Record<string, unknown>>) => unknown;

interface PendingRequest {
  readonly node: string;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: GatewayError) => void;
  readonly timeout: Timeout;
}

type NodeMessage =
  | {
      readonly id: string;
      readonly from: string;
      readonly what: string;
      readonly about: Record<string, unknown>;
    }
  | {
      readonly re: string;
      readonly answer?: unknown;
      readonly error?: SentError;
    };

/** The nodes of a fleet: which are live, and requests between them. */
export class Cluster {
  private states = new Map<string, NodeState>();
  private readonly pendingRequests = new Map<string, PendingRequest>();
  /** When the registry last came up, in monotonic milliseconds; Infinity while it is down. */
  private upSince = Number.POSITIVE_INFINITY;
  /** Whether the registry has our heartbeat and should still have it. */
  private isKnown = false;
  private timer: Timer | undefined;

  constructor(
    private readonly redis: RegistryLink,
    readonly self: string,
    private readonly state: () => NodeState,
    private readonly answer: RequestHandler,
    /** Called for registry errors other than being down. */
    private readonly onFault: (error: unknown) => void,
    /** Called when the registry answers but has lost its data: it was emptied or replaced. */
    private readonly onForgotten: () => void,
    private readonly clock: Clock,
    /** Whether another node is about to drain, although its latest heartbeat does not say so. */
    private readonly isLeaving: (node: string) => boolean = () => false,
  ) {}

  /** Starts the heartbeat and listens for messages. */
  open(): void {
    this.redis.subscribe(channelOf(this.self), (text) => {
      this.handleMessage(text).catch(this.onFault);
    });
    void this.heartbeat();
    this.timer = this.clock.every(HEARTBEAT_MS, () => void this.heartbeat());
    this.timer.unref();
  }

  /** Removes this node from the list of live nodes. */
  async close(): Promise<void> {
    this.clock.cancel(this.timer);
    for (const [id, { node }] of this.pendingRequests) this.takePending(id)?.reject(gone(node));
    await this.sendHeartbeat('').catch(() => {});
  }

  /** Live nodes, including this one; only this one while the registry is down. */
  get alive(): ReadonlyMap<string, NodeState> {
    const alive = new Map(this.redis.isUp ? this.states : []);
    alive.set(this.self, this.state());
    return alive;
  }

  /** Other nodes that accept calls. */
  get acceptingPeers(): string[] {
    return [...this.alive]
      .filter(([node, { draining }]) => node !== this.self && !draining && !this.isLeaving(node))
      .map(([node]) => node);
  }

  /** Whether another node would accept a new call now. */
  get isAnyOpen(): boolean {
    return [...this.alive].some(([node, { open }]) => node !== this.self && open && !this.isLeaving(node));
  }

  /**
   * Whether every live node has had time to send a heartbeat: a Redis that comes back may have lost its data.
   */
  get knowsAll(): boolean {
    return this.clock.now() - this.upSince > ALIVE_MS;
  }

  /** The registry is down, and may have lost its data when it is back. */
  registryLost(): void {
    this.upSince = Number.POSITIVE_INFINITY;
    this.isKnown = false;
  }

  /** Sends our heartbeat and reads the others'; also runs every `HEARTBEAT_MS`. */
  async heartbeat(): Promise<void> {
    try {
      await this.sendHeartbeat(JSON.stringify(this.state()));
    } catch (error) {
      this.upSince = Number.POSITIVE_INFINITY;
      // The link reports that it is down; one missed heartbeat does not matter.
      if (!isRegistryDown(error)) this.onFault(error);
    }
  }

  private async sendHeartbeat(state: string): Promise<void> {
    const { wasKnown, states } = await beat(this.redis, this.self, state);
    this.states = states;
    if (this.isKnown && !wasKnown) {
      this.upSince = Number.POSITIVE_INFINITY;
      this.onForgotten();
    }
    this.isKnown = state !== '';
    this.upSince = Math.min(this.upSince, this.clock.now());
    if (!this.knowsAll) return;
    // A machine that lost power still has its connection to Redis, so fail its pending requests.
    for (const [id, { node }] of this.pendingRequests)
      if (!states.has(node)) this.takePending(id)?.reject(gone(node));
  }

  /** Sends another node a message without a reply; never throws. */
  notify(node: string, what: string, about: Record<string, unknown>): void {
    this.redis
      .publish(channelOf(node), JSON.stringify({ id: '', from: this.self, what, about }))
      .catch(() => {});
  }

  /**
   * Sends another node a request.
   * @throws GatewayError `GW_NODE_GONE` (503) if the node is gone or does not reply in time,
   *   `GW_REGISTRY_DOWN` (503), or the other node's error
   */
  async request(
    node: string,
    what: string,
    about: Record<string, unknown>,
    withinMs = ANSWER_MS,
  ): Promise<unknown> {
    if (this.pendingRequests.size >= MAX_REQUESTS) throw gone(node);
    // An unknown node may have just joined.
    if (!this.states.has(node)) await this.heartbeat();
    if (this.knowsAll && !this.states.has(node)) throw gone(node);
    const id = randomUUID();
    const answered = new Promise<unknown>((resolve, reject) => {
      const timeout = this.clock.timeout(withinMs, () => {
        this.pendingRequests.delete(id);
        reject(gone(node));
      });
      this.pendingRequests.set(id, { node, resolve, reject, timeout });
    });
    // The caller gets the error below instead if nobody listens.
    answered.catch(() => {});
    try {
      const listeners = await this.redis.publish(
        channelOf(node),
        JSON.stringify({ id, from: this.self, what, about }),
      );
      // A dead process has no subscription: known at once, long before its heartbeats are missed.
      if (listeners === 0) throw gone(node);
    } catch (error) {
      this.takePending(id);
      throw error;
    }
    return answered;
  }

  private async handleMessage(text: string): Promise<void> {
    const letter = parseJsonObject(text) as NodeMessage | undefined;
    if (letter === undefined) return;
    if ('re' in letter) {
      const waiting = this.takePending(letter.re);
      if (letter.error === undefined) waiting?.resolve(letter.answer);
      else {
        waiting?.reject(receivedError(letter.error));
      }
      return;
    }
    const { id, from, what, about } = letter;
    const reply = await this.answerRequest(what, about);
    if (id === '') return;
    this.redis.publish(channelOf(from), JSON.stringify({ re: id, ...reply })).catch(() => {});
  }

  private async answerRequest(what: string, about: Record<string, unknown>): Promise<object> {
    try {
      return { answer: await this.answer(what, about) };
    } catch (error) {
      if (!(error instanceof GatewayError)) this.onFault(error);
      return { error: sentError(error) };
    }
  }

  private takePending(id: string): PendingRequest | undefined {
    const waiting = this.pendingRequests.get(id);
    this.pendingRequests.delete(id);
    waiting?.timeout.cancel();
    return waiting;
  }
}

/** Records a node's state, JSON; an empty state removes the node. */
export async function beat(
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
    // Other versions may send fewer or more fields.
    const calls = Number.isSafeInteger(said.calls) ? Number(said.calls) : 0;
    states.set(String(alive[i]), { calls, draining: said.draining === true, open: said.open !== false });
  }
  return { wasKnown: had === 1, states };
}

/** Lists the live nodes without being one of them. */
export async function readNodes(redis: RedisCommands, self: string): Promise<ReadonlyMap<string, NodeState>> {
  return (await beat(redis, self, '')).states;
}

/** The pub/sub channel of a node. */
export function channelOf(node: string): string {
  return `trunkline:node:${node}`;
}

function gone(node: string): GatewayError {
  return new GatewayError('GW_NODE_GONE', `Node ${node} did not reply`);
}
