import { createHmac } from 'node:crypto';
import { type FormParameters, parseForm } from '../twilio/form.js';
import type { PublicOrigin } from '../twilio/public-url.js';
import type { CapturedRequest } from './captured-request.js';
import { basesOf, beginningsOf } from './public-base.js';

/** What a request was signed for. */
export interface SignedFor {
  readonly url: string;
  /** Index of the token in the list. */
  readonly token: number;
  /** Whether the signature covers the form. */
  readonly withForm: boolean;
}

/** Maximum variants of URL and body tried per token. */
const MAX_VARIANTS = 20_000;

export function isUpgrade({ headers, url }: CapturedRequest): boolean {
  return /websocket/i.test(headers.upgrade ?? '') || /^wss?:/.test(url) || 'sec-websocket-key' in headers;
}

export function hasForm({ headers }: CapturedRequest): boolean {
  return /^application\/x-www-form-urlencoded\b/i.test(headers['content-type'] ?? '');
}

/**
 * Finds what a captured request was signed for; `undefined` if none of the tokens signed any variant of its
 * URL.
 */
export function findSignedUrl(
  request: CapturedRequest,
  tokens: readonly string[],
  known: readonly PublicOrigin[],
): SignedFor | undefined {
  const { body } = request;
  const signature = request.headers['x-twilio-signature'];
  const form = formText(parseForm(body));
  const variants = variantsOf(request, known).slice(0, MAX_VARIANTS);
  for (const [token, secret] of tokens.entries()) {
    for (const url of variants) {
      for (const text of form === '' ? [''] : [form, '']) {
        if (
          createHmac('sha1', secret)
            .update(url + text)
            .digest('base64') === signature
        ) {
          return { url, token, withForm: text !== '' };
        }
      }
    }
  }
  return undefined;
}

/** Names and values sorted by name, as they are signed; repeated values of a name count once. */
function formText(form: FormParameters): string {
  return Object.keys(form)
    .sort()
    .flatMap((name) => [...new Set([form[name] ?? ''].flat())].sort().map((value) => name + value))
    .join('');
}

/** URLs that Twilio may have used, the likeliest first. */
function variantsOf(request: CapturedRequest, known: readonly PublicOrigin[]): string[] {
  const { headers, url } = request;
  const absolute = /^\w+:\/\//.test(url) ? new URL(url) : undefined;
  const [, path = '/', query] = /^([^?#]*)(?:\?([^#]*))?/.exec(url.replace(/^\w+:\/\/[^/]*/, '')) ?? [];
  const told = (name: string) => (headers[name] ?? '').split(',').map((each) => each.trim());
  const forwarded = [...(headers.forwarded ?? '').matchAll(/host="?([^",;\s]+)/gi)].map(
    ([, host = '']) => host,
  );
  const hosts = [
    ...known.map(({ origin }) => new URL(origin).host),
    absolute?.host ?? '',
    ...forwarded,
    ...told('x-forwarded-host'),
    ...told('x-original-host'),
    ...told('x-forwarded-server'),
    headers.host ?? '',
  ].filter((host) => host !== '' && URL.canParse(`http://${host}`));
  const original = [
    'x-original-uri',
    'x-original-url',
    'x-forwarded-uri',
    'x-envoy-original-path',
    'x-rewrite-url',
  ]
    .flatMap(told)
    .map((each) => each.replace(/^\w+:\/\/[^/]*/, '').replace(/\?.*$/, ''));
  const prefixes = [
    ...known.map(({ prefix }) => prefix),
    ...told('x-forwarded-prefix'),
    ...told('x-script-name'),
  ];
  const schemes = isUpgrade(request) ? ['wss', 'https', 'ws', 'http'] : ['https', 'http', 'wss'];
  const paths = new Set([path, ...original]);
  for (const prefix of prefixes) paths.add(prefix.replace(/\/+$/, '') + path);
  // A proxy, or the capture, may have added a prefix.
  for (const beginning of beginningsOf(path)) paths.add(path.slice(beginning.length));
  const variants: string[] = [];
  for (const { origin } of basesOf(withPorts(hosts), [''], schemes)) {
    for (const each of paths) {
      for (const slashed of [each, each.endsWith('/') ? each.slice(0, -1) : `${each}/`]) {
        for (const asked of query === undefined ? [''] : [`?${query}`, ''])
          variants.push(origin + slashed + asked);
      }
    }
  }
  return variants;
}

/** Each host as it is, without its port, and with the default ports. */
function withPorts(hosts: readonly string[]): string[] {
  return hosts.flatMap((host) => {
    const bare = host.replace(/:\d+$/, '');
    return [host, bare, `${bare}:443`, `${bare}:80`];
  });
}
