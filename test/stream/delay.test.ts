import { expect, it } from 'vitest';
import { AudioSource, MouthToEar, type SimulatedPhone } from '../../src/simulator/index.js';
import { realStream } from '../support/stream-real.js';
import { bound, clock, eventually, sleep } from '../support/time.js';

const { start } = realStream();

/** Delay that may be left behind a stall. */
const BACK_MS = 40;
/** The listener's jitter buffer deepens by a frame, in some runs, for the 60 ms that a stall of the talker's way is a hole. */
const DEEPER_MS = 20;
/** Median over so long: NetEq stretches and squeezes what it plays by some milliseconds all the time. */
const WINDOW_MS = 2_000;

/** Two phones in one Stream call; one of them talks. */
async function twoPhones() {
  const { phone, bridge } = await start();
  const speaker = phone(undefined, { audio: AudioSource.sweep({ pauses: 1 }) });
  const listener = phone(undefined, { from: '+15550004444' });
  const [from, to] = await Promise.all([speaker.started, listener.started]);
  await eventually('both to have joined', () => bridge.stats().joined === 2, 20_000);
  await sleep(4_000);
  return { speaker, listener, from, to };
}

/** When the delay is back, in milliseconds since `over`, and what it was. */
function recovery(
  speaker: SimulatedPhone,
  listener: SimulatedPhone,
  begun: number,
  over: number,
  deeperMs = 0,
) {
  const way = MouthToEar.between(speaker, listener);
  const before = way.delayMs(begun - WINDOW_MS, begun) ?? expect.fail('nothing was heard before');
  const back = way.backAt(before + bound(BACK_MS + deeperMs), over);
  return {
    before,
    backMs: back === undefined ? Number.POSITIVE_INFINITY : back - over,
    atEnd: way.delayMs(clock.now() - WINDOW_MS) ?? Number.POSITIVE_INFINITY,
  };
}

it.each([1_000, 3_000])('the delay left by a stall of %i ms on the way to a phone goes away', async (ms) => {
  const { speaker, listener, to } = await twoPhones();
  const begun = clock.now();
  await to.stallReading(ms);
  const over = clock.now();
  await sleep(7_000);
  const { before, backMs, atEnd } = recovery(speaker, listener, begun, over);
  if (process.env.TEST_LOG) console.log({ before, backMs, atEnd });
  expect(backMs, `${before} ms before, ${atEnd} at the end`).toBeLessThan(bound(3_000));
  expect(atEnd - before).toBeLessThan(bound(BACK_MS));
});

it('the delay left by a stall of a second on the way from a phone goes away', async () => {
  const { speaker, listener, from } = await twoPhones();
  const begun = clock.now();
  await from.stallSending(1_000);
  const over = clock.now();
  await sleep(7_000);
  const { before, backMs, atEnd } = recovery(speaker, listener, begun, over, DEEPER_MS);
  if (process.env.TEST_LOG) console.log({ before, backMs, atEnd });
  expect(backMs, `${before} ms before, ${atEnd} at the end`).toBeLessThan(bound(2_000));
});
