import { beforeAll, describe, expect, it } from 'vitest';
import { createResampler } from '../../src/media/rate-converter.js';
import { phrasesIn, SENTENCES, speak, textOf } from '../../src/model-simulator/index.js';
import { AudioSource, decodeMulaw, encodeMulaw } from '../../src/simulator/index.js';
import { randomNumbers } from '../../src/simulator/random.js';

const texts = SENTENCES.map(({ text }) => text);
const recording = (text: string) => speak(text) as Int16Array;
const rms = (pcm: Int16Array) =>
  Math.sqrt(pcm.reduce((sum, sample) => sum + sample * sample, 0) / pcm.length);
const telephone = (pcm: Int16Array) => decodeMulaw(encodeMulaw(pcm));
const scaled = (pcm: Int16Array, db: number) => pcm.map((sample) => Math.round(sample * 10 ** (db / 20)));

function joined(...parts: readonly Int16Array[]): Int16Array {
  const all = new Int16Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const silence = (ms: number) => new Int16Array(ms * 8);

function noise(samples: number, level: number, seed: number): Int16Array {
  const random = randomNumbers(seed);
  return new Int16Array(samples).map(() => {
    const gauss = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(-32_768, Math.min(32_767, Math.round(level * gauss)));
  });
}

function noisy(pcm: Int16Array, snrDb: number, seed: number): Int16Array {
  const hiss = noise(pcm.length, rms(pcm) * 10 ** (-snrDb / 20), seed);
  return pcm.map((sample, i) => Math.max(-32_768, Math.min(32_767, sample + (hiss[i] as number))));
}

/** Every sentence that is not recognised as itself. */
function confused(way: (pcm: Int16Array, index: number) => Int16Array): (string | undefined)[][] {
  return texts
    .map((text, i) => [text, textOf(way(recording(text), i))?.text])
    .filter(([text, heard]) => text !== heard);
}

describe('speak', () => {
  it('knows every sentence of the example, whatever its case and punctuation', () => {
    expect(texts.filter((text) => speak(text) === undefined)).toEqual([]);
    expect(speak('when are you open on saturdays')).toBe(speak('When are you open on Saturdays?'));
    expect(speak('When are you open on Mondays?')).toBeUndefined();
  });

  it('speaks at the level of a telephone, for 1 to 5 seconds', () => {
    for (const text of texts) {
      const pcm = recording(text);
      expect(pcm.length / 8_000).toBeGreaterThan(1);
      expect(pcm.length / 8_000).toBeLessThan(5);
      expect(20 * Math.log10(rms(pcm) / 32_768)).toBeGreaterThan(-22);
      expect(20 * Math.log10(rms(pcm) / 32_768)).toBeLessThan(-16);
    }
  });
});

describe('textOf', () => {
  let ways: Record<'to48' | 'to24' | 'to8', Awaited<ReturnType<typeof createResampler>>>;
  beforeAll(async () => {
    ways = {
      to48: await createResampler(8_000, 48_000),
      to24: await createResampler(48_000, 24_000),
      to8: await createResampler(24_000, 8_000),
    };
  });
  const converted = (pcm: Int16Array, way: keyof typeof ways) =>
    joined(ways[way].process(pcm), ways[way].flush());

  it('recognises every sentence through µ-law, 48 kHz and 24 kHz', () => {
    const way = (pcm: Int16Array) =>
      telephone(converted(converted(converted(telephone(pcm), 'to48'), 'to24'), 'to8'));
    expect(confused(way)).toEqual([]);
  });

  it('recognises every sentence with up to 300 ms of silence around it', () => {
    expect(
      confused((pcm, i) => telephone(joined(silence((i * 37) % 300), pcm, silence((i * 91) % 300)))),
    ).toEqual([]);
  });

  it('recognises every sentence 20 dB quieter', () => {
    expect(confused((pcm) => telephone(scaled(pcm, -20)))).toEqual([]);
  });

  it('recognises every sentence in noise of 20 dB less', () => {
    expect(
      confused((pcm, i) => telephone(noisy(joined(silence(300), pcm, silence(300)), 20, i + 1))),
    ).toEqual([]);
  });

  it('recognises every sentence in which a jitter buffer inserted or dropped 60 ms', () => {
    const middle = (pcm: Int16Array) => Math.round(pcm.length / 2);
    expect(
      confused((pcm) =>
        joined(pcm.subarray(0, middle(pcm)), silence(60), pcm.subarray(middle(pcm)), silence(300)),
      ),
    ).toEqual([]);
    expect(
      confused((pcm) =>
        joined(silence(300), pcm.subarray(0, middle(pcm) - 480), pcm.subarray(middle(pcm)), silence(300)),
      ),
    ).toEqual([]);
  });

  it('is surer of a clean sentence than of a noisy one', () => {
    for (const text of texts) {
      const clean = textOf(recording(text))?.likeness as number;
      expect(clean).toBeGreaterThan(0.9);
      expect(textOf(noisy(recording(text), 15, 7))?.likeness ?? 0).toBeLessThan(clean);
    }
  });

  it('rejects other speech, tones, noise and silence', () => {
    const speech = AudioSource.speech().pcm;
    expect(textOf(speech)).toBeUndefined();
    for (let from = 0; from < speech.length; from += 8_000)
      expect(textOf(speech.subarray(from, from + 16_000))).toBeUndefined();
    expect(textOf(AudioSource.tone(1_000).pcm)).toBeUndefined();
    expect(textOf(noise(16_000, 3_000, 3))).toBeUndefined();
    expect(textOf(silence(2_000))).toBeUndefined();
    expect(textOf(new Int16Array())).toBeUndefined();
  });

  it('rejects a sentence of which a half is missing, and one with other speech beside it', () => {
    for (const text of texts) {
      const pcm = recording(text);
      expect(textOf(pcm.subarray(0, pcm.length / 2))).toBeUndefined();
    }
    const question = recording('How long does a repair take?');
    expect(textOf(joined(question, AudioSource.speech().pcm.subarray(0, 16_000)))).toBeUndefined();
  });
});

describe('phrasesIn', () => {
  it('finds the sentences of a whole answer, and when each is spoken', () => {
    const answer = recording('On Saturdays we are open from ten until four.');
    const source = recording('That is in our page about opening hours.');
    const speech = AudioSource.speech().pcm.subarray(0, 8_000);
    const audio = telephone(joined(silence(500), answer, silence(200), source, silence(300), speech, answer));
    const found = phrasesIn(audio);
    expect(found.map(({ text }) => text)).toEqual([
      'On Saturdays we are open from ten until four.',
      'That is in our page about opening hours.',
      'On Saturdays we are open from ten until four.',
    ]);
    const starts = [500, 700 + answer.length / 8, 2_000 + (answer.length + source.length) / 8];
    for (const [i, { fromMs }] of found.entries())
      expect(Math.abs(fromMs - (starts[i] as number))).toBeLessThanOrEqual(20);
  });
});
