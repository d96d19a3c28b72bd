import { describe, expect, test } from 'vitest';
import { hasLbrr } from '../../src/rtc/opus-packet.js';
import { MOST_PACKETS, PacketQueue } from '../../src/rtc/packet-queue.js';
import { SequenceCount } from '../../src/rtc/sequence-count.js';

describe('an Opus packet', () => {
  const toc = (configuration: number, isStereo: boolean, code: number) =>
    (configuration << 3) | (isStereo ? 4 : 0) | code;

  // RFC 6716 sections 3.1 (configurations) and 4.2.3 (a bit of voice activity for each SILK frame, then the flag).
  test.each([
    ['SILK, 10 ms', [toc(8, false, 0), 0b0100_0000], true],
    ['SILK, 20 ms, only a voice', [toc(9, false, 0), 0b1000_0000], false],
    ['SILK, 20 ms', [toc(9, false, 0), 0b1100_0000], true],
    ['SILK, 40 ms', [toc(10, false, 0), 0b0010_0000], true],
    ['SILK, 40 ms, only voices', [toc(10, false, 0), 0b1100_0000], false],
    ['SILK, 60 ms', [toc(11, false, 0), 0b0001_0000], true],
    ['hybrid, 20 ms', [toc(15, false, 0), 0b0100_0000], true],
    ['CELT', [toc(16, false, 0), 0b1111_1111], false],
    ['stereo, in the middle', [toc(9, true, 0), 0b0100_0000], true],
    ['stereo, at the side', [toc(9, true, 0), 0b0001_0000], true],
    ['stereo, only voices', [toc(9, true, 0), 0b1010_0000], false],
    ['two frames of one length', [toc(9, false, 1), 0b0100_0000, 0], true],
    ['two frames, a short one first', [toc(9, false, 2), 1, 0b0100_0000, 0], true],
    ['two frames, a long one first', [toc(9, false, 2), 252, 0, 0b0100_0000], true],
    ['several frames', [toc(9, false, 3), 2, 0b0100_0000], true],
    ['several frames with padding', [toc(9, false, 3), 0x42, 0b0100_0000], false],
    ['a header alone', [toc(9, false, 0)], false],
    ['a header alone, of two frames', [toc(9, false, 2)], false],
    ['nothing', [], false],
  ])('carries the one before it, or not: %s', (_, bytes, expected) => {
    expect(hasLbrr(Uint8Array.from(bytes))).toBe(expected);
  });
});

describe('the count of sequence numbers', () => {
  const receive = (numbers: readonly number[]) => {
    const count = new SequenceCount();
    return { count, extended: numbers.map((number) => count.receive(number)) };
  };

  test('goes on after 65,535', () => {
    const { count, extended } = receive([65_534, 65_535, 0, 2]);
    expect(extended).toEqual([65_534, 65_535, 65_536, 65_538]);
    expect([count.highest, count.lost]).toEqual([65_538, 1]);
  });

  test('knows duplicates, which make up for losses', () => {
    const { count, extended } = receive([7, 9, 9, 8, 7]);
    expect(extended).toEqual([7, 9, Number.NaN, 8, Number.NaN]);
    expect(count.lost).toBe(-2);
  });

  test('begins again with the second packet of another numbering', () => {
    const { count } = receive([10, 11, 13, 30_000, 14, 40_000, 40_001, 40_003]);
    expect([count.highest, count.lost]).toEqual([40_003, 2]);
  });
});

describe('the queue of packets', () => {
  test('keeps them in order, a packet rather than its copy, and uses its memory again', () => {
    const queue = new PacketQueue();
    for (let round = 0; round < 3; round++) {
      const add = (timestamp: number, sequence: number, byte: number) =>
        queue.insert(timestamp, sequence, 5, 960, false, Uint8Array.of(byte));
      expect(add(1_920, 2, 12)).toBe(true);
      expect(add(960, Number.NaN, 99)).toBe(true);
      expect(add(0, 0, 10)).toBe(true);
      expect(add(960, 1, 11)).toBe(true);
      expect(add(960, Number.NaN, 99)).toBe(false);
      expect(add(960, 1, 99)).toBe(false);
      expect([queue.length, queue.newest]).toEqual([3, 1_920]);
      for (const [timestamp, sequence, byte] of [
        [0, 0, 10],
        [960, 1, 11],
        [1_920, 2, 12],
      ]) {
        expect([queue.timestamp, queue.sequence, queue.bytes]).toEqual([timestamp, sequence, 1]);
        expect([...queue.payload()]).toEqual([byte]);
        queue.drop();
      }
      queue.drop();
      expect(queue.length).toBe(0);
    }
    for (let i = 0; i < MOST_PACKETS; i++) queue.insert(i, i, 0, 960, false, new Uint8Array(1_500));
    expect(queue.length).toBe(MOST_PACKETS);
  });
});
