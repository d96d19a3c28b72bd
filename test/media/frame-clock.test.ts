import { expect, test } from 'vitest';
import { FrameClock } from '../../src/media/frame-clock.js';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function counter() {
  return {
    ticks: 0,
    tick() {
      this.ticks += 1;
    },
  };
}

const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

test('a frame clock wakes its members about every 20 ms, and holds no timer without any', async () => {
  const clock = new FrameClock();
  const members = Array.from({ length: 10 }, counter);
  const before = timers();
  for (const member of members) clock.join(member);
  expect(timers()).toBe(before + 1);
  const begun = performance.now();
  await sleep(500);
  const most = (performance.now() - begun) / 20 + 1;
  for (const { ticks } of members) {
    expect(ticks).toBeGreaterThan(0);
    expect(ticks).toBeLessThanOrEqual(most);
  }
  const during = timers();
  for (const member of members) clock.leave(member);
  expect(timers()).toBe(during - 1);
  clock.leave(counter());
  const [first] = members;
  const { ticks } = first as { ticks: number };
  await sleep(60);
  expect(first?.ticks).toBe(ticks);
});

test('a member may leave, and another join, while one is woken', async () => {
  const clock = new FrameClock();
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
  await sleep(200);
  clock.leave(late);
  expect(woken).toBe(1);
  expect(late.ticks).toBeGreaterThan(0);
});

test('after a stall everybody is woken once, not once for each frame that passed', async () => {
  const clock = new FrameClock();
  const member = counter();
  clock.join(member);
  const end = performance.now() + 300;
  while (performance.now() < end);
  await sleep(1);
  expect(member.ticks).toBeLessThanOrEqual(2);
  clock.leave(member);
});
