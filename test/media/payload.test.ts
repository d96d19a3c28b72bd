import { describe, expect, test } from 'vitest';
import { alawToPcm, createTranscoder, mulawToPcm, type PayloadFormat, pcmToAlaw } from '../../src/index.js';
import { core, info, message, samples } from '../../src/media/thread-core.js';
import { amplitudeAt, decibels, media, noise, randomBytes, STREAM_SID, tone } from '../support/media.js';

/**
 * A-law by the decision values of ITU-T G.711 table 1a: in units of 1/4096 of full scale, thirteen segments of one line, the
 * two around zero of the same step.
 */
function alawOf(sample: number): number {
  const negative = sample < 0;
  const magnitude = Math.min(negative ? -sample - 1 : sample, 32_767);
  const starts = [0, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384];
  const segment = starts.findLastIndex((start) => magnitude >= start);
  const step = segment === 0 ? 16 : (starts[segment] as number) / 16;
  const code = segment * 16 + Math.floor((magnitude - (starts[segment] as number)) / step);
  return (code | (negative ? 0 : 0x80)) ^ 0x55;
}

describe('A-law', () => {
  test('is that of G.711 for every sample', () => {
    const every = Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768);
    expect(Buffer.compare(pcmToAlaw(every), Uint8Array.from(every, alawOf))).toBe(0);
  });

  test('decodes every byte to the middle of its step', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const pcm = alawToPcm(bytes);
    expect(pcmToAlaw(pcm)).toEqual(bytes);
    expect([Math.min(...pcm), Math.max(...pcm)]).toEqual([-32_256, 32_256]);
    const every = Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768);
    const codes = pcmToAlaw(every);
    for (let code = 0; code < 256; code++) {
      const own = every.filter((_, i) => codes[i] === code);
      const [low, high] = [own[0] as number, own.at(-1) as number];
      expect(Math.abs((pcm[code] as number) - (low + high) / 2), `byte ${code}`).toBeLessThanOrEqual(0.5);
    }
  });

  test('refuses other types and too little room', () => {
    expect(() => alawToPcm(Int16Array.of(1) as never)).toThrow(
      new TypeError('Expected a Uint8Array for bytes but received Int16Array of 2 bytes'),
    );
    expect(() => pcmToAlaw('pcm' as never)).toThrow(TypeError);
    expect(() => core.decodeAlaw(new Uint8Array(3), new Int16Array(2))).toThrow(RangeError);
    expect(() => core.encodeAlaw(new Int16Array(3), new Uint8Array(2))).toThrow(RangeError);
  });
});

const WIDE: readonly PayloadFormat[] = ['l16', 'l16le'];

/** Linear samples as payload. */
function linear(format: PayloadFormat, pcm: Int16Array): Uint8Array {
  const bytes = Buffer.alloc(2 * pcm.length);
  for (const [i, sample] of pcm.entries()) {
    if (format === 'l16') bytes.writeInt16BE(sample, 2 * i);
    else bytes.writeInt16LE(sample, 2 * i);
  }
  return bytes;
}

function bound(format: PayloadFormat) {
  const transcoder = createTranscoder({ format });
  transcoder.bind(STREAM_SID);
  return transcoder;
}

describe.each(WIDE)('%s', (format) => {
  test('goes through the same filter as µ-law', () => {
    const mulaw = randomBytes(480, 1);
    const wide = linear(format, mulawToPcm(mulaw));
    const [ours, theirs] = [bound(format), bound('mulaw')];
    expect(theirs.receive(media({ payload: mulaw }))).toBe(2_880);
    const wanted = samples.slice(0, 2_880);
    expect(ours.receive(media({ payload: wide }))).toBe(2_880);
    expect(samples.slice(0, 2_880)).toEqual(wanted);
    expect(info[1]).toBe(960);
  });

  test('counts its timeline in samples: a gap is filled, what follows on time is not', () => {
    const transcoder = bound(format);
    const frame = linear(format, new Int16Array(160));
    expect(transcoder.receive(media({ payload: frame, timestamp: 0 }))).toBe(960);
    expect(transcoder.receive(media({ payload: frame, timestamp: 20 }))).toBe(960);
    expect(transcoder.receive(media({ payload: frame, timestamp: 80 }))).toBe(960 + 40 * 48);
    expect([...info]).toEqual([80, 320, 40, 4]);
  });

  test('rejects a payload that ends within a sample', () => {
    const transcoder = bound(format);
    expect(transcoder.receive(media({ payload: new Uint8Array(321) }))).toBe(-1);
    expect(transcoder.receivePayload(new TextEncoder().encode('AA=='), 0)).toBe(-1);
    expect(() => transcoder.decode(new Uint8Array(3), new Int16Array(18))).toThrow(
      new RangeError('Expected a multiple of 2 bytes for payload but received 3 bytes'),
    );
    expect(transcoder.decode(new Uint8Array(4), new Int16Array(12))).toBe(12);
  });

  test('goes out whole: what the filter gives, in its byte order, up to the largest message', () => {
    const pcm = noise(48_000, 3);
    const narrow = new Int16Array(8_000);
    new core.Downsampler().process(pcm, narrow);
    const transcoder = bound(format);
    const { media: sent } = JSON.parse(Buffer.from(message.subarray(0, transcoder.transmit(pcm))).toString());
    expect(Buffer.from(sent.payload, 'base64').equals(linear(format, narrow))).toBe(true);
    const bytes = new Uint8Array(16_000);
    expect(bound(format).encode(pcm, bytes)).toBe(16_000);
    expect(Buffer.compare(bytes, linear(format, narrow))).toBe(0);
    expect(() => transcoder.encode(new Int16Array(12), new Uint8Array(3))).toThrow(
      new RangeError('Expected room for 4 bytes for out but received 3 bytes'),
    );
  });

  test('comes in rounded to 14 bits: noise 84 dB below a tone', () => {
    const pcm = tone(1_000, 8_000, 8_000, 29_000);
    const out = new Int16Array(48_000);
    createTranscoder({ format }).decode(linear(format, pcm), out);
    const settled = out.subarray(24_000);
    const level = amplitudeAt(1_000, 48_000, settled);
    const power = settled.reduce((sum, sample) => sum + sample * sample, 0) / settled.length;
    const signal = (level * level) / 2;
    expect(decibels(Math.sqrt(signal / (power - signal)))).toBeGreaterThan(82);
    const loud = Int16Array.of(32_767, 32_766, -32_768, 2, 1, -1, -2, -3);
    const [one, other] = [new Int16Array(48), new Int16Array(48)];
    createTranscoder({ format }).decode(linear(format, loud), one);
    new core.Upsampler().process(Int16Array.of(32_764, 32_764, -32_768, 4, 0, 0, 0, -4), other);
    expect(one).toEqual(other);
  });
});

test('A-law goes through a transcoder both ways', () => {
  const transcoder = bound('alaw');
  const payload = pcmToAlaw(tone(440, 8_000, 160, 9_000));
  expect(transcoder.receive(media({ payload }))).toBe(960);
  const wanted = new Int16Array(960);
  new core.Upsampler().process(alawToPcm(payload), wanted);
  expect(samples.slice(0, 960)).toEqual(wanted);
  const narrow = new Int16Array(160);
  new core.Downsampler().process(wanted, narrow);
  const { media: sent } = JSON.parse(
    Buffer.from(message.subarray(0, transcoder.transmit(wanted))).toString(),
  );
  expect(Buffer.compare(Buffer.from(sent.payload, 'base64'), pcmToAlaw(narrow))).toBe(0);
});

test.each(['pcma', 5, null])('%s is no format', (format) => {
  expect(() => createTranscoder({ format: format as never })).toThrow(
    /^Expected mulaw, alaw, l16 or l16le for format/,
  );
  expect(() => new core.Transcoder(format as never)).toThrow(
    /^Expected mulaw, alaw, l16 or l16le for format/,
  );
});
