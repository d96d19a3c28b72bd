import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  appendGoodbye,
  appendNack,
  ntpMiddle,
  type ReportBlock,
  type RtcpListener,
  readRtcp,
  writeReport,
} from '../../src/rtc/rtcp.js';

function heard(packet: Uint8Array, length: number) {
  const parts: unknown[] = [];
  const listener: RtcpListener = {
    senderReport: (...facts) => parts.push(['sender', ...facts]),
    reportBlock: (block) => parts.push(block),
    nack: (...facts) => parts.push(['nack', ...facts]),
  };
  readRtcp(packet, length, listener);
  return parts;
}

const DATE = new Date('2026-11-30T12:00:00.250Z');
const BLOCK: ReportBlock = {
  ssrc: 0xffff_ffff,
  fractionLost: 255,
  lost: -3,
  highestSequence: 0xffff_0001,
  jitter: 12,
  lastReport: 0xabcd_ef01,
  delay: 0xffff_fffe,
};

it('a sender report with a block, a request for packets and the end are read as they were written', () => {
  const packet = new Uint8Array(2_000);
  const sender = { ssrc: 5, timestamp: 0xffff_fff0, packets: 7, bytes: 900 };
  let length = writeReport(packet, sender, 5, [BLOCK], 'name', DATE);
  length = appendNack(packet, length, 5, 6, [65_535, 0]);
  const end = appendGoodbye(packet, length, 5);
  expect([...packet.subarray(length, end)]).toEqual([0x81, 203, 0, 1, 0, 0, 0, 5]);
  length = end;
  expect(heard(packet, length)).toEqual([
    ['sender', 5, ntpMiddle(DATE), 7, 900],
    BLOCK,
    ['nack', 6, 65_535],
    ['nack', 6, 0],
  ]);
});

it('a packet that names sixteen more by a mask is a request for all of them', () => {
  const packet = new Uint8Array(16);
  appendNack(packet, 0, 1, 2, [10]);
  packet[14] = 0x80;
  packet[15] = 0x01;
  expect(heard(packet, 16)).toEqual([
    ['nack', 2, 10],
    ['nack', 2, 11],
    ['nack', 2, 26],
  ]);
});

it('a report has no more blocks than its count can say', () => {
  const packet = new Uint8Array(2_000);
  const length = writeReport(
    packet,
    undefined,
    1,
    Array.from({ length: 40 }, () => BLOCK),
    'name',
    DATE,
  );
  expect(heard(packet, length)).toHaveLength(31);
});

it('survives any bytes', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(fc.constantFrom(200, 201, 202, 203, 205, 206, 207), fc.uint8Array({ maxLength: 60 })),
      ),
      fc.integer({ min: -5, max: 5 }),
      (parts, cut) => {
        const bytes = parts.flatMap(([type, body]) => [
          0x80 | (body.length & 31),
          type,
          0,
          body.length & 15,
          ...body,
        ]);
        const packet = Uint8Array.from(bytes);
        expect(Array.isArray(heard(packet, Math.max(0, Math.min(packet.length, packet.length + cut))))).toBe(
          true,
        );
      },
    ),
    { numRuns: 1_000 },
  );
});
