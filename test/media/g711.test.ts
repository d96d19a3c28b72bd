import { describe, expect, test } from 'vitest';
import { mulawToPcm, pcmToMulaw, TWILIO_SAMPLE_RATE } from '../../src/media/g711.js';
import { core } from '../../src/media/thread-core.js';
import { sha256 } from '../support/media.js';

const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
const everySample = Int16Array.from({ length: 65_536 }, (_, index) => index - 32_768);

describe('G.711 µ-law', () => {
  test('decodes all 256 bytes as the ITU does', () => {
    expect(sha256(mulawToPcm(everyByte))).toBe(
      '3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827',
    );
  });

  test('encodes all 65,536 samples as the ITU does', () => {
    expect(sha256(pcmToMulaw(everySample))).toBe(
      '90c29de505fb68e766118303bd552a16005dcf810873698bee1d8f3b247ce28c',
    );
  });

  test('knows the corners of the scale', () => {
    expect([...pcmToMulaw(Int16Array.of(0, 3, 4, -1, -4, -5, 32_767, -32_768))]).toEqual([
      0xff, 0xff, 0xfe, 0x7f, 0x7f, 0x7e, 0x80, 0x00,
    ]);
    expect([...mulawToPcm(Uint8Array.of(0xff, 0x7f, 0x80, 0x00))]).toEqual([0, 0, 32_124, -32_124]);
  });

  test('gives back every byte it decoded, but for the second zero', () => {
    const again = pcmToMulaw(mulawToPcm(everyByte));
    expect([...again]).toEqual([...everyByte].map((byte) => (byte === 0x7f ? 0xff : byte)));
  });

  test('reads views in place and leaves the rest of `out` alone', () => {
    const bytes = Uint8Array.of(1, 0x80, 0, 2).subarray(1, 3);
    const out = new Int16Array(4).fill(7);
    expect(core.decodeMulaw(bytes, out)).toBe(2);
    expect([...out]).toEqual([32_124, -32_124, 7, 7]);
  });

  test('gives an empty output for an empty input', () => {
    expect(mulawToPcm(new Uint8Array(0))).toHaveLength(0);
    expect(pcmToMulaw(new Int16Array(0))).toHaveLength(0);
    expect(TWILIO_SAMPLE_RATE).toBe(8000);
  });

  test('refuses other types and short outputs', () => {
    expect(() => mulawToPcm(Int16Array.of(1) as never)).toThrow(
      new TypeError('Expected a Uint8Array for bytes but received Int16Array of 2 bytes'),
    );
    expect(() => pcmToMulaw('pcm' as never)).toThrow(
      new TypeError('Expected an Int16Array for pcm but received "pcm"'),
    );
    expect(() => core.decodeMulaw(new Uint8Array(3), new Int16Array(2))).toThrow(
      new RangeError('Expected room for 3 samples for out but received 2 samples'),
    );
    expect(() => core.encodeMulaw(new Int16Array(3), new Uint8Array(2))).toThrow(RangeError);
    expect(() => core.encodeMulaw(new Int16Array(3), undefined as never)).toThrow(
      new TypeError('Expected a Uint8Array for out but received undefined'),
    );
  });
});
