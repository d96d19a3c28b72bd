import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JitterBuffer, type PacketDecoder } from '../../src/rtc/jitter-buffer.js';
import { listen, ModelDecoder, payloadOf, seeded, talk, tone } from './jitter-network.js';

const RATE = 8_000;

/** A decoder that does what it likes. */
function wild(random: () => number): PacketDecoder {
  const any = (out: Int16Array, sample: number) => {
    out.fill(sample);
    return Math.floor(random() * 9_000) - 40;
  };
  return {
    decode: (_, out) => any(out, 32_767),
    decodeFec: (_, out, samples) => (random() < 0.5 ? samples : any(out, -32_768)),
    conceal: (out, samples) => (random() < 0.8 ? samples : any(out, 32_767)),
    samplesOf: (packet) => (packet[1] === undefined || packet[1] < 50 ? 0 : (packet[1] & 63) * 20),
  };
}

describe('a stranger', () => {
  test('who sends anything is survived, and every block is filled', () => {
    const packet = fc.record({
      sequence: fc.integer({ min: 0, max: 65_535 }),
      timestamp: fc.oneof(
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.integer({ min: 0, max: 200 }).map((n) => n * 120),
      ),
      payload: fc.uint8Array({ maxLength: 40 }),
      stepMs: fc.oneof(
        fc.constant(0),
        fc.integer({ min: 0, max: 50 }),
        fc.double({ min: -1e9, max: 1e9, noNaN: true }),
      ),
      isRedundant: fc.boolean(),
      pulls: fc.integer({ min: 0, max: 4 }),
    });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 300 }), fc.integer(), (packets, seed) => {
        const buffer = new JitterBuffer(wild(seeded(seed)), RATE);
        const out = new Int16Array(80);
        let nowMs = 0;
        for (const { sequence, timestamp, payload, stepMs, isRedundant, pulls } of packets) {
          nowMs += stepMs;
          if (isRedundant) buffer.pushRedundant(timestamp, payload, nowMs);
          else buffer.push(sequence, timestamp, payload, nowMs);
          for (let i = 0; i < pulls; i++) buffer.pull(out, nowMs);
        }
        for (const value of Object.values(buffer.stats)) expect(value).toSatisfy(Number.isFinite);
      }),
      { numRuns: 300 },
    );
  });

  test('who sends without end fills at most 200 packets and 2 s', () => {
    const buffer = new JitterBuffer(new ModelDecoder(tone(300, RATE), RATE), RATE);
    for (let i = 0; i < 5_000; i++) buffer.push(i & 0xffff, i * 480, payloadOf(10, i * 80), 1_000);
    expect(buffer.stats.packetsDiscarded).toBe(5_000 - 199);
    const long = new JitterBuffer(new ModelDecoder(tone(300, RATE), RATE), RATE);
    for (let i = 0; i < 5_000; i++) long.push(i & 0xffff, i * 2_880, payloadOf(60, i * 480), 1_000);
    expect(long.stats.packetsDiscarded).toBeGreaterThan(5_000 - 40);
    const out = new Int16Array(80);
    for (let i = 0; i < 300; i++) long.pull(out, 1_000 + i * 10);
    expect(long.stats.jitterBufferEmittedCount).toBeLessThanOrEqual(34 * 480);
  });

  test('whose payload is too long or empty is discarded', () => {
    const buffer = new JitterBuffer(new ModelDecoder(tone(300, RATE), RATE), RATE);
    buffer.push(0, 0, new Uint8Array(1_501), 0);
    buffer.push(1, 960, new Uint8Array(0), 0);
    expect(buffer.stats).toMatchObject({ packetsReceived: 2, packetsDiscarded: 2 });
  });

  test('cannot change a packet after it was taken', () => {
    const source = tone(300, RATE);
    const packets = talk({ rate: RATE, seconds: 2 });
    const buffer = new JitterBuffer(new ModelDecoder(source, RATE), RATE);
    const out = new Int16Array(80);
    const whole = new Uint8Array(30);
    for (const { sequence, timestamp, payload, atMs } of packets) {
      whole.set(payload, 12);
      buffer.push(sequence, timestamp, whole, atMs, 12, 12 + payload.length);
      whole.fill(255);
      buffer.pull(out, atMs + 6);
      buffer.pull(out, atMs + 16);
    }
    expect(buffer.stats).toMatchObject({ packetsDiscarded: 0, concealedSamples: 0 });
    expect(out[79]).toBe(source(2 * RATE - 1));
  });
});

describe('a caller', () => {
  test('learns what is wrong with a rate and a block', () => {
    const decoder = new ModelDecoder(tone(300, RATE), RATE);
    expect(() => new JitterBuffer(decoder, 44_100)).toThrow(
      new TypeError(
        'Expected 8000, 16000, 24000 or 48000 for the rate of a jitter buffer but received 44100',
      ),
    );
    expect(() => new JitterBuffer(decoder, RATE).pull(new Int16Array(160), 0)).toThrow(
      new TypeError('Expected 80 samples for a block but received Int16Array of 320 bytes'),
    );
  });

  test('hears silence before the first packet, which counts for nothing', () => {
    const decoder = new ModelDecoder(tone(300, RATE), RATE);
    const { buffer, heard } = listen([], { rate: RATE, decoder, untilMs: 2_000 });
    expect(heard.every((sample) => sample === 0)).toBe(true);
    expect(Object.values(buffer.stats).every((value) => value === 0)).toBe(true);
    expect(decoder.conceals).toBe(0);
  });
});
