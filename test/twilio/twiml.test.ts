import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { describe, expect, test } from 'vitest';
import {
  createMediaStreamResponse,
  createMediaStreamTwiml,
  createRefusalTwiml,
  normalizeWebSocketUrl,
} from '../../src/twilio/twiml.js';

const HEAD = '<?xml version="1.0" encoding="UTF-8"?>';
const INVALID = expect.objectContaining({ code: 'GW_TWIML_INVALID', status: 400 });

/** The document as an independent XML parser reads it. */
function read(xml: string) {
  expect(XMLValidator.validate(xml)).toBe(true);
  return new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '',
    trimValues: false,
    isArray: (name) => name === 'Parameter',
  }).parse(xml).Response;
}

describe('a media URL', () => {
  test.each([
    ['wss://host/a', 'wss://host/a'],
    ['https://host/a', 'wss://host/a'],
    // Vision Agents cuts one character too many here: wss://ost
    ['http://host/a', 'wss://host/a'],
    ['wss://https://host', 'wss://host'],
    ['wss://http://host', 'wss://host'],
    ['  host.example/a ', 'wss://host.example/a'],
    ['ws://127.0.0.1:3000/a', 'ws://127.0.0.1:3000/a'],
    ['https.example/http://', 'wss://https.example/http://'],
  ])('%s becomes %s', (url, normal) => {
    expect(normalizeWebSocketUrl(url)).toBe(normal);
  });

  test.each(['HTTPS://host', 'Http://host', 'WSS://host', 'Wss://Https://host'])(
    '%s is one whatever the case of its scheme',
    (url) => {
      expect(normalizeWebSocketUrl(url)).toBe('wss://host');
    },
  );
});

describe('the TwiML of a media stream', () => {
  test('is exactly as in the contract', () => {
    expect(createMediaStreamTwiml('https://a.example/twilio/media/x/y')).toBe(
      `${HEAD}<Response><Connect><Stream url="wss://a.example/twilio/media/x/y"/></Connect></Response>`,
    );
  });

  test('contains name, callback and parameters, whatever their content', () => {
    const parameters = { 'a "b"': '<&>\'"', empty: '', umlaut: 'ä😀', line: 'one\ntwo' };
    const { Stream } = read(
      createMediaStreamTwiml('a.example/m', {
        name: 'x & y',
        statusCallback: 'https://a.example/s?a=1&b=2',
        parameters,
      }),
    ).Connect;
    expect(Stream).toMatchObject({
      url: 'wss://a.example/m',
      name: 'x & y',
      statusCallback: 'https://a.example/s?a=1&b=2',
    });
    const got = Stream.Parameter.map(({ name, value }: Record<string, string>) => [
      name,
      value?.replace('&#xA;', '\n'),
    ]);
    expect(Object.fromEntries(got)).toEqual(parameters);
  });

  test('accepts parameters below 500 characters, name and value together', () => {
    const twiml = (length: number) =>
      createMediaStreamTwiml('a.example', { parameters: { name: 'x'.repeat(length - 4) } });
    expect(twiml(499)).toContain('x'.repeat(495));
    expect(() => twiml(500)).toThrow(INVALID);
  });

  test.each(['\u0000', '\u0001', '\ufffe', '\ud800'])(
    'refuses a parameter that XML cannot carry: %j',
    (value) => {
      expect(() => createMediaStreamTwiml('a.example', { parameters: { value } })).toThrow(INVALID);
    },
  );

  test('rejects a query, which Twilio would drop', () => {
    expect(() => createMediaStreamTwiml('wss://a.example/m?x=1')).toThrow(INVALID);
  });

  test.each(['', '  ', undefined, 7])('refuses the URL %j', (url) => {
    expect(() => createMediaStreamTwiml(url as string)).toThrow(TypeError);
  });

  test('is a response of its content type', async () => {
    const response = createMediaStreamResponse('a.example/m', { name: 'n' });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/xml');
    expect(await response.text()).toBe(createMediaStreamTwiml('a.example/m', { name: 'n' }));
  });
});

describe('the TwiML of a rejection', () => {
  test.each(['busy', 'rejected'] as const)('says %s', (reason) => {
    expect(createRefusalTwiml(reason)).toBe(`${HEAD}<Response><Reject reason="${reason}"/></Response>`);
  });

  test('plays a message and hangs up', () => {
    expect(createRefusalTwiml({ say: 'A < B' })).toBe(
      `${HEAD}<Response><Say>A &lt; B</Say><Hangup/></Response>`,
    );
    expect(createRefusalTwiml({ say: 'Guten Tag', language: 'de-DE' })).toContain(
      '<Say language="de-DE">Guten Tag</Say><Hangup/>',
    );
  });
});
