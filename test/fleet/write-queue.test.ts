import { expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.js';
import { WriteQueue } from '../../src/fleet/write-queue.js';

const down = () => new GatewayError('GW_REGISTRY_DOWN', 'Expected an answer but received none');

/** A slow registry that is down while `isUp` is false. */
class Registry {
  isUp = true;
  readonly told: string[] = [];

  readonly say = (what: string) => async () => {
    const { isUp } = this;
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
    if (!isUp) throw down();
    this.told.push(what);
  };
}

it('writes one state of each call after the other', async () => {
  const registry = new Registry();
  const outbox = new WriteQueue(() => {});
  for (let i = 0; i < 20; i++) outbox.enqueue(`call${i % 2}`, registry.say(`${i % 2}:${i}`));
  await outbox.settled();
  for (const call of ['0', '1']) {
    const order = registry.told.filter((what) => what.startsWith(call)).map((what) => Number(what.slice(2)));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order).toHaveLength(10);
  }
});

it('keeps the latest failed write of a call, and retries only that', async () => {
  const registry = new Registry();
  const outbox = new WriteQueue(() => {});
  registry.isUp = false;
  outbox.enqueue('a', registry.say('a1'));
  outbox.enqueue('a', registry.say('a2'));
  outbox.enqueue('b', registry.say('b1'));
  await outbox.settled();
  expect(outbox.size).toBe(2);
  await outbox.catchUp();
  expect(outbox.size).toBe(2);
  registry.isUp = true;
  // Newer than the waiting write, which is dropped.
  outbox.enqueue('b', registry.say('b2'));
  await outbox.catchUp();
  expect(registry.told.toSorted()).toEqual(['a2', 'b2']);
  expect(outbox.size).toBe(0);
});

it('keeps a limited number of calls, and drops the oldest first', async () => {
  const registry = new Registry();
  registry.isUp = false;
  const outbox = new WriteQueue(() => {});
  for (let i = 0; i < 10_050; i++) outbox.enqueue(`call${i}`, () => Promise.reject(down()));
  await outbox.settled();
  expect(outbox.size).toBe(10_000);
});

it('reports a write that can never succeed, and does not retry it', async () => {
  const faults: string[] = [];
  const outbox = new WriteQueue((callId, error) => faults.push(`${callId} ${(error as Error).message}`));
  outbox.enqueue('a', () => Promise.reject(new Error('WRONGTYPE')));
  await outbox.settled();
  await outbox.catchUp();
  expect(faults).toEqual(['a WRONGTYPE']);
});
