import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeAll, expect, it } from 'vitest';
import { certificate } from '../../src/doctor/certificate.js';
import type { Finding } from '../../src/doctor/check.js';
import { type ContextOptions, createContext } from '../../src/doctor/context.js';
import { examine } from '../../src/doctor/doctor.js';
import { route } from '../../src/doctor/route.js';
import { upgrade } from '../../src/doctor/upgrade.js';
import { webhook } from '../../src/doctor/webhook.js';
import { ACCOUNT_SID, AUTH_TOKEN } from '../support/caller.js';
import { makeCertificate } from '../support/certificate.js';
import { startGateway } from '../support/gateway.js';
import { freePort } from '../support/port.js';
import { describeBehindProxy, startHaproxy, startNginx } from '../support/reverse-proxy.js';
import { VirtualClock } from '../support/virtual-clock.js';

const HOST = 'voice.example.com';
const PUBLIC_URL = `https://${HOST}`;
const CHECKS = [certificate, route, webhook, upgrade];

/** Nobody advances it, so timeouts never fire on a busy machine. */
const clock = new VirtualClock();
let tls: { cert: string; pem: string };
let ca: string;
beforeAll(() => {
  tls = makeCertificate(HOST);
  ca = readFileSync(tls.cert, 'utf8');
});

/** Mistakes found at a port, by check. */
async function mistakesAt(port: number, publicUrl = PUBLIC_URL, options: ContextOptions = {}) {
  const env = {
    TWILIO_ACCOUNT_SID: ACCOUNT_SID,
    TWILIO_AUTH_TOKEN: AUTH_TOKEN,
    PORT: '0',
    PUBLIC_URL: publicUrl,
  };
  const context = createContext(env, { clock, connect: { host: '127.0.0.1', port }, ca, ...options });
  const findings = await examine(context, CHECKS);
  return wrongOf(findings);
}

function wrongOf(findings: readonly Finding[]): Record<string, string> {
  const wrong = findings.filter(({ mark }) => mark === 'fail' || mark === 'warn');
  return Object.fromEntries(wrong.map(({ check, mark, says, set }) => [check, `${mark}: ${says} | ${set}`]));
}

const addressOf = (url: string) => new URL(url).host;

describeBehindProxy('doctor, of a proxy', () => {
  it.each([
    ['strips', ['http-request replace-path /phones(.*) \\1']],
    ['passes on', []],
  ])('finds a path prefix that the gateway does not know and the proxy %s', async (_, lines) => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const port = await startHaproxy({ to: addressOf(url), pem: tls.pem, lines });
    const { proxy = '', webhook: asked = '' } = await mistakesAt(port, `${PUBLIC_URL}/phones`);
    expect(proxy).toBe('');
    expect(asked).toMatch(/path/);
    expect(asked).toContain(`PUBLIC_URL=${PUBLIC_URL}/phones`);
  });

  it('finds a PUBLIC_URL without the proxy’s path prefix', async () => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const lines = [
      'http-request return status 404 unless { path_beg /phones/ }',
      'http-request replace-path /phones(.*) \\1',
    ];
    const port = await startHaproxy({ to: addressOf(url), pem: tls.pem, lines });
    const { proxy } = await mistakesAt(port);
    expect(proxy).toContain(`${HOST} answers 404`);
    expect(proxy).toContain('path prefix');
    expect(Object.keys(await mistakesAt(port, `${PUBLIC_URL}/phones`))).toEqual(['webhook']);
  });

  it('finds a proxy that changes the path otherwise', async () => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const lines = ['http-request replace-path /(.*) /v2/\\1'];
    const port = await startHaproxy({ to: addressOf(url), pem: tls.pem, lines });
    expect((await mistakesAt(port)).proxy).toContain('/twilio/voice becomes /v2/twilio/voice');
  });

  it('finds http that is redirected to https, and a redirect to a trailing slash', async () => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const to = addressOf(url);
    const plain = await startHaproxy({ to, lines: [`http-request redirect prefix ${PUBLIC_URL} code 301`] });
    const found = await mistakesAt(plain, PUBLIC_URL, { url: `http://${HOST}` });
    expect(found.proxy).toMatch(/redirect to another scheme.*into a GET/);
    expect(found.proxy).toContain(`PUBLIC_URL=${PUBLIC_URL}`);
    const slash = await startNginx({ to, pem: tls.pem, lines: ['rewrite ^(.*[^/])$ $1/ redirect;'] });
    expect((await mistakesAt(slash)).proxy).toContain('no redirect to a trailing slash');
  });

  it('finds a port without TLS', async () => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const found = await mistakesAt(await startHaproxy({ to: addressOf(url) }));
    expect(found.certificate).toContain('it speaks no TLS');
    expect(found.proxy).toContain('it speaks no TLS');
  });

  it('finds an expired certificate, and one about to expire', async () => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const shown = async (days: number) => {
      const { cert, pem } = makeCertificate(HOST, days);
      const port = await startHaproxy({ to: addressOf(url), pem });
      const inAnHour = new VirtualClock(Date.now() + 3_600_000);
      return mistakesAt(port, PUBLIC_URL, { ca: readFileSync(cert, 'utf8'), clock: inAnHour });
    };
    expect(await shown(-1)).toEqual({
      certificate: expect.stringMatching(/^fail: The certificate expired on/),
    });
    expect(await shown(3)).toEqual({
      certificate: expect.stringMatching(/^warn: The certificate expires in 2 days/),
    });
  });

  it('finds an nginx without a gateway behind it', async () => {
    const port = await startNginx({ to: `127.0.0.1:${await freePort()}`, pem: tls.pem });
    expect((await mistakesAt(port)).proxy).toContain('The proxy answers 502: it does not reach the gateway');
  });

  it('finds a proxy that forwards webhooks but not media sockets', async () => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const lines = ['http-request return status 403 if { path_beg /twilio/media/ }'];
    const port = await startHaproxy({ to: addressOf(url), pem: tls.pem, lines });
    expect(await mistakesAt(port)).toEqual({
      'media socket': expect.stringContaining('The proxy itself answers 403 to a WebSocket upgrade'),
    });
  });

  it('finds a proxy that changes a body’s Content-Type', async () => {
    const { url } = await startGateway({ publicUrl: PUBLIC_URL });
    const lines = ['http-request set-header Content-Type text/plain if METH_POST'];
    const port = await startHaproxy({ to: addressOf(url), pem: tls.pem, lines });
    expect(await mistakesAt(port)).toEqual({ webhook: expect.stringContaining('Content-Type') });
  });

  it('finds a stopped ngrok tunnel by its error code', async () => {
    const tunnel = createServer((_, response) =>
      response.writeHead(404, { 'ngrok-error-code': 'ERR_NGROK_3200' }).end(),
    );
    await once(tunnel.listen(0, '127.0.0.1'), 'listening');
    try {
      const { port: behind } = tunnel.address() as AddressInfo;
      const port = await startHaproxy({ to: `127.0.0.1:${behind}`, pem: tls.pem });
      expect((await mistakesAt(port)).proxy).toContain('ERR_NGROK_3200');
    } finally {
      tunnel.closeAllConnections();
      tunnel.close();
    }
  });

  it('leaves no trace at the gateway', async () => {
    const { gateway, url } = await startGateway({ publicUrl: PUBLIC_URL });
    const calls: unknown[] = [];
    gateway.on('call', (call) => calls.push(call));
    const port = await startHaproxy({ to: addressOf(url), pem: tls.pem });
    expect(await mistakesAt(port)).toEqual({});
    expect([gateway.calls.size, calls]).toEqual([0, []]);
  });
});
