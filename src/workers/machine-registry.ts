import type { Clock, Timer } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { RedisValue } from '../fleet/redis.js';
import { ENDED_NODE } from '../fleet/redis-call-registry.js';
import { KeyStore, SWEEP_MS } from './key-store.js';
import type { PostOffice } from './post-office.js';

/** Most keys: two for a call that lasts, one for an hour after it. */
const MAX_KEYS = 1_000_000;
/** Scripts that add keys. */
const ADDING: ReadonlySet<string> = new Set(['claim', 'put']);

type Script = (keys: readonly string[], values: readonly string[], now: number) => RedisValue;

/**
 * The registry of a machine's calls, in the supervisor's memory: what Redis is to a fleet. Each script does what the Lua of
 * its name does there (`src/fleet/redis-call-registry.ts`, `cluster.ts`), and is as atomic; a test runs both side by side.
 */
export class MachineRegistry {
  private readonly store: KeyStore;
  private readonly scripts: Readonly<Record<string, Script>>;
  /** Which workers subscribe to a channel. */
  private readonly subscribers = new Map<string, Set<number>>();
  private readonly sweeper: Timer;

  constructor(
    office: PostOffice,
    private readonly clock: Clock,
  ) {
    this.store = new KeyStore(clock);
    this.scripts = scriptsOn(this.store);
    this.sweeper = clock.every(SWEEP_MS, () => this.store.sweep());
    this.sweeper.unref();
    /** The hash of the nodes and a worker's field in it, by worker: known by its heartbeat. */
    const nodes = new Map<number, readonly [key: string, node: string]>();
    office.handle('registry.script', (about, worker) => {
      const { name, keys, values } = about as { name: string; keys: string[]; values: (string | number)[] };
      if (name === 'beat') nodes.set(worker, [String(keys[0]), String(values[0])]);
      return this.run(name, keys, values);
    });
    office.handle('registry.subscribe', (about, worker) => {
      const { channel } = about as { channel: string };
      const subscribers = this.subscribers.get(channel) ?? new Set();
      this.subscribers.set(channel, subscribers.add(worker));
    });
    office.handle('registry.publish', (about) => {
      const { channel } = about as { channel: string };
      const subscribers = this.subscribers.get(channel) ?? [];
      for (const worker of subscribers) office.notify(worker, 'registry.message', about);
      return [...subscribers].length;
    });
    office.onGone((worker) => {
      const [key, node] = nodes.get(worker) ?? [];
      // Known at once, long before its heartbeats are missed.
      if (key !== undefined && node !== undefined) this.store.hdel(key, node);
      nodes.delete(worker);
      for (const [channel, subscribers] of this.subscribers) {
        if (subscribers.delete(worker) && subscribers.size === 0) this.subscribers.delete(channel);
      }
    });
  }

  /**
   * Runs a script.
   * @throws GatewayError `GW_REGISTRY_ERROR` (503) for one that it does not know, of another version, and when it is full
   */
  run(name: string, keys: readonly string[], values: readonly (string | number)[]): RedisValue {
    const script = Object.hasOwn(this.scripts, name) ? this.scripts[name] : undefined;
    if (script === undefined)
      throw new GatewayError('GW_REGISTRY_ERROR', `Registry error: no script ${name}`);
    if (this.store.size >= MAX_KEYS && ADDING.has(name))
      throw new GatewayError('GW_REGISTRY_ERROR', 'Registry error: it is full');
    return script(keys, values.map(String), this.clock.now());
  }

  close(): void {
    this.clock.cancel(this.sweeper);
  }
}

/** The scripts by their names. Values that a script does not get are undefined, and missing fields null, as in Redis. */
function scriptsOn(store: KeyStore): Readonly<Record<string, Script>> {
  return {
    claim([key = ''], [claim = '', ttlMs, insteadOf]) {
      const held = store.get(key);
      if (held !== null && /^\S+ \S+$/.test(held) && held !== insteadOf) return held;
      store.set(key, claim, Number(ttlMs));
      return claim;
    },

    put([call = '', sid], [node = '', state = '', facts = '', hash = '', ttlMs, keptMs, claim = ''], now) {
      const owner = store.hget(call, 'node');
      if (owner !== null && owner !== node) return 0;
      store.hset(call, { node, state, facts, hash, expires: now + Number(ttlMs), since: now });
      if (state === 'live') store.hset(call, { last: node });
      store.pexpire(call, Number(keptMs));
      if (sid !== undefined) {
        store.hset(call, { sid });
        store.set(sid, claim, Number(keptMs));
      }
      return 1;
    },

    take([call = ''], [hash = '', node = '', ttlMs], now) {
      const [state, expected, expires, from, facts, why, taken, last, sid] = fields(
        store.hmget(call, 'state', 'hash', 'expires', 'node', 'facts', 'why', 'taken', 'last', 'sid'),
      );
      if (state === null) return ['unknown'];
      if (expected !== hash) return ['wrong'];
      if (taken === hash) return ['used'];
      if (state !== 'ringing' || now > Number(expires)) return ['expired'];
      store.hset(call, { state: 'live', node, since: now, taken: hash, last: node });
      store.pexpire(call, Number(ttlMs));
      if (sid !== null) store.pexpire(sid, Number(ttlMs));
      return ['taken', from, facts, why, last];
    },

    keep(calls, [node, ttlMs, ...claims]) {
      return calls.map((call, i) => {
        const [owner, sid, state] = fields(store.hmget(call, 'node', 'sid', 'state'));
        if (owner === null) return 0;
        if (owner !== node) return -1;
        if (state === 'ended') return 1;
        store.pexpire(call, Number(ttlMs));
        if (sid !== null && !store.pexpire(sid, Number(ttlMs)))
          store.set(sid, claims[i] ?? '', Number(ttlMs));
        return 1;
      });
    },

    leave([call = '', sid], [node, state = '', next = '', why = '', keptMs, only, prefix, sidMs]) {
      const [owner, before] = fields(store.hmget(call, 'node', 'state'));
      if (owner === null || (owner !== node && node !== '*')) return 0;
      if (only !== '' && before !== only) return 0;
      if (before === 'ended' && state !== 'ended') return 1;
      store.hset(call, { state, next, why });
      if (state === 'ended') store.hdel(call, 'facts');
      store.pexpire(call, Number(keptMs));
      if (sid === undefined) return 1;
      store.pexpire(sid, Number(keptMs));
      if (prefix !== undefined && store.get(sid)?.startsWith(prefix))
        store.set(sid, prefix + ENDED_NODE, Number(sidMs));
      return 1;
    },

    attach([call = '', sid], [node = '', hash = '', ttlMs, mostHandovers, calmMs, mostRings], now) {
      const [state, facts, handoversSoFar, since, next, whySoFar, ringsSoFar, rangAt] = fields(
        store.hmget(call, 'state', 'facts', 'handovers', 'since', 'next', 'why', 'rings', 'node'),
      );
      if (state === null && store.pttl(call) === -2) return ['unknown'];
      if (state === 'ended') return ['ended', next];
      if (state === null || facts === null) return ['odd'];
      let handovers = Number(handoversSoFar ?? 0);
      let rings = Number(ringsSoFar ?? 0) + 1;
      if (state !== 'ringing') {
        if (now - Number(since) >= Number(calmMs)) handovers = 0;
        handovers += 1;
        rings = 1;
      }
      if (handovers > Number(mostHandovers) || rings > Number(mostRings)) return ['exhausted'];
      const why = state === 'live' || whySoFar === null ? 'lost' : whySoFar;
      const expires = now + Number(ttlMs);
      store.hset(call, { state: 'ringing', node, hash, expires, handovers, rings, why });
      store.pexpire(call, 2 * Number(ttlMs));
      if (sid !== undefined) store.pexpire(sid, 2 * Number(ttlMs));
      return ['attached', facts, rings, state === 'ringing' ? rangAt : ''];
    },

    read([call = '']) {
      return store.hmget(call, 'node', 'state', 'facts', 'next');
    },

    bind([call = '', sid = ''], [callSid = '', claim = '']) {
      const facts = store.hget(call, 'facts');
      if (facts === null) return 0;
      if (JSON.parse(facts).callSid === callSid) return 1;
      store.hset(call, { facts: `{"callSid":${JSON.stringify(callSid)},${facts.slice(1)}`, sid });
      store.set(sid, claim, store.pttl(call));
      return 1;
    },

    lookUp([sid = '']) {
      return store.get(sid);
    },

    beat([nodes = ''], [node = '', state = '', aliveMs], now) {
      const had = store.hget(nodes, node) === null ? 0 : 1;
      if (state !== '') store.hset(nodes, { [node]: `${now} ${state}` });
      else store.hdel(nodes, node);
      const alive: RedisValue[] = [had];
      for (const [name, beat] of [...store.hgetall(nodes)]) {
        const [, at, said] = /^([\d.]+) (.*)$/s.exec(beat) ?? [];
        if (at === undefined || now - Number(at) > Number(aliveMs) * 15) store.hdel(nodes, name);
        else if (now - Number(at) <= Number(aliveMs)) alive.push(name, said as string);
      }
      return alive;
    },
  };
}

/** Destructured values of {@link KeyStore.hmget}: as many as were asked for. */
function fields(values: readonly (string | null)[]): Nine {
  return values as unknown as Nine;
}
type Value = string | null;
type Nine = readonly [Value, Value, Value, Value, Value, Value, Value, Value, Value];
