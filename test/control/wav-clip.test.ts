import { describe, expect, it } from 'vitest';
import { clipOfWav } from '../../src/control/wav-clip.js';
import { WAV_RATES } from '../../src/media/wav.js';
import { chunk, formatChunk, sineIn, WAV_CODINGS, type WavCoding, wavFile } from '../support/wav.js';

/** A second of 1 kHz at half of full scale. */
const sine = (rate: number) =>
  Float64Array.from({ length: rate }, (_, i) => Math.sin((2 * Math.PI * 1_000 * i) / rate) / 2);
/** Signal-to-noise ratio of each coding, less 3 dB. */
const LEAST_SNR_DB: Readonly<Record<WavCoding, number>> = {
  u8: 40,
  s16: 88,
  s24: 88,
  s32: 88,
  f32: 88,
  f64: 88,
};

describe('the sound of a WAV file', () => {
  it('is found after chunks of any length, even odd ones', async () => {
    const pcm = Int16Array.from({ length: 160 }, (_, n) => 100 * n);
    const audio = Buffer.from(pcm.buffer);
    for (const comment of ['', 'odd', 'even']) {
      const body = [formatChunk(1, 2), chunk('LIST', Buffer.from(comment)), chunk('data', audio)];
      const wav = chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), ...body]));
      expect((await clipOfWav(wav)).pcm, comment).toEqual(pcm);
    }
  });

  it.each(WAV_CODINGS)('of samples as %s equals what was written', async (coding) => {
    for (const more of [
      {},
      { isExtensible: true },
      { isRf64: true },
      { isRf64: true, isExtensible: true, channels: 2 },
    ]) {
      const { pcm } = await clipOfWav(wavFile(sine(8_000), coding, more));
      expect(pcm).toHaveLength(8_000);
      const { snrDb, amplitude } = sineIn(pcm, 1_000);
      expect(snrDb, JSON.stringify(more)).toBeGreaterThan(LEAST_SNR_DB[coding]);
      expect(amplitude / 16_384).toBeCloseTo(1, 2);
    }
  });

  it.each(WAV_CODINGS)('of the loudest samples as %s does not wrap around', async (coding) => {
    const { pcm } = await clipOfWav(wavFile([-1, 1, -2, 2, 0], coding));
    const [low, high, lower, higher, zero] = pcm;
    expect([low, lower, zero]).toEqual([-32_768, -32_768, 0]);
    expect([high, higher]).toEqual(coding === 'u8' ? [32_512, 32_512] : [32_767, 32_767]);
  });

  it.each(WAV_RATES)('at %i Hz keeps its sound and length', async (rate) => {
    for (const coding of ['s16', 's24', 'f32'] as const) {
      const { pcm } = await clipOfWav(wavFile(sine(rate), coding, { rate }));
      expect(pcm).toHaveLength(8_000);
      const { snrDb, amplitude } = sineIn(pcm, 1_000);
      expect(snrDb).toBeGreaterThan(60);
      expect(20 * Math.log10(amplitude / 16_384)).toBeCloseTo(0, 1);
    }
  });

  it('of NaN floats is silence', async () => {
    const { pcm } = await clipOfWav(
      wavFile([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], 'f32'),
    );
    expect([...pcm]).toEqual([0, 32_767, -32_768]);
  });
});

describe('a hostile WAV file', () => {
  const whole = wavFile(sine(8_000), 's16');
  const patched = (patch: (wav: Buffer) => void, wav = whole) => {
    const copy = Buffer.from(wav);
    patch(copy);
    return copy;
  };

  it.each<[string, string, Buffer]>([
    ['is no WAV file', 'RIFF and WAVE', Buffer.from('RIFX....WAVE')],
    ['is cut within its format', 'a whole format', Buffer.from(whole.subarray(0, 30))],
    ['is cut before its audio', 'data', Buffer.from(whole.subarray(0, 40))],
    ['has no audio', 'at least one sample', Buffer.from(whole.subarray(0, 44))],
    [
      'has audio and no format',
      'a format before the data',
      chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), chunk('data', Buffer.alloc(16))])),
    ],
    ['has no channels', 'one or two channels', patched((wav) => wav.writeUInt16LE(0, 22))],
    ['has 65,535 channels', 'one or two channels', patched((wav) => wav.writeUInt16LE(65_535, 22))],
    ['has no rate', 'one of 8000', patched((wav) => wav.writeUInt32LE(0, 24))],
    ['has a rate of four gigahertz', 'one of 8000', patched((wav) => wav.writeUInt32LE(0xffff_ffff, 24))],
    [
      'has samples in wider places',
      '2 bytes for 1 times 16 bits',
      patched((wav) => wav.writeUInt16LE(4, 32)),
    ],
    [
      'has samples of no bits',
      'PCM',
      patched((wav) => {
        wav.writeUInt16LE(0, 34);
        wav.writeUInt16LE(0, 32);
      }),
    ],
    [
      'has samples of 20 bits',
      'PCM',
      patched((wav) => {
        wav.writeUInt16LE(20, 34);
        wav.writeUInt16LE(0, 32);
      }),
    ],
    ['has floats of 16 bits', 'float', patched((wav) => wav.writeUInt16LE(3, 20))],
    ['is of a codec that nobody knows', 'format 85', patched((wav) => wav.writeUInt16LE(85, 20))],
    ['has an extensible format cut short', 'a whole format', patched((wav) => wav.writeUInt16LE(0xfffe, 20))],
    [
      'is nothing but chunks',
      'audio within 1000 chunks',
      chunk(
        'RIFF',
        Buffer.concat([Buffer.from('WAVE'), ...Array<Buffer>(200_000).fill(chunk('junk', Buffer.alloc(0)))]),
      ),
    ],
  ])('that %s is refused by what it lacks', async (_, what, wav) => {
    await expect(clipOfWav(wav)).rejects.toMatchObject({
      ...{ code: 'GW_WAV_INVALID', status: 400, name: 'GatewayError' },
      message: expect.stringMatching(/^Expected .* for a WAV file but received /),
    });
    await expect(clipOfWav(wav)).rejects.toThrow(what);
  });

  it('has no more audio than it holds, whatever it claims', async () => {
    const at = whole.indexOf('data') + 4;
    for (const size of [0, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff]) {
      expect((await clipOfWav(patched((wav) => wav.writeUInt32LE(size, at)))).pcm).toHaveLength(8_000);
    }
    const long = wavFile(sine(8_000), 's16', { isRf64: true });
    const lengths = long.indexOf('ds64') + 8;
    const huge = patched((wav) => wav.writeBigUInt64LE(2n ** 64n - 1n, lengths + 8), long);
    // The file claims the next chunk as audio.
    expect((await clipOfWav(huge)).pcm.length).toBe(8_000 + 204);
  });
});
