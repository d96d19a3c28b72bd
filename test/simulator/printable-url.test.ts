import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { newSid, parseTwiml, SimulatedPhone, sendWebhook, twimlOf } from '../../src/simulator/index.js';
import { printableUrl } from '../../src/simulator/printable-url.js';
import { freePort } from '../support/port.js';

it.each([
  ['https://bob:hunter2@a.example:8443/voice?token=s3cret#x', 'https://a.example:8443/voice'],
  ['wss://bob@a.example/media', 'wss://a.example/media'],
  ['x-own://bob:hunter2@a.example/media?token=s3cret', 'x-own://a.example/media'],
  ['http://127.0.0.1:1', 'http://127.0.0.1:1/'],
  // The host is bob, and its port no number.
  ['https://bob:hun/ter2@a.example/voice', 'a text that is no URL'],
  ['a.example/voice?token=s3cret', 'a text that is no URL'],
  ['wss://', 'wss://'],
])('a message shows %s as %s', (url, printable) => {
  expect(printableUrl(url)).toBe(printable);
});

describe('no error of the simulator contains user, password or query', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    server = undefined;
  });
  /** Starts a server that answers every request; returns its URL. */
  const listen = async (status: number, headers: Record<string, string> = {}) => {
    server = createServer((_, response) => response.writeHead(status, headers).end());
    server.on('upgrade', (_, socket) => socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/voice`;
  };
  const withSecrets = (url: string) => `${url.replace('://', '://bob:hunter2@')}?token=s3cret`;
  const messageOf = async (failing: () => unknown): Promise<string> => {
    try {
      await failing();
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('it did not fail');
  };
  const expectClean = (message: string, told: string) => {
    expect(message).toContain(told);
    expect(message).not.toMatch(/bob|hunter2|s3cret/);
  };
  const options = { authToken: '12345' };

  it('of an unreachable server', async () => {
    const url = `http://127.0.0.1:${await freePort()}/voice`;
    expectClean(await messageOf(() => sendWebhook(withSecrets(url), {}, options)), `from ${url} but`);
  });

  it('of endless redirects', async () => {
    const url = await listen(302, { location: withSecrets('/voice') });
    expectClean(await messageOf(() => sendWebhook(withSecrets(url), {}, options)), `for ${url} but`);
  });

  it.each([
    [500, 'text/xml', 'Expected status 200 from'],
    [200, 'text/plain', 'Expected text/xml or application/xml from'],
  ])('of a response with status %i and type %s', async (status, contentType, told) => {
    const url = await listen(status, { 'content-type': contentType });
    const message = await messageOf(async () => twimlOf(await sendWebhook(withSecrets(url), {}, options)));
    expectClean(message, `${told} ${url} but`);
  });

  it.each([
    [
      'https://bob:hunter2@a.example/m',
      'Expected a wss:// URL for <Stream> but received "https://a.example/m"',
    ],
    ['wss://bob:hunter2@a.example/m?token=s3cret', 'but received one, of "wss://a.example/m"'],
    ['wss://bob:hun/ter2@a.example/m?token=s3cret', 'received "a text that is no URL"'],
  ])('of a stream at %s', async (url, told) => {
    const twiml = `<Response><Connect><Stream url="${url}"/></Connect></Response>`;
    expectClean(await messageOf(() => parseTwiml(twiml, 'https://a.example/voice')), told);
  });

  it.each(['refused', 'answered with 404'])('of a stream that is %s', async (how) => {
    const at = how === 'refused' ? `http://127.0.0.1:${await freePort()}/media` : await listen(404);
    const url = at.replace('http://', 'ws://');
    const stream = `<Stream url="${url.replace('://', '://bob:hunter2@')}"/>`;
    const twiml = `<Response><Connect>${stream}</Connect></Response>`;
    const phone = new SimulatedPhone({
      accountSid: newSid('AC'),
      authToken: '12345',
      from: '+12065550100',
      to: '+14155550123',
      twiml,
    }).dial();
    expectClean(await messageOf(() => phone.started), ` ${url} `);
    await phone.ended;
  });
});
