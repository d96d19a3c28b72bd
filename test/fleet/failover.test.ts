import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { RedisLink } from '../../src/fleet/redis.js';
import { RegistryTrial } from '../../src/fleet/registry-trial.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { PUBLIC_URL } from '../support/caller.js';
import { type Fleet, type FleetNode, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually, sleep } from '../support/time.js';

const CALLS = 100;

async function callsAt({ twilio }: Fleet, count: number): Promise<SimulatedPhone[]> {
  const phones: SimulatedPhone[] = [];
  for (let i = 0; i < count; i++) {
    const numbers = { from: '+15550001111', to: '+15552223333' };
    phones.push(
      twilio.placeCall({ webhookUrl: `${PUBLIC_URL}/twilio/voice`, ...numbers, audio: AudioSource.speech() }),
    );
    await sleep(15);
  }
  await Promise.all(phones.map((phone) => phone.started));
  return phones;
}

const isTalking = ({ streams }: SimulatedPhone) => streams.length === 1 && streams[0]?.isOpen === true;

async function expectServed(fleet: Fleet): Promise<void> {
  for (const node of fleet.nodes) {
    await eventually('the registry', async () => (await node.metric('registry_up')) === 1, 20_000);
    await eventually('each other', async () => (await node.metric('fleet_nodes')) === 2, 20_000);
  }
}

/** Each node reports the other's calls, so messages get through. */
async function expectKnown({ nodes }: Fleet, count: number): Promise<void> {
  const [first, second] = nodes as [FleetNode, FleetNode];
  const { calls } = (await (await first.control('/v1/calls')).json()) as { calls: { callId: string }[] };
  expect(calls).toHaveLength(count);
  for (const { callId } of calls.slice(0, 5)) {
    const views = await Promise.all([first, second].map((node) => node.control(`/v1/calls/${callId}`)));
    expect(views.map(({ status }) => status)).toEqual([200, 200]);
  }
}

async function expectHungUp(phones: readonly SimulatedPhone[]): Promise<void> {
  await Promise.all(phones.map((phone) => phone.hangUp()));
  const outcomes = await Promise.all(phones.map((phone) => phone.ended));
  expect(outcomes.filter(({ status, error }) => status !== 'completed' || error !== undefined)).toEqual([]);
}

describeOnRedis('a fleet behind sentinels', () => {
  it(`loses none of ${CALLS} running calls when the primary is killed, and accepts new ones on the next`, async () => {
    const { primary, sentinels } = await RedisServer.startWatched();
    const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
    const fleet = await startFleet(2, `redis-sentinel://${hosts}/main`);
    const phones = await callsAt(fleet, CALLS);
    await primary.stop();
    await eventually('the loss', () => fleet.nodes.every(({ output }) => output.includes('registry down')));
    // While calls are running, the node must stay in service.
    expect(await fleet.nodes[0]?.ready()).toMatchObject({
      status: 200,
      body: { registry: 'down', cause: expect.any(String) },
    });
    await expectServed(fleet);
    const later = await callsAt(fleet, 5);
    expect([...phones, ...later].filter((phone) => !isTalking(phone))).toEqual([]);
    await expectKnown(fleet, CALLS + later.length);

    // The primary may have lost the last writes; all calls can still be taken over.
    const [first] = fleet.nodes as [FleetNode];
    first.child.kill('SIGTERM');
    expect(await first.exited).toEqual([0, null]);
    const all = [...phones, ...later];
    await eventually('all talking', () => all.every(({ streams }) => streams.at(-1)?.isOpen), 15_000);
    await expectHungUp(all);
  });

  it('notices a new primary at once, even if the old one keeps running', async () => {
    const { primary, sentinels } = await RedisServer.startWatched();
    const [sentinel, another] = sentinels as [RedisServer, RedisServer];
    const faults: string[] = [];
    const heard: string[] = [];
    let ups = 0;
    const link = new RedisLink({
      url: `redis-sentinel://127.0.0.1:${sentinel.port},127.0.0.1:${another.port}/main`,
      clock: systemClock,
      trial: new RegistryTrial(systemClock),
      onUp: () => ups++,
      onDown: ({ reason }) => faults.push(reason),
    });
    try {
      link.subscribe('trunkline:node:a', (message) => heard.push(message));
      await link.open();
      expect(link.isUp).toBe(true);
      // One sentinel less is harmless, and the remaining ones are followed.
      await another.stop();
      await sentinel.ask('SENTINEL', 'FAILOVER', 'main');
      await eventually('another primary', () => ups === 2, 20_000);
      expect(faults).toEqual(['the sentinels have another primary']);
      expect(String(await primary.ask('ROLE'))).toMatch(/^master/);
      expect(await link.publish('trunkline:node:a', 'hello')).toBe(1);
      await eventually('the message', () => heard.length === 1);
    } finally {
      link.close();
    }
  });
});
