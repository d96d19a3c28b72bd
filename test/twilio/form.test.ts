import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import express from 'express';
import { afterEach, describe, expect, test } from 'vitest';
import { CallWebhookInput, GatewayError } from '../../src/index.js';

const FORM = { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' };
const url = 'https://voice.example.com/calls';
const post = (body: string | ReadableStream, headers: Record<string, string> = FORM) =>
  new Request(url, { method: 'POST', body, headers, duplex: 'half' } as RequestInit);

/** What is said of a mistake: its code and status. */
async function refused(work: () => Promise<unknown>): Promise<unknown> {
  const error = await work().then(
    () => undefined,
    (error: unknown) => error,
  );
  return error instanceof GatewayError ? [error.code, error.status] : error;
}

const servers: http.Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

type Handler = (request: IncomingMessage) => Promise<unknown>;

async function serve(handler: http.RequestListener): Promise<number> {
  const server = http.createServer(handler);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Answers with what `handler` makes of a request, or with the code of its error. */
const answering =
  (handler: Handler): http.RequestListener =>
  async (request, response) => {
    const answer = await handler(request).catch((error: unknown) => error);
    if (answer instanceof GatewayError) response.writeHead(answer.status).end(answer.code);
    else if (answer instanceof Error) response.writeHead(500).end(answer.message);
    else response.end(JSON.stringify(answer));
  };

const parametersOf = async (request: Parameters<typeof CallWebhookInput.from>[0]) =>
  (await CallWebhookInput.from(request)).parameters;

async function ask(port: number, path = '/', init: RequestInit = {}): Promise<[number, string]> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers: FORM, ...init });
  return [answer.status, await answer.text()];
}

describe('a Fetch webhook', () => {
  test('is read with all its values', async () => {
    const input = await CallWebhookInput.from(post('CallSid=CA1&From=%2B1555&A=2&A=1'));
    expect(input.callSid).toBe('CA1');
    expect(input.from).toBe('+1555');
    expect(input.parameters.A).toEqual(['2', '1']);
  });

  test('is the query of a GET', async () => {
    const input = await CallWebhookInput.from(new Request(`${url}?CallSid=CA1&To=%2B1`));
    expect([input.callSid, input.to]).toEqual(['CA1', '+1']);
  });

  test('is bounded, with and without Content-Length', async () => {
    const pieces = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(Buffer.alloc(1_000, 'a'));
        },
      });
    expect(await refused(() => CallWebhookInput.from(post(pieces())))).toEqual(['GW_BODY_TOO_LARGE', 413]);
    expect(await refused(() => CallWebhookInput.from(post('a'.repeat(16 * 1024 + 1))))).toEqual([
      'GW_BODY_TOO_LARGE',
      413,
    ]);
    expect(await refused(() => CallWebhookInput.from(post('a=1&'.repeat(201))))).toEqual([
      'GW_TOO_MANY_PARAMETERS',
      413,
    ]);
    expect((await CallWebhookInput.from(post('a'.repeat(16 * 1024)))).callSid).toBe('');
  });

  test('is a form, and read once', async () => {
    const json = { 'content-type': 'application/json' };
    expect(await refused(() => CallWebhookInput.from(post('{}', json)))).toEqual(['GW_NOT_A_FORM', 415]);
    const request = post('CallSid=CA1');
    await request.text();
    expect(await refused(() => CallWebhookInput.from(request))).toBeInstanceOf(TypeError);
  });
});

describe('a Node webhook', () => {
  test('is read with all its values', async () => {
    const port = await serve(answering(parametersOf));
    expect(await ask(port, '/', { body: 'A=2&B=%C3%A4&A=1' })).toEqual([200, '{"A":["2","1"],"B":"ä"}']);
    expect(await ask(port, '/?A=1', { method: 'GET' })).toEqual([200, '{"A":"1"}']);
  });

  test('is bounded, and its client gets an error', async () => {
    const port = await serve(answering(parametersOf));
    expect(await ask(port, '/', { body: 'a'.repeat(16 * 1024 + 1) })).toEqual([413, 'GW_BODY_TOO_LARGE']);
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 40; i++) controller.enqueue(Buffer.alloc(1_000, 'a'));
        controller.close();
      },
    });
    expect(await ask(port, '/', { body, duplex: 'half' } as RequestInit)).toEqual([413, 'GW_BODY_TOO_LARGE']);
    expect(await ask(port, '/', { body: 'a=1&'.repeat(201) })).toEqual([413, 'GW_TOO_MANY_PARAMETERS']);
    expect(await ask(port, '/', { body: '{}', headers: { 'content-type': 'application/json' } })).toEqual([
      415,
      'GW_NOT_A_FORM',
    ]);
  });

  test('fails when its client disconnects', async () => {
    const outcome = new Promise((resolve) => {
      void serve((request) => {
        resolve(refused(() => CallWebhookInput.from(request)));
      }).then((port) => {
        const socket = net.connect(port, '127.0.0.1', () => {
          socket.write(
            `POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ${FORM['content-type']}\r\nContent-Length: 9\r\n\r\nA=`,
            () => socket.destroy(),
          );
        });
      });
    });
    expect(await outcome).toEqual(['GW_CLIENT_GONE', 400]);
  });

  test('whose body was already read fails with advice', async () => {
    const port = await serve(
      answering(async (request) => {
        for await (const _ of request);
        return parametersOf(request);
      }),
    );
    const [status, message] = await ask(port, '/', { body: 'A=1' });
    expect(status).toBe(500);
    expect(message).toBe(
      'Expected a request whose body nobody has read, or its parsed body for a webhook but received "one that was read"',
    );
  });
});

describe('an Express webhook', () => {
  const app = (parser?: express.RequestHandler, of = (request: express.Request): object => request) => {
    const made = express();
    if (parser !== undefined) made.use(parser);
    made.use(
      (request, response) => void answering(() => parametersOf(of(request) as never))(request, response),
    );
    return made;
  };

  test.each([
    ['without a parser', undefined, undefined],
    ['with a parser', express.urlencoded({ extended: false }), undefined],
    ['with the other parser', express.urlencoded({ extended: true }), undefined],
    ['with its text', express.text({ type: '*/*' }), undefined],
    ['with its bytes', express.raw({ type: '*/*' }), undefined],
    ['as its body', express.urlencoded({ extended: false }), (request: express.Request) => request.body],
  ])('is read %s', async (_, parser, of) => {
    const port = await serve(app(parser, of));
    expect(await ask(port, '/', { body: 'A=2&B=%C3%A4&A=1&C=' })).toEqual([
      200,
      '{"A":["2","1"],"B":"ä","C":""}',
    ]);
  });

  test('rejects nested objects of any name', async () => {
    const parser = express.urlencoded({ extended: true });
    for (const of of [undefined, (request: express.Request) => request.body]) {
      const port = await serve(app(parser, of));
      for (const body of ['A[b]=1', 'headers[get]=1', 'raw[on]=1&headers=2', 'A[]=1&A[][b]=2']) {
        expect(await ask(port, '/', { body }), body).toEqual([400, 'GW_NOT_A_FORM']);
      }
    }
  });

  test('is bounded', async () => {
    const port = await serve(app(express.urlencoded({ extended: false })));
    const body = Array.from({ length: 201 }, (_, i) => `p${i}=1`).join('&');
    expect(await ask(port, '/', { body })).toEqual([413, 'GW_TOO_MANY_PARAMETERS']);
    expect(await ask(port, '/', { body: 'A=1&'.repeat(201) })).toEqual([413, 'GW_TOO_MANY_PARAMETERS']);
  });

  test('rejects JSON', async () => {
    const port = await serve(app(express.json()));
    const headers = { 'content-type': 'application/json' };
    expect(await ask(port, '/', { body: '{"CallSid":"CA1"}', headers })).toEqual([415, 'GW_NOT_A_FORM']);
  });
});

test.each([undefined, null, 'CallSid=CA1', 7])('%j is no webhook', async (value) => {
  expect(await refused(() => CallWebhookInput.from(value as never))).toBeInstanceOf(TypeError);
});
