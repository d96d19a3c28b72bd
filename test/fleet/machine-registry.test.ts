import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { GatewayError } from '../../src/errors.js';
import { beat, readNodes } from '../../src/fleet/cluster.js';
import { type RedisCommands, RedisLink } from '../../src/fleet/redis.js';
import { RedisCallRegistry } from '../../src/fleet/redis-call-registry.js';
import { RegistryTrial } from '../../src/fleet/registry-trial.js';
import { MachineLink } from '../../src/workers/machine-link.js';
import { MachineRegistry } from '../../src/workers/machine-registry.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

/** Long enough that nothing expires, except what expires at once. */
const TTL_MS = 600_000;
const NODES = ['a', 'b', 'c'] as const;

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describeOnRedis('the registry of a machine', () => {
  let redis: RedisLink;
  let machine: MachineLink;
  let registry: MachineRegistry;

  beforeAll(async () => {
    const server = await RedisServer.start();
    redis = new RedisLink({ url: server.url, onUp() {}, onDown() {}, clock: systemClock });
    await redis.open();
    const { office, add } = workersInMemory(systemClock);
    registry = new MachineRegistry(office, systemClock);
    machine = new MachineLink(add(), { onUp() {}, onDown() {} });
    await machine.open();
  });
  afterAll(() => {
    redis.close();
    registry.close();
  });

  /** A random operation: does it on a registry. */
  function randomOperation(random: () => number, run: string) {
    const pick = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)] as T;
    const node = pick(NODES);
    const callId = `${run}-${pick(['x', 'y'])}`;
    const callSid = `CA-${callId}`;
    const other = `CA-${run}-${pick(['x', 'y', 'z'])}`;
    const token = pick(['one', 'two', 'three']);
    const facts = {
      callId,
      callSid: pick([callSid, undefined]),
      direction: 'inbound',
      from: '+15550001111',
      to: undefined,
      startedAt: 5,
      webhook: { CallSid: callSid, Empty: '' },
      decision: { room: 'ü"\\', user: { id: 'x', custom: { empty: [], none: {} } } },
    };
    const instead = pick(NODES);
    const ttlMs = pick([TTL_MS, TTL_MS, TTL_MS, 1]);
    const operations: Readonly<Record<string, (calls: RedisCallRegistry) => Promise<unknown>>> = {
      claim: (calls) => calls.claim(callSid, callId),
      claimInstead: (calls) => calls.claim(callSid, callId, { callId, node: instead }),
      find: (calls) => calls.find(other),
      announce: (calls) => calls.announce(facts, token, TTL_MS),
      restore: (calls) => calls.restore(facts, token),
      bindSid: (calls) => calls.bindSid(callId, other),
      claimToken: (calls) => calls.claimToken(callId, token),
      claimTokenAgain: (calls) => calls.claimToken(callId, token),
      renew: (calls) => calls.renew([callId, `${run}-x`, `${run}-unknown`]),
      detach: (calls) => calls.detach(callId, facts.callSid, 'drain'),
      detachLost: (calls) => calls.detach(callId, callSid, 'lost'),
      finish: (calls) => calls.finish(callId, facts.callSid, '<Response/>'),
      finishAnybodys: (calls) => calls.finish(callId, callSid, '', true),
      expire: (calls) => calls.expire(callId, facts.callSid),
      attach: (calls) => calls.attach(callId, callSid, token, ttlMs === 1 ? 1_000 : TTL_MS),
      attachAgain: (calls) => calls.attach(callId, callSid, token, TTL_MS),
      read: (calls) => calls.read(callId),
    };
    const name = pick(Object.keys(operations));
    const operation = operations[name] as (calls: RedisCallRegistry) => Promise<unknown>;
    return {
      name: `${name} by ${node}`,
      on: async (commands: RedisCommands) => {
        try {
          return await operation(new RedisCallRegistry(commands, node, 60_000));
        } catch (error) {
          if (error instanceof GatewayError) return { code: error.code };
          throw error;
        }
      },
    };
  }

  it('answers what Redis answers to 200 random lives of calls', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const random = seeded(seed);
      const history: string[] = [];
      for (let step = 0; step < 40; step++) {
        const { name, on } = randomOperation(random, `run-${seed}`);
        history.push(name);
        const [expected, found] = [await on(redis), await on(machine)];
        expect(found, history.join(', ')).toEqual(expected);
        seen.add(
          `${name.split(' ')[0]} ${JSON.stringify(expected ?? null)
            .replaceAll(/run-\d+|CA-\S+/g, '')
            .slice(0, 30)}`,
        );
      }
    }
    // The lives were varied: every operation succeeded and failed in several ways.
    expect(seen.size).toBeGreaterThan(60);
  });

  it('passes the trial that a Redis must pass', async () => {
    const { office, add } = workersInMemory(systemClock);
    const own = new MachineRegistry(office, systemClock);
    const link = new MachineLink(add(), { onUp() {}, onDown() {} });
    await link.open();
    const trial = new RegistryTrial(systemClock);
    link.subscribe(trial.channel, (message) => trial.handleMessage(message));
    await trial.run(link);
    own.close();
  });

  it('lists the nodes that Redis would list, and forgets a worker that is gone at once', async () => {
    const { office, add, kill } = workersInMemory(systemClock);
    const own = new MachineRegistry(office, systemClock);
    const [first, second] = [add(), add()].map((peers) => ({
      peers,
      link: new MachineLink(peers, { onUp() {}, onDown() {} }),
    })) as [
      { peers: ReturnType<typeof add>; link: MachineLink },
      { peers: ReturnType<typeof add>; link: MachineLink },
    ];
    await first.link.open();
    await second.link.open();
    const state = JSON.stringify({ calls: 3, draining: false, open: true });
    for (const link of [first.link, redis]) await beat(link, 'one', state);
    for (const link of [second.link, redis]) await beat(link, 'two', state);
    expect(await readNodes(first.link, 'none')).toEqual(await readNodes(redis, 'none'));
    kill(second.peers);
    await eventually('it is gone', async () => (await readNodes(first.link, 'none')).size === 1);
    own.close();
  });
});
