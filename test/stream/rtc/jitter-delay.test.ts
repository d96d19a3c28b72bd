import { describe, expect, test } from 'vitest';
import { JitterBuffer } from '../../../src/rtc/jitter-buffer.js';
import {
  DelayLog,
  inOrder,
  largestAbove,
  largestJump,
  largestWithout,
  listen,
  ModelDecoder,
  normal,
  type Sent,
  type Source,
  seeded,
  speech,
  talk,
  tone,
} from '../../rtc/jitter-network.js';

const RATE = 8_000;
const WARM_UP_MS = 5_000;

/** Hears packets, and how many of them were late after five seconds. */
function hear(
  packets: readonly Sent[],
  untilMs: number,
  source: Source = speech(RATE),
  late?: (dueMs: number) => number,
) {
  const log = new DelayLog();
  let early = 0;
  const each = (nowMs: number, block: Int16Array, buffer: JitterBuffer) => {
    log.note(nowMs, block, buffer);
    if (nowMs < 1_000 + WARM_UP_MS) early = buffer.stats.concealmentEvents + buffer.stats.packetsDiscarded;
  };
  const { buffer, heard } = listen(packets, {
    rate: RATE,
    decoder: new ModelDecoder(source, RATE),
    untilMs,
    each,
    ...(late === undefined ? {} : { late }),
  });
  const { stats } = buffer;
  return { stats, heard, delayMs: log.ms, late: stats.concealmentEvents + stats.packetsDiscarded - early };
}

/** Held up from one time to another, on a way of 30 ms. */
const held = (fromMs: number, untilMs: number) => (_: number, sentMs: number) =>
  sentMs > fromMs && sentMs < untilMs ? 30 + untilMs - sentMs : 30;

describe('jitter', () => {
  const ways: [string, (random: () => number) => number, number][] = [
    ['even, 50 ms', (random) => 30 + 50 * random(), 50],
    ['even, ± 50 ms', (random) => 30 + 100 * random(), 85],
    ['normal, 17 ms', (random) => 330 + 17 * normal(random), 85],
    ['normal, 50 ms', (random) => 330 + 50 * normal(random), 190],
  ];
  test.each(ways)('fewer than one in 200 packets is late: %s', (_, way, mostMs) => {
    for (const arrange of [(packets: Sent[]) => packets, inOrder]) {
      const random = seeded(11);
      const packets = arrange(talk({ rate: RATE, seconds: 120, delay: () => way(random) }));
      const { late, delayMs, stats } = hear(packets, 122_000);
      expect(late / packets.length).toBeLessThan(0.005);
      expect(delayMs.slice(5, 115).reduce((sum, ms) => sum + ms, 0) / 110).toBeLessThan(mostMs);
      expect(stats.packetsLost).toBe(0);
    }
  });

  test('that stops is forgotten within eight seconds', () => {
    const random = seeded(5);
    const packets = talk({
      rate: RATE,
      seconds: 25,
      delay: (_, sentMs) => (sentMs < 11_000 ? 30 + 50 * random() : 30),
    });
    const { delayMs } = hear(packets, 26_100);
    expect(Math.max(...delayMs.slice(12, 14))).toBeGreaterThan(45);
    expect(delayMs[18]).toBeLessThan(25);
  });

  test('of our own pulls is no reason to wait', () => {
    const random = seeded(6);
    const packets = talk({ rate: RATE, seconds: 60 });
    const { stats, delayMs } = hear(packets, 61_100, speech(RATE), (dueMs) => dueMs + 8 * random());
    expect(stats.concealedSamples).toBe(0);
    expect(Math.max(...delayMs.slice(0, 59))).toBeLessThan(25);
  });
});

describe('a hold-up', () => {
  test('of 60 ms leaves no delay', () => {
    const { stats, delayMs } = hear(
      inOrder(talk({ rate: RATE, seconds: 12, delay: held(6_000, 6_060) })),
      13_100,
    );
    expect(stats.concealmentEvents).toBe(1);
    expect(stats.concealedSamples).toBeLessThanOrEqual((RATE * 60) / 1_000);
    expect(delayMs[7]).toBeLessThan(25);
    expect(stats.packetsDiscarded).toBe(0);
  });

  test.each([
    ['a voice', speech(RATE)],
    ['a tone', tone(440, RATE)],
  ])('of 1 s loses nothing of %s and is caught up with within 2 s', (_, source) => {
    const { stats, delayMs } = hear(
      inOrder(talk({ rate: RATE, seconds: 12, delay: held(6_000, 7_000) })),
      13_100,
      source,
    );
    expect(delayMs[6]).toBeGreaterThan(100);
    expect(delayMs[8]).toBeLessThan(25);
    expect(stats.packetsDiscarded).toBe(0);
    expect(stats.concealmentEvents).toBe(1);
    // What was made up, almost all of it silence, is what was removed.
    expect(stats.concealedSamples).toBeGreaterThan(0.95 * RATE);
    expect(stats.silentConcealedSamples).toBeGreaterThan(0.5 * RATE);
    expect(stats.removedSamplesForAcceleration).toBeGreaterThan(0.93 * RATE);
  });

  test('is caught up with in pauses first', () => {
    // Words of 200 ms and pauses of 300 ms: a second of it has 600 ms of pause.
    const words: Source = (n) => (n % (RATE / 2) < RATE / 5 ? tone(440, RATE)(n) : 0);
    const packets = inOrder(talk({ rate: RATE, seconds: 12, delay: held(6_000, 7_000) }));
    const blocks: number[] = [];
    const source = new ModelDecoder(words, RATE);
    let removedAt = 0;
    listen(packets, {
      rate: RATE,
      decoder: source,
      untilMs: 13_000,
      each: (nowMs, block, { stats }) => {
        if (stats.removedSamplesForAcceleration > removedAt) blocks.push(Math.max(...block.map(Math.abs)));
        removedAt = stats.removedSamplesForAcceleration;
        if (nowMs > 8_500) expect(stats.removedSamplesForAcceleration).toBe(removedAt);
      },
    });
    expect(removedAt).toBeGreaterThan(0.9 * RATE);
    expect(blocks.length).toBeLessThan(100);
  });

  test('of this process, after which several pulls follow at once, costs no more than itself', () => {
    const packets = talk({ rate: RATE, seconds: 30 });
    const late = (dueMs: number) => (dueMs % 5_000 < 80 ? dueMs - (dueMs % 5_000) + 80 : dueMs);
    const { stats, delayMs } = hear(packets, 31_100, speech(RATE), late);
    expect(stats.packetsDiscarded).toBe(0);
    expect(stats.concealedSamples).toBe(0);
    expect(Math.max(...delayMs.slice(0, 29))).toBeLessThan(30);
  });
});

describe.each([8_000, 16_000, 24_000, 48_000])('packets of other lengths at %i Hz', (rate) => {
  test.each([10, 40, 60])('%i ms: a hold-up and jitter', (ms) => {
    const random = seeded(2);
    const way = (_: number, sentMs: number) =>
      sentMs < 16_000 ? held(6_000, 7_000)(_, sentMs) : 30 + 50 * random();
    const packets = talk({ rate, ms, seconds: 45, delay: way });
    const log = new DelayLog();
    const decoder = new ModelDecoder(tone(440, rate), rate);
    const { buffer, heard } = listen(inOrder(packets), { rate, decoder, untilMs: 46_200, each: log.note });
    expect(log.ms[6]).toBeGreaterThan(100);
    expect(log.ms[8]).toBeLessThan(25);
    // The hold-up, the first jitter, and one in a hundred.
    expect(buffer.stats.concealmentEvents).toBeLessThanOrEqual(8);
    expect(buffer.stats.packetsDiscarded).toBe(0);
    expect(Math.max(...log.ms.slice(20, 44))).toBeLessThan(75);
    expect(largestWithout(440, heard.subarray(rate / 5, 44 * rate), rate)).toBeLessThan(700);
  });
});

describe('stalls of this process that hold up its sockets longer than its pulls', () => {
  test('are expected from the second on', () => {
    // Every 5 s no packet is read for 80 ms; then the pulls that are due come first.
    const stall = (atMs: number) => (atMs % 5_000 < 80 ? atMs - (atMs % 5_000) + 80 : atMs);
    const packets = talk({ rate: RATE, seconds: 60 });
    for (const packet of packets) packet.atMs = stall(packet.atMs) + 0.01;
    const { stats, delayMs, late } = hear(packets, 61_100, speech(RATE), stall);
    expect(stats.packetsDiscarded).toBe(0);
    expect(stats.concealmentEvents).toBeLessThanOrEqual(3);
    expect(late).toBeLessThanOrEqual(2);
    expect(Math.max(...delayMs.slice(0, 59))).toBeLessThan(120);
  });
});

describe('changes of the delay', () => {
  test.each([
    ['a tone', tone(440, RATE), (heard: Int16Array) => largestWithout(440, heard, RATE), 100],
    ['a voice', speech(RATE, 3_000), (heard: Int16Array) => largestAbove(2_500, heard, RATE), 150],
  ] as const)('are not heard as clicks in %s', (_, source, click, most) => {
    const random = seeded(9);
    // From 5 s on there is jitter, from 15 s on none: the delay grows and shrinks.
    const way = (_index: number, sentMs: number) =>
      sentMs > 6_000 && sentMs < 16_000 ? 30 + Math.min(60, (sentMs - 6_000) / 50) * random() : 30;
    const { stats, heard } = hear(talk({ rate: RATE, seconds: 28, delay: way }), 29_000, source);
    expect(stats.insertedSamplesForDeceleration).toBeGreaterThan(0.03 * RATE);
    expect(stats.removedSamplesForAcceleration).toBeGreaterThan(0.03 * RATE);
    const steady = heard.subarray(RATE / 10, 27 * RATE);
    const sounds = Int16Array.from({ length: 27 * RATE }, (__, n) => source(n));
    expect(largestJump(steady)).toBeLessThanOrEqual(1.05 * largestJump(sounds));
    expect(click(steady)).toBeLessThan(most);
  });

  test.each([300, 450, 700, 1_000, 1_500, 3_000])('by %i ms for good are over within a second', (stepMs) => {
    const way = (_index: number, sentMs: number) => (sentMs < 8_000 ? 30 : 30 + stepMs);
    const log = new DelayLog();
    let madeUpBy = 0;
    const decoder = new ModelDecoder(speech(RATE), RATE);
    const buffer = new JitterBuffer(decoder, RATE);
    listen(talk({ rate: RATE, seconds: 20, delay: way }), {
      rate: RATE,
      decoder,
      buffer,
      untilMs: 21_000,
      each(nowMs, block, { stats }) {
        log.note(nowMs, block, buffer);
        if (nowMs < 9_000 + stepMs) madeUpBy = stats.concealedSamples;
      },
    });
    expect(madeUpBy).toBeLessThan(((stepMs + 700) * RATE) / 1_000);
    expect(buffer.stats.concealedSamples).toBe(madeUpBy);
    // As before, but that a delay that may still be jitter is waited for.
    const after = log.ms.slice(Math.ceil((9_000 + stepMs) / 1_000), 19);
    expect(Math.max(...after)).toBeLessThan(stepMs < 400 ? stepMs + 40 : 40);
  });

  test.each([-100, 100])('follow a clock that differs by %i ppm for an hour', (driftPpm) => {
    const { stats, heard, delayMs } = hear(
      talk({ rate: RATE, seconds: 3_600, driftPpm }),
      3_600_500,
      tone(440, RATE),
    );
    expect(stats.concealedSamples).toBe(0);
    expect(stats.packetsDiscarded).toBe(0);
    expect(Math.max(...delayMs.slice(0, 3_598))).toBeLessThan(35);
    const changed = stats.insertedSamplesForDeceleration - stats.removedSamplesForAcceleration;
    expect(changed / RATE).toBeCloseTo(-0.36 * Math.sign(driftPpm), 1);
    expect(largestWithout(440, heard.subarray(RATE / 10, 3_599 * RATE), RATE)).toBeLessThan(100);
  });
});
