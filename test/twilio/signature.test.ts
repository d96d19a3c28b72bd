import { createHash } from 'node:crypto';
import { parse, stringify } from 'node:querystring';
import fc from 'fast-check';
import twilio from 'twilio';
import { getExpectedTwilioSignature as twilioSignature } from 'twilio/lib/webhooks/webhooks.js';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { parseForm } from '../../src/twilio/form.js';
import { TwilioSignatureVerifier, verifyTwilioSignature } from '../../src/twilio/signature.js';
import { sign } from '../support/caller.js';

/** Token and requests of Twilio's documentation and of its SDK's own tests. */
const TOKEN = '12345';
const FORM = {
  CallSid: 'CA1234567890ABCDE',
  Caller: '+14158675309',
  Digits: '1234',
  From: '+14158675309',
  To: '+18005551212',
};
const DOCUMENTED_FORM = { ...FORM, Caller: '+14158675310', From: '+14158675310' };
const URL_OF_SDK = 'https://mycompany.com/myapp.php?foo=1&bar=2';
const BODY = '{"property": "value", "boolean": true}';
const URL_WITH_HASH = `${URL_OF_SDK}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620`;
const SIGNATURE = 'RSOYDt4T1cUTdK1PDd93/VVr8B8=';

const verifier = new TwilioSignatureVerifier(TOKEN);
const isValid = (signature: string | undefined, url: string | string[], parameters = {}, rawBody?: string) =>
  verifier.isValid({
    signature,
    urls: [url].flat(),
    parameters,
    ...(rawBody === undefined ? {} : { rawBody }),
  });

describe('a signature', () => {
  test.each([
    [
      'documented',
      'https://example.com/myapp.php?foo=1&bar=2',
      DOCUMENTED_FORM,
      'L/OH5YylLD5NRKLltdqwSvS0BnU=',
    ],
    ['of the SDK', URL_OF_SDK, FORM, SIGNATURE],
    ['with :443 signed', URL_OF_SDK, FORM, 'kvajT1Ptam85bY51eRf/AJRuM3w='],
    ['with :443 asked for, not signed', URL_OF_SDK.replace('.com', '.com:443'), FORM, SIGNATURE],
    ['with :80 signed', URL_OF_SDK.replace('https', 'http'), FORM, '0ZXoZLH/DfblKGATFgpif+LLRf4='],
    ['of an upgrade', 'wss://example.com/twilio/media/abc', {}, 'Eh5vrOlh54OBGHF8ZgH2Le+KO+A='],
    ['of an upgrade with a slash', 'wss://example.com/twilio/media/abc/', {}, 'XvFw68V04HrJKdAFoZ8+4Ke2Pxg='],
  ])('%s is valid, and only as it is', (_, url, form, signature) => {
    expect(isValid(signature, url, form)).toBe(true);
    expect(isValid(signature, url, { ...form, More: '1' })).toBe(false);
    expect(isValid(signature, url.replace('.com', '.net'), form)).toBe(false);
    expect(isValid(`x${signature.slice(1)}`, url, form)).toBe(false);
    expect(isValid(signature.slice(1), url, form)).toBe(false);
    expect(new TwilioSignatureVerifier('54321').isValid({ signature, urls: [url], parameters: form })).toBe(
      false,
    );
  });

  test('of an upgrade may cover the default port of wss', () => {
    expect(isValid(sign('wss://example.com:443/media/a', {}, TOKEN), 'wss://example.com/media/a')).toBe(true);
  });

  test('of an upgrade may cover another port', () => {
    expect(isValid(sign('wss://example.com:8443/m', {}, TOKEN), 'wss://example.com:8443/m')).toBe(true);
  });

  test('of the https URL is not valid for the wss URL', () => {
    expect(isValid(sign('https://example.com/m', {}, TOKEN), 'wss://example.com/m')).toBe(false);
  });

  test('with another trailing slash is valid only if that URL is a candidate', () => {
    const signature = 'XvFw68V04HrJKdAFoZ8+4Ke2Pxg=';
    const bare = 'wss://example.com/twilio/media/abc';
    expect(isValid(signature, bare)).toBe(false);
    expect(isValid(signature, [bare, `${bare}/`])).toBe(true);
  });

  test('of a plain URL is accepted like in the SDK, with any port, scheme and path', () => {
    const [scheme, host, port, path] = [
      fc.constantFrom('https', 'http', 'ws'),
      fc.constantFrom('a.example', '127.0.0.1', 'A.example', '[::1]', 'user@a.example'),
      fc.constantFrom('', ':80', ':443', ':8443'),
      fc.constantFrom('/', '/v', '/p/v/', '/../v', '/.', "/it's", '/%41', '/v?x=1', "/v?x='"),
    ];
    // Not wss: the SDK takes 80 for its default port.
    let valid = 0;
    fc.assert(
      fc.property(
        fc.tuple(scheme, host, port, path),
        fc.oneof(
          fc.record({}),
          fc.record({ scheme }),
          fc.record({ host }),
          fc.record({ port }),
          fc.record({ path }),
        ) as fc.Arbitrary<{ scheme?: string; host?: string; port?: string; path?: string }>,
        (parts, changed) => {
          const [was, at, over, to] = parts;
          const signedFor = `${was}://${at}${over}${to}`;
          const url = `${changed.scheme ?? was}://${changed.host ?? at}${changed.port ?? over}${changed.path ?? to}`;
          const signature = sign(signedFor, FORM, TOKEN);
          const expected = twilio.validateRequest(TOKEN, signature, url, FORM);
          if (expected) valid += 1;
          expect([url, signedFor, isValid(signature, url, FORM)]).toEqual([url, signedFor, expected]);
        },
      ),
      { numRuns: 2_000 },
    );
    expect(valid).toBeGreaterThan(100);
  });

  test('of any URL and form is accepted like in the SDK', () => {
    const text = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.constantFrom(
        '',
        'a',
        'b',
        'a b',
        'a+b',
        '%',
        '%41',
        "it's",
        '\u00e4',
        '\u{1f600}',
        '__proto__',
        '10',
        '9',
      ),
    );
    const form = fc
      .array(fc.tuple(text, text), { maxLength: 8 })
      .map((pairs) => new URLSearchParams(pairs).toString());
    const query = fc.oneof(
      fc.constantFrom(
        '',
        '?',
        '?a=1',
        "?a='b'",
        '?a=%27',
        '?a=+b&a=c',
        '?a&b',
        '?%zz',
        '?a=b#c',
        '?a=(1)*!',
        '?&&',
      ),
      fc.array(fc.tuple(text, text), { maxLength: 4 }).map((pairs) => `?${new URLSearchParams(pairs)}`),
      fc.webQueryParameters().map((each) => `?${each}`),
    );
    const base = fc.constantFrom(
      'https://a.example/v',
      'https://a.example:443/v',
      'https://A.example:8443/v',
      'http://a.example/v',
      'http://[::1]:3000/v',
      'HTTPS://a.example/v',
      'https://u:p@a.example/v%20w',
      'https://a.example',
    );
    const respell = fc.constantFrom<(url: string) => string>(
      (url) => url,
      (url) => new URL(url).href,
      (url) => url.replace(/^(https:\/\/[^/:]+)(\/|$)/i, '$1:443$2'),
      (url) => url.replace(/:(443|8443|3000)/, ''),
      (url) =>
        /\?./.test(url)
          ? `${url.replace(/\?.*/s, '')}?${stringify(parse(url.replace(/^[^?]*\?/, '')))}`
          : url,
      (url) => `${url}x`,
    );
    let valid = 0;
    fc.assert(
      fc.property(
        base,
        query,
        respell,
        form,
        form,
        fc.boolean(),
        (at, asked, spelled, body, other, changed) => {
          const url = at + asked;
          const parameters = parseForm(body);
          const received = changed ? parseForm(other) : parameters;
          const signature = twilioSignature(TOKEN, spelled(url), parameters as Record<string, string>);
          const expected = twilio.validateRequest(TOKEN, signature, url, received);
          if (expected) valid += 1;
          expect([url, body, isValid(signature, url, received)]).toEqual([url, body, expected]);
        },
      ),
      { numRuns: 3_000 },
    );
    expect(valid).toBeGreaterThan(300);
  });

  test('in another encoding of the same bytes is invalid', () => {
    // The last character of base64 has two bits that say nothing here.
    expect(isValid(SIGNATURE.replace('8=', '9='), URL_OF_SDK, FORM)).toBe(false);
    expect(isValid(` ${SIGNATURE.slice(1)}`, URL_OF_SDK, FORM)).toBe(false);
  });

  test('covers repeated parameters: unique values, sorted', () => {
    const url = 'https://example.com/sms';
    const signature = sign(url, { A: '1', MediaUrl: 'aMediaUrlb', Z: '' }, TOKEN);
    const form = parseForm('Z=&MediaUrl=b&MediaUrl=a&MediaUrl=b&A=1');
    expect(isValid(signature, url, form)).toBe(true);
    expect(isValid(signature, url, parseForm('Z=&MediaUrl=b&A=1'))).toBe(false);
  });

  test('covers values untrimmed, and names in byte order', () => {
    const url = 'https://example.com/voice';
    const form = { a: ' lead and trail  ', B: '\u00e4+%20', Z: 'x\ny' };
    const signature = sign(url, form, TOKEN);
    expect(isValid(signature, url, parseForm(new URLSearchParams(form).toString()))).toBe(true);
    expect(isValid(signature, url, { ...form, a: 'lead and trail' })).toBe(false);
  });

  test('covers the query as it came', () => {
    const url = 'https://example.com/v?b=%C3%A4&a=it%27s+me&callId=1';
    expect(isValid(sign(url, FORM, TOKEN), url, FORM)).toBe(true);
    expect(isValid(sign(url, FORM, TOKEN), url.replace('callId=1', 'callId=2'), FORM)).toBe(false);
  });
});

describe('a JSON body', () => {
  const signature = 'a9nBmqA0ju/hNViExpshrM61xv4=';

  test('is accepted like in the SDK, with any query and hash', () => {
    const hash = createHash('sha256').update(BODY).digest('hex');
    let valid = 0;
    fc.assert(
      fc.property(
        fc.constantFrom('?', '?a=1&', '?a=%27&', "?a='&"),
        fc.constantFrom('bodySHA256', 'body%53HA256', 'bodysha256'),
        fc.constantFrom(hash, hash.toUpperCase(), `%${hash.charCodeAt(0).toString(16)}${hash.slice(1)}`, ''),
        fc.constantFrom('', '&b=2', `&bodySHA256=${hash}`),
        fc.constantFrom(BODY, `${BODY} `),
        (before, name, value, behind, body) => {
          const url = `https://a.example/v${before}${name}=${value}${behind}`;
          const signed = twilioSignature(TOKEN, url, {});
          const expected = twilio.validateRequestWithBody(TOKEN, signed, url, body);
          const hasHash = new URL(url).searchParams.has('bodySHA256');
          if (expected) valid += 1;
          expect([url, isValid(signed, url, {}, body)]).toEqual([url, hasHash ? expected : true]);
        },
      ),
      { numRuns: 1_000 },
    );
    expect(valid).toBeGreaterThan(50);
  });

  test('is valid by its hash in the URL', () => {
    expect(isValid(signature, URL_WITH_HASH, {}, BODY)).toBe(true);
  });

  test.each([
    ['changed', BODY.replace('true', 'false')],
    ['emptied', ''],
    ['absent', undefined],
  ])('%s is not', (_, body) => {
    expect(isValid(signature, URL_WITH_HASH, {}, body)).toBe(false);
  });

  test('with an unsigned hash is invalid', () => {
    const hash = createHash('sha256').update('{}').digest('hex');
    expect(isValid(signature, `${URL_OF_SDK}&bodySHA256=${hash}`, {}, '{}')).toBe(false);
  });
});

describe('the verifier', () => {
  test('accepts any of several tokens, as a list or separated by commas', () => {
    const request = { signature: SIGNATURE, urls: [URL_OF_SDK], parameters: FORM };
    expect(new TwilioSignatureVerifier(['old', TOKEN]).isValid(request)).toBe(true);
    expect(new TwilioSignatureVerifier(` ${TOKEN} ,, new`).isValid(request)).toBe(true);
    expect(new TwilioSignatureVerifier('old,new').isValid(request)).toBe(false);
  });

  test.each([[''], [' , '], [[]], [['']]])('refuses to be made without a token: %j', (tokens) => {
    expect(() => new TwilioSignatureVerifier(tokens)).toThrow(
      expect.objectContaining({ code: 'GW_AUTH_TOKEN_MISSING' }),
    );
  });

  test('rejects tokens of another type', () => {
    expect(() => new TwilioSignatureVerifier(7 as never)).toThrow(TypeError);
    expect(() => new TwilioSignatureVerifier([7] as never)).toThrow(TypeError);
  });

  test('distinguishes a missing signature from a wrong one, both with 403', () => {
    const request = { urls: [URL_OF_SDK], parameters: FORM };
    for (const signature of ['', undefined]) {
      expect(() => verifier.verify({ ...request, signature })).toThrow(
        expect.objectContaining({ code: 'GW_SIGNATURE_MISSING', status: 403 }),
      );
    }
    expect(() => verifier.verify({ ...request, signature: 'wrong' })).toThrow(
      expect.objectContaining({ code: 'GW_SIGNATURE_INVALID', status: 403 }),
    );
    expect(() => verifier.verify({ ...request, signature: SIGNATURE })).not.toThrow();
  });

  test('rejects by the header alone what no body could make valid', () => {
    const malformed = [
      'x',
      `${'A'.repeat(28)}`,
      `${'A'.repeat(26)}==`,
      `${'A'.repeat(26)}B=`,
      `${'-'.repeat(27)}=`,
    ];
    for (const signature of malformed) {
      expect(() => verifier.checkHeader(signature)).toThrow(
        expect.objectContaining({ code: 'GW_SIGNATURE_INVALID', status: 403 }),
      );
    }
    expect(() => verifier.checkHeader('')).toThrow(expect.objectContaining({ code: 'GW_SIGNATURE_MISSING' }));
    expect(() => verifier.checkHeader(`${'A'.repeat(27)}=`)).not.toThrow();
  });

  test('reveals neither the token nor the valid signature', () => {
    const verify = () => verifier.verify({ signature: 'wrong', urls: [URL_OF_SDK], parameters: FORM });
    expect(verify).toThrow(expect.not.stringContaining(TOKEN));
    expect(verify).toThrow(expect.not.stringContaining(SIGNATURE));
  });

  test('finds no signature valid without a URL', () => {
    expect(isValid(SIGNATURE, [], FORM)).toBe(false);
  });

  test('never throws, whatever a client sends', () => {
    const odd = [
      '',
      '/',
      'https://',
      'javascript:1',
      'https://[',
      'https://a/?%',
      'https://a/?bodySHA256',
      '\0',
    ];
    const url = fc.oneof(
      fc.constantFrom(...odd),
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'binary' }).map((text) => `https://a.example/${text}?${text}=${text}`),
      fc.string({ unit: 'binary' }).map((text) => `https://a.example/?bodySHA256=${text}`),
    );
    const form = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.array(fc.string())));
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.array(url),
        form,
        fc.string(),
        (signature, urls, parameters, rawBody) => {
          expect(verifier.isValid({ signature, urls, parameters, rawBody })).toBe(false);
        },
      ),
    );
  });
});

describe('verifyTwilioSignature', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test('reads its tokens from TWILIO_AUTH_TOKEN', () => {
    vi.stubEnv('TWILIO_AUTH_TOKEN', `other,${TOKEN}`);
    expect(verifyTwilioSignature({ signature: SIGNATURE, urls: [URL_OF_SDK], parameters: FORM })).toBe(true);
    vi.stubEnv('TWILIO_AUTH_TOKEN', 'other');
    expect(verifyTwilioSignature({ signature: SIGNATURE, urls: [URL_OF_SDK], parameters: FORM })).toBe(false);
    vi.stubEnv('TWILIO_AUTH_TOKEN', undefined);
    expect(() => verifyTwilioSignature({ signature: SIGNATURE, urls: [] })).toThrow(/TWILIO_AUTH_TOKEN/);
  });
});
