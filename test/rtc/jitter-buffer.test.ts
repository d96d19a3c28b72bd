import { describe, expect, test } from 'vitest';
import { firstDifference, listen, ModelDecoder, seeded, speech, talk, tone } from './jitter-network.js';

const RATE = 8_000;
const RATES = [8_000, 16_000, 24_000, 48_000];

/** Where a sound begins to be exactly the source from its beginning on, in samples. */
function onset(heard: Int16Array, source: (n: number) => number): number {
  const first = Array.from({ length: 50 }, (_, i) => source(i + 1));
  for (let at = 0; at < heard.length - 50; at++) {
    if (first.every((sample, i) => heard[at + i] === sample)) return at - 1;
  }
  return -1;
}

describe('a clean network', () => {
  test.each(RATES)('is heard bit for bit as decoded, within 20 ms: %i Hz', (rate) => {
    const source = speech(rate);
    const { buffer, heard } = listen(talk({ rate, seconds: 20 }), {
      rate,
      decoder: new ModelDecoder(source, rate),
      untilMs: 21_100,
    });
    const at = onset(heard, source);
    expect(at).toBeGreaterThan(0);
    expect(firstDifference(heard, at, source, 20 * rate)).toBe(-1);
    // The first packet arrives at 1,050 ms, the first pull is at 1,003 ms.
    const waitedMs = 1_003 + (at * 1_000) / rate - 1_050;
    expect(waitedMs).toBeGreaterThanOrEqual(0);
    // The second block of a packet waits 10 ms longer.
    expect(waitedMs + 5).toBeLessThanOrEqual(20);
    expect(buffer.stats).toMatchObject({
      packetsReceived: 1_000,
      packetsLost: 0,
      packetsDiscarded: 0,
      concealedSamples: 0,
      concealmentEvents: 0,
      insertedSamplesForDeceleration: 0,
      removedSamplesForAcceleration: 0,
    });
    expect(buffer.stats.jitter).toBeLessThan(0.000_001);
    const { jitterBufferDelay, jitterBufferEmittedCount } = buffer.stats;
    expect(jitterBufferDelay / jitterBufferEmittedCount).toBeCloseTo(waitedMs / 1_000, 2);
  });

  test.each([10, 20, 40, 60])('packets of %i ms', (ms) => {
    const source = speech(RATE);
    const { buffer, heard } = listen(talk({ rate: RATE, ms, seconds: 12 }), {
      rate: RATE,
      decoder: new ModelDecoder(source, RATE),
      untilMs: 13_100,
    });
    const at = onset(heard, source);
    expect(firstDifference(heard, at, source, 12 * RATE)).toBe(-1);
    expect(buffer.stats.concealedSamples).toBe(0);
  });

  test('sequence numbers and timestamps that begin again at 0 are not heard', () => {
    const source = tone(300, RATE);
    const packets = talk({
      rate: RATE,
      seconds: 4,
      firstSequence: 65_500,
      firstTimestamp: 0xffff_ffff - 96_000,
    });
    const { buffer, heard } = listen(packets, {
      rate: RATE,
      decoder: new ModelDecoder(source, RATE),
      untilMs: 5_100,
    });
    const at = onset(heard, source);
    expect(firstDifference(heard, at, source, 4 * RATE)).toBe(-1);
    expect(buffer.stats).toMatchObject({ packetsLost: 0, concealedSamples: 0, packetsDiscarded: 0 });
    expect(buffer.extendedSequence).toBe(65_500 + 199);
  });
});

describe('loss', () => {
  test.each([0.01, 0.05, 0.2])('of %d is made up where it was, and nothing else changes', (share) => {
    const random = seeded(7);
    const source = tone(400, RATE);
    const packets = talk({
      rate: RATE,
      seconds: 60,
      delay: (i) => (i > 0 && random() < share ? Number.POSITIVE_INFINITY : 30),
    });
    const { buffer } = listen(packets, {
      rate: RATE,
      decoder: new ModelDecoder(source, RATE),
      untilMs: 61_100,
    });
    // Of those that nothing follows nobody knows.
    const last = packets.findLastIndex(({ atMs }) => atMs < Number.POSITIVE_INFINITY);
    const lost = packets.slice(0, last).filter(({ atMs }) => atMs === Number.POSITIVE_INFINITY).length;
    expect(buffer.stats.packetsLost).toBe(lost);
    const share160 = buffer.stats.concealedSamples / 160;
    expect(share160).toBeGreaterThan(lost * 0.98);
    expect(share160).toBeLessThan(lost * 1.05);
    expect(buffer.stats.packetsDiscarded).toBe(0);
  });
});

describe('order', () => {
  test('packets that overtake each other and come twice are heard once and in order', () => {
    const random = seeded(3);
    const source = tone(300, RATE);
    const packets = talk({ rate: RATE, seconds: 20, delay: () => 30 + (random() < 0.1 ? 25 : 0) });
    const twice = packets.flatMap((packet) =>
      random() < 0.1 ? [packet, { ...packet, atMs: packet.atMs + 8 }] : [packet],
    );
    const { buffer } = listen(twice, {
      rate: RATE,
      decoder: new ModelDecoder(source, RATE),
      untilMs: 21_100,
    });
    expect(buffer.stats.packetsReceived).toBe(twice.length);
    expect(buffer.stats.packetsLost).toBe(1_000 - twice.length);
    expect(buffer.stats.packetsDiscarded).toBe(0);
    expect(buffer.stats.concealedSamples).toBeLessThan(RATE * 0.1);
  });
});
