import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { StreamBridge } from '../../../src/index.js';
import { agentLevel, heardBy, LEVEL, phoneLevel, startStream } from '../../support/stream-call.js';
import { eventually } from '../../support/time.js';

/** Rooms of their own, one for each phone, by the number it calls from. */
const ROOMS = {
  prepareCall: (call: { from: string | undefined }) => ({ room: `room${call.from?.slice(-1)}` }),
};

function busyWorkers(bridge: StreamBridge) {
  return bridge.workers().filter(({ legs }) => legs > 0);
}

/** Longest silence in what an agent hears from now on. */
function listenForGaps(agent: {
  onFrame(listener: (userId: string, samples: Int16Array, atMs: number) => void): void;
}) {
  const gaps = { longestMs: 0, lastAt: performance.now() };
  agent.onFrame((_, samples, atMs) => {
    if (!samples.some((sample) => Math.abs(sample) > LEVEL / 2)) return;
    gaps.longestMs = Math.max(gaps.longestMs, atMs - gaps.lastAt);
    gaps.lastAt = atMs;
  });
  return gaps;
}

async function twoCallsInTwoWorkers() {
  const setup = await startStream({ bridge: { legsPerWorker: 1 }, gateway: ROOMS });
  const { phone, agent, bridge } = setup;
  const phones = [phone(1_000, { from: '+15550000001' }), phone(1_000, { from: '+15550000002' })] as const;
  const agents = [
    await agent('agent1', 1_700, { callId: 'room1' }),
    await agent('agent2', 1_700, { callId: 'room2' }),
  ] as const;
  for (const i of [0, 1] as const) {
    await heardBy('the agent', () => agentLevel(agents[i], 1_000));
    await heardBy('the phone', () => phoneLevel(phones[i], 1_700));
  }
  await eventually('two workers and a spare', () => {
    const workers = bridge.workers();
    return workers.length === 3 && workers.every(({ isReady }) => isReady);
  });
  return { ...setup, phones, agents };
}

it.each(['SIGKILL', 'SIGSEGV'] as const)(
  'a worker that dies of %s costs its own calls a moment and others nothing',
  async (signal) => {
    const { bridge, gateway, phones, agents } = await twoCallsInTwoWorkers();
    const [first] = busyWorkers(bridge);
    const gaps = agents.map(listenForGaps);
    process.kill(first?.pid as number, signal);
    await eventually('the call to be joined again', () => bridge.stats().rejoins === 1, 10_000);
    for (const i of [0, 1] as const) {
      await heardBy('the agent', () => agentLevel(agents[i], 1_000));
      await heardBy('the phone', () => phoneLevel(phones[i], 1_700));
    }
    const [hurt, other] = gaps.map(({ longestMs }) => longestMs).sort((a, b) => b - a) as [number, number];
    // Two seconds are promised; the agents live in this very process, which is busy.
    expect(hurt).toBeLessThan(3_000);
    expect(other).toBeLessThan(400);
    expect(gateway.stats().activeCalls).toBe(2);
    expect(gateway.calls.listActive().every(({ state }) => state === 'live')).toBe(true);
    expect(bridge.stats()).toMatchObject({ deaths: 1, rejoins: 1 });
    await eventually('a new spare', () => bridge.workers().length === 3);
  },
);

it('a worker that hangs is replaced', async () => {
  const { bridge, phones, agents } = await twoCallsInTwoWorkers();
  const [first] = busyWorkers(bridge);
  process.kill(first?.pid as number, 'SIGSTOP');
  await eventually('the call to be joined again', () => bridge.stats().rejoins === 1, 15_000);
  for (const i of [0, 1] as const) {
    await heardBy('the agent', () => agentLevel(agents[i], 1_000));
    await heardBy('the phone', () => phoneLevel(phones[i], 1_700));
  }
  expect(bridge.stats().deaths).toBe(1);
  expect(bridge.workers().map(({ pid }) => pid)).not.toContain(first?.pid);
});

it('fills workers evenly, starts another where they are full, and keeps one warm', async () => {
  const { bridge, phone, gateway } = await startStream({ bridge: { legsPerWorker: 2 }, gateway: ROOMS });
  expect(bridge.workers()).toHaveLength(1);
  const phones = [1, 2, 3, 4, 5].map((i) => phone(undefined, { from: `+1555000000${i}` }));
  await eventually(
    'all to be in',
    () => gateway.calls.listActive().filter((c) => c.state === 'live').length === 5,
  );
  const loads = () =>
    bridge
      .workers()
      .map(({ legs }) => legs)
      .sort()
      .join();
  await eventually('five legs in three workers, and a spare', () => loads() === '0,1,2,2', 15_000);
  for (const caller of phones) void caller.hangUp();
  await eventually('one spare to stay', () => bridge.workers().length === 1, 20_000);
  expect(bridge.stats()).toMatchObject({ legs: 0, deaths: 0 });
});

it('replaces a worker after as many legs as it was told', async () => {
  const { bridge, phone, gateway } = await startStream({ bridge: { recycleAfter: 2 } });
  const pids = new Set<number>();
  for (let i = 0; i < 4; i++) {
    const caller = phone();
    await eventually('the call', () => gateway.calls.listActive()[0]?.state === 'live');
    await eventually('its leg', () => busyWorkers(bridge).length === 1);
    pids.add(busyWorkers(bridge)[0]?.pid as number);
    await caller.hangUp();
    await eventually('the leg to be gone', () => bridge.stats().legs === 0, 15_000);
  }
  expect(pids.size).toBe(2);
  expect(bridge.stats().deaths).toBe(0);
});

it('gives workers no secret, and takes them with it when it closes', async () => {
  const { bridge, gateway, double } = await startStream();
  const pids = bridge.workers().map(({ pid }) => pid);
  for (const pid of pids) {
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    expect(environment).not.toMatch(/SECRET|TOKEN|STREAM|TWILIO/);
    expect(environment + command).not.toContain(double.apiSecret);
  }
  await gateway.close();
  await eventually('no worker to be left', () =>
    pids.every((pid) => !readdirSync('/proc').includes(String(pid))),
  );
});
