import { once } from 'node:events';
import { request as ask, createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import express from 'express';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { createGateway, type Gateway, type GatewayOptions, LocalBridge } from '../../src/index.js';
import {
  ACCOUNT_SID,
  AUTH_TOKEN,
  sign,
  streamUrl,
  upgradeStatus,
  voiceParameters,
} from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { KEY, TestLeg } from '../support/leg.js';
import { clock, eventually, virtualTime } from '../support/time.js';
import { TRANSPORTS } from '../support/transports.js';
import { handshake, RawClient, request } from './transport/raw-client.js';

virtualTime();

const open: { server: Server; gateway: Gateway }[] = [];
afterEach(async () => {
  for (const { server, gateway } of open.splice(0)) {
    await gateway.close();
    server.close();
    server.closeAllConnections();
  }
});

const twilio = { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN] };

/** A gateway in a server that answers "mine" elsewhere. */
async function attached(prefix: string, options: GatewayOptions = {}) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end('mine');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gateway = createGateway({
    maxLoopDelayMs: 0,
    maxCpuPercent: 0,
    logLevel: 'silent',
    clock,
    controlApiKey: KEY,
    ...options,
    twilio,
  });
  open.push({ server, gateway });
  await gateway.attach(server, prefix === '' ? {} : { prefix });
  return { server, gateway, origin, url: origin + prefix, asked };
}

const answerTo = async (url: string) => {
  const answer = await fetch(url);
  return [answer.status, (await answer.text()).slice(0, 4)];
};

const portOf = (server: Server) => (server.address() as AddressInfo).port;

const connections = (server: Server) =>
  new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));

const upgrade = (path: string, protocol: string, body = '') =>
  [
    `${body === '' ? 'GET' : 'POST'} ${path} HTTP/1.1`,
    'Host: x',
    'Connection: Upgrade',
    `Upgrade: ${protocol}`,
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');

describe('a gateway in another server', () => {
  it('answers below its prefix and nowhere else', async () => {
    const { server, origin, url, asked } = await attached('/phone');
    const late: string[] = [];
    server.on('request', ({ url = '' }) => late.push(url));
    expect(await answerTo(`${url}/health`)).toEqual([200, '{"st']);
    expect(await answerTo(`${url}/none?of=these`)).toEqual([404, '{"er']);
    expect(await answerTo(url)).toEqual([404, '{"er']);
    expect([asked, late]).toEqual([[], []]);
    for (const path of ['/health', '/phones', '/phonehealth', '/?/phone/health']) {
      expect(await answerTo(origin + path)).toEqual([200, 'mine']);
    }
    expect(asked).toHaveLength(4);
    expect(late).toEqual(asked);
  });

  it('without a prefix answers its own paths', async () => {
    const { origin } = await attached('');
    expect(await answerTo(`${origin}/health`)).toEqual([200, '{"st']);
    expect(await answerTo(`${origin}/v1/calls/none`)).toEqual([401, '{"er']);
    expect(await answerTo(`${origin}/v1`)).toEqual([200, 'mine']);
    expect(await answerTo(`${origin}/twilio`)).toEqual([200, 'mine']);
  });

  it('gives Twilio the address and prefix of the request', async () => {
    const { url } = await attached('/my/phone');
    const parameters = voiceParameters();
    const answer = await fetch(`${url}/twilio/voice`, {
      method: 'POST',
      headers: { 'x-twilio-signature': sign(`${url}/twilio/voice`, parameters) },
      body: new URLSearchParams(parameters),
    });
    expect(answer.status).toBe(200);
    const media = streamUrl(await answer.text());
    expect(media.startsWith(`${url.replace('http', 'ws')}/twilio/media/`)).toBe(true);
    expect((await upgradeStatus(media, {})).status).toBe(403);
    expect((await upgradeStatus(media, { 'x-twilio-signature': sign(media) })).status).toBe(101);
  });

  it('leaves other WebSockets to the server, and answers 404 where nobody handles them', async () => {
    const { server, origin, url } = await attached('/phone');
    expect((await upgradeStatus(`${origin}/chat`, {}).catch(() => ({ status: 404 }))).status).toBe(404);
    // This server rejects unknown upgrades.
    const chat = new WebSocketServer({ server, path: '/chat' });
    chat.on('connection', (socket) => socket.send('welcome'));
    const guest = new WebSocket(`${origin.replace('http', 'ws')}/chat`);
    expect(String((await once(guest, 'message'))[0])).toBe('welcome');
    const leg = await TestLeg.join(url, 'desk');
    leg.tell({ type: 'mark', name: 'here' });
    expect(await leg.event('mark')).toMatchObject({ name: 'here', place: 'sent' });
    guest.terminate();
    chat.close();
  });

  it('survives a client that asks for a WebSocket and breaks the connection', async () => {
    const { server, origin } = await attached('/phone');
    for (let i = 0; i < 20; i++) {
      const accepted = once(server, 'connection');
      const client = await RawClient.sending(Number(new URL(origin).port), handshake('/chat'));
      const [connection] = (await accepted) as [Socket];
      const gone = new Promise((resolve) => connection.once('close', resolve));
      client.reset();
      // An unhandled error would fail the run.
      await gone;
    }
    expect(await answerTo(origin)).toEqual([200, 'mine']);
  });

  it('leaves a request to upgrade to HTTP/2 to the user', async () => {
    const { origin } = await attached('/phone');
    const headers = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'];
    const client = await RawClient.sending(Number(new URL(origin).port), request('GET', '/', headers));
    expect(await client.answer()).toMatchObject({ status: 200, body: 'mine' });
    client.destroy();
  });

  it('keeps nothing of a rejected WebSocket request, however it ends', async () => {
    const { server, origin } = await attached('/phone');
    for (const how of ['end', 'resetAndDestroy'] as const) {
      const socket = connect({ port: portOf(server), host: '127.0.0.1', allowHalfOpen: true });
      socket.on('error', () => {});
      socket.write(upgrade('/chat', 'websocket'));
      await once(socket, 'data');
      socket.write('more');
      socket[how]();
    }
    await eventually('no connection', () => connections(server).then((count) => count === 0));
    expect(await answerTo(`${origin}/phone/health`)).toEqual([200, '{"st']);
  });

  it.each([
    ['asks for a WebSocket of ours', upgrade('/phone/twilio/media/a/b', 'websocket')],
    ['asks for a WebSocket', upgrade('/chat', 'websocket')],
    ['asks us', 'GET /phone/health HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('goes on where somebody %s before there is an answer', async (_, bytes) => {
    const { server, origin } = await attached('/phone');
    let asked = 0;
    server.removeAllListeners('request').on('request', () => {
      asked += 1;
    });
    const socket = connect(portOf(server), '127.0.0.1');
    socket.on('error', () => {}).resume();
    socket.write(`GET /slow HTTP/1.1\r\nHost: x\r\n\r\n${bytes}`);
    // In Node 22 and later, an upgrade without a listener is an ordinary request.
    await eventually('the end, or the next request', () => socket.closed || asked === 2);
    socket.destroy();
    await eventually('no connection', () => connections(server).then((count) => count === 0));
    expect(await answerTo(`${origin}/phone/health`)).toEqual([200, '{"st']);
  });

  it.each(['attach', 'listen'] as const)('stays closed if closed during %s', async (what) => {
    const server = createServer((_, response) => response.end('mine')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    let go = () => {};
    const bridge = Object.assign(new LocalBridge(), {
      open: () =>
        new Promise<void>((resolve) => {
          go = resolve;
        }),
    });
    const gateway = createGateway({ logLevel: 'silent', clock, twilio, bridge, port: 0 });
    open.push({ server, gateway });
    const begun = what === 'attach' ? gateway.attach(server, { prefix: '/phone' }) : gateway.listen();
    const refused = expect(begun).rejects.toMatchObject({ code: 'GW_LISTENING' });
    await eventually('a bridge', () => go.name !== 'go');
    const closed = gateway.close();
    go();
    await refused;
    await closed;
    expect(await answerTo(`http://127.0.0.1:${portOf(server)}/phone/health`)).toEqual([200, 'mine']);
  });

  it('answers Expect: 100-continue', async () => {
    const { url } = await attached('/phone');
    const post = ask(`${url}/v1/calls`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, expect: '100-continue', 'content-length': 2 },
    });
    post.on('continue', () => post.end('{}'));
    post.flushHeaders();
    const [{ statusCode }] = await once(post, 'response');
    expect(statusCode).toBe(400);
  });

  it('shares a server with another gateway, whichever is closed first', async () => {
    const { server, origin, gateway: first } = await attached('/first');
    const second = createGateway({ logLevel: 'silent', clock, controlApiKey: KEY, twilio });
    open.push({ server, gateway: second });
    await second.attach(server, { prefix: '/second' });
    expect(await answerTo(`${origin}/first/health`)).toEqual([200, '{"st']);
    expect((await upgradeStatus(`${origin}/chat`, {}).catch(() => ({ status: 404 }))).status).toBe(404);
    await first.close();
    expect(await answerTo(`${origin}/first/health`)).toEqual([200, 'mine']);
    expect(await answerTo(`${origin}/second/health`)).toEqual([200, '{"st']);
    const leg = await TestLeg.join(`${origin}/second`, 'desk');
    leg.tell({ type: 'mark', name: 'here' });
    expect(await leg.event('mark')).toMatchObject({ name: 'here', place: 'sent' });
    await second.close();
    expect(await answerTo(`${origin}/second/health`)).toEqual([200, 'mine']);
  });

  it('leaves the server when it is closed, and closes its sockets', async () => {
    const { gateway, url } = await attached('/phone');
    const leg = await TestLeg.join(url, 'desk');
    await gateway.close();
    await eventually('the end', () => leg.closed !== undefined);
    expect(leg.closed).toEqual({ code: 1001, reason: 'going away' });
    expect(await answerTo(`${url}/health`)).toEqual([200, 'mine']);
  });

  it.each<[string, GatewayOptions, string]>([
    ['phone', {}, 'Expected a path like /phone for prefix but received "phone"'],
    ['/phone/', {}, 'Expected a path like /phone for prefix'],
    ['/:id', {}, 'Expected a path like /phone for prefix'],
    ['/phone', { publicUrl: 'https://voice.example.com' }, 'Expected a URL that ends in /phone'],
    ['/phone', { operationsPort: 0 }, 'Expected no operationsPort for a gateway in another server'],
    ['/phone', { sharePort: true, redis: { url: 'redis://127.0.0.1' } }, 'Expected no sharePort for'],
  ])('refuses %s with %o', async (prefix, options, message) => {
    await expect(attached(prefix, options)).rejects.toThrow(message);
  });

  it.each([
    ['an app of Express', express()],
    ['nothing', undefined],
  ])('refuses %s in place of a server', async (_, app) => {
    const gateway = createGateway({ logLevel: 'silent', clock, twilio });
    await expect(gateway.attach(app as unknown as Server)).rejects.toThrow(
      'Expected a server of node:http or node:https',
    );
  });

  it('neither listens as well nor is attached twice', async () => {
    const { gateway, server } = await attached('/phone');
    await expect(gateway.listen()).rejects.toThrow('listen needs a new one');
    await expect(gateway.attach(server)).rejects.toThrow('attach needs a new one');
  });
});

describe.each(TRANSPORTS)('user routes beside the gateway’s, on %s', (server) => {
  it('take a Fetch Request and answer with its Response', async () => {
    const { url } = await startGateway({
      server,
      routes: {
        'GET /prices/:id': ({ url, headers }) =>
          Response.json(
            { path: new URL(url).pathname + new URL(url).search, agent: headers.get('x-agent') },
            { headers: { 'x-price': '3', 'set-cookie': 'a=b' } },
          ),
        'PUT /notes': async (request) => new Response((await request.text()).toUpperCase(), { status: 201 }),
        'POST /fails': () => {
          throw new Error('secret');
        },
      },
    });
    const price = await fetch(`${url}/prices/7?in=eur`, { headers: { 'x-agent': 'me' } });
    expect(await price.json()).toEqual({ path: '/prices/7?in=eur', agent: 'me' });
    expect([price.headers.get('x-price'), price.headers.get('set-cookie')]).toEqual(['3', 'a=b']);
    const head = await fetch(`${url}/prices/7`, { method: 'HEAD' });
    expect([head.status, head.headers.get('x-price'), await head.text()]).toEqual([200, '3', '']);
    const note = await fetch(`${url}/notes`, { method: 'PUT', body: 'written' });
    expect([note.status, await note.text()]).toEqual([201, 'WRITTEN']);
    expect((await fetch(`${url}/notes`, { method: 'PUT', body: 'a'.repeat(70_000) })).status).toBe(413);
    expect((await fetch(`${url}/notes`)).status).toBe(405);
    const failed = await fetch(`${url}/fails`, { method: 'POST' });
    expect([failed.status, await failed.text()]).toEqual([500, expect.not.stringContaining('secret')]);
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });
});

describe.each(TRANSPORTS)('user routes, on %s,', (server) => {
  const start = async () =>
    startGateway({
      server,
      routes: {
        'GET /echo/:id': ({ url }) =>
          new Response('said', { headers: { 'x-said': new URL(url).searchParams.get('say') ?? '' } }),
        'GET /error': () => Response.error(),
        'GET /nothing': () => undefined as unknown as Response,
        'GET /url': ({ url }) => new Response(url),
      },
    });
  const asked = async (url: string, path: string, host: string) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    let text = '';
    for await (const chunk of socket) text += chunk;
    return text;
  };

  it.each(['/echo/1?say=%01', '/error', '/nothing'])('may answer with an error: %s', async (path) => {
    const { url } = await start();
    expect((await fetch(url + path)).status).toBe(500);
    expect((await fetch(`${url}/echo/1?say=hello`)).headers.get('x-said')).toBe('hello');
  });

  it.each(['x/admin?', 'x#', 'user:password@x', 'x\\admin'])('reject the host %s', async (host) => {
    const { url } = await start();
    expect(await asked(url, '/url', host)).toMatch(/^HTTP\/1\.1 400 .*GW_BAD_REQUEST/s);
  });

  it.each(['voice.example.com', 'a_b.example:8080', '[::1]:80'])('accept the host %s', async (host) => {
    const { url } = await start();
    expect(await asked(url, '/url', host)).toContain(`\r\n\r\n${new URL(`http://${host}/url`)}`);
  });

  it.each(['..', '.', '%2E%2e', '..\\admin', 'a#b'])('reject the path /echo/%s', async (id) => {
    const { url } = await start();
    expect(await asked(url, `/echo/${id}`, 'x')).toMatch(/^HTTP\/1\.1 400 /);
  });
});

it.each(['GET prices', 'FETCH /prices', 'GET /*', 'GET /health', 'GET /v1/prices', 'POST /twilio/voice'])(
  'a route %s cannot be',
  (route) => {
    expect(() => createGateway({ twilio, routes: { [route]: () => new Response() } })).toThrow(TypeError);
  },
);
