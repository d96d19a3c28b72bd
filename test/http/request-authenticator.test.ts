import { describe, expect, test } from 'vitest';
import {
  RequestAuthenticator,
  type RequestAuthenticatorOptions,
} from '../../src/http/request-authenticator.js';
import { sign } from '../support/caller.js';

const TOKEN = 'a-token';
const FORM = { CallSid: 'CA1', From: '+1555' };
const MISSING = expect.objectContaining({ code: 'GW_SIGNATURE_MISSING', status: 403 });
const INVALID = expect.objectContaining({ code: 'GW_SIGNATURE_INVALID', status: 403 });

const keeper = (options: Partial<RequestAuthenticatorOptions> = {}) =>
  new RequestAuthenticator({ secure: false, authTokens: [TOKEN], ...options });

/** A request as the server passes it on. */
function request(path: string, headers: Record<string, string> = {}) {
  const [before = '', query = ''] = path.split('?');
  return {
    path: before,
    query,
    hasBareQuery: path.endsWith('?'),
    header: (name: string) => headers[name] ?? '',
  };
}

/** Whether a webhook signed for `url` passes when it arrives at `path`. */
function passes(
  options: Partial<RequestAuthenticatorOptions>,
  url: string,
  path: string,
  headers = {},
): boolean {
  const signed = request(path, { 'x-twilio-signature': sign(url, FORM, TOKEN), ...headers });
  try {
    keeper(options).checkWebhook(signed, FORM);
    return true;
  } catch (error) {
    expect(error).toEqual(INVALID);
    return false;
  }
}

describe('a webhook', () => {
  const at = (publicUrl: string) => ({ publicUrl });

  test.each<[Partial<RequestAuthenticatorOptions>, string, string, boolean]>([
    [at('https://a.example'), 'https://a.example/v', '/v', true],
    [at('https://a.example'), 'https://a.example:443/v', '/v', true],
    [at('https://a.example'), 'https://a.example/v/', '/v', true],
    [at('https://a.example:8443'), 'https://a.example/v', '/v', true],
    [at('https://a.example:8443'), 'https://a.example:8443/v', '/v', true],
    [at('https://a.example/p'), 'https://a.example/p/v', '/v', true],
    [at('https://a.example/p/'), 'https://a.example/p/v', '/p/v', true],
    [at('https://a.example/p'), 'https://a.example/v', '/v', false],
    [at('https://a.example'), 'https://a.example/v?x=1', '/v?x=1', true],
    [at('https://a.example'), 'https://a.example/v?x=1', '/v', false],
    [at('https://a.example'), 'https://a.example/v?', '/v?', true],
    [at('https://a.example'), 'https://a.example/v', '/v?', true],
    [at('https://a.example'), 'https://a.example/v?', '/v', false],
    [at('https://a.example/p'), 'https://a.example/p/twilio/v', '/p/twilio/v', true],
    [at('https://a.example/twilio'), 'https://a.example/twilio/twilio/v', '/twilio/v', true],
    [at('https://a.example'), 'https://a.example/v', '/w', false],
    [at('https://a.example'), 'http://a.example/v', '/v', false],
    [at('https://a.example'), 'wss://a.example/v', '/v', false],
    [at('https://a.example'), 'https://b.example/v', '/v', false],
  ])('at %j signed for %s and come to %s', (options, url, path, valid) => {
    expect(passes(options, url, path)).toBe(valid);
  });

  test('is judged by proxy headers only if no public URL is configured', () => {
    const headers = { host: 'inner:3000', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'a.example' };
    expect(passes({}, 'https://a.example/v', '/v', headers)).toBe(true);
    expect(passes({}, 'http://inner:3000/v', '/v', headers)).toBe(false);
    expect(passes(at('https://b.example'), 'https://a.example/v', '/v', headers)).toBe(false);
    expect(passes({ secure: true }, 'https://a.example/v', '/v', { host: 'a.example' })).toBe(true);
  });

  test('may be signed with any of the tokens, and no other', () => {
    const signed = (token: string) =>
      request('/v', { 'x-twilio-signature': sign('https://a.example/v', FORM, token) });
    const two = keeper({ publicUrl: 'https://a.example', authTokens: ['old', TOKEN] });
    expect(() => two.checkWebhook(signed('old'), FORM)).not.toThrow();
    expect(() => two.checkWebhook(signed(TOKEN), FORM)).not.toThrow();
    expect(() => two.checkWebhook(signed('new'), FORM)).toThrow(INVALID);
  });

  test('without a signature is rejected', () => {
    expect(() => keeper().checkWebhook(request('/v', { host: 'a' }), FORM)).toThrow(MISSING);
  });

  test('is rejected without a host', () => {
    expect(() => keeper().checkWebhook(request('/v', { 'x-twilio-signature': 'x' }), FORM)).toThrow(INVALID);
  });
});

describe('the head of a webhook', () => {
  const head = (path: string, signature: string) =>
    keeper().checkWebhookHead(request(path, { 'x-twilio-signature': signature }));
  const wellFormed = `${'A'.repeat(27)}=`;

  test('passes with a signature that a body could make valid, and a query of the gateway', () => {
    for (const path of ['/v', '/v?', '/v?callId=a-b', '/v?again=2'])
      expect(() => head(path, wellFormed)).not.toThrow();
  });

  test('is rejected without a signature, or with a query that no route knows', () => {
    expect(() => head('/v', '')).toThrow(MISSING);
    expect(() => head('/v', 'forged')).toThrow(INVALID);
    expect(() => head('/v?tenant=5', wellFormed)).toThrow(
      expect.objectContaining({ code: 'GW_NOT_FOUND', status: 404 }),
    );
  });
});

describe('an upgrade', () => {
  test('with too long a URL is rejected before its signature is checked', () => {
    const unknown = expect.objectContaining({ code: 'GW_NOT_FOUND', status: 404 });
    for (const path of [`/p/m?${'a'.repeat(256)}`, `/p/${'m'.repeat(256)}`]) {
      expect(() => keeper({ publicUrl: 'https://a.example/p' }).checkUpgrade(request(path))).toThrow(unknown);
    }
  });

  test('is signed over its wss URL, without parameters', () => {
    const check = (url: string, path = '/p/m') =>
      keeper({ publicUrl: 'https://a.example/p' }).checkUpgrade(
        request(path, { 'x-twilio-signature': sign(url, {}, TOKEN) }),
      );
    expect(() => check('wss://a.example/p/m')).not.toThrow();
    expect(() => check('wss://a.example/p/m/')).not.toThrow();
    expect(() => check('wss://a.example/p/m', '/m')).not.toThrow();
    expect(() => check('https://a.example/p/m')).toThrow(INVALID);
    expect(() => check('wss://a.example/p/n')).toThrow(INVALID);
    expect(() => keeper().checkUpgrade(request('/m', { host: 'a' }))).toThrow(MISSING);
  });

  test('on loopback without TLS is signed over its ws URL', () => {
    const signed = request('/m', { 'x-twilio-signature': sign('ws://127.0.0.1:3000/m', {}, TOKEN) });
    expect(() => keeper({ publicUrl: 'http://127.0.0.1:3000' }).checkUpgrade(signed)).not.toThrow();
  });
});

describe('the request authenticator', () => {
  test('fails closed if signatures are required and there is no token', () => {
    expect(() => keeper({ authTokens: [] })).toThrow(
      expect.objectContaining({ code: 'GW_AUTH_TOKEN_MISSING' }),
    );
  });

  test('accepts everything only if told to', () => {
    const open = new RequestAuthenticator({ secure: false });
    expect(open.checksSignatures).toBe(false);
    expect(() => open.checkWebhook(request('/v'), FORM)).not.toThrow();
    expect(() => open.checkUpgrade(request('/m'))).not.toThrow();
    expect(keeper().checksSignatures).toBe(true);
  });

  test('knows the public base, configured or from the request', () => {
    const fixed = keeper({ publicUrl: 'https://a.example:8443/p/' });
    const caller = request('/v', { host: 'b.example', 'x-forwarded-proto': 'https' });
    expect(fixed.publicBase(caller)).toBe('https://a.example:8443/p');
    expect(fixed.publicBase()).toBe('https://a.example:8443/p');
    expect(fixed.prefix).toBe('/p');
    expect(keeper().publicBase(caller)).toBe('https://b.example');
    expect(keeper().publicBase()).toBeUndefined();
    expect(keeper().prefix).toBe('');
  });

  test('has no control API without a key', () => {
    const header = () => 'Bearer undefined';
    expect(() => keeper().checkControl(header)).toThrow(
      expect.objectContaining({ code: 'GW_NOT_FOUND', status: 404 }),
    );
  });

  test.each([
    '',
    'Bearer',
    'Bearer ',
    'Bearer the-control-kez',
    'Bearer the-control-key ',
    'the-control-key',
    'Basic the-control-key',
    '\ud800',
  ])('refuses the authorization %j with 401', (authorization) => {
    const check = () => keeper({ controlApiKey: 'the-control-key' }).checkControl(() => authorization);
    expect(check).toThrow(expect.objectContaining({ code: 'GW_UNAUTHORIZED', status: 401 }));
    expect(check).toThrow(expect.not.stringContaining('the-control-key'));
  });

  test('admits the control key', () => {
    const header = (name: string) => (name === 'authorization' ? 'Bearer the-control-key' : '');
    expect(() => keeper({ controlApiKey: 'the-control-key' }).checkControl(header)).not.toThrow();
  });

  test.each(['bearer the-control-key', 'BEARER the-control-key', 'bEaReR  the-control-key'])(
    'admits it by %j',
    (authorization) => {
      expect(() =>
        keeper({ controlApiKey: 'the-control-key' }).checkControl(() => authorization),
      ).not.toThrow();
    },
  );

  test('compares the key itself case-sensitively', () => {
    const check = () =>
      keeper({ controlApiKey: 'the-control-key' }).checkControl(() => 'bearer The-control-key');
    expect(check).toThrow(expect.objectContaining({ code: 'GW_UNAUTHORIZED' }));
  });
});
