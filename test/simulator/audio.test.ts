import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import wavefile from 'wavefile';
import { alignPieces } from '../../src/simulator/alignment.js';
import {
  AudioSource,
  align,
  decodeMulaw,
  encodeMulaw,
  Histogram,
  PHONE_RATE,
  readWav,
  writeWav,
} from '../../src/simulator/index.js';
import { sineIn, WAV_CODINGS, wavFile } from '../support/wav.js';

const directory = mkdtempSync(join(tmpdir(), 'trunkline-audio-'));
afterAll(() => rmSync(directory, { recursive: true }));

const sine = (hz: number, rate: number, seconds: number, peak = 10_000) =>
  new Int16Array(rate * seconds).map((_, i) => Math.round(peak * Math.sin((2 * Math.PI * hz * i) / rate)));
const rms = (pcm: Int16Array) =>
  Math.sqrt(pcm.reduce((sum, sample) => sum + sample * sample, 0) / pcm.length);

function delayed(pcm: Int16Array, samples: number, gain = 1): Int16Array {
  const out = new Int16Array(pcm.length + samples);
  out.set(
    pcm.map((sample) => Math.round(sample * gain)),
    samples,
  );
  return out;
}

describe('µ-law', () => {
  it('is the ITU’s for all inputs', () => {
    const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    const all = new Int16Array(65_536).map((_, i) => i - 32_768);
    expect(sha(encodeMulaw(all))).toBe('90c29de505fb68e766118303bd552a16005dcf810873698bee1d8f3b247ce28c');
    const codes = new Uint8Array(256).map((_, i) => i);
    expect(sha(new Uint8Array(decodeMulaw(codes).buffer))).toBe(
      '3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827',
    );
  });
});

describe('WAV files', () => {
  const save = (name: string, channels: number, rate: number, depth: string, samples: Int16Array) => {
    const wav = new wavefile.WaveFile();
    wav.fromScratch(channels, rate, depth, samples as unknown as number[]);
    writeFileSync(join(directory, name), wav.toBuffer());
    return join(directory, name);
  };

  it('are read as they were written', () => {
    const pcm = sine(440, 8000, 1);
    writeWav(join(directory, 'same.wav'), pcm);
    expect(readWav(join(directory, 'same.wav'))).toEqual(pcm);
  });

  it.each(WAV_CODINGS)('with samples as %s are accepted, also extensible and RF64', (coding) => {
    const samples = Float64Array.from(sine(1000, 8000, 1), (sample) => sample / 32_768);
    for (const more of [{}, { isExtensible: true, channels: 2 }, { isRf64: true }]) {
      writeFileSync(join(directory, 'coded.wav'), wavFile(samples, coding, more));
      const { snrDb, amplitude } = sineIn(readWav(join(directory, 'coded.wav')), 1000);
      expect(snrDb).toBeGreaterThan(coding === 'u8' ? 36 : 80);
      expect(Math.abs(amplitude / 10_000 - 1)).toBeLessThan(0.01);
    }
  });

  it.each([11_025, 22_050, 24_000, 32_000, 44_100, 96_000])(
    'at %i Hz are the same, without a shift',
    (rate) => {
      const voice = readWav(save('voice.wav', 1, rate, '16', sine(1000, rate, 1)));
      expect(voice.length).toBe(8000);
      expect(sineIn(voice, 1000).snrDb).toBeGreaterThan(65);
      const same = sine(1000, 8000, 1);
      const error = voice.subarray(200, 7800).map((sample, i) => sample - (same[200 + i] as number));
      expect(20 * Math.log10(rms(error) / 10_000)).toBeLessThan(-55);
    },
  );

  it.each([16_000, 44_100, 48_000, 96_000])('at %i Hz keep the voice and lose higher frequencies', (rate) => {
    const voice = readWav(save('voice.wav', 1, rate, '16', sine(1000, rate, 1)));
    expect(voice.length).toBe(8000);
    expect(20 * Math.log10(rms(voice.subarray(200, 7800)) / (10_000 / Math.SQRT2))).toBeCloseTo(0, 1);
    const above = readWav(save('above.wav', 1, rate, '16', sine(5500, rate, 1)));
    expect(20 * Math.log10((rms(above.subarray(200, 7800)) + 1e-9) / 10_000)).toBeLessThan(-60);
  });

  it('in stereo are mixed down', () => {
    const both = Int16Array.from({ length: 16_000 }, (_, i) => (i % 2 === 0 ? 1000 : 3000));
    expect(readWav(save('stereo.wav', 2, 8000, '16', both))[4000]).toBe(2000);
  });

  it('of other formats are rejected', () => {
    const path = save('rate.wav', 1, 12_345, '16', sine(440, 12_345, 1));
    expect(() => readWav(path)).toThrow(
      /readable WAV file for .* but received none: .* 96000 Hz .* received 12345/,
    );
    expect(() => readWav(path)).toThrow(expect.objectContaining({ code: 'GW_SIM_WAV' }));
    expect(() => readWav(join(directory, 'none.wav'))).toThrow(/readable WAV file/);
  });
});

describe('sources', () => {
  it('ship with speech of five to eight seconds', () => {
    const { pcm, payloads } = AudioSource.speech();
    expect(pcm.length / 8000).toBeGreaterThan(5);
    expect(pcm.length / 8000).toBeLessThan(8);
    expect(payloads.length * 160).toBe(pcm.length);
    expect(rms(pcm)).toBeGreaterThan(500);
  });

  it('are whole frames of 160 bytes, padded with silence', () => {
    const { payloads, pcm } = new AudioSource('short', sine(440, 8000, 1).subarray(0, 200));
    expect(payloads.map((payload) => Buffer.from(payload, 'base64').length)).toEqual([160, 160]);
    expect(pcm.subarray(200).every((sample) => sample === 0)).toBe(true);
  });

  it('include seamless tones', () => {
    const { pcm, payloads } = AudioSource.tone(440, -6);
    expect(payloads).toHaveLength(50);
    expect(20 * Math.log10(Math.max(...pcm) / 32_767)).toBeCloseTo(-6, 0);
    expect(() => AudioSource.tone(4000)).toThrow('Expected 1 to 3999 for hz but received 4000');
  });
});

describe('alignment', () => {
  const speech = AudioSource.speech().pcm;

  it('finds speech again, quieter and later', () => {
    const begun = process.cpuUsage();
    const found = align(speech, delayed(speech, 1234, 0.5));
    expect(process.cpuUsage(begun).user / 1_000).toBeLessThan(2_000);
    expect(found.lagMs).toBeCloseTo(154.25, 1);
    expect(found.correlation).toBeGreaterThan(0.999);
    expect(found.gainDb).toBeCloseTo(-6.02, 1);
    expect(found.snrDb).toBeGreaterThan(35);
  });

  it('is precise to a fraction of a sample', () => {
    const between = new Int16Array(speech.length);
    for (let i = 10; i < between.length; i++) {
      between[i] = Math.round(((speech[i - 7] as number) + (speech[i - 8] as number)) / 2);
    }
    const { lagMs, correlation } = align(speech, between);
    expect(lagMs).toBeCloseTo(7.5 / 8, 1);
    expect(correlation).toBeGreaterThan(0.99);
  });

  it('finds a tone up to its period', () => {
    const tone = AudioSource.tone(440).pcm;
    const { lagMs, correlation } = align(tone, delayed(tone, 300));
    const period = 1000 / 440;
    expect(Math.abs((lagMs - 37.5) / period - Math.round((lagMs - 37.5) / period))).toBeLessThan(0.05);
    expect(correlation).toBeGreaterThan(0.999);
  });

  it('measures added noise', () => {
    const noisy = speech.map((sample) => sample + Math.round((Math.random() - 0.5) * 1000));
    const expected = 20 * Math.log10(rms(speech) / (1000 / Math.sqrt(12)));
    expect(Math.abs(align(speech, noisy).snrDb - expected)).toBeLessThan(1);
  });

  it('reports when there is nothing to find', () => {
    const noise = speech.map(() => Math.round((Math.random() - 0.5) * 20_000));
    expect(Math.abs(align(speech, noise).correlation)).toBeLessThan(0.1);
    for (const other of [new Int16Array(8000), new Int16Array(0)]) {
      expect(align(speech, other)).toEqual({ lagMs: 0, correlation: 0, snrDb: -99, gainDb: 0 });
      expect(align(other, speech).correlation).toBe(0);
    }
  });
});

describe('alignment by pieces', () => {
  const speech = AudioSource.speech().pcm.subarray(0, 6 * PHONE_RATE);
  /** Left out: samples from one on. */
  const without = (pieces: readonly [number, number][]) =>
    speech.filter((_, i) => !pieces.some(([from, length]) => i >= from && i < from + length));

  it('finds words whose pauses were left out or lengthened', () => {
    const shorter = without([
      [34 * 160, 1_200],
      [228 * 160, 1_000],
    ]);
    const longer = new Int16Array(speech.length + 4_000);
    longer.set(speech.subarray(0, 38 * 160));
    longer.set(speech.subarray(38 * 160), 38 * 160 + 4_000);
    for (const heard of [speech, shorter, longer]) {
      const { correlation, snrDb } = alignPieces(speech, heard);
      expect(correlation).toBeGreaterThan(0.999);
      expect(snrDb).toBeGreaterThan(30);
    }
    expect(align(speech, shorter).correlation).toBeLessThan(0.9);
    expect(alignPieces(speech, longer).lagMs).toBeCloseTo(500, 0);
  });

  it('finds shortened words, but not other words of the same voice', () => {
    const cuts = Array.from({ length: 40 }, (_, i): [number, number] => [1_000 + 1_100 * i, 72]);
    expect(alignPieces(speech, without(cuts)).correlation).toBeGreaterThan(0.99);
    const half = speech.length / 2;
    const others = [speech.slice().reverse(), speech.map(() => Math.round((Math.random() - 0.5) * 8_000))];
    for (const other of others) expect(alignPieces(speech, other).correlation).toBeLessThan(0.95);
    expect(alignPieces(speech.subarray(0, half), speech.subarray(half)).correlation).toBeLessThan(0.96);
    expect(alignPieces(speech, new Int16Array(8_000))).toMatchObject({ correlation: 0, lagMs: 0 });
  });
});

describe('histogram', () => {
  it('is precise to about three percent and merges', () => {
    const one = new Histogram();
    const two = new Histogram();
    for (let us = 1; us <= 100_000; us++) (us % 2 === 0 ? one : two).record(us);
    one.merge(two);
    const { count, p50Ms, p99Ms, p999Ms, maxMs, meanMs } = one.percentiles();
    expect(count).toBe(100_000);
    expect(Math.abs(p50Ms / 50 - 1)).toBeLessThan(0.035);
    expect(Math.abs(p99Ms / 99 - 1)).toBeLessThan(0.035);
    expect(Math.abs(p999Ms / 99.9 - 1)).toBeLessThan(0.035);
    expect(maxMs).toBe(100);
    expect(meanMs).toBeCloseTo(50, 1);
  });

  it('accepts any value', () => {
    const histogram = new Histogram();
    for (const us of [-5, 0, 0.4, 1e12]) histogram.record(us);
    expect(histogram.percentiles()).toMatchObject({ count: 4, p50Ms: 0 });
    expect(new Histogram().percentiles()).toMatchObject({ count: 0, p99Ms: 0, maxMs: 0 });
  });
});
