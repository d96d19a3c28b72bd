import { beforeEach, describe, expect, it } from 'vitest';
import { Microphone } from '../../../src/bridge/stream/microphone.js';
import { BLOCK_SAMPLES } from '../../../src/bridge/stream/rtc-stack.js';
import { FRAME_SAMPLES } from '../../../src/media/frame.js';
import { VirtualClock } from '../../support/virtual-clock.js';

/** What was sent: the first sample of every 10 ms. */
let sent: number[];
let microphone: Microphone;
let clock: VirtualClock;

beforeEach(() => {
  sent = [];
  clock = new VirtualClock();
  const source = {
    write: (samples: Int16Array) => {
      if (samples.length % BLOCK_SAMPLES !== 0) sent.push(Number.NaN);
      for (let at = 0; at < samples.length; at += BLOCK_SAMPLES) sent.push(samples[at] as number);
    },
    createStream: () => {
      throw new Error('not here');
    },
  };
  microphone = new Microphone(source, clock);
});

/** Loud enough to be no pause. */
const LOUD = 1_000;
const turnEnd = () => new Promise((resolve) => setImmediate(resolve));

const frame = (value: number) => new Int16Array(FRAME_SAMPLES).fill(LOUD + value);
const ticks = (count: number) => {
  for (let i = 0; i < count; i++) {
    clock.advance(10);
    microphone.tick();
  }
};
/** What was sent of the phone, by number. */
const spoken = () => sent.map((sample) => (sample === 0 ? 0 : sample - LOUD));

describe('without a phone', () => {
  it('sends silence at the pace of the clock', () => {
    ticks(50);
    expect(sent).toEqual(new Array(50).fill(0));
  });
});

describe('with a phone that sends', () => {
  it('sends each frame at once, without silence between them', async () => {
    microphone.write(frame(1), 0);
    await turnEnd();
    ticks(2);
    for (let i = 2; i <= 100; i++) {
      microphone.write(frame(i), 0);
      ticks(2);
    }
    expect(spoken()).toEqual(Array.from({ length: 200 }, (_, i) => (i >> 1) + 1));
  });

  it('waits for frames up to 60 ms late', async () => {
    microphone.write(frame(1), 0);
    await turnEnd();
    ticks(7);
    for (let i = 2; i <= 4; i++) microphone.write(frame(i), 0);
    await turnEnd();
    ticks(2);
    expect(spoken()).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
  });

  it('drops what waits when it is cleared, and sends what comes next', async () => {
    for (let i = 1; i <= 5; i++) microphone.write(frame(i), 0);
    microphone.clear();
    await turnEnd();
    microphone.write(frame(6), 0);
    await turnEnd();
    ticks(20);
    expect(spoken().filter((value) => value !== 0)).toEqual([6, 6]);
  });

  it('fills a longer gap with silence of its length', async () => {
    microphone.write(frame(1), 0);
    await turnEnd();
    ticks(52);
    expect(sent.length).toBeGreaterThanOrEqual(51);
    expect(sent.length).toBeLessThanOrEqual(52);
    expect(sent.slice(2).every((sample) => sample === 0)).toBe(true);
  });

  it('sends the newest 120 ms of a burst, and counts the rest', async () => {
    for (let i = 1; i <= 30; i++) microphone.write(frame(i), 0);
    await turnEnd();
    // At the pace of speech, within a frame or two.
    expect(spoken()).toEqual([25, 25, 26, 26]);
    ticks(10);
    expect(spoken().slice(0, 12)).toEqual(Array.from({ length: 12 }, (_, i) => 25 + (i >> 1)));
    expect(microphone.dropped).toBe(24);
  });

  it.each([
    ['slow', 1_001],
    ['fast', 999],
  ])(
    'follows a phone whose clock is 0.1 %% too %s for a minute without a word dropped or a gap',
    async (_, every) => {
      for (let i = 0, at = 0; i < 3_000; i++) {
        microphone.write(frame(1), 0);
        await turnEnd();
        for (; at < ((i + 1) * 2 * every) / 1_000; at++) ticks(1);
      }
      expect(microphone.dropped).toBe(0);
      expect(new Set(spoken())).toEqual(new Set([1]));
    },
  );
});

it('is digitally silent while muted', async () => {
  microphone.write(frame(1), 0);
  await turnEnd();
  microphone.isMuted = true;
  for (let i = 0; i < 20; i++) {
    microphone.write(frame(9), 0);
    ticks(2);
  }
  expect(spoken().filter((sample) => sample === 9)).toEqual([]);
  expect(microphone.muted).toBe(20);
  microphone.isMuted = false;
  microphone.write(frame(2), 0);
  await turnEnd();
  expect(spoken().at(-1)).toBe(2);
});
