import http from 'node:http';
import { type DocumentedError, paths } from './documented.js';
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

/** Requests that operations accept, if the document's example needs more than the tests have. */
const GOOD: Record<string, object> = {
  'post /v1/calls': { to: OTHER },
  [`post ${CALL}/play`]: { file: 'a.wav' },
  [`post ${CALL}/hold`]: {},
  [`post ${CALL}/transfer`]: { room: 'elsewhere' },
  [`post ${CALL}/legs`]: { to: OTHER },
};

/** What a request is, if it is not as usual. */
export interface Request {
  readonly callId?: string;
  /** Instead of one that the operation accepts. */
  readonly body?: object | string | Uint8Array | undefined;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

/** Requests any operation. */
export function send(
  url: string,
  of: Operation,
  { callId = 'nobody', query = '', ...request }: Request = {},
) {
  const path = of.path.replace('{callId}', callId).replace('{room}', 'desk') + query;
  const isUpgrade = path.includes('/leg') && !path.endsWith('/legs');
  const body = request.body ?? goodBodyOf(of);
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

/** A body that an operation accepts; `undefined` if it takes none. */
export function goodBodyOf({ method, path }: Operation): object | undefined {
  const example = paths[path]?.[method]?.requestBody?.content['application/json']?.example;
  return example && (GOOD[nameOf({ method, path })] ?? example);
}

/** A body that an operation rejects. */
export const badBodyOf = (of: Operation): object => ({ ...goodBodyOf(of), unknown: true });
