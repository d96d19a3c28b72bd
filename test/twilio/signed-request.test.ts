import { describe, expect, test } from 'vitest';
import { GatewayError, type NodeRequestHead, verifyTwilioRequest } from '../../src/index.js';
import { AUTH_TOKEN, sign, voiceParameters } from '../support/caller.js';

const authTokens = AUTH_TOKEN;
const publicUrl = 'https://voice.example.com/edge';

function codeOf(work: () => void): string {
  try {
    work();
    return 'signed';
  } catch (error) {
    if (error instanceof GatewayError && error.status === 403) return error.code;
    throw error;
  }
}

const node = (
  url: string,
  headers: NodeRequestHead['headers'] = {},
  more: Partial<NodeRequestHead> = {},
) => ({
  url,
  headers,
  ...more,
});

describe('a webhook', () => {
  const parameters = voiceParameters();
  const signed = (url: string) => ({ 'x-twilio-signature': sign(url, parameters) });

  test.each([
    ['as Twilio sent it', node('/edge/voice', signed('https://voice.example.com/edge/voice'))],
    [
      'behind a proxy that takes the prefix off',
      node('/voice', signed('https://voice.example.com/edge/voice')),
    ],
    ['with a query', node('/voice?a=b%20c', signed('https://voice.example.com/edge/voice?a=b%20c'))],
    [
      'of a router that takes a path off',
      {
        ...node('/', signed('https://voice.example.com/edge/calls/voice')),
        originalUrl: '/calls/voice',
      },
    ],
    ['with its whole URL', node('http://10.0.0.1/voice', signed('https://voice.example.com/edge/voice'))],
    ['with the port that Twilio adds', node('/voice', signed('https://voice.example.com:443/edge/voice'))],
  ])('is accepted %s', (_, request) => {
    expect(codeOf(() => verifyTwilioRequest(request, { authTokens, publicUrl, parameters }))).toBe('signed');
  });

  test('of Fetch is accepted too', () => {
    const request = new Request('http://10.0.0.1:8080/voice', {
      method: 'POST',
      headers: signed('https://voice.example.com/edge/voice'),
    });
    expect(codeOf(() => verifyTwilioRequest(request, { authTokens, publicUrl, parameters }))).toBe('signed');
  });

  test('is rejected without its parameters, or with others', () => {
    const request = node('/voice', signed('https://voice.example.com/edge/voice'));
    const check = (more: object) =>
      codeOf(() => verifyTwilioRequest(request, { authTokens, publicUrl, ...more }));
    expect(check({})).toBe('GW_SIGNATURE_INVALID');
    expect(check({ parameters: { ...parameters, From: '+1' } })).toBe('GW_SIGNATURE_INVALID');
    expect(check({ parameters, authTokens: ['another'] })).toBe('GW_SIGNATURE_INVALID');
    expect(check({ parameters, authTokens: ['another', AUTH_TOKEN] })).toBe('signed');
    expect(check({ parameters, publicUrl: 'https://another.example.com' })).toBe('GW_SIGNATURE_INVALID');
    const naked = node('/voice');
    expect(codeOf(() => verifyTwilioRequest(naked, { authTokens, publicUrl, parameters }))).toBe(
      'GW_SIGNATURE_MISSING',
    );
  });

  test.each([
    [
      'a proxy',
      { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'a.example.com', host: '10.0.0.1' },
      {},
      'https',
    ],
    ['its host', { host: 'a.example.com' }, {}, 'http'],
    ['its host over TLS', { host: 'a.example.com' }, { socket: { encrypted: true } }, 'https'],
    ['HTTP/2', { ':authority': 'a.example.com' }, { socket: { encrypted: true } }, 'https'],
    ['several values', { 'x-forwarded-proto': ['https', 'http'], host: 'a.example.com' }, {}, 'https'],
  ])('gets its URL from %s', (_, headers, more, scheme) => {
    const request = node('/voice', { ...headers, ...signed(`${scheme}://a.example.com/voice`) }, more);
    expect(codeOf(() => verifyTwilioRequest(request, { authTokens, publicUrl: '', parameters }))).toBe(
      'signed',
    );
  });

  test('of Fetch contains its own URL', () => {
    const url = 'https://a.example.com/voice';
    const request = new Request(url, { method: 'POST', headers: signed(url) });
    expect(codeOf(() => verifyTwilioRequest(request, { authTokens, publicUrl: '', parameters }))).toBe(
      'signed',
    );
  });

  test('of a GET is signed by its URL', () => {
    const url = `https://voice.example.com/edge/voice?${new URLSearchParams(parameters)}`;
    const request = node(
      url.slice(url.indexOf('/voice?')),
      { 'x-twilio-signature': sign(url) },
      { method: 'GET' },
    );
    for (const more of [{}, { parameters }]) {
      expect(codeOf(() => verifyTwilioRequest(request, { authTokens, publicUrl, ...more }))).toBe('signed');
    }
  });
});

describe('an upgrade', () => {
  const upgrade = { upgrade: 'WebSocket' };

  test('is signed by its wss:// URL, and by no other', () => {
    const check = (url: string, publicUrl: string) => {
      const request = node('/media', { ...upgrade, 'x-twilio-signature': sign(url) });
      return codeOf(() => verifyTwilioRequest(request, { authTokens, publicUrl }));
    };
    expect(check('wss://voice.example.com/edge/media', publicUrl)).toBe('signed');
    expect(check('https://voice.example.com/edge/media', publicUrl)).toBe('GW_SIGNATURE_INVALID');
    expect(check('ws://127.0.0.1:3000/media', 'http://127.0.0.1:3000')).toBe('signed');
  });

  test('has a signature that is not valid for a webhook', () => {
    const signature = { 'x-twilio-signature': sign('wss://voice.example.com/edge/phones') };
    const parameters = voiceParameters();
    const check = (method: string | undefined, more: object) => {
      const request = node('/phones', { ...upgrade, ...signature }, method === undefined ? {} : { method });
      return codeOf(() => verifyTwilioRequest(request, { authTokens, publicUrl, ...more }));
    };
    expect(check('GET', {})).toBe('signed');
    expect(check('POST', { parameters })).toBe('GW_SIGNATURE_INVALID');
    expect(check('POST', {})).toBe('GW_SIGNATURE_INVALID');
    expect(check(undefined, { parameters })).toBe('GW_SIGNATURE_INVALID');
  });
});

describe('a default', () => {
  test('comes from the environment', () => {
    const { TWILIO_AUTH_TOKEN, PUBLIC_URL } = process.env;
    Object.assign(process.env, { TWILIO_AUTH_TOKEN: `old,${AUTH_TOKEN}`, PUBLIC_URL: publicUrl });
    try {
      const url = 'https://voice.example.com/edge/voice';
      expect(codeOf(() => verifyTwilioRequest(node('/voice', { 'x-twilio-signature': sign(url) })))).toBe(
        'signed',
      );
      delete process.env.TWILIO_AUTH_TOKEN;
      expect(() => verifyTwilioRequest(node('/voice', { 'x-twilio-signature': sign(url) }))).toThrow(
        expect.objectContaining({ code: 'GW_AUTH_TOKEN_MISSING' }),
      );
    } finally {
      for (const [name, value] of Object.entries({ TWILIO_AUTH_TOKEN, PUBLIC_URL })) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });

  test.each(['voice.example.com', 'http://voice.example.com', 'https://a.example.com/?b'])(
    'is an error where it is %s',
    (publicUrl) => {
      expect(() =>
        verifyTwilioRequest(node('/', { 'x-twilio-signature': 'a' }), { authTokens, publicUrl }),
      ).toThrow(TypeError);
    },
  );

  test.each([undefined, null, {}, 'GET /'])('is an error where %j is the request', (request) => {
    expect(() => verifyTwilioRequest(request as never, { authTokens, publicUrl })).toThrow(TypeError);
  });
});
