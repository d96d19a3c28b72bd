import { describe, expect, it } from 'vitest';
import { parseCapturedRequest } from '../../src/doctor/captured-request.js';
import { createContext } from '../../src/doctor/context.js';
import { examine } from '../../src/doctor/doctor.js';
import { shellWords } from '../../src/doctor/shell-words.js';
import { signatureOfRequest } from '../../src/doctor/signature.js';
import { ACCOUNT_SID, AUTH_TOKEN, sign, voiceParameters } from '../support/caller.js';

const PUBLIC_URL = 'https://voice.example.com';
const PATH = '/twilio/voice';
const body = 'From=%2B1555&Say=It%27s+me';
const want = {
  method: 'POST',
  url: PATH,
  headers: { host: 'a.example', 'x-twilio-signature': 's=' },
  body,
};
const lines = [`POST ${PATH} HTTP/1.1`, 'Host: a.example', 'X-Twilio-Signature: s='];

describe('a captured request is parsed', () => {
  it.each<[string, string]>([
    ['raw', [...lines, '', body].join('\r\n')],
    ['raw, with bare line ends and one after the body', `${[...lines, '', body].join('\n')}\n`],
    [
      'as curl -v prints it',
      [
        '*   Trying 127.0.0.1:3000...',
        ...lines.map((line) => `> ${line}`),
        '> ',
        body,
        '* done',
        '< HTTP/1.1 403',
      ].join('\n'),
    ],
    [
      'as JSON',
      JSON.stringify({
        method: 'POST',
        url: PATH,
        headers: { Host: 'a.example', 'X-Twilio-Signature': ['s='] },
        body,
      }),
    ],
    [
      'as JSON whose form was parsed',
      JSON.stringify({ originalUrl: PATH, headers: want.headers, body: { From: '+1555', Say: "It's me" } }),
    ],
    [
      "from ngrok's inspector",
      JSON.stringify({
        requests: [
          { uri: '/x', request: { raw: Buffer.from([...lines, '', body].join('\r\n')).toString('base64') } },
        ],
      }),
    ],
    [
      'from a HAR file',
      JSON.stringify({
        log: {
          entries: [
            {
              request: {
                method: 'POST',
                url: PATH,
                headers: Object.entries(want.headers).map(([name, value]) => ({ name, value })),
                postData: { text: body },
              },
            },
          ],
        },
      }),
    ],
  ])('%s', (_, text) => {
    expect(parseCapturedRequest(text)).toEqual(want);
  });

  it('from a curl command in any notation', () => {
    const url = `https://a.example${PATH}`;
    const headers = { host: 'a.example', 'x-twilio-signature': 's=' };
    const words = `-H 'Host: a.example' --header "X-Twilio-Signature: s="`;
    const commands = [
      `curl '${url}' \\\n  ${words} \\\n  --data-raw '${body}'`,
      `curl -XPOST ${words} -d From=%2B1555 --data 'Say=It%27s+me' ${url}`,
      `curl --request POST --url=${url} ${words} --data-binary $'From=%2B1555\\u0026Say=It%27s+me'`,
    ];
    for (const command of commands) {
      expect(parseCapturedRequest(command)).toEqual({ method: 'POST', url, headers, body });
    }
    expect(parseCapturedRequest(`curl ${url}`)).toMatchObject({ method: 'GET', body: '' });
    expect(parseCapturedRequest(`curl ${url} --data-urlencode 'Say=It is'`).body).toBe('Say=It%20is');
  });

  it.each(['', 'hello', '{', '{}', '[]', 'null', '{"url":1,"headers":{}}', 'curl -X POST', 'POST'])(
    'or rejected in one line: %j',
    (text) => {
      expect(() => parseCapturedRequest(text)).toThrow(
        expect.objectContaining({
          code: 'GW_REQUEST_UNREADABLE',
          message: expect.not.stringContaining('\n'),
        }),
      );
    },
  );

  it('into words like a shell', () => {
    expect(shellWords(`a  'b c'"d \\"e\\""f \\g $'h\\n\\x41\\'' '' $i`)).toEqual([
      'a',
      'b cd "e"f',
      'g',
      "h\nA'",
      '',
      '$i',
    ]);
  });
});

/** What the doctor says about a request, including marks. */
async function explained(
  {
    url = PATH,
    method = 'POST',
    headers = {},
    form = {},
  }: { url?: string; method?: string; headers?: object; form?: object },
  env: Record<string, string> = {},
  option?: string,
): Promise<string> {
  const type = { 'content-type': 'application/x-www-form-urlencoded' };
  const request = parseCapturedRequest(
    JSON.stringify({ url, method, headers: { host: 'localhost:3000', ...type, ...headers }, body: form }),
  );
  const context = createContext(
    { TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN, PUBLIC_URL, ...env },
    option === undefined ? {} : { url: option },
  );
  const findings = await examine(context, [signatureOfRequest(request)]);
  return findings.map(({ mark, says, set }) => `${mark}: ${says} | ${set ?? ''}`).join('\n');
}

describe('a captured webhook', () => {
  const form = voiceParameters();
  const signed = (url: string, token?: string) => ({ 'x-twilio-signature': sign(url, form, token) });

  it('without a signature is not Twilio’s', async () => {
    expect(await explained({ form })).toContain('no X-Twilio-Signature');
  });

  it('is accepted with its query string, through a port that Twilio omits, and by a proxy’s headers', async () => {
    const query = `${PATH}?callId=a-b`;
    expect(await explained({ url: query, form, headers: signed(PUBLIC_URL + query) })).toContain(
      'The gateway accepts it',
    );
    const port = { PUBLIC_URL: `${PUBLIC_URL}:443` };
    expect(await explained({ form, headers: signed(PUBLIC_URL + PATH) }, port)).toContain(
      'The gateway accepts it',
    );
    const proxied = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'other.example' };
    const headers = { ...proxied, ...signed(`https://other.example${PATH}`) };
    expect(await explained({ form, headers }, { PUBLIC_URL: '' })).toContain('The gateway accepts it');
  });

  it('reports an unexpected query string', async () => {
    const url = `${PATH}?tenant=5`;
    expect(await explained({ url, form, headers: signed(PUBLIC_URL + url) })).toContain(
      'a query string, which no route accepts',
    );
    const bare = `${PATH}?`;
    expect(await explained({ url: bare, form, headers: signed(PUBLIC_URL + bare) })).not.toContain(
      'no route',
    );
  });

  it.each<[string, Record<string, string>, string]>([
    ['x-forwarded-host', { 'x-forwarded-host': 'other.example, inner' }, 'https://other.example'],
    ['forwarded', { forwarded: 'for=1.2.3.4;host=other.example;proto=https' }, 'https://other.example'],
    ['x-forwarded-prefix', { 'x-forwarded-prefix': '/phones/' }, `${PUBLIC_URL}/phones`],
    ['x-original-uri', { 'x-original-uri': `/phones${PATH}` }, `${PUBLIC_URL}/phones`],
  ])('suggests PUBLIC_URL from %s', async (_, told, base) => {
    const said = await explained({ form, headers: { ...told, ...signed(base + PATH) } });
    expect(said).toContain(`signed for ${base}${PATH}`);
    expect(said).toContain(`PUBLIC_URL=${base}`);
  });

  it('uses --url if nothing in it shows the address', async () => {
    const headers = signed(`https://nowhere.example${PATH}`);
    expect(await explained({ form, headers })).toContain('None of the 1 tokens signed');
    expect(await explained({ form, headers }, {}, 'https://nowhere.example')).toContain(
      'PUBLIC_URL=https://nowhere.example',
    );
  });

  it('reports a proxy that does not say https', async () => {
    const headers = { host: 'voice.example.com', ...signed(PUBLIC_URL + PATH) };
    const said = await explained({ form, headers }, { PUBLIC_URL: '' });
    expect(said).toContain('Wrong scheme');
    expect(said).toContain(`PUBLIC_URL=${PUBLIC_URL}`);
  });

  it('tells tokens of a subaccount and of a Region from a wrong one', async () => {
    const headers = signed(PUBLIC_URL + PATH, 'another');
    const sub = { ...form, AccountSid: `AC${'f'.repeat(32)}` };
    expect(await explained({ form: sub, headers })).toContain('another account');
    expect(await explained({ form, headers: { ...headers, 'x-home-region': 'ie1' } })).toContain(
      'Region IE1',
    );
    expect(await explained({ form, headers: { ...headers, 'x-home-region': 'us1' } })).toContain('rotated');
  });

  it('reports a body that is no longer a form, a GET, and a signature without its body', async () => {
    const headers = signed(PUBLIC_URL + PATH);
    expect(await explained({ form, headers: { ...headers, 'content-type': 'text/plain' } })).toContain(
      'Content-Type',
    );
    expect(await explained({ form, method: 'GET', headers })).toContain('uses GET');
    const other = { 'x-twilio-signature': sign(PUBLIC_URL + PATH) };
    expect(await explained({ form, headers: other })).toContain('does not cover the body');
  });

  it('is not verified without a token', async () => {
    const env = { TWILIO_AUTH_TOKEN: '', TWILIO_VALIDATE: 'off' };
    expect(await explained({ form, headers: signed(PUBLIC_URL + PATH) }, env)).toContain('no auth token');
  });
});

describe('a captured upgrade', () => {
  const media = '/twilio/media/call/token';
  const wss = `wss://voice.example.com${media}`;
  const upgrade = (signature: string, more: object = {}, url = media) => ({
    url,
    method: 'GET',
    headers: { upgrade: 'websocket', 'x-twilio-signature': signature, ...more },
  });

  it('is accepted if signed for its wss URL', async () => {
    expect(await explained(upgrade(sign(wss)))).toContain('The gateway accepts it');
  });

  it('reports a query string, signed or not', async () => {
    for (const signature of [sign(`${wss}?a=b`), sign(wss)]) {
      const said = await explained(upgrade(signature, {}, `${media}?a=b`));
      expect(said).toContain('fail: The stream URL has a query string');
      expect(said).toContain('<Parameter>');
    }
  });

  it('reports an Origin header or another host', async () => {
    expect(await explained(upgrade(sign(wss), { origin: 'https://a.example' }))).toContain('Origin header');
    const other = upgrade(sign(`wss://other.example${media}`), { host: 'other.example' });
    expect(await explained(other)).toContain('PUBLIC_URL=https://other.example');
  });
});
