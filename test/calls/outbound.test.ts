import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { ACCOUNT_SID } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'control-key-of-the-tests';

/** Places a call through the control API. */
async function place(url: string, body: object) {
  const response = await fetch(`${url}/v1/calls`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}` },
    body: JSON.stringify(body),
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests check the body
  return { status: response.status, body: (await response.json()) as any };
}

describe('an outbound call', () => {
  it('rings, is answered, hears its own speech, and ends when the callee hangs up', async () => {
    const { url, gateway, twilio } = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 100, audio: AudioSource.speech(), record: true } },
      { controlApiKey: KEY },
    );
    const answered = new Promise<SimulatedPhone>((resolve) => twilio.once('answered', resolve));
    const { status, body } = await place(url, {
      to: '+15551234567',
      callId: 'my-call',
      ringTimeoutSeconds: 20,
    });
    expect(status).toBe(201);
    expect(body).toEqual({ callId: 'my-call', callSid: expect.stringMatching(/^CA[0-9a-f]{32}$/) });
    const call = gateway.calls.require('my-call');
    expect(call).toMatchObject({
      callSid: body.callSid,
      direction: 'outbound-api',
      from: '+15550009999',
      to: '+15551234567',
    });
    const phone = await answered;
    await phone.started;
    await eventually('live', () => call.state === 'live');
    await sleep(2_000);
    const outcome = await phone.hangUp();
    expect(outcome).toMatchObject({ status: 'completed', error: undefined, failedCallbacks: [] });
    const report = phone.report();
    expect(report?.framesMissing).toBe(0);
    expect(report?.proof?.received.correlation).toBeGreaterThan(0.98);
    expect(report?.warnings.first).toBeUndefined();
    expect(call.endCause).toBe('stop');
    expect(gateway.calls.size).toBe(0);
  });

  it.each(['busy', 'failed', 'no-answer', 'canceled'] as const)(
    'that is %s releases its entry',
    async (does) => {
      const { gateway } = await startWithCarrier({ callee: { does, afterMs: 50 } });
      const { callId } = await gateway.placeCall({ to: '+15551234567', ringTimeoutSeconds: 1 });
      const call = gateway.calls.get(callId);
      await eventually('the end', () => gateway.calls.size === 0);
      expect(call === undefined || call.endCause === 'status').toBe(true);
      if (call !== undefined) expect(call.callStatus).toBe(does);
      expect(gateway.stats().activeCalls).toBe(0);
    },
  );

  it('is also hung up at Twilio', async () => {
    const { url, gateway, twilio } = await startWithCarrier({}, { controlApiKey: KEY });
    const answered = new Promise<SimulatedPhone>((resolve) => twilio.once('answered', resolve));
    const { callId } = await gateway.placeCall({ to: '+15551234567' });
    const phone = await answered;
    await phone.started;
    const answer = await fetch(`${url}/v1/calls/${callId}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${KEY}` },
    });
    expect(await answer.json()).toMatchObject({ state: 'ended', endCause: 'hangup' });
    expect((await phone.ended).status).toBe('completed');
    await eventually('no live call at Twilio', () => twilio.liveCalls === 0);
  });

  it('can be cancelled while it rings', async () => {
    const { gateway, twilio, url } = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 60_000 } },
      { controlApiKey: KEY },
    );
    const { callId } = await gateway.placeCall({ to: '+15551234567' });
    await fetch(`${url}/v1/calls/${callId}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${KEY}` },
    });
    await eventually('no live call at Twilio', () => twilio.liveCalls === 0);
    expect(gateway.calls.size).toBe(0);
  });

  it('does not keep ringing when it is hung up before Twilio responds', async () => {
    const { gateway, twilio } = await startWithCarrier({ callee: { does: 'answer', afterMs: 60_000 } });
    const placing = gateway.placeCall({ to: '+15551234567', callId: 'regretted' });
    await eventually('the entry', () => gateway.calls.get('regretted') !== undefined);
    gateway.calls.require('regretted').end();
    await expect(placing).rejects.toMatchObject({ code: 'GW_CALL_ENDED', status: 409 });
    await eventually('no live call at Twilio', () => twilio.liveCalls === 0);
  });

  it('is never placed when it is hung up before the decision', async () => {
    const { gateway, twilio } = await startWithCarrier({}, { prepareCall: () => new Promise(() => {}) });
    const placing = gateway.placeCall({ to: '+15551234567', callId: 'regretted' });
    await eventually('the entry', () => gateway.calls.get('regretted') !== undefined);
    gateway.calls.require('regretted').end();
    await expect(placing).rejects.toMatchObject({ code: 'GW_CALL_ENDED' });
    expect(twilio.liveCalls).toBe(0);
  });

  it('is validated before anything happens, also through the library', async () => {
    const { gateway } = await startWithCarrier();
    for (const nonsense of [undefined, {}, { to: 5 }, { to: '' }, { to: '+1555', ringTimeoutSeconds: -5 }]) {
      await expect(gateway.placeCall(nonsense as never)).rejects.toMatchObject({
        code: 'GW_BAD_REQUEST',
        status: 400,
      });
    }
    expect(gateway.calls.size).toBe(0);
  });

  it('leaks no secret in the error when it cannot be placed', async () => {
    const { gateway } = await startWithCarrier({}, { twilio: { apiUrl: 'http://127.0.0.1:1' } });
    const error = await gateway.placeCall({ to: '+15551234567' }).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'GW_TWILIO_REFUSED', status: 502 });
    expect(inspect(error, { depth: 10 })).not.toMatch(/Basic |test-auth-token/);
  });

  it('is cancelled when the gateway closes while it rings', async () => {
    const { gateway, twilio } = await startWithCarrier({ callee: { does: 'answer', afterMs: 60_000 } });
    await gateway.placeCall({ to: '+15551234567' });
    expect(twilio.liveCalls).toBe(1);
    await gateway.close();
    await eventually('no live call at Twilio', () => twilio.liveCalls === 0);
  });

  it('that Twilio rejects: 502 with the reason, and no entry is left', async () => {
    const { url, gateway } = await startWithCarrier({}, { controlApiKey: KEY });
    const answer = await place(url, { to: 'nobody at all' });
    expect(answer).toMatchObject({ status: 502, body: { error: { code: 'GW_TWILIO_REFUSED' } } });
    expect(answer.body.error.message).toContain('21211');
    expect(gateway.calls.size).toBe(0);
  });

  it('with wrong credentials: 502 without the token', async () => {
    const { url, gateway } = await startWithCarrier(
      {},
      { controlApiKey: KEY, twilio: { authTokens: ['wrong-token'] } },
    );
    const answer = await place(url, { to: '+15551234567' });
    expect(answer).toMatchObject({ status: 502, body: { error: { code: 'GW_TWILIO_REFUSED' } } });
    expect(JSON.stringify(answer.body)).not.toContain('wrong-token');
    expect(gateway.calls.size).toBe(0);
  });

  it('is refused when full, draining, or by the hook', async () => {
    const full = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 60_000 } },
      { controlApiKey: KEY, maxCalls: 1 },
    );
    await full.gateway.placeCall({ to: '+15551234567', callId: 'one' });
    expect(await place(full.url, { to: '+15551234567' })).toMatchObject({
      status: 503,
      body: { error: { code: 'GW_FULL' } },
    });

    const twice = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 60_000 } },
      { controlApiKey: KEY },
    );
    await twice.gateway.placeCall({ to: '+15551234567', callId: 'one' });
    expect(await place(twice.url, { to: '+15551234567', callId: 'one' })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_CALL_EXISTS' } },
    });
    const closing = twice.gateway.close(500);
    expect(await place(twice.url, { to: '+15551234567' })).toMatchObject({
      status: 503,
      body: { error: { code: 'GW_DRAINING' } },
    });
    await closing;

    const hook = await startWithCarrier(
      {},
      { controlApiKey: KEY, prepareCall: () => ({ refuse: 'rejected' }) },
    );
    expect(await place(hook.url, { to: '+15551234567' })).toMatchObject({
      status: 403,
      body: { error: { code: 'GW_CALL_REFUSED' } },
    });
    expect(hook.gateway.stats().activeCalls).toBe(0);
  });

  it('without an account or public URL: 503', async () => {
    const { url } = await startWithCarrier(
      {},
      { controlApiKey: KEY, twilio: { authTokens: [], validate: false } },
    );
    expect(await place(url, { to: '+15551234567' })).toMatchObject({
      status: 503,
      body: { error: { code: 'GW_TWILIO_NOT_CONFIGURED' } },
    });
  });
});

describe('inbound calls of the simulator', () => {
  it('keep their audio through jitter, bursts and loss, with bounded delay', async () => {
    const { twilio } = await startWithCarrier();
    const profiles = [{ jitterMs: 60 }, { burstFrames: 5 }, { loss: 0.05 }];
    const phones = profiles.map((profile) =>
      twilio.placeCall({
        webhookUrl: 'https://voice.example.com/edge/twilio/voice',
        from: '+15550001111',
        to: '+15552223333',
        audio: AudioSource.speech(),
        record: true,
        profile,
      }),
    );
    await Promise.all(phones.map((phone) => phone.started));
    await sleep(4_000);
    await Promise.all(phones.map((phone) => phone.hangUp()));
    for (const [i, phone] of phones.entries()) {
      const report = phone.report();
      const what = JSON.stringify(profiles[i]);
      expect(report?.playout.maxLeadMs, what).toBeLessThanOrEqual(200);
      expect(report?.warnings.first, what).toBeUndefined();
      if (i < 2) expect(report?.proof?.received.correlation, what).toBeGreaterThan(0.98);
    }
    expect(twilio.accountSid).toBe(ACCOUNT_SID);
  });
});
