import { beforeAll, expect, it } from 'vitest';
import type { GatewayOptions } from '../../src/index.js';
import { AudioSource, MouthToEar, type SimulatedPhone, SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { GatewayChild } from '../support/gateway-child.js';
import { KEY, TestLeg } from '../support/leg.js';
import { hasRedis, RedisServer } from '../support/redis.js';
import { bound, clock, eventually, sleep } from '../support/time.js';

/** Calls settle first. */
const SETTLING_MS = 4_000;
/** Made before anybody calls: it takes its time. */
const SWEEPS = Array.from({ length: 8 }, (_, pauses) => AudioSource.sweep({ pauses }));
/** When, after all that came meanwhile was read, its delay must be gone, and until when that is looked at. */
const BACK = { from: 2_500, until: 7_000 };

const freed: (() => Promise<unknown>)[] = [];

/** A gateway in its own process, with so many callers who hear what they say. */
async function startCalls(calls: number, recordMs: number, options: GatewayOptions = {}) {
  const child = await GatewayChild.start({ stuckSeconds: 10, controlApiKey: KEY, ...options });
  freed.push(() => child.stop());
  const dial = { publicUrl: PUBLIC_URL, target: child.url };
  const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial });
  freed.push(() => twilio.close());
  const call = (i: number) =>
    twilio.placeCall({
      from: '+15550001111',
      to: `+1555222${1_000 + i}`,
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      audio: SWEEPS[i % SWEEPS.length] as AudioSource,
      record: recordMs,
      echoes: false,
    });
  const phones = Array.from({ length: calls }, (_, i) => call(i));
  await Promise.all(phones.map((phone) => phone.started));
  return { child, phones, call };
}

/** What became of calls over a stall, for who looks at it later: looking takes time that phones of this process would miss. */
type Verdict = () => void;

/** Stalls a gateway. Afterwards no call has ended, and all are heard without delay. */
async function overStall(
  child: GatewayChild,
  phones: readonly SimulatedPhone[],
  ms: number,
): Promise<Verdict> {
  await sleep(SETTLING_MS);
  await child.stall(ms);
  await caughtUp(child, phones.length);
  const went = clock.now();
  await sleep(BACK.until);
  const { traffic } = (await child.report()).stats;
  const lost = phones.filter(({ status, streams }) => status !== 'in-progress' || streams.length > 1);
  const mute = phones.filter(({ stream }) => !((stream?.times.lastAudioAt ?? 0) > went + BACK.from));
  return () => {
    expect([lost, mute]).toEqual([[], []]);
    const delays = phones
      .map((phone) => delayMs(phone, went + BACK.from, went + BACK.until))
      .filter((delay) => !Number.isNaN(delay))
      .sort((a, b) => a - b);
    const figures = `mouth to ear ${delays.map(Math.round).join(' ')} ms`;
    if (process.env.TEST_LOG) console.log(`after ${ms} ms, ${phones.length} calls: ${figures}`);
    // As without a stall: some 40 ms, and what a call may have waiting of a listener's.
    expect(delays.length, figures).toBeGreaterThan(phones.length / 2);
    expect(delays[delays.length >> 1], figures).toBeLessThan(bound(120));
    expect(delays.at(-1), figures).toBeLessThan(bound(250));
    // What was too old was left out, and counted.
    if (ms > 5_000) expect(traffic.droppedIntake).toBeGreaterThan((phones.length * (ms - 5_000)) / 20);
    expect(traffic.badMessages).toBe(0);
  };
}

/** Waits until messages come at the pace of phones again: how long that takes is the machine's. */
async function caughtUp(child: GatewayChild, phones: number): Promise<void> {
  const messages = async () => {
    const text = await (await fetch(`${child.url}/metrics`)).text();
    return Number(/^trunkline_messages_in_total (.*)$/m.exec(text)?.[1]);
  };
  let before = await messages();
  await eventually('the pace of phones', async () => {
    const begun = clock.now();
    await sleep(1_000);
    const now = await messages();
    const came = now - before;
    before = now;
    return came < 2 * phones * 50 * ((clock.now() - begun) / 1_000);
  });
}

/** From a mouth to its own ear, by an echo; of what was heard in a span of time. */
function delayMs(phone: SimulatedPhone, from: number, until: number): number {
  const begun = phone.streams[0]?.times.startedAt ?? 0;
  const heard = phone.heard().subarray((from - begun) * 8, (until - begun) * 8);
  const [utterance] = phone.utterances;
  if (utterance === undefined) return Number.NaN;
  return new MouthToEar({ utterance, heard, heardAt: from }).delayMs(from, until) ?? Number.NaN;
}

/** Side by side, since the long ones take two minutes anyway. */
const runs = {
  short: async () => {
    const { child, phones } = await startCalls(50, 120_000);
    const verdicts: Verdict[] = [];
    for (const ms of [1_000, 12_000, 33_000]) verdicts.push(await overStall(child, phones, ms));
    return verdicts;
  },
  long: async () => {
    const { child, phones } = await startCalls(50, 150_000);
    return [await overStall(child, phones, 120_000)];
  },
  legs: async () => {
    const { child, phones } = await startCalls(10, 70_000, { localRoom: 'to' });
    const legs = await Promise.all(phones.map(({ to }) => TestLeg.join(child.url, `to:${to}`)));
    for (const { socket } of legs) {
      socket.on('message', (data, isBinary) => {
        if (isBinary) socket.send(data);
      });
    }
    const verdict = await overStall(child, phones, 33_000);
    const closed = legs.flatMap((leg) => leg.closed ?? []);
    const errors = legs.flatMap((leg) => leg.all('error'));
    return [verdict, () => expect([closed, errors]).toEqual([[], []])];
  },
  redis: async () => {
    const redis = await RedisServer.start();
    const { child, phones, call } = await startCalls(10, 70_000, { redis: { url: redis.url } });
    // Twilio waits fifteen seconds for a webhook's answer.
    const late = sleep(SETTLING_MS + 25_000).then(() => call(10));
    const verdict = await overStall(child, phones, 33_000);
    const { status } = await late;
    return [verdict, () => expect(status).toBe('in-progress')];
  },
};

const over = new Map<string, Promise<Verdict[]>>();
beforeAll(async () => {
  for (const [name, run] of Object.entries(runs)) {
    if (name !== 'redis' || hasRedis) over.set(name, run());
  }
  await Promise.allSettled(over.values());
  await Promise.all(freed.splice(0).map((free) => free()));
}, 300_000);

it.each([
  ['short', 'for 1, 12 and 33 s goes on with fifty of fifty calls'],
  ['long', 'for 120 s goes on with fifty of fifty calls'],
  ['legs', 'for 33 s goes on with programs on raw legs, both ways'],
])('a gateway that stalls (%s) %s', async (name) => {
  for (const verdict of (await over.get(name)) ?? []) verdict();
});

it.runIf(hasRedis)(
  'a fleet of one node that stalls for 33 s continues its calls, and answers callers who called meanwhile',
  async () => {
    for (const verdict of (await over.get('redis')) ?? []) verdict();
  },
);
