import { deepStrictEqual } from 'node:assert';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { Transcoder } from '../../src/media/core.js';
import { core, createTranscoder, frame, info, message, samples } from '../../src/media/thread-core.js';
import { media, mediaText, noise, randomBytes, resample, STREAM_SID, tone } from '../support/media.js';

function bound(): Transcoder {
  const transcoder = createTranscoder();
  transcoder.bind(STREAM_SID);
  return transcoder;
}

const SILENCE = 0xff;
/** What the filter looks back over, at 48 kHz. */
const MEMORY = 6 * 51;

/** Mu-law bytes as a fresh ×6 filter hears them. */
function heard(bytes: Uint8Array): Int16Array {
  const linear = new Int16Array(bytes.length);
  core.decodeMulaw(bytes, linear);
  return resample(new core.Upsampler(), 6, linear);
}

const joined = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const silence = (ms: number) => new Uint8Array(8 * ms).fill(SILENCE);

describe('receive', () => {
  test('is base64, µ-law and ×6, with state from message to message', () => {
    const transcoder = bound();
    const bytes = randomBytes(480, 1);
    const wanted = heard(bytes);
    for (let part = 0; part < 3; part++) {
      const payload = bytes.subarray(160 * part, 160 * (part + 1));
      expect(transcoder.receive(media({ payload, timestamp: 20 * part }))).toBe(960);
      deepStrictEqual(frame, wanted.subarray(960 * part, 960 * (part + 1)));
    }
  });

  test('gives the same audio however it is cut into messages', () => {
    const transcoder = bound();
    const bytes = randomBytes(1000, 2);
    const wanted = heard(bytes);
    let position = 0;
    for (const size of [1, 7, 8, 0, 163, 320, 501]) {
      const payload = bytes.subarray(position, position + size);
      const timestamp = Math.floor(position / 8);
      expect(transcoder.receive(media({ payload, timestamp }))).toBe(6 * size);
      deepStrictEqual(samples.subarray(0, 6 * size), wanted.subarray(6 * position, 6 * (position + size)));
      position += size;
    }
    expect(position).toBe(1000);
  });

  test('fills the largest message and the longest gap to the last sample of the slab', () => {
    const transcoder = bound();
    const room = 65_536 - mediaText({ timestamp: 99_999 }).length;
    const payload = randomBytes(Math.floor(room / 4) * 3, 3);
    transcoder.receive(media({ payload: new Uint8Array(0), timestamp: 0 }));
    const count = 6 * (1600 + payload.length);
    expect(transcoder.receive(media({ payload, timestamp: 99_999 }))).toBe(count);
    deepStrictEqual(samples.subarray(9_600 + MEMORY, count), heard(payload).subarray(MEMORY));
    expect(count).toBeLessThanOrEqual(samples.length);

    const slow = bound();
    slow.receivePayload(new Uint8Array(0), 0);
    const longest = Buffer.from(randomBytes(49_152, 4)).toString('base64');
    expect(slow.receivePayload(Buffer.from(longest), 99_999)).toBe(samples.length);
    expect(slow.receivePayload(Buffer.from(`${longest}AAAA`), 99_999)).toBe(-1);
  });
});

describe('the timeline', () => {
  const first = randomBytes(160, 11);
  const second = randomBytes(160, 12);

  /** The second of two messages of 20 ms, the first at 1000 ms: samples, and ms filled in before it. */
  function follow(timestamp: number): { output: Int16Array; filled: number | undefined } {
    const transcoder = bound();
    transcoder.receive(media({ payload: first, timestamp: 1000 }));
    const count = transcoder.receive(media({ payload: second, timestamp }));
    return { output: samples.slice(0, count), filled: info[2] };
  }

  /** What is heard after `first` if nothing is missing. */
  const followed = heard(joined(first, second)).subarray(960);

  test.each([
    ['on time', 1020, 0],
    ['less than a frame late', 1039, 0],
    ['a frame late', 1040, 20],
    ['two frames and a bit late', 1065, 45],
    ['200 ms late', 1220, 200],
    ['a second late', 2020, 200],
    ['absurdly late', 999_999_999_999_999, 200],
    ['early', 1010, 0],
    ['the same again', 1000, 0],
    ['back at the start', 0, 0],
  ])('%s: fills what is missing, and changes nothing after it', (_, timestamp, gap) => {
    const { output, filled } = follow(timestamp);
    expect(filled).toBe(gap);
    expect(output.length).toBe(48 * gap + 960);
    // The filter still has what was filled in.
    const from = gap > 0 ? MEMORY : 0;
    deepStrictEqual(output.subarray(48 * gap + from), followed.subarray(from));
    expect(info[0]).toBe(timestamp);
  });

  test('starts with the first message, wherever that is', () => {
    const transcoder = bound();
    expect(transcoder.receive(media({ payload: first, timestamp: 5000 }))).toBe(960);
    expect([...info]).toEqual([5000, 160, 0, 4]);
  });

  test('continues after a step back', () => {
    const transcoder = bound();
    const at = (timestamp: number) => {
      transcoder.receive(media({ payload: first, timestamp }));
      return info[2];
    };
    expect([at(1000), at(200), at(220), at(260), at(280)]).toEqual([0, 0, 0, 20, 0]);
  });

  test('knows durations to the byte', () => {
    const transcoder = bound();
    transcoder.receive(media({ payload: new Uint8Array(4), timestamp: 0 }));
    transcoder.receive(media({ payload: first, timestamp: 20 }));
    expect(info[2]).toBe(0); // 19.5 ms are missing
    transcoder.receive(media({ payload: first, timestamp: 61 }));
    expect(info[2]).toBe(21);
  });

  test('treats a missing timestamp as on time', () => {
    const transcoder = bound();
    const base64 = Buffer.from(Buffer.from(first).toString('base64'));
    const at = (timestamp: number) => {
      expect(transcoder.receivePayload(base64, timestamp)).toBe(6 * (160 + 8 * (info[2] ?? 0)));
      return [info[0], info[2]];
    };
    expect(at(Number.NaN)).toEqual([Number.NaN, 0]);
    expect(at(100)).toEqual([100, 0]);
    for (const [index, missing] of [Number.NaN, Number.POSITIVE_INFINITY, -1, 2 ** 53].entries()) {
      expect(at(missing)).toEqual([120 + 20 * index, 0]);
    }
    expect(at(220)).toEqual([220, 20]);
  });

  test('is forgotten by bind, the filter is not', () => {
    const transcoder = bound();
    transcoder.receive(media({ payload: first, timestamp: 0 }));
    transcoder.bind('MZother');
    expect(transcoder.receive(media({ payload: second, timestamp: 9000 }))).toBe(-1);
    expect(transcoder.receive(media({ payload: second, timestamp: 9000, streamSid: 'MZother' }))).toBe(960);
    deepStrictEqual(frame, followed);
  });

  test('does not advance on bad base64', () => {
    const transcoder = bound();
    transcoder.receive(media({ payload: first, timestamp: 1000 }));
    expect(transcoder.receivePayload(Buffer.from('AAAAA'), 1500)).toBe(-1);
    expect(transcoder.receive(media({ payload: second, timestamp: 1020 }))).toBe(960);
    deepStrictEqual(frame, followed);
  });
});

describe('transmit', () => {
  const textOf = (length: number) => Buffer.from(message.subarray(0, length)).toString('latin1');
  const encoded = (pcm: Int16Array) => {
    const narrow = resample(new core.Downsampler(), 1 / 6, pcm);
    const bytes = Buffer.alloc(narrow.length);
    core.encodeMulaw(narrow, bytes);
    return bytes;
  };

  test('writes exactly the message that Twilio documents', () => {
    const pcm = tone(440, 48_000, 960);
    const payload = encoded(pcm).toString('base64');
    expect(textOf(bound().transmit(pcm))).toBe(
      `{"event":"media","streamSid":"${STREAM_SID}","media":{"payload":"${payload}"}}`,
    );
  });

  test.each([6, 12, 18, 954, 966, 48_000])('takes %i samples', (count) => {
    const pcm = noise(count, count);
    const text = textOf(bound().transmit(pcm));
    expect(JSON.parse(text)).toEqual({
      event: 'media',
      streamSid: STREAM_SID,
      media: { payload: encoded(pcm).toString('base64') },
    });
  });

  test('keeps its state from frame to frame', () => {
    const transcoder = bound();
    const pcm = noise(2880, 7);
    const parts = [0, 1, 2].map((part) => {
      const length = transcoder.transmit(pcm.subarray(960 * part, 960 * (part + 1)));
      return Buffer.from(JSON.parse(textOf(length)).media.payload, 'base64');
    });
    expect(Buffer.concat(parts)).toEqual(encoded(pcm));
  });

  test('has room for the longest SID and the longest audio', () => {
    const transcoder = createTranscoder();
    transcoder.bind('M'.repeat(64));
    const length = transcoder.transmit(noise(48_000, 8));
    expect(length).toBeLessThanOrEqual(message.length);
    expect(JSON.parse(textOf(length)).streamSid).toBe('M'.repeat(64));
  });

  test('can send back straight from the slab what was just received', () => {
    const transcoder = bound();
    const payload = randomBytes(160, 9);
    transcoder.receive(media({ payload }));
    const length = transcoder.transmit(frame);
    expect(Buffer.from(JSON.parse(textOf(length)).media.payload, 'base64')).toEqual(encoded(heard(payload)));
  });

  test.each([0, 1, 5, 7, 959, 48_006])('refuses %i samples', (count) => {
    expect(() => bound().transmit(new Int16Array(count))).toThrow(
      new RangeError(
        `Expected a multiple of 6 from 6 to 48000 samples for pcm but received ${count} samples`,
      ),
    );
  });
});

describe('decode and encode', () => {
  test('are the same audio without messages', () => {
    const transcoder = createTranscoder();
    const bytes = randomBytes(500, 21);
    const out = new Int16Array(3001);
    expect(transcoder.decode(bytes, out)).toBe(3000);
    deepStrictEqual(out.subarray(0, 3000), heard(bytes));
    expect(out[3000]).toBe(0);
    const back = new Uint8Array(500);
    expect(transcoder.encode(out.subarray(0, 3000), back)).toBe(500);
    expect(transcoder.encode(new Int16Array(0), back)).toBe(0);
  });

  test('share the filters with receive and transmit', () => {
    const transcoder = bound();
    const bytes = randomBytes(320, 22);
    transcoder.receive(media({ payload: bytes.subarray(0, 160) }));
    const out = new Int16Array(960);
    transcoder.decode(bytes.subarray(160), out);
    deepStrictEqual(out, heard(bytes).subarray(960));
  });

  test('refuse what does not fit', () => {
    const transcoder = createTranscoder();
    expect(() => transcoder.decode(new Uint8Array(2), new Int16Array(11))).toThrow(
      new RangeError('Expected room for 12 samples for out but received 11 samples'),
    );
    expect(() => transcoder.encode(new Int16Array(12), new Uint8Array(1))).toThrow(RangeError);
    expect(() => transcoder.encode(new Int16Array(13), new Uint8Array(9))).toThrow(
      new RangeError('Expected a multiple of 6 samples for pcm but received 13 samples'),
    );
  });
});

describe('at its edge a transcoder', () => {
  test.each([
    [undefined, 'undefined'],
    [null, 'null'],
    [5, '5'],
    ['event: media', '"event: media"'],
    [Symbol('x'), 'a symbol'],
    [() => 0, 'a function'],
    [{ byteLength: 8 }, 'Object'],
    [[1, 2], 'Array'],
  ])('refuses a message %s', (value, described) => {
    expect(() => bound().receive(value as never)).toThrow(
      new TypeError(`Expected an ArrayBuffer or a view of one for message but received ${described}`),
    );
  });

  test('refuses other types for audio, text and time', () => {
    const transcoder = bound();
    expect(() => transcoder.transmit(new Uint16Array(960) as never)).toThrow(
      new TypeError('Expected an Int16Array for pcm but received Uint16Array of 1920 bytes'),
    );
    expect(() => transcoder.receivePayload('AAAA' as never, 0)).toThrow(
      new TypeError('Expected a Uint8Array for base64 but received "AAAA"'),
    );
    expect(() => transcoder.receivePayload(new Uint8Array(0), '0' as never)).toThrow(
      new TypeError('Expected a number for timestampMs but received "0"'),
    );
    expect(() => transcoder.bind(7 as never)).toThrow(
      new TypeError('Expected a string for streamSid but received 7'),
    );
  });

  test.each(['', 'x'.repeat(65), 'MZ 1', 'MZ"', 'MZ\\', 'MZé', 'MZ\0', 'MZ\n'])(
    'refuses the SID %j',
    (streamSid) => {
      const transcoder = bound();
      expect(() => transcoder.bind(streamSid)).toThrow(RangeError);
      expect(transcoder.receive(media({ payload: 'AAAA' }))).toBe(18); // still bound to the old one
    },
  );

  test('throws before it is bound to a stream', () => {
    const transcoder = createTranscoder();
    expect(() => transcoder.receive(media())).toThrow(
      expect.objectContaining({ code: 'GW_TRANSCODER_UNBOUND' }),
    );
    expect(() => transcoder.transmit(new Int16Array(6))).toThrow(
      expect.objectContaining({ code: 'GW_TRANSCODER_UNBOUND' }),
    );
  });

  test('survives memory that was transferred away', () => {
    const transcoder = bound();
    const gone = media({ payload: 'AAAA' });
    const pcm = new Int16Array(960);
    structuredClone([gone.buffer, pcm.buffer], { transfer: [gone.buffer as ArrayBuffer, pcm.buffer] });
    expect(transcoder.receive(gone)).toBe(-1);
    expect(transcoder.receive(gone.buffer as ArrayBuffer)).toBe(-1);
    expect(() => transcoder.transmit(pcm)).toThrow(RangeError);
    expect(transcoder.receive(new ArrayBuffer(0))).toBe(-1);
  });

  test('refuses every receiver that is not one, and a call without new', () => {
    const { receive, transmit, bind, close } = core.Transcoder.prototype as Transcoder;
    const transcoder = bound();
    const disguised = Object.setPrototypeOf(new core.Upsampler(), core.Transcoder.prototype);
    for (const other of [
      undefined,
      1,
      {},
      new core.Upsampler(),
      disguised,
      Object.create(transcoder),
      new Proxy(transcoder, {}),
    ]) {
      expect(() => receive.call(other, media())).toThrow(TypeError);
      expect(() => transmit.call(other, new Int16Array(6))).toThrow(TypeError);
      expect(() => bind.call(other, STREAM_SID)).toThrow(TypeError);
      expect(() => close.call(other)).toThrow(TypeError);
    }
    expect(() => (core.Transcoder as unknown as () => void)()).toThrow(TypeError);
    class Derived extends core.Transcoder {}
    const derived = new Derived();
    derived.bind(STREAM_SID);
    expect(derived.receive(media({ payload: 'AAAA' }))).toBe(18);
  });

  test('keeps streams apart', () => {
    const [a, b] = [bound(), bound()];
    a.receive(media({ payload: randomBytes(160, 31) }));
    b.receive(media({ payload: silence(20) }));
    expect(frame.every((sample) => sample === 0)).toBe(true);
  });
});

describe('the end of a transcoder', () => {
  test('close frees it at once, repeats harmlessly and ends every other method', () => {
    const before = core.liveTranscoders();
    const transcoder = bound();
    expect(core.liveTranscoders()).toBe(before + 1);
    transcoder.close();
    transcoder.close();
    expect(core.liveTranscoders()).toBe(before);
    const closed = expect.objectContaining({ code: 'GW_TRANSCODER_CLOSED' });
    expect(() => transcoder.bind(STREAM_SID)).toThrow(closed);
    expect(() => transcoder.receive(media())).toThrow(closed);
    expect(() => transcoder.receivePayload(new Uint8Array(0), 0)).toThrow(closed);
    expect(() => transcoder.transmit(new Int16Array(6))).toThrow(closed);
    expect(() => transcoder.decode(new Uint8Array(1), new Int16Array(6))).toThrow(closed);
    expect(() => transcoder.encode(new Int16Array(6), new Uint8Array(1))).toThrow(closed);
  });

  test('is collected without a reference, in use or closed', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const settle = async () => {
      for (let round = 0; round < 5; round++) {
        collect();
        await setImmediate();
      }
      return core.liveTranscoders();
    };
    const before = await settle();
    const text = media({ payload: randomBytes(160, 41) });
    // A function of its own, so that this one's frame does not hold the last of them.
    const abandon = (index: number) => {
      const transcoder = bound();
      transcoder.receive(text);
      if (index % 3 === 0) transcoder.close();
    };
    for (let index = 0; index < 5000; index++) abandon(index);
    expect(await settle()).toBe(before);
    expect(info[1]).toBe(160);
  });
});
