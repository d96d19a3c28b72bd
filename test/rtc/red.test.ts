import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RedReader } from '../../src/rtc/red.js';

/** A block's header with others after it: RFC 2198 section 3. */
const header = (type: number, offset: number, length: number) => [
  0x80 | type,
  offset >> 6,
  ((offset & 0x3f) << 2) | (length >> 8),
  length & 0xff,
];

function read(bytes: readonly number[], start?: number, end?: number) {
  const reader = new RedReader();
  const payload = Uint8Array.from(bytes);
  const count = reader.read(payload, start, end);
  expect(reader.count).toBe(count);
  return Array.from({ length: count }, (_, i) => ({
    type: reader.payloadTypes[i],
    offset: reader.timestampOffsets[i],
    bytes: [
      ...payload.subarray(reader.starts[i], (reader.starts[i] as number) + (reader.lengths[i] as number)),
    ],
  }));
}

describe('a RED payload', () => {
  test('has a primary block alone', () => {
    expect(read([111, 1, 2, 3])).toEqual([{ type: 111, offset: 0, bytes: [1, 2, 3] }]);
  });

  test('has older blocks before it', () => {
    const payload = [...header(111, 1_920, 2), ...header(111, 960, 3), 111, 1, 1, 2, 2, 2, 9, 8, 7];
    expect(read(payload)).toEqual([
      { type: 111, offset: 1_920, bytes: [1, 1] },
      { type: 111, offset: 960, bytes: [2, 2, 2] },
      { type: 111, offset: 0, bytes: [9, 8, 7] },
    ]);
  });

  test('may lie in the middle of a packet', () => {
    expect(read([0, 0, 111, 1, 2, 0], 2, 5)).toEqual([{ type: 111, offset: 0, bytes: [1, 2] }]);
  });

  test('has offsets of 14 bits and lengths of 10', () => {
    const old = Array.from({ length: 1_023 }, (_, i) => i & 0xff);
    expect(read([...header(127, 16_383, 1_023), 0, ...old, 5])).toEqual([
      { type: 127, offset: 16_383, bytes: old },
      { type: 0, offset: 0, bytes: [5] },
    ]);
  });

  test.each([
    ['nothing', []],
    ['a primary header alone', [111]],
    ['a header that ends early', [0x80 | 111, 0, 0]],
    ['no primary header', header(111, 960, 0)],
    ['a block longer than the payload', [...header(111, 960, 5), 111, 1, 2, 3]],
    ['no primary block', [...header(111, 960, 3), 111, 1, 2, 3]],
    ['seventeen blocks', [...Array.from({ length: 16 }, () => header(111, 960, 0)).flat(), 111, 1]],
  ])('that is malformed has no blocks: %s', (_, payload) => {
    expect(read(payload)).toEqual([]);
  });

  test('of any bytes has blocks that lie one after the other up to its end, or none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (payload) => {
        const reader = new RedReader();
        const count = reader.read(payload);
        if (count === 0) return;
        for (let i = 1; i < count; i++) {
          expect(reader.starts[i]).toBe((reader.starts[i - 1] as number) + (reader.lengths[i - 1] as number));
        }
        expect((reader.starts[count - 1] as number) + (reader.lengths[count - 1] as number)).toBe(
          payload.length,
        );
        expect(reader.lengths[count - 1]).toBeGreaterThan(0);
      }),
    );
  });
});
