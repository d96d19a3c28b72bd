import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import {
  AudioSource,
  type CallOutcome,
  type SimulatedPhone,
  SimulatedTwilio,
} from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { FleetNode } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { RoundRobin } from '../support/round-robin.js';
import { eventually, sleep } from '../support/time.js';

/** Interval between callers. */
const PACE_MS = 15;

/**
 * A supervisor with two workers in processes of their own, and the Twilio that calls them.
 * @param isFar behind a proxy that asks again where a connection is reset
 */
async function startWorkers(env: Record<string, string> = {}, isFar = false) {
  let target = '';
  const dial = {
    publicUrl: PUBLIC_URL,
    get target() {
      return target;
    },
  };
  const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial });
  const node = await FleetNode.start({ TWILIO_API_URL: await twilio.listen(), WORKERS: '2', ...env });
  // Twilio is not as near as this: a phone's next request must not reach the worker that dies just then.
  const proxy = isFar ? await RoundRobin.listen([node.address]) : undefined;
  if (proxy !== undefined) proxy.patienceMs = 1_000;
  target = proxy?.url ?? node.url;
  await eventually('all workers', () => node.output.includes('all workers serve'), 30_000);
  const place = async (count: number) => {
    const phones: SimulatedPhone[] = [];
    for (let i = 0; i < count; i++) {
      phones.push(
        twilio.placeCall({
          webhookUrl: `${PUBLIC_URL}/twilio/voice`,
          from: '+15550001111',
          to: '+15552223333',
          audio: AudioSource.speech(),
        }),
      );
      await sleep(PACE_MS);
    }
    await Promise.all(phones.map((phone) => phone.started));
    return phones;
  };
  /** Process ids of the workers. */
  const pids = () =>
    readFileSync(`/proc/${node.child.pid}/task/${node.child.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number);
  return { node, twilio, place, pids, closeProxy: () => proxy?.close() };
}

const isTalking = ({ streams }: SimulatedPhone) => streams.at(-1)?.isOpen === true;

/** Hangs up all; the outcomes of those that were lost. */
async function lostOf(phones: readonly SimulatedPhone[]): Promise<CallOutcome[]> {
  await Promise.all(phones.map((phone) => phone.hangUp()));
  const outcomes = await Promise.all(phones.map((phone) => phone.ended));
  return outcomes.filter(({ status, error }) => status !== 'completed' || error !== undefined);
}

/** Ends a supervisor as an operator does. */
async function stopped(node: FleetNode) {
  node.child.kill('SIGTERM');
  return node.exited;
}

const errorsOf = ({ output }: FleetNode) => output.split('\n').filter((line) => line.includes('"level":50'));

it.each(['uws', 'node'])('two workers on %s share a port and lose none of 100 calls', async (server) => {
  const { node, twilio, place } = await startWorkers({ SERVER: server });
  const phones = await place(100);
  expect(phones.filter((phone) => !isTalking(phone))).toEqual([]);
  expect(await lostOf(phones)).toEqual([]);
  expect(errorsOf(node)).toEqual([]);
  expect(await stopped(node)).toEqual([0, null]);
  await twilio.close();
});

it.each(['uws', 'node'])(
  'the calls of a worker on %s that is killed continue at the other: at least 99 of 100',
  async (server) => {
    const { node, twilio, place, pids, closeProxy } = await startWorkers({ SERVER: server }, true);
    const phones = await place(100);
    const [victim] = pids() as [number, number];
    process.kill(victim, 'SIGKILL');
    await eventually('another worker in its place', () => pids().length === 2 && !pids().includes(victim));
    await eventually('all talk again', () => phones.filter(isTalking).length >= 99, 20_000);
    await sleep(500);
    expect((await lostOf(phones)).length).toBeLessThanOrEqual(1);
    expect(node.output).toContain('a worker has died: starting another');
    expect(await stopped(node)).toEqual([0, null]);
    await twilio.close();
    await closeProxy();
  },
);

it.each(['uws', 'node'])(
  'SIGHUP replaces the workers on %s one after the other, and no call is lost',
  async (server) => {
    const { node, twilio, place, pids } = await startWorkers({ SERVER: server });
    const phones = await place(60);
    const before = pids();
    node.child.kill('SIGHUP');
    // Others call meanwhile.
    phones.push(...(await place(40)));
    await eventually(
      'new workers',
      () => pids().length === 2 && !pids().some((pid) => before.includes(pid)),
      60_000,
    );
    await eventually('all talk again', () => phones.every(isTalking), 20_000);
    expect(await lostOf(phones)).toEqual([]);
    expect(errorsOf(node)).toEqual([]);
    expect(await stopped(node)).toEqual([0, null]);
    await twilio.close();
  },
);

it('ends after its calls, and at a second signal at once', async () => {
  const { node, twilio, place } = await startWorkers({ DRAIN_SECONDS: '3600' });
  const phones = await place(6);
  node.child.kill('SIGTERM');
  await sleep(1_500);
  expect(phones.every(isTalking)).toBe(true);
  node.child.kill('SIGTERM');
  expect(await node.exited).toEqual([1, null]);
  // Nobody takes them over: they ended here, as on one process.
  const causes = node.output.split('\n').flatMap((line) => {
    return line.includes('"msg":"call ended"') ? [JSON.parse(line).cause] : [];
  });
  expect(causes).toEqual(phones.map(() => 'drain'));
  await twilio.close();
});

describeOnRedis('workers on a Redis', () => {
  it('hand their calls over to each other when one is replaced, and to nobody when all stop', async () => {
    const redis = await RedisServer.start();
    const { node, twilio, place } = await startWorkers({ REDIS_URL: redis.url, DRAIN_SECONDS: '3600' });
    const phones = await place(10);
    node.child.kill('SIGHUP');
    await eventually('new workers', () => node.output.includes('all workers replaced'), 60_000);
    await eventually('all talk again', () => phones.every(isTalking), 20_000);
    const handovers = () => node.output.split('call taken over').length;
    const before = handovers();
    node.child.kill('SIGTERM');
    await sleep(3_000);
    expect(phones.every(isTalking)).toBe(true);
    expect(handovers()).toBe(before);
    expect(await lostOf(phones)).toEqual([]);
    expect(await node.exited).toEqual([0, null]);
    await twilio.close();
  });
});

it('says why it does not start, once', async () => {
  await expect(FleetNode.start({ WORKERS: '2', RECORD_DIR: '/proc/nowhere' })).rejects.toThrow(
    /GW_RECORD_DIR|RECORD_DIR/,
  );
  const first = await FleetNode.start({ WORKERS: '2' });
  const { port } = new URL(first.url);
  await expect(FleetNode.start({ WORKERS: '2', PORT: port })).rejects.toThrow('which is taken or not ours');
  await expect(FleetNode.start({ WORKERS: '0' })).rejects.toThrow(
    'Expected 1 to 64, or auto for WORKERS but received "0"',
  );
});

it('workers end when their supervisor is killed, after their calls', async () => {
  const { node, twilio, place, pids } = await startWorkers();
  const phones = await place(4);
  const workers = pids();
  await node.kill();
  await sleep(1_000);
  expect(phones.every(isTalking)).toBe(true);
  await Promise.all(phones.map((phone) => phone.hangUp()));
  const isGone = (pid: number) => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  };
  await eventually('no worker is left', () => workers.every(isGone), 25_000);
  await twilio.close();
});
