import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  OPUS_RATES,
  type OpusDecoder,
  type OpusEncoderOptions,
  type OpusRate,
} from '../../src/rtc/native.js';
import { leanOnly } from '../support/rtc-native.js';

const native = leanOnly();
const HZ = 1_000;
const LEVEL = 8_000;

/** 20 ms of a tone, by number. */
function tone(rate: OpusRate, frame: number): Int16Array {
  const samples = rate / 50;
  return Int16Array.from({ length: samples }, (_, i) =>
    Math.round(LEVEL * Math.sin((2 * Math.PI * HZ * (frame * samples + i)) / rate)),
  );
}

/** Something like a voice: a pitch that moves, with harmonics, that comes and goes. */
function voice(rate: OpusRate, frame: number): Int16Array {
  const samples = rate / 50;
  return Int16Array.from({ length: samples }, (_, i) => {
    const t = (frame * samples + i) / rate;
    const phase = 2 * Math.PI * (140 * t + 5 * Math.sin(2 * Math.PI * 1.5 * t));
    const loudness = 0.35 + 0.3 * Math.sin(2 * Math.PI * 4 * t);
    let sum = 0;
    for (let harmonic = 1; harmonic <= 12; harmonic++) sum += Math.sin(harmonic * phase) / harmonic;
    return Math.round(6_000 * loudness * sum);
  });
}

function encoded(options: OpusEncoderOptions, frames: number, sound: typeof tone): Uint8Array[] {
  const encoder = native.openEncoder(options);
  const packets = Array.from({ length: frames }, (_, frame) => {
    const out = new Uint8Array(1_275);
    return out.slice(0, encoder.encode(sound(options.rate, frame), out));
  });
  encoder.free();
  return packets;
}

/** What is there besides a tone of HZ, and how loud the tone is: both in dB. */
function measured(samples: readonly number[], rate: OpusRate) {
  const at = (i: number) => (2 * Math.PI * HZ * i) / rate;
  const sine = (2 / samples.length) * samples.reduce((sum, sample, i) => sum + sample * Math.sin(at(i)), 0);
  const cosine = (2 / samples.length) * samples.reduce((sum, sample, i) => sum + sample * Math.cos(at(i)), 0);
  let [signal, noise] = [0, 0];
  for (const [i, sample] of samples.entries()) {
    const wanted = sine * Math.sin(at(i)) + cosine * Math.cos(at(i));
    signal += wanted ** 2;
    noise += (sample - wanted) ** 2;
  }
  return {
    sinadDb: 10 * Math.log10(signal / noise),
    levelDb: 20 * Math.log10(Math.hypot(sine, cosine) / LEVEL),
  };
}

it('names the library', () => {
  expect(native.opusVersion).toMatch(/^libopus /);
});

// Of libopus 1.3.1: voip 36.9 dB, restricted-lowdelay 45.1 dB at 8 kHz.
it.each([
  ['voip', 8_000, 30],
  ['audio', 8_000, 38],
  ['restricted-lowdelay', 8_000, 38],
  ['audio', 16_000, 25],
  ['restricted-lowdelay', 48_000, 20],
] as const)(
  'carries a tone: %s at %i Hz with a SINAD of more than %i dB, as loud as it was',
  (application, rate, least) => {
    const packets = encoded({ rate, application, bitrate: 24_000, complexity: 9 }, 150, tone);
    const decoder = native.openDecoder(rate);
    const out = new Int16Array(rate / 50);
    const heard = packets.flatMap((packet) => {
      expect(decoder.samplesOf(packet)).toBe(out.length);
      expect(decoder.decode(packet, out)).toBe(out.length);
      return [...out];
    });
    const { sinadDb, levelDb } = measured(heard.slice(heard.length / 3), rate);
    expect(sinadDb).toBeGreaterThan(least);
    expect(Math.abs(levelDb)).toBeLessThan(0.2);
  },
);

it('changes its settings as it goes', () => {
  const encoder = native.openEncoder({ rate: 8_000, application: 'restricted-lowdelay', bitrate: 12_000 });
  const out = new Uint8Array(1_275);
  const bytes = (frames: number) => {
    let sum = 0;
    for (let frame = 0; frame < frames; frame++) sum += encoder.encode(voice(8_000, frame), out);
    return sum / frames;
  };
  const few = bytes(50);
  encoder.setBitrate(48_000);
  expect(bytes(50)).toBeGreaterThan(2 * few);
  encoder.setComplexity(0);
  encoder.setLossPercent(20);
  encoder.setFec(true);
  bytes(10);
  for (const milliseconds of [2.5, 5, 10, 20, 40, 60]) {
    expect(encoder.encode(new Int16Array(8 * milliseconds), out)).toBeGreaterThan(0);
  }
  encoder.free();
});

it('sends almost nothing of silence with DTX', () => {
  const packets = encoded({ rate: 8_000, dtx: true, bitrate: 16_000 }, 100, () => new Int16Array(160));
  expect(packets.slice(50).filter(({ length }) => length <= 2).length).toBeGreaterThan(40);
  expect(packets.every(({ length }) => length > 0)).toBe(true);
});

/** How far each frame is from what was encoded, in dB below it, given what is done in place of those that are lost. */
function lossyDb(recover: (decoder: OpusDecoder, next: Uint8Array, out: Int16Array) => number): number {
  const rate = 16_000;
  const frames = 200;
  const packets = encoded(
    { rate, bitrate: 32_000, fec: true, lossPercent: 25, maxBandwidth: 'wide' },
    frames,
    voice,
  );
  const [whole, holed] = [native.openDecoder(rate), native.openDecoder(rate)];
  const [wanted, out] = [new Int16Array(rate / 50), new Int16Array(rate / 50)];
  let [signal, noise] = [0, 0];
  for (const [frame, packet] of packets.entries()) {
    whole.decode(packet, wanted);
    const isLost = frame % 4 === 3 && frame + 1 < frames;
    const samples = isLost
      ? recover(holed, packets[frame + 1] as Uint8Array, out)
      : holed.decode(packet, out);
    expect(samples).toBe(out.length);
    if (!isLost) continue;
    for (const [i, sample] of wanted.entries()) {
      signal += sample ** 2;
      noise += (sample - (out[i] as number)) ** 2;
    }
  }
  return 10 * Math.log10(signal / noise);
}

it('recovers a lost frame from the next packet, better than it guesses one', () => {
  const silent = lossyDb((_decoder, _next, out) => out.fill(0).length);
  const concealed = lossyDb((decoder, _next, out) => decoder.conceal(out, out.length));
  const recovered = lossyDb((decoder, next, out) => decoder.decodeFec(next, out, out.length));
  expect(silent).toBeCloseTo(0, 1);
  expect(concealed).toBeGreaterThan(silent);
  expect(recovered).toBeGreaterThan(concealed + 3);
});

it('conceals a tone by a tone, which fades out', () => {
  const decoder = native.openDecoder(8_000);
  const out = new Int16Array(160);
  for (const packet of encoded({ rate: 8_000, bitrate: 24_000 }, 50, tone)) decoder.decode(packet, out);
  const loudness = () => Math.hypot(...out) / Math.sqrt(out.length);
  const before = loudness();
  expect(decoder.conceal(out, 160)).toBe(160);
  expect(loudness()).toBeGreaterThan(before / 4);
  for (let i = 0; i < 50; i++) decoder.conceal(out, 160);
  expect(loudness()).toBeLessThan(before / 20);
  expect(decoder.conceal(out, 80)).toBe(80);
});

describe.each(OPUS_RATES)('a decoder at %i Hz', (rate) => {
  it('survives any packet', () => {
    const decoder = native.openDecoder(rate);
    const out = new Int16Array((rate / 1_000) * 120);
    const [real] = encoded({ rate, bitrate: 32_000, fec: true, lossPercent: 20 }, 1, voice) as [Uint8Array];
    const packet = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Uint8Array.from([...bytes, ...real])),
      fc.nat(real.length).map((length) => real.slice(0, length)),
    );
    fc.assert(
      fc.property(packet, (bytes) => {
        const samples = decoder.samplesOf(bytes);
        const decoded = decoder.decode(bytes, out);
        expect(decoded).toBeLessThanOrEqual(out.length);
        if (decoded >= 0) expect(decoded).toBe(samples);
        if (samples === 0) expect(decoded).toBeLessThan(0);
        // It may have been heard before, or not.
        expect(decoder.decodeFec(bytes, out, rate / 50)).toBeLessThanOrEqual(rate / 50);
        expect(decoder.decode(real, out)).toBe(rate / 50);
      }),
      { numRuns: 500 },
    );
    expect(decoder.decode(new Uint8Array(), out)).toBeLessThan(0);
    expect(decoder.samplesOf(new Uint8Array())).toBe(0);
    // Without room for it.
    expect(decoder.decode(real, out.subarray(0, 10))).toBeLessThan(0);
    expect(decoder.decode(real, new Int16Array())).toBeLessThan(0);
    for (const samples of [0, 1, rate])
      expect(decoder.conceal(new Int16Array(rate), samples)).toBeLessThan(0);
    decoder.free();
  });
});

it('refuses arguments that are none, and what was freed', () => {
  const open = (options: object) => () => native.openEncoder(options as OpusEncoderOptions);
  expect(open({ rate: 44_100 })).toThrow(
    'Expected 8000, 16000, 24000 or 48000 for the rate of Opus but received 44100',
  );
  expect(open({ rate: 8_000, application: 'music' })).toThrow(
    'Expected voip, audio or restricted-lowdelay for the application of Opus but received "music"',
  );
  expect(open({ rate: 8_000, bitrate: 499 })).toThrow(
    'Expected a whole number from 500 to 512000 for the bitrate',
  );
  expect(open({ rate: 8_000, complexity: 11 })).toThrow('for the complexity but received 11');
  expect(open({ rate: 8_000, lossPercent: -1 })).toThrow('for the expected loss but received -1');
  expect(open({ rate: 8_000, maxBandwidth: 'broad' })).toThrow(
    'Expected narrow, medium, wide, superwide or full',
  );
  expect(() => native.openDecoder(12_000 as OpusRate)).toThrow(TypeError);

  const encoder = native.openEncoder({ rate: 8_000 });
  const out = new Uint8Array(1_275);
  expect(() => encoder.encode(new Int16Array(161), out)).toThrow(
    'Expected 2.5, 5, 10, 20, 40 or 60 ms for the number of samples but received 161',
  );
  expect(() => encoder.encode(new Int16Array(), out)).toThrow('but received 0');
  expect(() => encoder.encode(new Float32Array(160) as never, out)).toThrow(
    'Expected an Int16Array for the samples',
  );
  expect(() => encoder.encode(new Int16Array(160), new Uint8Array())).toThrow(
    'Expected a Uint8Array for the packet',
  );
  const decoder = native.openDecoder(8_000);
  for (const call of [
    () => decoder.decode('packet' as never, new Int16Array(160)),
    () => decoder.decode(out, new Uint8Array(160) as never),
    () => decoder.decodeFec(out, new Int16Array(160), 161),
    () => decoder.conceal(new Int16Array(160), -1),
    () => decoder.samplesOf(undefined as never),
  ]) {
    expect(call).toThrow('Expected a Uint8Array for the packet, and an Int16Array with room for the samples');
  }
  encoder.free();
  encoder.free();
  decoder.free();
  expect(() => encoder.encode(new Int16Array(160), out)).toThrow('The Opus encoder has been freed');
  expect(() => encoder.setDtx(true)).toThrow('The Opus encoder has been freed');
  expect(() => decoder.decode(out, new Int16Array(160))).toThrow('The Opus decoder has been freed');
});
