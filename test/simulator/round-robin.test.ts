import { once } from 'node:events';
import http from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { AudioSource, runLoad, SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { freePort } from '../support/port.js';
import { RoundRobin } from '../support/round-robin.js';
import { eventually, virtualTime } from '../support/time.js';

const clock = virtualTime();

const open: { close: () => unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function listening(server: Server): Promise<string> {
  open.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A node that answers with its own name. */
const plainNode = (name: string) =>
  listening(
    http.createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const { 'x-forwarded-proto': proto, 'x-forwarded-host': host } = request.headers;
      response.writeHead(200, { 'content-type': 'text/plain' }).end(`${name} ${proto} ${host} ${body}`);
    }),
  );

/** A node that resets every connection once it was sent something. */
const resettingNode = () =>
  listening(createServer((socket) => socket.once('data', () => socket.resetAndDestroy())));

const deadNode = async () => `127.0.0.1:${await freePort()}`;

async function proxyTo(...nodes: string[]): Promise<RoundRobin> {
  const proxy = await RoundRobin.listen(nodes);
  open.push(proxy);
  return proxy;
}

describe('the round-robin double', () => {
  it('uses all its nodes in turn', async () => {
    const [a, b] = [await plainNode('a'), await plainNode('b')];
    const proxy = await proxyTo(a, b);
    const ask = async (headers = {}) =>
      (await fetch(`${proxy.url}/x`, { method: 'POST', body: 'hello', headers })).text();
    const answers = [await ask(), await ask(), await ask(), await ask()];
    expect(answers.map((answer) => answer[0]).sort()).toEqual(['a', 'a', 'b', 'b']);
    expect(answers[0]).not.toBe(answers[1]);
    expect(answers[0]).toMatch(/^[ab] http 127\.0\.0\.1:\d+ hello$/);
    expect(await ask({ 'x-forwarded-proto': 'https', 'x-forwarded-host': 'voice.example.com' })).toMatch(
      /^[ab] https voice\.example\.com hello$/,
    );
    proxy.remove(a);
    expect(new Set([(await ask())[0], (await ask())[0]])).toEqual(new Set(['b']));
    proxy.add(a);
    expect(new Set([(await ask())[0], (await ask())[0]])).toEqual(new Set(['a', 'b']));
    expect(proxy.served(a).requests + proxy.served(b).requests).toBe(9);
  });

  it('skips a node that refuses or resets connections', async () => {
    const [a, refusing, resetting] = [await plainNode('a'), await deadNode(), await resettingNode()];
    const proxy = await proxyTo(refusing, a, resetting);
    for (let i = 0; i < 6; i++) {
      const answer = await fetch(`${proxy.url}/x`, { method: 'POST', body: String(i) });
      expect(await answer.text()).toMatch(new RegExp(`^a .* ${i}$`));
    }
    expect(proxy.served(a).requests).toBe(6);
    proxy.remove(a);
    expect((await fetch(`${proxy.url}/x`)).status).toBe(502);
    expect(proxy.unanswered).toBe(1);
  });

  it('sends a socket to another node than its webhook, and carries whole calls', async () => {
    const { url, gateway } = await startGateway();
    const { port } = new URL(url);
    // One gateway under two names, since nodes that share nothing could not take each other's sockets.
    const names = [`127.0.0.1:${port}`, `localhost:${port}`];
    const proxy = await proxyTo(await deadNode(), ...names);
    const report = await runLoad({
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      accountSid: ACCOUNT_SID,
      authToken: AUTH_TOKEN,
      dial: { publicUrl: PUBLIC_URL, target: proxy.url },
      calls: 40,
      rate: 100,
      durationMs: 800,
      clock,
    });
    expect(report).toMatchObject({ calls: 40, failed: 0, lostCalls: 0, framesMissing: 0, gaps: 0 });
    expect(report.proof?.received.correlation).toBeGreaterThan(0.99);
    expect(proxy.routes.size).toBe(40);
    for (const { webhooks, sockets } of proxy.routes.values()) {
      expect(webhooks).toHaveLength(1);
      expect(sockets).toHaveLength(1);
      expect(sockets[0]).not.toBe(webhooks[0]);
    }
    const [first, second] = names.map((name) => proxy.served(name));
    expect((first?.sockets ?? 0) + (second?.sockets ?? 0)).toBe(40);
    expect(Math.min(first?.sockets ?? 0, second?.sockets ?? 0)).toBeGreaterThan(0);
    await eventually('the end of all calls', () => gateway.calls.size === 0);
  });

  it('breaks a call’s socket when its node does, and forwards rejections', async () => {
    const { url, gateway } = await startGateway();
    const proxy = await proxyTo(url.slice('http://'.length));
    const twilio = new SimulatedTwilio({
      clock,
      accountSid: ACCOUNT_SID,
      authToken: AUTH_TOKEN,
      dial: { publicUrl: PUBLIC_URL, target: proxy.url },
    });
    open.push(twilio);
    const options = {
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      from: '+15550001111',
      to: '+15552223333',
      audio: AudioSource.tone(440),
    };
    const refused = twilio.placeCall({ ...options, faults: { signature: 'wrong' } });
    await expect(refused.started).rejects.toMatchObject({ code: 'GW_SIM_31920', status: 403 });
    expect(proxy.served(url.slice('http://'.length)).sockets).toBe(0);
    const phone = twilio.placeCall(options);
    await phone.started;
    await gateway.close();
    expect((await phone.ended).streamEnd).toMatchObject({ by: 'server' });
  });
});
