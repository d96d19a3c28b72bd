import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { core, createTranscoder, samples } from '../../src/media/thread-core.js';
import { media, randomBytes, STREAM_SID } from '../support/media.js';

const encode = (bytes: Uint8Array): string => {
  const out = Buffer.alloc(Math.ceil(bytes.length / 3) * 4);
  return out.toString('latin1', 0, core.encodeBase64(bytes, out));
};

/** The decoded bytes, or null where the core says -1. */
const decode = (text: string): Buffer | null => {
  const out = Buffer.alloc(Math.floor(text.length / 4) * 3);
  const length = core.decodeBase64(Buffer.from(text, 'latin1'), out);
  return length < 0 ? null : out.subarray(0, length);
};

describe('base64', () => {
  test('agrees with Buffer both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64');
        expect(encode(bytes)).toBe(text);
        expect(decode(text)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 500 },
    );
  });

  test('knows the vectors of RFC 4648', () => {
    for (const [plain, text] of [
      ['', ''],
      ['f', 'Zg=='],
      ['fo', 'Zm8='],
      ['foo', 'Zm9v'],
      ['foob', 'Zm9vYg=='],
      ['fooba', 'Zm9vYmE='],
      ['foobar', 'Zm9vYmFy'],
    ] as const) {
      expect(encode(Buffer.from(plain))).toBe(text);
      expect(decode(text)?.toString()).toBe(plain);
    }
  });

  test('accepts exactly the texts that encode something', () => {
    // Any four characters: strict base64 is what Buffer, which is lenient, would write back the same.
    const alphabet = [...'ABCDghijwxyz0189+/=-_ \n"\\\u0000\u00ff'];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...alphabet), { minLength: 0, maxLength: 12 }), (characters) => {
        const text = characters.join('');
        const strict = Buffer.from(text, 'base64').toString('base64') === text;
        expect(decode(text) !== null).toBe(strict);
      }),
      { numRuns: 5000 },
    );
  });

  test.each([
    'Zg',
    'Zg=',
    'Zg===',
    'Z===',
    '====',
    'Zh==',
    'Zm9=',
    'Zm9v=',
    'Zg==Zg==',
    'Z-8=',
    'Zm9v\n',
    'Zm 9',
  ])('refuses %j', (text) => {
    expect(decode(text)).toBeNull();
  });

  test('finds one bad character anywhere', () => {
    const good = Buffer.from(Buffer.alloc(90, 0x5a).toString('base64'), 'latin1');
    const valid = new Set(Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'));
    const out = new Uint8Array(90);
    for (let byte = 0; byte < 256; byte++) {
      for (const position of [0, 1, 2, 3, 61, 118]) {
        const text = Uint8Array.from(good);
        text[position] = byte;
        expect(core.decodeBase64(text, out) === 90, `${byte} at ${position}`).toBe(valid.has(byte));
      }
    }
  });

  test('refuses outputs that are too small', () => {
    expect(() => core.decodeBase64(Buffer.from('Zm9v'), new Uint8Array(2))).toThrow(RangeError);
    expect(() => core.encodeBase64(new Uint8Array(1), new Uint8Array(3))).toThrow(
      new RangeError('Expected room for 4 bytes for out but received 3 bytes'),
    );
  });
});

describe('the payload of a message that was parsed', () => {
  /** Samples heard of it, or -1; and with it how many bytes it had. */
  const heard = (text: string) => {
    const transcoder = createTranscoder();
    const count = transcoder.receivePayload(Buffer.from(text, 'latin1'), 0);
    return { count, pcm: samples.slice(0, Math.max(count, 0)) };
  };
  const lines = (text: string, end: string) => text.replace(/.{76}/g, `$&${end}`) + end;

  test('may lack padding and contain line breaks and spaces', () => {
    for (const size of [1, 2, 3, 160, 161, 162, 767, 768, 769, 770, 1_600, 3_072]) {
      const bytes = randomBytes(size, size);
      const text = Buffer.from(bytes).toString('base64');
      const bare = text.replaceAll('=', '');
      const wanted = heard(text);
      expect(wanted.count).toBe(6 * size);
      const others = [bare, lines(text, '\r\n'), lines(bare, '\n'), ` ${bare}\r`, [...text].join(' ')];
      if (text.endsWith('==')) others.push(`${bare}=`);
      for (const other of others) {
        expect(heard(other), JSON.stringify(other.slice(0, 100))).toEqual(wanted);
      }
    }
    expect(heard('\r\n \n').count).toBe(0);
  });

  test('is whole samples without its line breaks too', () => {
    const transcoder = createTranscoder({ format: 'l16' });
    expect(transcoder.receivePayload(Buffer.from('AAAA\nAA'), 0)).toBe(12);
    expect(transcoder.receivePayload(Buffer.from('AAAA\nAAA'), 0)).toBe(-1);
  });

  test.each([
    'A',
    'AAAAA',
    'AAA==',
    'AA===',
    'A===',
    '=',
    '====',
    'AB',
    'AAB',
    'AA=A',
    'AA==AAAA',
    'AA==\nAAAA',
    'AAA\tA',
    'AAA-',
    'AAA_',
    'AA\0A',
    'AAA\v',
    'AA%',
    `${'A'.repeat(1_023)}=${'A'.repeat(4)}`,
    `${'A'.repeat(1_022)}==AAAA`,
    `\n${'A'.repeat(1_024)}=`,
    `\n${'A'.repeat(1_023)}*${'A'.repeat(8)}`,
  ])('is refused where it is none: %j', (text) => {
    expect(heard(text).count).toBe(-1);
  });

  test('may be as long as a message, blanks included', () => {
    expect(heard(`AAAA${' '.repeat(65_532)}`).count).toBe(18);
    expect(heard(`AAAA${' '.repeat(65_533)}`).count).toBe(-1);
    expect(heard('A'.repeat(65_535)).count).toBe(6 * 49_151);
  });

  test('stays strict in messages that are not parsed', () => {
    const transcoder = createTranscoder();
    transcoder.bind(STREAM_SID);
    expect(transcoder.receive(media({ payload: 'AAAA' }))).toBe(18);
    for (const payload of ['AAA', 'AA', 'AAAA ', 'AA AA', 'AAA= '])
      expect(transcoder.receive(media({ payload })), payload).toBe(-1);
  });
});
