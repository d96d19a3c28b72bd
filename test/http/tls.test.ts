import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import WebSocket from 'ws';
import { createGateway } from '../../src/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, sign, streamUrl, voiceParameters } from '../support/caller.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-tls-'));
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files],
    {
      stdio: 'ignore',
    },
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

it('names the file that cannot be read', () => {
  const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'nowhere.pem') };
  const make = () => createGateway({ tls, twilio: { authTokens: [AUTH_TOKEN] }, logLevel: 'silent' });
  expect(make).toThrow(
    expect.objectContaining({ code: 'GW_TLS_FILE', message: expect.stringContaining('nowhere.pem') }),
  );
});

it('serves https and wss without a proxy, and learns its address from the request', async () => {
  const ca = () => readFileSync(join(folder, 'cert.pem'));
  const gateway = createGateway({
    port: 0,
    tls: { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') },
    twilio: { accountSid: ACCOUNT_SID, authTokens: ['an older token', AUTH_TOKEN] },
    logLevel: 'silent',
  });
  try {
    const { port } = await gateway.listen();
    const origin = `https://localhost:${port}`;
    const parameters = voiceParameters();
    const twiml = await new Promise<string>((resolve, reject) => {
      const post = request(`${origin}/twilio/voice`, {
        method: 'POST',
        ca: ca(),
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'x-twilio-signature': sign(`${origin}/twilio/voice`, parameters),
        },
      });
      post.on('response', (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve(body));
      });
      post.on('error', reject);
      post.end(new URLSearchParams(parameters).toString());
    });
    const url = streamUrl(twiml);
    expect(url).toMatch(new RegExp(`^wss://localhost:${port}/twilio/media/`));
    const socket = new WebSocket(url, { ca: ca(), headers: { 'x-twilio-signature': sign(url) } });
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
    socket.terminate();
  } finally {
    await gateway.close();
  }
});
