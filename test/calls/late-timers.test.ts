import { expect, it } from 'vitest';
import { AudioSource } from '../../src/simulator/index.js';
import { hears, startControlled } from '../support/control.js';
import { randomNumbers } from '../support/media.js';
import { sleep, virtualTime } from '../support/time.js';

const clock = virtualTime();

/** Delays timers by up to this many milliseconds, most of them only a little. */
function lateTimers(mostMs: number): void {
  const next = randomNumbers(7);
  clock.lateness = () => mostMs * (next() / 2 ** 32) ** 3;
}

it('a call sounds the same when all timers are late and the process stalls now and then', async () => {
  const { gateway, place } = await startControlled({ leadMs: 120 });
  const { phone, callId, view } = await place(AudioSource.tone(1_000, -12));
  const stream = gateway.stream(callId);
  lateTimers(25);
  for (let minute = 0; minute < 2; minute++) {
    await sleep(59_000);
    await clock.byHand(async () => {
      clock.stall(700);
    });
    await sleep(1_000);
    expect(stream?.leadMs).toBeLessThanOrEqual(120);
    expect(Math.abs(hears(phone, 1_000) - -12)).toBeLessThan(1);
  }
  const { durationSeconds, state } = await view();
  expect(state).toBe('live');
  expect(durationSeconds ?? 120).toBeGreaterThanOrEqual(120);
  const { framesIn, framesOut, droppedIntake, shortenedMs, badMessages } =
    stream?.counts() ?? expect.fail('no stream');
  // One frame per 20 ms, whatever the timers did; only audio made stale by a stall was dropped or shortened.
  expect(framesIn).toBeGreaterThan(120_000 / 20);
  expect(framesIn - framesOut).toBeLessThan((2 * 700 + shortenedMs) / 20);
  expect(shortenedMs).toBeLessThan(600);
  expect(droppedIntake).toBeLessThan((2 * 700) / 20);
  expect(badMessages).toBe(0);
  await phone.hangUp();
  expect((await phone.ended).status).toBe('completed');
});

it('a wall clock set back or ahead changes no timeout and no duration', async () => {
  const { gateway, place, event } = await startControlled({ stuckSeconds: 30 });
  const { phone } = await place(AudioSource.tone(1_000, -12));
  for (const hours of [5, -48, 12]) {
    clock.born += hours * 3_600_000;
    await sleep(10_000);
    expect(gateway.stats().activeCalls).toBe(1);
  }
  await phone.hangUp();
  const { durationSeconds } = (await event('call.ended')) as { durationSeconds: number };
  expect(durationSeconds).toBeGreaterThanOrEqual(30);
  expect(durationSeconds).toBeLessThan(35);
});
