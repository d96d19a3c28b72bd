import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, expect, it } from 'vitest';
import { AudioSource, MouthToEar, type SimulatedPhone } from '../../src/simulator/index.js';
import { GatewayChild } from '../support/gateway-child.js';
import { callPhone } from '../support/stream-call.js';
import { streamProcess } from '../support/stream-process.js';
import { bound, clock, eventually, sleep } from '../support/time.js';

const STALL_MS = 12_000;
const CALLS = 4;
/** Until a delay is back, and how long it is looked at, before and after. */
const BACK_MS = 6_000;
const COMPARED_MS = 8_000;

const stream = streamProcess();
const freed: (() => unknown)[] = [];
afterAll(async () => {
  for (const free of freed.reverse()) await free();
});

/** A gateway in its own process, and calls in pairs: two hear each other through Stream. */
async function startPairs() {
  // Who is called says with whom.
  const router = createServer(async (request, response) => {
    const { to } = JSON.parse(await text(request));
    response.end(JSON.stringify({ room: `pair-${Math.floor(Number(to.slice(-1)) / 2)}-of-${gateways}` }));
  }).listen(0, '127.0.0.1');
  await once(router, 'listening');
  freed.push(() => router.close());
  gateways += 1;
  const child = await GatewayChild.start({
    stream: { ...stream(), maxWorkerDelayMs: 0 },
    router: {
      url: `http://127.0.0.1:${(router.address() as AddressInfo).port}`,
      secret: 'a-secret-of-the-tests',
    },
  });
  freed.push(() => child.stop());
  const metric = async (name: string) => {
    const figures = await (await fetch(`${child.url}/metrics`)).text();
    return Number(new RegExp(`^trunkline_${name} (.*)$`, 'm').exec(figures)?.[1]);
  };
  const phones: SimulatedPhone[] = [];
  for (let i = 0; i < CALLS; i++) {
    const phone = callPhone(child.url, undefined, {
      to: `+1555222333${i}`,
      audio: AudioSource.sweep({ pauses: i }),
      record: 120_000,
    });
    phones.push(phone);
    await phone.started;
    await eventually('it to join', async () => (await metric('stream_joined')) === i + 1, 20_000);
  }
  return { child, phones, metric };
}
let gateways = 0;

/** From each phone to the other of its pair. */
function delays(phones: readonly SimulatedPhone[], from: number, until: number): number[] {
  return phones.map(
    (phone, i) =>
      MouthToEar.between(phone, phones[i ^ 1] as SimulatedPhone).delayMs(from, until) ?? Number.NaN,
  );
}

it.each(['alone', 'with its media workers'])(
  'a gateway that stalls for 12 s, %s, continues its calls without added delay',
  { timeout: 120_000 },
  async (how) => {
    const { child, phones, metric } = await startPairs();
    const workers = how === 'alone' ? [] : childrenOf(child.pid);
    await sleep(BACK_MS);
    const begun = clock.now();
    await sleep(COMPARED_MS);
    const stopped = clock.now();
    for (const pid of workers) process.kill(pid, 'SIGSTOP');
    await child.stall(STALL_MS);
    for (const pid of workers) process.kill(pid, 'SIGCONT');
    const went = clock.now();
    await sleep(BACK_MS + COMPARED_MS);
    expect(phones.map(({ status }) => status)).toEqual(phones.map(() => 'in-progress'));
    expect(await metric('stream_joined')).toBe(CALLS);
    expect(await metric('stream_worker_deaths_total')).toBe(0);
    const before = delays(phones, begun, stopped);
    const after = delays(phones, went + BACK_MS, went + BACK_MS + COMPARED_MS);
    const figures = `mouth to ear ${before.map(Math.round)} then ${after.map(Math.round)} ms`;
    if (process.env.TEST_LOG) console.log(how, figures, 'rejoins', await metric('stream_rejoins_total'));
    // Each of them heard something, then and now.
    for (const [i, ms] of after.entries())
      expect(ms - (before[i] as number), figures).toBeLessThan(bound(80));
    await Promise.all(phones.map((phone) => phone.hangUp()));
  },
);

/** Processes that one has started: its media workers. */
function childrenOf(pid: number): number[] {
  const found = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return found === '' ? [] : found.split(' ').map(Number);
}
