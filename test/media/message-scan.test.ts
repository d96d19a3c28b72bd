import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Transcoder } from '../../src/media/core.js';
import { core, info, samples } from '../../src/media/thread-core.js';
import { media, mediaText, randomBytes, STREAM_SID } from '../support/media.js';

const PAYLOAD = randomBytes(160, 5);
const CANONICAL = mediaText({ payload: PAYLOAD, timestamp: 100 });

function bound(): Transcoder {
  const transcoder = new core.Transcoder();
  transcoder.bind(STREAM_SID);
  return transcoder;
}

const bytes = (text: string) => new TextEncoder().encode(text);

/** The output of a message, or null where it is not plain. */
function received(transcoder: Transcoder, message: ArrayBuffer | ArrayBufferView): Int16Array | null {
  const count = transcoder.receive(message);
  return count < 0 ? null : samples.slice(0, count);
}

/** Equality for thousands of frames; toEqual would take seconds over them. */
function same(a: Int16Array | null, b: Int16Array | null): boolean {
  return a === null || b === null
    ? a === b
    : a.length === b.length && a.every((sample, n) => sample === b[n]);
}

/** The slow path: a JSON parser on the same bytes. Null for anything but audio of this stream. */
function parsed(transcoder: Transcoder, message: Uint8Array): Int16Array | null {
  const { event, streamSid, media } = JSON.parse(new TextDecoder().decode(message));
  if (event !== 'media' || streamSid !== STREAM_SID || media.track !== 'inbound') return null;
  const count = transcoder.receivePayload(Buffer.from(media.payload, 'latin1'), Number(media.timestamp));
  return count < 0 ? null : samples.slice(0, count);
}

describe('a plain message', () => {
  test("is taken as in Twilio's own example", () => {
    const transcoder = bound();
    const text =
      '{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"5",' +
      `"payload":"no+JhoaJjpz/"},"streamSid":"${STREAM_SID}"}`;
    expect(transcoder.receive(bytes(text))).toBe(54);
    expect([...info]).toEqual([5, 9, 0, 4]);
  });

  test("is taken with the key order of the documentation's table", () => {
    const text =
      `{"event":"media","sequenceNumber":"9","streamSid":"${STREAM_SID}","media":{"track":"inbound","chunk":"8",` +
      `"timestamp":"160","payload":"${Buffer.from(PAYLOAD).toString('base64')}"}}`;
    const wanted = received(bound(), media({ payload: PAYLOAD }));
    expect(received(bound(), bytes(text))).toEqual(wanted);
    expect([...info]).toEqual([160, 160, 0, 9]);
  });

  test('is taken from an ArrayBuffer and from any view of one', () => {
    const message = bytes(CANONICAL);
    const wanted = received(bound(), message);
    const offset = new Uint8Array(message.length + 8);
    offset.set(message, 3);
    const shared = new Uint8Array(new SharedArrayBuffer(message.length));
    shared.set(message);
    for (const same of [
      message.buffer,
      Buffer.from(message),
      offset.subarray(3, 3 + message.length),
      new DataView(offset.buffer, 3, message.length),
      shared,
    ]) {
      expect(received(bound(), same)).toEqual(wanted);
    }
    const digits = message.length % 2 === 0 ? 1 : 2; // a view of words needs an even length
    const even = bytes(CANONICAL.replace('"sequenceNumber":"4"', `"sequenceNumber":"${'4'.repeat(digits)}"`));
    const words = new Uint16Array(even.buffer, 0, even.length / 2);
    expect(bound().receive(words)).toBe(960);
  });

  test.each([0, 1, 2, 3, 159, 161, 320, 8000, 48_900])('may carry %i bytes', (count) => {
    expect(bound().receive(media({ payload: new Uint8Array(count) }))).toBe(6 * count);
    expect(info[1]).toBe(count);
  });

  test('may be 64 KiB long and not a byte more', () => {
    const room = 65_536 - mediaText().length;
    const fitting = 'A'.repeat(Math.floor(room / 4) * 4);
    const counter = 1 + room - fitting.length;
    expect(mediaText({ payload: fitting, sequenceNumber: '1'.repeat(counter) })).toHaveLength(65_536);
    expect(bound().receive(media({ payload: fitting, sequenceNumber: '1'.repeat(counter) }))).toBe(
      (fitting.length / 4) * 18,
    );
    expect(bound().receive(media({ payload: fitting, sequenceNumber: '1'.repeat(counter + 1) }))).toBe(-1);
  });

  test('has counters of 1 to 15 digits', () => {
    expect(bound().receive(media({ sequenceNumber: '9'.repeat(15), timestamp: '0'.repeat(15) }))).toBe(0);
    expect([...info]).toEqual([0, 0, 0, 999_999_999_999_999]);
    for (const counter of ['', '1'.repeat(16), '-1', '+1', '1.5', '1e3', ' 1', '１']) {
      expect(bound().receive(media({ sequenceNumber: counter })), counter).toBe(-1);
      expect(bound().receive(media({ chunk: counter })), counter).toBe(-1);
      expect(bound().receive(media({ timestamp: counter })), counter).toBe(-1);
    }
  });
});

describe('an unusual message', () => {
  const base64 = Buffer.from(PAYLOAD).toString('base64');
  const unusual: Record<string, string> = {
    'nothing at all': '',
    'not JSON': 'media',
    'a space after a colon': CANONICAL.replace('"event":', '"event": '),
    'a space before it': ` ${CANONICAL}`,
    'a newline after it': `${CANONICAL}\n`,
    'two messages in one': CANONICAL + CANONICAL,
    'cut at the end': CANONICAL.slice(0, -1),
    'cut at the start': CANONICAL.slice(1),
    'another event': CANONICAL.replace('"media"', '"Media"'),
    'the outbound track': mediaText({ payload: PAYLOAD, track: 'outbound' }),
    'another stream': mediaText({ payload: PAYLOAD, streamSid: STREAM_SID.replace('18', '81') }),
    'another stream, its SID first':
      `{"event":"media","sequenceNumber":"4","streamSid":"${STREAM_SID.replace('18', '81')}","media":{"track":"inbound",` +
      `"chunk":"2","timestamp":"100","payload":"${base64}"}}`,
    'a longer SID': mediaText({ payload: PAYLOAD, streamSid: `${STREAM_SID}0` }),
    'a shorter SID': mediaText({ payload: PAYLOAD, streamSid: STREAM_SID.slice(0, -1) }),
    'an escape in the payload': CANONICAL.replace(base64, base64.replace('A', '\\u0041')),
    'an escaped slash': CANONICAL.replace(base64, `${base64.slice(0, -4)}AA\\/A`),
    'an escaped key': CANONICAL.replace('"event"', '"\\u0065vent"'),
    'a number for a counter': CANONICAL.replace('"timestamp":"100"', '"timestamp":100'),
    'keys in another order': JSON.stringify({
      streamSid: STREAM_SID,
      event: 'media',
      media: { payload: base64 },
    }),
    'media keys in another order': CANONICAL.replace(
      '"track":"inbound","chunk":"2"',
      '"chunk":"2","track":"inbound"',
    ),
    'a key missing': CANONICAL.replace('"chunk":"2",', ''),
    'a key too many': CANONICAL.replace('"media":{', '"extra":1,"media":{'),
    'a key too many at the end': CANONICAL.replace(/\}$/, ',"extra":1}'),
    'a second payload': CANONICAL.replace('"payload":', '"payload":"AAAA","payload":'),
    'both places for the SID': CANONICAL.replace('"media":{', `"streamSid":"${STREAM_SID}","media":{`),
    'base64 without its padding': CANONICAL.replace(base64, base64.replace(/=+$/, '')),
    base64url: CANONICAL.replace(base64, `${base64.slice(0, -4)}-_-_`),
    'base64 with a newline': CANONICAL.replace(base64, `${base64.slice(0, 76)}\n${base64.slice(76)}`),
    'base64 with unused bits': CANONICAL.replace(base64, `${base64.slice(0, -4)}AAB=`),
    'a byte that is not ASCII': CANONICAL.replace('chunk', 'chünk'),
  };

  test.each(Object.entries(unusual))('%s is not plain and changes nothing', (_, text) => {
    const touched = bound();
    const twin = bound();
    const first = media({ payload: randomBytes(160, 6), timestamp: 60 });
    const next = media({ payload: randomBytes(160, 7), timestamp: 260 });
    expect(received(touched, first)).toEqual(received(twin, first));
    const before = [samples.slice(0, 2000), info.slice()];
    expect(touched.receive(bytes(text))).toBe(-1);
    expect([samples.slice(0, 2000), info.slice()]).toEqual(before);
    // The gap before `next` would differ if the timeline had moved, its sound if the filter had.
    expect(received(touched, next)).toEqual(received(twin, next));
    expect(info[2]).toBe(180);
  });

  test('never crashes the scan, and never gives other values than JSON.parse', () => {
    const fragments = [
      '"',
      '\\',
      '{',
      '}',
      ',',
      ':',
      ' ',
      '=',
      '\u0000',
      '"media"',
      '"payload":"',
      STREAM_SID,
      '1',
    ];
    const edit = fc.record({
      at: fc.nat({ max: CANONICAL.length - 1 }),
      drop: fc.nat({ max: 6 }),
      put: fc.oneof(fc.constantFrom('', ...fragments), fc.string({ maxLength: 3, unit: 'binary-ascii' })),
    });
    const fast = bound();
    const slow = bound();
    let taken = 0;
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        let text = CANONICAL;
        for (const { at, drop, put } of edits) text = text.slice(0, at) + put + text.slice(at + drop);
        const message = bytes(text);
        const output = received(fast, message);
        if (output !== null) {
          taken++;
          expect(same(output, parsed(slow, message))).toBe(true);
        }
        const probe = media({ payload: PAYLOAD, timestamp: 500 });
        expect(same(received(fast, probe), received(slow, probe))).toBe(true);
      }),
      { numRuns: 4000 },
    );
    // Edits of digits and of base64 characters leave a message plain, so both branches have been seen.
    expect(taken).toBeGreaterThan(50);
    expect(taken).toBeLessThan(3000);
  });

  test('of random bytes is not plain', () => {
    const transcoder = bound();
    for (let seed = 1; seed < 300; seed++) expect(transcoder.receive(randomBytes(seed * 7, seed))).toBe(-1);
  });
});

test('the slow path agrees with the fast one message by message', () => {
  const fast = bound();
  const slow = bound();
  const timestamps = [0, 20, 40, 60, 260, 280, 1000, 1020, 20, 40, 60, 60, 80];
  for (const [index, timestamp] of timestamps.entries()) {
    const message = media({
      payload: randomBytes(160 - (index % 3), index + 1),
      timestamp,
      sequenceNumber: index,
    });
    const output = received(fast, message);
    expect(info[3]).toBe(index);
    const facts = [...info.subarray(0, 3)];
    expect(output).toEqual(parsed(slow, message));
    expect([...info.subarray(0, 3)]).toEqual(facts);
    expect(info[3]).toBeNaN();
  }
});
