import http from 'node:http';
import type { DocumentedError } from './documented.js';
import { KEY } from './leg.js';

/** Somebody to be called. */
const OTHER = '+15557778888';

export interface Answer {
  readonly status: number;
  readonly body: { readonly error?: { readonly code: string; readonly message: string } };
}

export type Operation = Pick<DocumentedError, 'method' | 'path'>;

const nameOf = ({ method, path }: Operation) => `${method} ${path}`;
const CALL = '/v1/calls/{callId}';

/** A request that each operation takes, and one that it does not; none where it has no body. */
const BODIES: Record<string, { readonly good?: object; readonly bad: object }> = {
  'post /v1/calls': { good: { to: OTHER }, bad: { to: OTHER, colour: 'red' } },
  [`post ${CALL}/clear`]: { bad: { now: true } },
  [`post ${CALL}/mark`]: { good: { name: 'here' }, bad: { name: '' } },
  [`post ${CALL}/dtmf`]: { good: { digits: '1' }, bad: { digits: 'x' } },
  [`post ${CALL}/play`]: { good: { file: 'a.wav' }, bad: { file: 'a.wav', loop: -1 } },
  [`post ${CALL}/hold`]: { bad: { music: 'a.wav' } },
  [`post ${CALL}/mute`]: { bad: { voice: 'nobody' } },
  [`post ${CALL}/transfer`]: {
    good: { room: 'elsewhere' },
    bad: { room: 'elsewhere', sip: 'sip:a@b.example' },
  },
  [`post ${CALL}/legs`]: { good: { to: OTHER }, bad: { to: OTHER, room: 'elsewhere' } },
  [`post ${CALL}/recording`]: { bad: { rate: 7 } },
};

/** What of a request is not as usual. */
export interface Request {
  readonly callId?: string;
  /** In place of one that the operation takes. */
  readonly body?: object | string | Uint8Array | undefined;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

/** Makes a request, of whichever operation. */
export function send(
  url: string,
  of: Operation,
  { callId = 'nobody', query = '', ...request }: Request = {},
) {
  const path = of.path.replace('{callId}', callId).replace('{room}', 'desk') + query;
  const isUpgrade = path.includes('/leg') && !path.endsWith('/legs');
  const body = request.body ?? BODIES[nameOf(of)]?.good;
  const headers = {
    authorization: `Bearer ${KEY}`,
    ...(isUpgrade
      ? {
          connection: 'upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        }
      : {}),
    ...request.headers,
  };
  return new Promise<Answer>((resolve, reject) => {
    const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
    const sent = http.request(url + path, { method: of.method.toUpperCase(), headers: given, agent: false });
    sent.on('response', async (response) => {
      const { statusCode: status = 0 } = response;
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status, body: JSON.parse(text) });
    });
    sent.on('upgrade', (_, socket) => {
      socket.destroy();
      resolve({ status: 101, body: {} });
    });
    sent.on('error', reject);
    sent.end(
      typeof body === 'string' || body instanceof Uint8Array || body === undefined
        ? body
        : JSON.stringify(body),
    );
  });
}

/** A body that an operation takes. */
export const goodBodyOf = (of: Operation): object => BODIES[nameOf(of)]?.good ?? {};

/** A body that an operation does not take. */
export function badBodyOf(of: Operation): object {
  const { bad } = BODIES[nameOf(of)] ?? {};
  if (bad === undefined) throw new Error(`Expected an operation with a body but received ${nameOf(of)}`);
  return bad;
}
