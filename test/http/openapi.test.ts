import { createConfig, lintFromString } from '@redocly/openapi-core';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/http/openapi/document.js';
import type { Server } from '../../src/http/server.js';
import { Caller } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { ajv, checkAnswer, paths } from '../support/documented.js';
import { startGateway } from '../support/gateway.js';
import { KEY } from '../support/leg.js';
import { eventually } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

const nameless = (path: string) => path.replace(/:[^/]+|\{[^}]+\}/g, '{}');

async function send(url: string, method: string, path: string, body?: object | string, key = KEY) {
  const response = await fetch(url + path, {
    method: method.toUpperCase(),
    headers: { authorization: `Bearer ${key}` },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests check the body
  return { status: response.status, body: (await response.json()) as any };
}

describe('the OpenAPI document', () => {
  it('passes the linter', async () => {
    const config = await createConfig({ extends: ['recommended'] });
    const problems = await lintFromString({
      source: JSON.stringify(openApiDocument),
      absoluteRef: 'openapi.json',
      config,
    });
    // A WebSocket succeeds with 101.
    const real = problems.filter(
      ({ ruleId, location }) =>
        ruleId !== 'operation-2xx-response' || !location[0]?.pointer?.includes('~1leg/get'),
    );
    expect(
      real.map(({ severity, ruleId, message, location }) => [
        severity,
        ruleId,
        message,
        location[0]?.pointer,
      ]),
    ).toEqual([]);
  });

  it('describes every route of /v1, and no other', async () => {
    const { gateway } = await startGateway({ controlApiKey: KEY });
    const { server } = gateway as unknown as { server: Server };
    const routes = [...server.routes].filter((route) => route.includes(' /v1')).map(nameless);
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${nameless(path)}`),
    );
    expect(documented.toSorted()).toEqual(routes.toSorted());
  });

  it('is answered behind the key, and describes its own route', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const { status, body } = await send(url, 'get', '/v1/openapi.json');
    expect([status, body]).toEqual([200, JSON.parse(JSON.stringify(openApiDocument))]);
    const refused = await send(url, 'get', '/v1/openapi.json', undefined, 'another');
    checkAnswer('get', '/v1/openapi.json', refused.status, refused.body);
    expect(refused.status).toBe(401);
    const off = await startGateway();
    expect((await send(off.url, 'get', '/v1/openapi.json')).status).toBe(404);
  });

  it('describes every answer of a live gateway', async () => {
    const { url, gateway } = await startWithCarrier({}, { controlApiKey: KEY, recordDir: '/tmp' });
    const ask = async (method: string, path: string, id?: string, body?: object | string) => {
      const real = path.replace(/\{[^}]+\}/, id ?? 'nobody');
      const answer = await send(url, method, real, body);
      checkAnswer(method, path, answer.status, answer.body);
      return answer;
    };
    const event = ajv.compile({ $ref: '#/components/schemas/Event', components: openApiDocument.components });
    let events = 0;
    gateway.events.subscribe((told) => {
      events += 1;
      expect(event(told), ajv.errorsText(event.errors)).toBe(true);
    });
    const one = '/v1/calls/{callId}';
    const recording = '/v1/calls/{callId}/recording';

    // Every operation, without the key and for an unknown call.
    for (const [path, methods] of Object.entries(paths)) {
      for (const method of Object.keys(methods)) {
        if (path.includes('/leg')) continue;
        const real = path.replace(/\{[^}]+\}/g, 'nobody');
        const refused = await send(url, method, real, method === 'post' ? {} : undefined, 'wrong');
        checkAnswer(method, path, refused.status, refused.body);
        expect(refused.status).toBe(401);
        if (path.includes('{callId}') && method !== 'post') {
          expect((await ask(method, path, 'nobody')).status).toBe(404);
        }
      }
    }

    expect((await ask('post', '/v1/calls', undefined, '{')).status).toBe(400);
    expect((await ask('post', '/v1/calls', undefined, { to: '+15551234567', colour: 1 })).status).toBe(400);
    expect((await ask('post', '/v1/calls', undefined, 'x'.repeat(70_000))).status).toBe(413);
    expect((await ask('post', '/v1/calls', undefined, { to: 'nonsense' })).status).toBe(502);
    const placed = await ask('post', '/v1/calls', undefined, { to: '+15551234567', callId: 'mine' });
    expect(placed.status).toBe(201);
    expect((await ask('post', '/v1/calls', undefined, { to: '+15551234567', callId: 'mine' })).status).toBe(
      409,
    );

    const caller = await Caller.call(url);
    caller.media(toneMulaw(700, 20));
    await eventually('live', () => gateway.calls.listActive().some(({ state }) => state === 'live'));
    const id = gateway.calls.getBySid(caller.parameters.CallSid ?? '')?.callId;
    expect((await ask('get', '/v1/calls')).body.calls.length).toBeGreaterThan(0);
    expect((await ask('get', one, id)).body.state).toBe('live');
    const of = (what: string) => `/v1/calls/{callId}/${what}`;
    for (const [method, what, status, body] of [
      ['post', 'clear', 200],
      ['post', 'mark', 202, { name: 'here' }],
      ['post', 'mark', 400, { name: '' }],
      ['post', 'dtmf', 202, { digits: '1w#', toneMs: 50 }],
      ['post', 'dtmf', 400, { digits: 'x' }],
      ['post', 'dtmf', 409, { digits: '1'.repeat(64) }],
      ['post', 'play', 409, { file: 'nothing.wav' }],
      ['post', 'play', 400, {}],
      ['delete', 'play', 404],
      ['post', 'hold', 200],
      ['post', 'hold', 409, { file: 'nothing.wav' }],
      ['delete', 'hold', 200],
      ['post', 'mute', 200, { voice: 'both' }],
      ['post', 'mute', 400, { voice: 'nobody' }],
      ['delete', 'mute', 200],
      ['post', 'transfer', 200, { room: 'elsewhere' }],
      ['post', 'transfer', 400, { room: 'elsewhere', number: '+15551234567' }],
      ['post', 'legs', 201, { to: '+15551234567' }],
      ['post', 'legs', 400, { to: '+15551234567', room: 'x' }],
    ] as const) {
      const answered = await ask(method, of(what), id, body);
      expect([method, what, answered.status, answered.body]).toEqual([method, what, status, answered.body]);
    }
    expect((await ask('post', recording, id, { rate: 7 })).status).toBe(400);
    expect((await ask('post', recording, id, { maxSeconds: 10 })).status).toBe(201);
    expect((await ask('post', recording, id)).status).toBe(409);
    expect((await ask('get', recording, id)).status).toBe(200);
    expect((await ask('delete', recording, id)).status).toBe(200);
    expect((await ask('get', recording, id)).status).toBe(404);
    expect((await ask('delete', one, id)).status).toBe(200);
    expect((await ask('delete', one, id)).status).toBe(404);
    expect(events).toBeGreaterThan(2);
  });
});
