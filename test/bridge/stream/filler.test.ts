import { expect, it } from 'vitest';
import { amplitudeAt, decibels } from '../../support/media.js';
import { heardBy, phoneLevel } from '../../support/stream-call.js';
import { startStream } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

virtualTime();

type Phone = ReturnType<Awaited<ReturnType<typeof startStream>>['phone']>;

/** The last so many milliseconds of what a caller heard. */
const last = (caller: Phone, ms: number) => caller.heard().slice(-8 * ms);
const loudest = (caller: Phone, ms: number) => Math.max(...last(caller, ms).map(Math.abs));
/** Level of a tone against a full sine, over half a second. */
const levelOf = (caller: Phone, hz: number) =>
  decibels(Math.max(amplitudeAt(hz, 8_000, last(caller, 500)), 1e-3) / 32_767);
/** Root mean square against full scale. */
function rms(caller: Phone): number {
  const heard = last(caller, 1_000);
  return decibels(Math.sqrt(heard.reduce((sum, sample) => sum + sample * sample, 0) / heard.length) / 32_767);
}

/** A caller whose stream has started, in a bridge that takes its time. */
async function wait(joinMs: number, bridge: { ringback?: boolean } = {}) {
  const started = await startStream({ bridge });
  started.host.joinMs = joinMs;
  const caller = started.phone();
  await eventually('the stream', () => caller.status === 'in-progress');
  return { ...started, caller };
}

it('plays a ringback tone, two seconds in six, to a caller who waits for the join', async () => {
  const { caller, agent } = await wait(10_000);
  agent('agent', 1_700);
  await sleep(1_800);
  expect(loudest(caller, 1_500)).toBe(0);
  await sleep(1_500);
  for (const hz of [440, 480]) expect(levelOf(caller, hz)).toBeCloseTo(-23, 0);
  await sleep(3_000);
  expect(loudest(caller, 1_000)).toBe(0);
  await sleep(3_200);
  for (const hz of [440, 480]) expect(levelOf(caller, hz)).toBeCloseTo(-23, 0);
  // It stops in the middle of a ring.
  await heardBy('the phone', () => phoneLevel(caller, 1_700));
  await sleep(500);
  expect(levelOf(caller, 440)).toBeLessThan(-60);
  await sleep(7_000);
  for (const hz of [440, 480]) expect(levelOf(caller, hz)).toBeLessThan(-60);
});

it('plays nothing if the join takes at most two seconds, or if turned off', async () => {
  const { phone, host } = await startStream();
  host.joinMs = 1_500;
  const quick = phone();
  await eventually('the join', () => host.userIds().length === 1);
  await sleep(4_000);
  expect(loudest(quick, 5_000)).toBe(0);
  const { caller } = await wait(10_000, { ringback: false });
  await sleep(5_000);
  expect(loudest(caller, 4_000)).toBe(0);
});

it('leaves no timer behind when the call has ended', async () => {
  const { caller, gateway } = await wait(10_000);
  await sleep(3_000);
  await caller.hangUp();
  expect(gateway.stats().activeCalls).toBe(0);
});

it('plays comfort noise to a lone caller if configured', async () => {
  const { phone, agent, host } = await startStream({
    bridge: { whileAlone: 'comfort-noise', aloneSeconds: 300 },
  });
  const caller = phone();
  await eventually('the join', () => host.userIds().length === 1);
  await sleep(3_000);
  expect(rms(caller)).toBeGreaterThan(-64);
  expect(rms(caller)).toBeLessThan(-56);
  // Of the others all is heard as it is, silence too.
  const other = agent('agent');
  await sleep(2_000);
  expect(loudest(caller, 1_000)).toBe(0);
  other.leave();
  await sleep(2_000);
  expect(rms(caller)).toBeGreaterThan(-64);
  const [participant] = host.placed;
  participant?.depart('lost');
  host.fate = 'waits';
  await sleep(2_000);
  expect(loudest(caller, 1_000)).toBe(0);
});

it('plays nothing to a lone caller by default', async () => {
  const { phone, host } = await startStream();
  const caller = phone();
  await eventually('the join', () => host.userIds().length === 1);
  await sleep(3_000);
  expect(loudest(caller, 2_000)).toBe(0);
});
