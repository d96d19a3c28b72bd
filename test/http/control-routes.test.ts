import { describe, expect, it } from 'vitest';
import { core } from '../../src/media/thread-core.js';
import { Caller } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { eventually, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'control-key-of-the-tests';

/** One request to the control API, with the key unless another authorization is given. */
async function control(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  authorization = `Bearer ${KEY}`,
) {
  const response = await fetch(url + path, {
    method,
    headers: { authorization, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests check the body
  return { status: response.status, body: (await response.json()) as any };
}

describe('/v1', () => {
  it('does not exist without a key', async () => {
    const { url } = await startGateway();
    for (const [method, path] of [
      ['GET', '/v1/calls'],
      ['POST', '/v1/calls'],
      ['DELETE', '/v1/calls/x'],
    ] as const) {
      expect(await control(url, method, path)).toMatchObject({
        status: 404,
        body: { error: { code: 'GW_NOT_FOUND' } },
      });
    }
  });

  it('answers 401 without the bearer key', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    for (const authorization of ['', KEY, `Bearer ${KEY}x`, `Basic ${KEY}`, 'Bearer ']) {
      const answer = await control(url, 'GET', '/v1/calls', undefined, authorization);
      expect(answer).toMatchObject({ status: 401, body: { error: { code: 'GW_UNAUTHORIZED' } } });
    }
    for (const scheme of ['bearer', 'BEARER']) {
      expect((await control(url, 'GET', '/v1/calls', undefined, `${scheme} ${KEY}`)).status).toBe(200);
    }
  });

  it('lists, shows and hangs up calls, and never reveals their token', async () => {
    const { url, gateway } = await startGateway({ controlApiKey: KEY });
    expect((await control(url, 'GET', '/v1/calls')).body).toEqual({ calls: [] });
    const caller = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    const [call] = gateway.calls.listActive();
    const { body } = await control(url, 'GET', '/v1/calls');
    expect(body.calls).toHaveLength(1);
    expect(body.calls[0]).toMatchObject({
      callId: call?.callId,
      callSid: caller.parameters.CallSid,
      direction: 'inbound',
      from: '+15550001111',
      to: '+15552223333',
      state: 'live',
      streamSid: caller.streamSid,
    });
    const one = await control(url, 'GET', `/v1/calls/${call?.callId}`);
    expect(one.body).toMatchObject({ callId: call?.callId, durationSeconds: null });
    expect(JSON.stringify([body, one.body])).not.toContain(call?.token);

    const ended = await control(url, 'DELETE', `/v1/calls/${call?.callId}`);
    expect(ended).toMatchObject({ status: 200, body: { state: 'ended', endCause: 'hangup' } });
    await eventually('the close', () => caller.closed !== undefined);
    expect(caller.closed?.code).toBe(1000);
    const again = await control(url, 'DELETE', `/v1/calls/${call?.callId}`);
    expect(again).toMatchObject({ status: 404, body: { error: { code: 'GW_CALL_UNKNOWN' } } });
  });

  it.each([
    ['no JSON', '{'],
    ['no number', {}],
    ['a field it does not know', { to: '+1555', colour: 'red' }],
    ['an id that cannot stand in a URL', { to: '+1555', callId: 'a/b' }],
    ['a ring time out of range', { to: '+1555', ringTimeoutSeconds: 601 }],
  ])('refuses to place a call with %s: 400', async (_name, body) => {
    const { url, gateway } = await startGateway({ controlApiKey: KEY });
    const answer = await control(url, 'POST', '/v1/calls', body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'GW_BAD_REQUEST' } } });
    expect(answer.body.error.message).toMatch(/^Expected /);
    expect(gateway.calls.size).toBe(0);
  });

  it('answers 400 without a caller ID', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const answer = await control(url, 'POST', '/v1/calls', { to: '+15551234567' });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'GW_FROM_MISSING' } } });
  });
});

describe('operations', () => {
  it('/health shows version, core and bridge; /ready and /metrics answer', async () => {
    const { url } = await startGateway();
    const health = await (await fetch(`${url}/health`)).json();
    expect(health).toMatchObject({
      status: 'ok',
      transcoder: core.backend,
      kernels: core.kernels,
      core: core.origin,
      bridge: 'local',
      warnings: core.origin.includes('; ') ? [expect.stringContaining(core.origin)] : [],
      calls: 0,
    });
    expect(await (await fetch(`${url}/ready`)).json()).toEqual({ ready: true, draining: false, full: false });
    const metrics = await fetch(`${url}/metrics`);
    expect(metrics.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(await metrics.text()).toContain('trunkline_calls_active 0');
  });

  it('/health shows the WebRTC of a bridge once it is known, and none where none is needed', async () => {
    let webrtc: string | undefined;
    const bridge = {
      name: 'own',
      get webrtc() {
        return webrtc;
      },
      join: () => Promise.reject(new Error('not here')),
      close: async () => {},
    };
    const { url } = await startGateway({ bridge });
    const health = async () => (await fetch(`${url}/health`)).json();
    expect(await health()).not.toHaveProperty('webrtc');
    webrtc = 'wrtc; libopus is not installed';
    expect(await health()).toMatchObject({ bridge: 'own', webrtc });
  });
});
