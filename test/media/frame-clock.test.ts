import { expect, test } from 'vitest';
import { FrameClock } from '../../src/media/frame-clock.js';
import { VirtualClock } from '../support/virtual-clock.js';

function counter() {
  return {
    ticks: 0,
    tick() {
      this.ticks += 1;
    },
  };
}

test('a frame clock ticks its members every 20 ms, and holds no timer without any', () => {
  const time = new VirtualClock();
  const clock = new FrameClock(time);
  const members = Array.from({ length: 10 }, counter);
  for (const member of members) clock.join(member);
  expect(time.pending).toBe(1);
  time.advance(500);
  for (const { ticks } of members) expect(ticks).toBe(25);
  for (const member of members) clock.leave(member);
  expect(time.pending).toBe(0);
  clock.leave(counter());
  time.advance(60);
  expect(members[0]?.ticks).toBe(25);
});

test('late timers cost no member a tick', () => {
  const time = new VirtualClock();
  let late = 0;
  time.lateness = () => [0, 3, 12, 1, 7][late++ % 5] as number;
  const clock = new FrameClock(time);
  const member = counter();
  clock.join(member);
  time.advance(2_000);
  expect(member.ticks).toBeGreaterThanOrEqual(99);
  expect(member.ticks).toBeLessThanOrEqual(100);
  clock.leave(member);
});

test('a member may leave and another join during a tick', () => {
  const time = new VirtualClock();
  const clock = new FrameClock(time);
  const late = counter();
  let woken = 0;
  const leaver = {
    tick() {
      woken += 1;
      clock.leave(leaver);
      clock.join(late);
    },
  };
  clock.join(leaver);
  time.advance(200);
  clock.leave(late);
  expect(woken).toBe(1);
  expect(late.ticks).toBeGreaterThan(5);
});

test('after a stall each member ticks once, not once for each missed frame', () => {
  const time = new VirtualClock();
  const clock = new FrameClock(time);
  const member = counter();
  clock.join(member);
  time.stall(300);
  expect(member.ticks).toBe(1);
  time.advance(20);
  expect(member.ticks).toBe(2);
  clock.leave(member);
});

test('a clock that catches up ticks for every period of a short stall, and once after a longer one', () => {
  const time = new VirtualClock();
  const clock = new FrameClock(time, { periodMs: 10, phases: 1, catchUpMs: 500 });
  const member = counter();
  clock.join(member);
  time.stall(300);
  expect(member.ticks).toBe(30);
  time.stall(600);
  expect(member.ticks).toBe(31);
  time.advance(20);
  expect(member.ticks).toBe(33);
  clock.leave(member);
});
