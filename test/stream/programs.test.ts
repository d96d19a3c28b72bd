import { expect, it } from 'vitest';
import { KEY, TestLeg } from '../support/leg.js';
import { amplitudeAt, decibels } from '../support/media.js';
import { endInSweep, restless, restlessSweep, soundMs } from '../support/restless.js';
import { agentLevel, heardBy, LEVEL, notHeardBy, phoneLevel } from '../support/stream-call.js';
import { realStream } from '../support/stream-real.js';
import { bound, eventually, sleep } from '../support/time.js';

const { start } = realStream();

const RATE = 16_000;

/** A phone and a program in a Stream call. */
async function talk(hz?: number, rate = RATE) {
  const started = await start({ gateway: { controlApiKey: KEY } });
  const caller = started.phone(hz);
  const leg = await TestLeg.join(started.url, started.room, `?rate=${rate}`);
  await leg.event('joined');
  return { ...started, caller, leg };
}

/** Level of a tone in the last half second that a program heard, in decibels against {@link LEVEL}. */
function legLevel(leg: TestLeg, hz: number): number {
  const heard = leg.heard.slice(-RATE / 2);
  if (heard.length < RATE / 2) return -120;
  return decibels(Math.max(amplitudeAt(hz, RATE, heard), 1e-3) / LEVEL);
}

function tone(hz: number, ms: number): Int16Array {
  return Int16Array.from({ length: (ms * RATE) / 1_000 }, (_, i) =>
    Math.round(LEVEL * Math.sin((2 * Math.PI * hz * i) / RATE)),
  );
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}

it('an interruption tells how much the caller heard, to 40 ms, and nothing is heard after it', async () => {
  const { caller, leg } = await talk(undefined, 8_000);
  const errors: number[] = [];
  const leftovers: number[] = [];
  for (let i = 0; i < 7; i++) {
    const before = caller.heard().length;
    const { playedMs: from } = leg.all('cleared').at(-1) ?? { playedMs: 0 };
    leg.say(restlessSweep(6_000, i + 1));
    await sleep(1_200 + i * 137);
    let clearedAt = 0;
    caller.once('clear', () => {
      clearedAt = caller.heard().length;
    });
    leg.tell({ type: 'clear' });
    await eventually('the answer', () => leg.all('cleared').length === i + 1, 10_000);
    await eventually('the clear at the phone', () => clearedAt > 0, 10_000);
    await sleep(1_000);
    const { playedMs = 0 } = leg.all('cleared').at(-1) ?? {};
    const heard = caller.heard();
    // Not how long: a jitter buffer stretches and shortens what it plays.
    errors.push(Math.round(playedMs - from - (endInSweep(heard.slice(before)) ?? Number.NaN)));
    leftovers.push(soundMs(heard.slice(clearedAt)));
  }
  if (process.env.TEST_LOG) console.log({ errors, leftovers });
  expect(Math.abs(median(errors)), `${errors}`).toBeLessThan(bound(40));
  expect(median(leftovers), `${leftovers}`).toBeLessThan(bound(40));
});

it('phone, person and program hear each other; one that only listens hears them and is not heard', async () => {
  const { caller, leg, agent, bridge, url, room, present } = await talk(1_700);
  const other = await agent('agent', 1_117);
  const listener = await TestLeg.join(url, room, `?rate=${RATE}&listen=1`);
  await eventually('four participants', () => present().length === 4, 20_000);
  leg.say(tone(503, 25_000));
  for (const hz of [503, 1_117]) await heardBy('the phone', () => phoneLevel(caller, hz));
  for (const hz of [503, 1_700]) await heardBy('the person', () => agentLevel(other, hz));
  for (const hz of [1_117, 1_700]) await heardBy('the program', () => legLevel(leg, hz));
  for (const hz of [503, 1_117, 1_700]) await heardBy('the listener', () => legLevel(listener, hz));
  await notHeardBy('the program, of its own voice,', () => legLevel(leg, 503));
  expect(present()).toEqual([
    'agent',
    expect.stringMatching(/^agent-room-/),
    expect.stringMatching(/^listener-room-/),
    expect.stringMatching(/^phone-/),
  ]);
  expect(bridge.stats()).toMatchObject({ joined: 1, programs: 2 });

  // An interruption silences the program at once, and nobody else.
  const before = caller.heard().length;
  leg.tell({ type: 'clear' });
  await leg.event('cleared');
  await sleep(1_500);
  const after = caller.heard().slice(before + 8 * 400, before + 8 * 900);
  expect(decibels(amplitudeAt(503, 8_000, after) / LEVEL)).toBeLessThan(-40);
  await heardBy('the phone, of the person,', () => phoneLevel(caller, 1_117));
});

it('a greeting is heard from its first word to its last, although the program leaves right after it', async () => {
  const { caller, leg } = await talk();
  leg.say(restless(1_000, RATE));
  leg.tell({ type: 'hangup' });
  leg.socket.close();
  await caller.ended;
  // A jitter buffer may shorten what it plays.
  expect(soundMs(caller.heard())).toBeGreaterThan(900);
});

it('a program whose media worker crashes joins again and is heard', async () => {
  const { caller, leg, pool, bridge } = await talk();
  const { pid } = pool.list().find(({ legs }) => legs > 0) ?? {};
  process.kill(pid as number, 'SIGSEGV');
  await eventually('both to be back', () => bridge.stats().rejoins === 2, 20_000);
  leg.say(tone(503, 5_000));
  await heardBy('the phone', () => phoneLevel(caller, 503));
});
