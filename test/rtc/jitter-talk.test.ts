import { describe, expect, test } from 'vitest';
import {
  firstDifference,
  largestAbove,
  largestWithout,
  listen,
  ModelDecoder,
  payloadOf,
  type Sent,
  type Source,
  seeded,
  speech,
  talk,
  tone,
} from './jitter-network.js';

const RATE = 8_000;
const LOST = Number.POSITIVE_INFINITY;

const hear = (packets: readonly Sent[], untilMs: number, source: Source = tone(440, RATE), rate = RATE) => {
  const decoder = new ModelDecoder(source, rate);
  return { ...listen(packets, { rate, decoder, untilMs }), decoder };
};

/** Takes packets out, with their sequence numbers: they were never sent. */
const silentFrom = (packets: Sent[], from: number, until: number): Sent[] => [
  ...packets.slice(0, from),
  ...packets
    .slice(until)
    .map((packet) => ({ ...packet, sequence: (packet.sequence - (until - from)) & 0xffff })),
];

describe('redundancy', () => {
  const random = () => seeded(21);

  test.each([0.01, 0.05, 0.2])(
    'in band replaces packets that are lost, %d of them, as soon as it is waited for',
    (share) => {
      const chance = random();
      const delay = (i: number) => (i > 0 && chance() < share ? LOST : 30);
      const packets = talk({ rate: RATE, seconds: 120, hasLbrr: true, delay });
      const { buffer, heard } = hear(packets, 121_100);
      const { stats } = buffer;
      // Two in a row cannot be restored; below 2 % it is not worth a longer delay.
      const most = share < 0.02 ? share : share * share * 1.6 + 0.01;
      expect(stats.concealedSamples / stats.totalSamplesReceived).toBeLessThan(most);
      const received = packets.filter(({ atMs }) => atMs < LOST).length - 1;
      expect(stats.fecPacketsReceived).toBe(received);
      expect(stats.fecPacketsDiscarded).toBeLessThan(received);
      expect(largestWithout(440, heard.subarray(RATE / 10, 120 * RATE), RATE)).toBeLessThan(100);
    },
  );

  test('does not cost a delay on a way without loss', () => {
    const { buffer } = hear(talk({ rate: RATE, seconds: 30, hasLbrr: true }), 31_100);
    const { jitterBufferDelay, jitterBufferEmittedCount, fecPacketsReceived, fecPacketsDiscarded } =
      buffer.stats;
    expect(jitterBufferDelay / jitterBufferEmittedCount).toBeLessThan(0.02);
    expect(fecPacketsReceived).toBe(1_499);
    expect(fecPacketsDiscarded).toBe(1_499);
  });

  test('of RED, one and two packets later, restores all but bursts of three', () => {
    const chance = random();
    const sent = talk({ rate: RATE, seconds: 120, delay: (i) => (i > 2 && chance() < 0.1 ? LOST : 30) });
    const packets = sent.flatMap((packet, i) =>
      packet.atMs === LOST
        ? []
        : [
            packet,
            ...sent
              .slice(Math.max(0, i - 2), i)
              .map((old) => ({ ...old, atMs: packet.atMs, isRedundant: true })),
          ],
    );
    const { buffer } = hear(packets, 121_100);
    const { concealedSamples, totalSamplesReceived, fecPacketsReceived, packetsReceived } = buffer.stats;
    expect(concealedSamples / totalSamplesReceived).toBeLessThan(0.03);
    expect(fecPacketsReceived).toBeGreaterThan(1.9 * packetsReceived);
  });
});

describe('loss in bursts', () => {
  test.each([8_000, 48_000])(
    'of 40 to 300 ms is made up without a click and without more delay: %i Hz',
    (rate) => {
      const bursts = new Set<number>();
      for (const [at, count] of [
        [50, 2],
        [100, 5],
        [200, 10],
        [300, 15],
      ] as const) {
        for (let i = at; i < at + count; i++) bursts.add(i);
      }
      const packets = talk({ rate, seconds: 10, delay: (i) => (bursts.has(i) ? LOST : 30) });
      const { buffer } = hear(packets, 11_100, tone(440, rate), rate);
      expect(buffer.stats.packetsLost).toBe(32);
      expect(buffer.stats.concealmentEvents).toBe(4);
      expect((buffer.stats.concealedSamples * 1_000) / rate).toBeCloseTo(32 * 20, -2);
      expect(buffer.stats.removedSamplesForAcceleration).toBe(0);
    },
  );

  test('a packet that comes while it is being made up is heard', () => {
    const packets = talk({ rate: RATE, seconds: 4, delay: (i) => (i === 100 ? 48 : 30) });
    const { buffer, heard } = hear(packets, 5_100);
    expect(buffer.stats).toMatchObject({ packetsDiscarded: 0, packetsLost: 0, concealmentEvents: 1 });
    expect(buffer.stats.concealedSamples).toBeLessThanOrEqual(RATE / 50);
    expect(largestWithout(440, heard.subarray(RATE / 10, 4 * RATE), RATE)).toBeLessThan(400);
  });

  test('malformed packets count as lost', () => {
    const packets = talk({ rate: RATE, seconds: 10 });
    for (let i = 50; i < 500; i += 10) {
      const packet = packets[i] as Sent;
      packet.payload = i % 20 === 0 ? payloadOf(20, 0, false, true) : new Uint8Array(7);
    }
    const { buffer, heard } = hear(packets, 11_100);
    expect(buffer.stats.packetsDiscarded).toBe(45);
    expect(buffer.stats.concealmentEvents).toBe(45);
    expect((buffer.stats.concealedSamples * 50) / RATE).toBeCloseTo(45, 0);
    expect(largestWithout(440, heard.subarray(RATE / 10, 10 * RATE), RATE)).toBeLessThan(100);
  });
});

describe('a pause of the talker', () => {
  const source = speech(RATE, 3_000);

  test.each([
    ['200 ms', 10],
    ['2 s', 100],
    ['10 s', 500],
    ['5 min', 15_000],
  ])('of %s is no loss, costs no delay, and what follows is whole', (_, packetsOfPause) => {
    const until = 100 + packetsOfPause;
    const all = talk({ rate: RATE, seconds: (until + 200) * 0.02 });
    const marker: Sent = { ...(all[100] as Sent), payload: Uint8Array.of(0x48) };
    for (const isMarked of [true, false]) {
      const spoken = silentFrom(all, isMarked ? 101 : 100, until);
      if (isMarked) spoken[100] = marker;
      const untilMs = 1_000 + (until + 205) * 20;
      const { buffer, heard } = hear(spoken, untilMs, source);
      const { stats } = buffer;
      expect(stats).toMatchObject({
        packetsLost: 0,
        packetsDiscarded: 0,
        concealedSamples: 0,
        concealmentEvents: 0,
        insertedSamplesForDeceleration: 0,
        removedSamplesForAcceleration: 0,
      });
      expect(stats.jitterBufferDelay / stats.jitterBufferEmittedCount).toBeLessThan(0.02);
      // The talk afterwards lasts 4 s: all but its first 2 ms are exactly the source.
      const begins = (until * RATE) / 50;
      const arrived = ((1_050 + until * 20 - 1_003) * RATE) / 1_000;
      const at = [...Array(30 * 8).keys()]
        .map((wait) => arrived + wait)
        .find((first) => [100, 1_000, 5_000].every((n) => heard[first + n] === source(begins + n))) as number;
      expect(at).toBeDefined();
      expect(firstDifference(heard, at + 17, source, 200 * 160 - 17, begins + 17)).toBe(-1);
    }
  });

  test('with a noise update now and then sounds on, and falls silent 3 s after the last', () => {
    const spoken = talk({ rate: RATE, seconds: 1 });
    const updates = Array.from({ length: 10 }, (_, i) => ({
      sequence: 50 + i,
      timestamp: 48_000 + i * 400 * 48,
      payload: Uint8Array.of(0x48, 0),
      atMs: 2_050 + i * 400,
    }));
    const decoder = new ModelDecoder(tone(440, RATE), RATE);
    let heardAt = 0;
    let guessed = 0;
    const { buffer } = listen([...spoken, ...updates], {
      rate: RATE,
      decoder,
      untilMs: 60_000,
      each: (nowMs) => {
        if (decoder.conceals > guessed) heardAt = nowMs;
        guessed = decoder.conceals;
      },
    });
    expect(heardAt).toBeGreaterThan(5_650 + 2_900);
    expect(heardAt).toBeLessThan(5_650 + 3_500);
    expect(buffer.stats).toMatchObject({ packetsLost: 0, concealedSamples: 0 });
  });

  test('before which the last packet was lost ends at once all the same', () => {
    const all = talk({ rate: RATE, seconds: 10, delay: (i) => (i === 99 ? LOST : 30) });
    const { buffer } = hear(silentFrom(all, 100, 300), 11_100, source);
    expect(buffer.stats.packetsLost).toBe(1);
    expect(buffer.stats.jitterBufferDelay / buffer.stats.jitterBufferEmittedCount).toBeLessThan(0.02);
  });
});

describe('another timeline', () => {
  const jumps: [string, number, number][] = [
    ['far ahead', 0x7000_0000, 0],
    ['far back', -0x7000_0000, 0],
    ['ahead by 500 ms', 24_000, 0],
    ['back by 500 ms', -24_000, 0],
    ['ahead by 60 ms', 2_880 * 2, 0],
    ['back by 5 s, with other numbers', -240_000, 30_000],
    ['anywhere, with other numbers', 0x1234_5678, 12_345],
  ];
  test.each(jumps)('is heard within 100 ms: %s', (_, ticks, numbers) => {
    const source = tone(440, RATE);
    const before = talk({ rate: RATE, seconds: 10 });
    const after = talk({
      rate: RATE,
      seconds: 10,
      startMs: 11_000,
      firstSequence: (500 + numbers) & 0xffff,
      firstTimestamp: (480_000 + ticks) >>> 0,
    });
    const decoder = new ModelDecoder(source, RATE);
    let last = 0;
    let silentMs = 0;
    const { buffer } = listen([...before, ...after], {
      rate: RATE,
      decoder,
      untilMs: 21_000,
      each: (nowMs) => {
        if (nowMs > 11_050 && nowMs < 12_000 && decoder.decodes === last) silentMs += 10;
        if (decoder.decodes > last && nowMs < 12_000) silentMs -= 10;
        last = decoder.decodes;
      },
    });
    // What was not decoded of the first second.
    expect(silentMs).toBeLessThanOrEqual(100);
    const { stats } = buffer;
    expect(stats.packetsDiscarded).toBeLessThanOrEqual(4);
    expect(stats.packetsLost).toBeLessThanOrEqual(2);
    expect(stats.jitterBufferDelay / stats.jitterBufferEmittedCount).toBeLessThan(0.025);
  });

  test('is not begun by a packet that strayed', () => {
    const source = tone(440, RATE);
    const packets = talk({ rate: RATE, seconds: 10 });
    const strays = [3_000, 5_000, 7_000].map((atMs, i) => ({
      sequence: 20_000 + i * 1_000,
      timestamp: (i * 0x3333_3333) >>> 0,
      payload: payloadOf(20, 0),
      atMs,
    }));
    const { buffer, heard } = hear([...packets, ...strays], 11_100, source);
    expect(buffer.stats).toMatchObject({ packetsDiscarded: 3, packetsLost: 0, concealedSamples: 0 });
    expect(largestWithout(440, heard.subarray(RATE / 10, 10 * RATE), RATE)).toBeLessThan(20);
  });
});

describe('clicks', () => {
  test('are not heard where a voice is held up, made up and resumed', () => {
    const random = seeded(4);
    const source = speech(RATE, 3_000);
    const packets = talk({
      rate: RATE,
      seconds: 60,
      delay: (i) => (i > 0 && random() < 0.05 ? LOST : 30 + (random() < 0.02 ? 60 : 0)),
    });
    const { heard } = hear(packets, 61_000, source);
    // A jump by half the level, which is 5,500, would leave 1,500.
    expect(largestAbove(2_500, heard, RATE)).toBeLessThan(400);
  });
});
