import { beforeEach, describe, expect, it } from 'vitest';
import { Microphone } from '../../../src/bridge/stream/microphone.js';
import { BLOCK_SAMPLES } from '../../../src/bridge/stream/rtc-stack.js';
import { FRAME_SAMPLES } from '../../../src/media/frame.js';

/** What was sent: the first sample of every 10 ms. */
let sent: number[];
let microphone: Microphone;

beforeEach(() => {
  sent = [];
  microphone = new Microphone({
    write: (block) => {
      // A block of its own memory, which WebRTC takes whole.
      if (block.length !== BLOCK_SAMPLES || block.byteLength !== block.buffer.byteLength)
        sent.push(Number.NaN);
      sent.push(block[0] as number);
    },
    createStream: () => {
      throw new Error('not here');
    },
  });
});

const frame = (value: number) => new Int16Array(FRAME_SAMPLES).fill(value);
const ticks = (count: number) => {
  for (let i = 0; i < count; i++) microphone.tick();
};

describe('without a phone', () => {
  it('sends silence at the pace of the clock', () => {
    ticks(50);
    expect(sent).toEqual(new Array(50).fill(0));
  });
});

describe('with a phone that speaks', () => {
  it('sends each frame at once and no silence between them', () => {
    for (let i = 1; i <= 100; i++) {
      microphone.write(frame(i), 0);
      ticks(2);
    }
    expect(sent).toEqual(Array.from({ length: 200 }, (_, i) => (i >> 1) + 1));
  });

  it('waits for frames up to 60 ms late', () => {
    microphone.write(frame(1), 0);
    ticks(7);
    microphone.write(frame(2), 0);
    microphone.write(frame(3), 0);
    microphone.write(frame(4), 0);
    expect(sent).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
  });

  it('fills a longer gap with as much silence as it lasted', () => {
    microphone.write(frame(1), 0);
    ticks(52);
    expect(sent.length).toBeGreaterThanOrEqual(51);
    expect(sent.length).toBeLessThanOrEqual(52);
    expect(sent.slice(2).every((sample) => sample === 0)).toBe(true);
  });

  it('drops what a burst brings beyond 260 ms ahead of the clock, and counts it', () => {
    for (let i = 0; i < 30; i++) microphone.write(frame(7), 0);
    expect(sent).toHaveLength(26);
    expect(microphone.dropped).toBe(17);
  });

  it.each([
    ['slow', 1_001],
    ['fast', 999],
  ])('follows a phone whose clock is 0.1 %% too %s for five minutes without a drop or a gap', (_, every) => {
    for (let i = 0, at = 0; i < 15_000; i++) {
      microphone.write(frame(1), 0);
      for (; at < ((i + 1) * 2 * every) / 1_000; at++) microphone.tick();
    }
    expect(microphone.dropped).toBe(0);
    expect(sent.every((sample) => sample === 1)).toBe(true);
  });
});

it('is digitally silent while it is muted', () => {
  microphone.write(frame(1), 0);
  microphone.isMuted = true;
  for (let i = 0; i < 20; i++) {
    microphone.write(frame(9), 0);
    ticks(2);
  }
  expect(sent.filter((sample) => sample === 9)).toEqual([]);
  expect(microphone.muted).toBe(20);
  microphone.isMuted = false;
  microphone.write(frame(2), 0);
  expect(sent.at(-1)).toBe(2);
});
