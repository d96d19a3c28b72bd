import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseInboundMessage } from '../../src/twilio/messages.js';

/** Twilio's own examples: twilio.com/docs/voice/media-streams/websocket-messages. */
const START = {
  event: 'start',
  sequenceNumber: '1',
  start: {
    accountSid: 'AC1',
    streamSid: 'MZ1',
    callSid: 'CA1',
    tracks: ['inbound'],
    mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
    customParameters: { FirstName: 'Jane' },
  },
  streamSid: 'MZ1',
};
const MEDIA = {
  event: 'media',
  sequenceNumber: '3',
  media: { track: 'outbound', chunk: '1', timestamp: '5', payload: 'no+JhoaJjpz' },
  streamSid: 'MZ1',
};
const STREAM = { streamSid: 'MZ1' };

const GOOD: [string, object][] = [
  ['connected', { event: 'connected', protocol: 'Call', version: '1.0.0' }],
  ['start', START],
  ['media', MEDIA],
  ['media with an empty payload', { ...MEDIA, media: { payload: '' } }],
  ['media with more fields', { ...MEDIA, more: [{ deep: null }] }],
  ['mark', { event: 'mark', mark: { name: 'm' }, ...STREAM }],
  ['stop', { event: 'stop', sequenceNumber: '5', stop: { accountSid: 'AC1', callSid: 'CA1' }, ...STREAM }],
  ['stop alone', { event: 'stop', ...STREAM }],
  ...[...'0123456789*#ABCD'].map((digit): [string, object] => [
    `digit ${digit}`,
    { event: 'dtmf', dtmf: { track: 'inbound_track', digit }, ...STREAM },
  ]),
];

const BAD: [string, unknown][] = [
  ['a number', 7],
  ['null', null],
  ['a list', [MEDIA]],
  ['no event', STREAM],
  ['an unknown event', { event: 'clear', ...STREAM }],
  ['an inherited event', { event: 'toString', ...STREAM }],
  ['media without a stream', { ...MEDIA, streamSid: undefined }],
  ['media of a numbered stream', { ...MEDIA, streamSid: 1 }],
  ['media without media', { event: 'media', ...STREAM }],
  ['media with a list', { ...MEDIA, media: [] }],
  ['media without a payload', { ...MEDIA, media: {} }],
  ['media with a numeric payload', { ...MEDIA, media: { payload: 1 } }],
  ['start without its fields', { event: 'start', ...STREAM }],
  ['start without a call', { ...START, start: { accountSid: 'AC1' } }],
  ['start without an account', { ...START, start: { callSid: 'CA1' } }],
  ['start without a stream', { ...START, streamSid: undefined }],
  ['a mark without a name', { event: 'mark', mark: {}, ...STREAM }],
  ['a mark of null', { event: 'mark', mark: null, ...STREAM }],
  ['a stop without a stream', { event: 'stop' }],
  ...['', '12', 'E', 'a', ' 1', '1\n', 'w', 5, ['5'], null].map((digit): [string, unknown] => [
    `digit ${JSON.stringify(digit)}`,
    { event: 'dtmf', dtmf: { digit }, ...STREAM },
  ]),
];

describe('a message', () => {
  test.each(GOOD)('is parsed: %s', (_, message) => {
    expect(parseInboundMessage(JSON.stringify(message))).toEqual(message);
    const turned = Object.fromEntries(Object.entries(message).reverse());
    expect(parseInboundMessage(`\n ${JSON.stringify(turned, null, 3)} `)).toEqual(message);
  });

  test.each(BAD)('is rejected: %s', (_, message) => {
    expect(parseInboundMessage(JSON.stringify(message))).toBeUndefined();
  });

  test.each(['', '{', 'undefined', "{'event':'connected'}", '{"event":"connected"}x', '['.repeat(65_536)])(
    'is refused: text that is no JSON (%#)',
    (text) => {
      expect(parseInboundMessage(text)).toBeUndefined();
    },
  );

  test('never throws', () => {
    const event = fc.constantFrom('connected', 'start', 'media', 'dtmf', 'mark', 'stop');
    const near = fc.record(
      {
        event: fc.oneof(event, fc.jsonValue()),
        streamSid: fc.oneof(fc.string(), fc.jsonValue()),
        start: fc.jsonValue(),
        media: fc.jsonValue(),
        dtmf: fc.oneof(fc.jsonValue(), fc.record({ digit: fc.jsonValue() })),
        mark: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.jsonValue().map((value) => JSON.stringify(value)),
      near.map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(text, (json) => {
        const message = parseInboundMessage(json);
        if (message !== undefined && message.event !== 'connected') {
          expect(message.streamSid).toBeTypeOf('string');
        }
      }),
      { numRuns: 500 },
    );
  });
});
