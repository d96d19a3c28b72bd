import { describe, expect, test } from 'vitest';
import {
  isWebhookQuery,
  originFromHeaders,
  parsePublicUrl,
  signedUrlCandidates,
  webSocketOrigin,
} from '../../src/twilio/public-url.js';

describe('a public URL', () => {
  test.each([
    ['https://a.example', 'https://a.example', ''],
    ['https://a.example/', 'https://a.example', ''],
    ['https://a.example:443/', 'https://a.example', ''],
    ['https://a.example:8443', 'https://a.example:8443', ''],
    ['https://A.Example/Phones/', 'https://a.example', '/Phones'],
    ['https://a.example/x/y//', 'https://a.example', '/x/y'],
    ['http://127.0.0.1:3000/p', 'http://127.0.0.1:3000', '/p'],
    ['https://[::1]:1/p', 'https://[::1]:1', '/p'],
  ])('%s is split into origin and prefix', (url, origin, prefix) => {
    expect(parsePublicUrl(url)).toEqual({ origin, prefix });
  });
});

describe('the origin from headers', () => {
  const told = (headers: Record<string, string>, secure = false) =>
    originFromHeaders((name) => headers[name] ?? '', { secure }).origin;

  test.each<[string, Record<string, string>, boolean, string]>([
    ['plain', { host: 'a.example:3000' }, false, 'http://a.example:3000'],
    ['our own TLS', { host: 'a.example' }, true, 'https://a.example'],
    ['proxied', { host: 'inner', 'x-forwarded-proto': 'https' }, false, 'https://inner'],
    [
      'proxied host',
      { host: 'inner', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'a.example' },
      false,
      'https://a.example',
    ],
    [
      'several proxies',
      { host: 'inner', 'x-forwarded-proto': 'https, http', 'x-forwarded-host': ' a.example , b.example' },
      false,
      'https://a.example',
    ],
    ['a proxied wss', { host: 'a.example', 'x-forwarded-proto': 'wss' }, false, 'https://a.example'],
    ['a proxied ws', { host: 'a.example', 'x-forwarded-proto': 'ws' }, true, 'http://a.example'],
    ['another spelling of a host', { host: 'A.Example:0443' }, true, 'https://a.example'],
    ['no host', { host: 'a.example/x?' }, true, 'https://'],
    ['no host either', { host: 'user@a.example' }, true, 'https://'],
    ['nor this', { host: 'a b' }, true, 'https://'],
    ['empty forwarded', { host: 'a', 'x-forwarded-proto': '', 'x-forwarded-host': '' }, true, 'https://a'],
  ])('is valid: %s', (_, headers, secure, origin) => {
    expect(told(headers, secure)).toBe(origin);
  });

  test('has no prefix', () => {
    expect(originFromHeaders(() => 'x', { secure: false }).prefix).toBe('');
  });
});

test.each([
  ['', true],
  ['callId=7d1f-a_B', true],
  ['again=3', true],
  ['callId=', false],
  ['callId=a%20b', false],
  ['callId=a&callId=b', false],
  ['again=x', false],
  ['tenant=5', false],
  ['?', false],
])('a webhook may have the query %j: %s', (query, known) => {
  expect(isWebhookQuery(query)).toBe(known);
});

test('a WebSocket origin keeps the security of its HTTP one', () => {
  expect(webSocketOrigin('https://a.example:1')).toBe('wss://a.example:1');
  expect(webSocketOrigin('http://http.example')).toBe('ws://http.example');
});

describe('the URLs that Twilio may have signed', () => {
  const origin = 'https://a.example';

  test.each<[string, string, string, string[]]>([
    ['no prefix', '', '/twilio/voice', ['/twilio/voice', '/twilio/voice/']],
    ['a slash that came', '', '/twilio/voice/', ['/twilio/voice/', '/twilio/voice']],
    ['a stripped prefix', '/p', '/twilio/voice', ['/p/twilio/voice', '/p/twilio/voice/']],
    ['a prefix like another word', '/p', '/pt/voice', ['/p/pt/voice', '/p/pt/voice/']],
    ['a prefix passed on', '/p', '/p/twilio/voice', ['/p/twilio/voice', '/p/twilio/voice/']],
    ['a prefix passed on, of no route', '/p', '/p/v', ['/p/v', '/p/v/', '/p/p/v', '/p/p/v/']],
    [
      'a stripped prefix that is a route’s own',
      '/twilio',
      '/twilio/voice',
      ['/twilio/voice', '/twilio/voice/', '/twilio/twilio/voice', '/twilio/twilio/voice/'],
    ],
  ])('%s', (_, prefix, path, paths) => {
    expect(signedUrlCandidates({ origin, prefix }, path, '')).toEqual(paths.map((each) => origin + each));
  });

  test('carry the query as it came', () => {
    expect(signedUrlCandidates({ origin, prefix: '' }, '/s', 'b=%20&a=+')).toEqual([
      `${origin}/s?b=%20&a=+`,
      `${origin}/s/?b=%20&a=+`,
    ]);
  });

  test('that end in a bare "?" are tried with and without it', () => {
    expect(signedUrlCandidates({ origin, prefix: '/p' }, '/s', '?')).toEqual([
      `${origin}/p/s`,
      `${origin}/p/s?`,
    ]);
  });

  test('are none without a host', () => {
    expect(
      signedUrlCandidates(
        originFromHeaders(() => '', { secure: true }),
        '/s',
        '',
      ),
    ).toEqual([]);
  });
});
