import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { describe, expect, it } from 'vitest';
import {
  AUTH_TOKEN,
  Caller,
  localUrl,
  postForm,
  sign,
  streamUrl,
  upgradeStatus,
  voiceParameters,
} from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { eventually, virtualTime } from '../support/time.js';

virtualTime();

/** Has the form of a signature. */
const WELL_FORMED = `${'A'.repeat(27)}=`;

async function errorCode(response: Response): Promise<string> {
  return ((await response.json()) as { error: { code: string } }).error.code;
}

describe('POST /twilio/voice refuses', () => {
  it('a missing or wrong signature: 403', async () => {
    const { url, gateway } = await startGateway();
    const missing = await postForm(url, '/twilio/voice', voiceParameters(), { 'x-twilio-signature': '' });
    expect([missing.status, await errorCode(missing)]).toEqual([403, 'GW_SIGNATURE_MISSING']);
    const parameters = voiceParameters();
    const forged = sign('https://voice.example.com/edge/twilio/voice', parameters, 'another token');
    const wrong = await postForm(url, '/twilio/voice', parameters, { 'x-twilio-signature': forged });
    expect([wrong.status, await errorCode(wrong)]).toEqual([403, 'GW_SIGNATURE_INVALID']);
    expect(gateway.calls.size).toBe(0);
  });

  it('a changed parameter: 403', async () => {
    const { url } = await startGateway();
    const parameters = voiceParameters();
    const signature = sign('https://voice.example.com/edge/twilio/voice', parameters);
    const answer = await postForm(
      url,
      '/twilio/voice',
      { ...parameters, To: '+19999999999' },
      { 'x-twilio-signature': signature },
    );
    expect(answer.status).toBe(403);
  });

  it('a body over 64 KiB: 413, from Content-Length or while reading', async () => {
    const { url } = await startGateway();
    const told = await postForm(url, '/twilio/voice', { a: 'x'.repeat(65_536) });
    expect([told.status, await errorCode(told)]).toEqual([413, 'GW_BODY_TOO_LARGE']);
    const chunked = await new Promise<number | undefined>((resolve, reject) => {
      const post = request(`${url}/twilio/voice`, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'transfer-encoding': 'chunked',
          'x-twilio-signature': WELL_FORMED,
        },
      });
      post.on('response', (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      post.on('error', reject);
      for (let i = 0; i < 9; i++) post.write('x'.repeat(8_192));
      post.end();
    });
    expect(chunked).toBe(413);
  });

  it('a form over 16 KiB: 413', async () => {
    const { url } = await startGateway();
    const form = (size: number) => ({ ...voiceParameters(), More: 'x'.repeat(size) });
    const taken = await postForm(url, '/twilio/voice', form(15_000));
    expect([taken.status, await taken.text()]).toEqual([200, expect.stringContaining('<Stream')]);
    const more = await postForm(url, '/twilio/voice', form(16_384));
    expect([more.status, await errorCode(more)]).toEqual([413, 'GW_BODY_TOO_LARGE']);
  });

  it.each(['', 'x', `${'A'.repeat(26)}B=`])(
    'the signature %j before the body has arrived: 403',
    async (signature) => {
      const { url } = await startGateway();
      const post = request(`${url}/twilio/voice`, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'content-length': 10_000,
          'x-twilio-signature': signature,
        },
      });
      // The rest never arrives.
      post.write('CallSid=');
      const [response] = (await once(post, 'response')) as [IncomingMessage];
      expect(response.statusCode).toBe(403);
      post.on('error', () => {});
      post.destroy();
    },
  );

  it('an unexpected query: 404; a bare "?" is not one', async () => {
    const { url } = await startGateway();
    const unknown = await postForm(url, '/twilio/voice?tenant=5', voiceParameters());
    expect([unknown.status, await errorCode(unknown)]).toEqual([404, 'GW_NOT_FOUND']);
    // fetch() omits a bare "?".
    const { hostname, port } = new URL(url);
    for (const signed of ['', '?']) {
      const parameters = voiceParameters();
      const post = request({
        ...{ hostname, port, path: '/twilio/voice?', method: 'POST' },
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'x-twilio-signature': sign(`https://voice.example.com/edge/twilio/voice${signed}`, parameters),
        },
      });
      post.end(new URLSearchParams(parameters).toString());
      const [response] = (await once(post, 'response')) as [IncomingMessage];
      response.resume();
      expect([signed, response.statusCode]).toEqual([signed, 200]);
    }
  });

  it('more parameters than Twilio ever sends: 413, before any work is done', async () => {
    const { url } = await startGateway();
    const many = Object.fromEntries(Array.from({ length: 201 }, (_, i) => [`k${i}`, '']));
    const answer = await postForm(url, '/twilio/voice', many);
    expect([answer.status, await errorCode(answer)]).toEqual([413, 'GW_TOO_MANY_PARAMETERS']);
  });

  it('a body that is not a form: 415', async () => {
    const { url } = await startGateway();
    const answer = await fetch(`${url}/twilio/voice`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect([answer.status, await errorCode(answer)]).toEqual([415, 'GW_NOT_A_FORM']);
  });

  it('a call over the limit: busy', async () => {
    const { url } = await startGateway({ maxCalls: 1 });
    expect(await (await postForm(url, '/twilio/voice', voiceParameters())).text()).toContain('<Stream');
    const second = await postForm(url, '/twilio/voice', voiceParameters());
    expect([second.status, await second.text()]).toEqual([
      200,
      '<?xml version="1.0" encoding="UTF-8"?><Response><Reject reason="busy"/></Response>',
    ]);
    expect((await fetch(`${url}/ready`)).status).toBe(503);
  });

  it('accepts unsigned requests when validation is off, and reports that in /health', async () => {
    const { url } = await startGateway({ twilio: { validate: false } });
    const answer = await postForm(url, '/twilio/voice', voiceParameters(), { 'x-twilio-signature': '' });
    expect(answer.status).toBe(200);
    const health = (await (await fetch(`${url}/health`)).json()) as { warnings: string[] };
    expect(health.warnings.join()).toContain('TWILIO_VALIDATE=off');
  });
});

describe('WS /twilio/media refuses', () => {
  async function ringing(options: Parameters<typeof startGateway>[0] = {}) {
    const { url, gateway } = await startGateway(options);
    const publicUrl = streamUrl(await (await postForm(url, '/twilio/voice', voiceParameters())).text());
    /** Upgrades at a variant of the call's URL, correctly signed for that variant. */
    const upgrade = (variant = publicUrl, headers: Record<string, string> = {}) =>
      upgradeStatus(localUrl(url, variant), { 'x-twilio-signature': sign(variant), ...headers });
    return { url, gateway, publicUrl, upgrade };
  }

  it('a missing or wrong signature: 403', async () => {
    const { upgrade, publicUrl } = await ringing();
    expect(await upgrade(publicUrl, { 'x-twilio-signature': '' })).toEqual({
      status: 403,
      code: 'GW_SIGNATURE_MISSING',
    });
    const forged = sign(publicUrl, {}, `${AUTH_TOKEN}!`);
    expect(await upgrade(publicUrl, { 'x-twilio-signature': forged })).toEqual({
      status: 403,
      code: 'GW_SIGNATURE_INVALID',
    });
    const https = sign(publicUrl.replace('wss:', 'https:'));
    expect((await upgrade(publicUrl, { 'x-twilio-signature': https })).status).toBe(403);
  });

  it('any Origin: 403', async () => {
    const { upgrade, publicUrl } = await ringing();
    expect(await upgrade(publicUrl, { origin: 'https://voice.example.com' })).toEqual({
      status: 403,
      code: 'GW_ORIGIN_REFUSED',
    });
  });

  it('an unknown call: 404', async () => {
    const { upgrade, publicUrl } = await ringing();
    const token = publicUrl.split('/').at(-1);
    const other = `wss://voice.example.com/edge/twilio/media/nobody/${token}`;
    expect(await upgrade(other)).toEqual({ status: 404, code: 'GW_CALL_UNKNOWN' });
  });

  it('a wrong token: 401, and the right one still works', async () => {
    const { upgrade, publicUrl } = await ringing();
    expect(await upgrade(publicUrl.replace(/.{43}$/, 'A'.repeat(43)))).toEqual({
      status: 401,
      code: 'GW_TOKEN_INVALID',
    });
    expect(await upgrade(publicUrl.slice(0, -1))).toEqual({ status: 401, code: 'GW_TOKEN_INVALID' });
    expect((await upgrade()).status).toBe(101);
  });

  it('a used token: 409', async () => {
    const { url } = await startGateway();
    const caller = await Caller.call(url);
    const again = streamUrl(caller.twiml);
    expect(await upgradeStatus(localUrl(url, again), { 'x-twilio-signature': sign(again) })).toEqual({
      status: 409,
      code: 'GW_TOKEN_USED',
    });
    caller.hangUp();
  });

  it('one of two sockets that connect at once: 409', async () => {
    const { upgrade } = await ringing();
    const both = await Promise.all([upgrade(), upgrade()]);
    expect(both.map(({ status }) => status).sort()).not.toEqual([101, 101]);
    expect(both.some(({ status }) => status === 101)).toBe(true);
  });

  it('an expired token: 410, then forgets the call', async () => {
    const { upgrade, gateway } = await ringing({ tokenTimeToLiveMs: 1_000 });
    await eventually('the token to expire', () => gateway.calls.listActive().length === 0);
    expect(await upgrade()).toEqual({ status: 410, code: 'GW_TOKEN_EXPIRED' });
    expect(gateway.stats().activeCalls).toBe(0);
    await eventually('the entry to be forgotten', () => gateway.calls.size === 0);
    expect((await upgrade()).status).toBe(404);
  });

  it('everyone while draining: 503', async () => {
    const { upgrade, gateway, url } = await ringing();
    // A running call keeps the gateway up while it drains.
    const talker = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive().some((call) => call.state === 'live'));
    const closing = gateway.close(5_000);
    expect(await upgrade()).toEqual({ status: 503, code: 'GW_DRAINING' });
    expect((await fetch(`${url}/ready`)).status).toBe(503);
    const webhook = await postForm(url, '/twilio/voice', voiceParameters());
    expect(await webhook.text()).toContain('<Reject reason="busy"/>');
    talker.hangUp();
    await closing;
  });
});

describe('other routes', () => {
  it('are 404 in JSON', async () => {
    const { url } = await startGateway();
    for (const path of ['/', '/twilio', '/v1/other', '/twilio/media/a/b']) {
      const answer = await fetch(url + path);
      expect([answer.status, await errorCode(answer)]).toEqual([404, 'GW_NOT_FOUND']);
    }
  });
});
