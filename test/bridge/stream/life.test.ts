import { describe, expect, it } from 'vitest';
import { createGateway, StreamBridge } from '../../../src/index.js';
import { postForm, voiceParameters } from '../../support/caller.js';
import { startWithCarrier } from '../../support/carrier.js';
import type { StreamDouble } from '../../support/stream/double.js';
import { agentLevel, heardBy, phoneLevel, startStream } from '../../support/stream-call.js';
import { eventually } from '../../support/time.js';

function participants(double: StreamDouble, cid = 'default:room'): string[] {
  return double.state.calls.find((call) => call.cid === cid)?.participants.map(({ userId }) => userId) ?? [];
}

describe('a call', () => {
  it('appears under an id that says nothing of the number, with a name and what the webhook told', async () => {
    const { phone, double, gateway } = await startStream();
    phone(undefined, { parameters: { CallerName: 'ADA LOVELACE', FromCity: 'LONDON', FromCountry: 'GB' } });
    await eventually('the phone to be in', () => participants(double).length === 1);
    const [call] = gateway.calls.listActive();
    expect(participants(double)).toEqual([`phone-${call?.callId}`]);
    const user = double.user(`phone-${call?.callId}`);
    expect(user?.name).toBe('ADA LOVELACE');
    expect(user?.custom).toMatchObject({
      call_id: call?.callId,
      call_sid: call?.callSid,
      direction: 'inbound',
      city: 'LONDON',
      country: 'GB',
    });
    expect(JSON.stringify(user)).not.toContain('5550001111');
  });

  it('goes where the hook says, as whom the hook says', async () => {
    const { phone, double } = await startStream({
      gateway: {
        prepareCall: () => ({ room: 'audio_room:desk-7', user: { id: 'customer-1', name: 'Ada' } }),
      },
    });
    phone();
    await eventually('the phone to be in', () => participants(double, 'audio_room:desk-7').length === 1);
    expect(participants(double, 'audio_room:desk-7')).toEqual(['customer-1']);
  });

  it('has a Stream call of its own where the hook says nothing', async () => {
    const { phone, double, gateway } = await startStream({ gateway: { prepareCall: () => undefined } });
    phone();
    await eventually('the call', () => gateway.calls.listActive().length === 1);
    const cid = `default:${gateway.calls.listActive()[0]?.callId}`;
    await eventually('the phone to be in', () => participants(double, cid).length === 1);
  });

  it('leaves no ghost when the phone hangs up', async () => {
    const { phone, agent, double, bridge } = await startStream();
    const caller = phone(1_000);
    const other = await agent('agent', 1_700);
    await heardBy('the agent', () => agentLevel(other, 1_000));
    await caller.hangUp();
    await eventually('the agent to be alone', () => participants(double).join() === 'agent', 3_000);
    await eventually('the leg to be gone', () => bridge.stats().legs === 0);
    expect(other.remoteUserIds()).toEqual([]);
  });

  it('hangs the phone up when the Stream call ends', async () => {
    const { phone, agent, gateway } = await startStream();
    const caller = phone(1_000);
    const other = await agent('agent', 1_700);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    await other.endCall();
    const outcome = await caller.ended;
    expect(outcome).toMatchObject({ status: 'completed', said: [], error: undefined });
    expect(gateway.stats().activeCalls).toBe(0);
  });

  it('hangs the phone up when it is kicked', async () => {
    const { phone, agent, double, gateway } = await startStream();
    const caller = phone(1_000);
    await agent('agent', 1_700);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    const [call] = gateway.calls.listActive();
    double.kick('default:room', `phone-${call?.callId}`);
    expect((await caller.ended).status).toBe('completed');
  });

  it('hangs the phone up when it was left alone for the time set', async () => {
    const { phone, agent } = await startStream({ bridge: { aloneSeconds: 1 } });
    const other = await agent('agent', 1_700);
    const caller = phone(1_000);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(caller.status).toBe('in-progress');
    await other.leave();
    expect(await caller.ended).toMatchObject({ status: 'completed', said: [] });
  });

  it('hangs up a phone that nobody came for', async () => {
    const { phone, double } = await startStream({ bridge: { aloneSeconds: 1 } });
    expect((await phone().ended).status).toBe('completed');
    await eventually('it to have left', () => participants(double).length === 0);
  });
});

describe('while it is joining', () => {
  it('a phone that hangs up is out again', async () => {
    const { phone, double, bridge } = await startStream();
    double.slowJoin(1_500);
    const caller = phone();
    await caller.started;
    await caller.hangUp();
    await eventually(
      'nobody to be left',
      () => bridge.stats().legs === 0 && participants(double).length === 0,
      15_000,
    );
    expect(bridge.stats().deaths).toBe(0);
  });

  it('the end of the Stream call hangs the phone up', async () => {
    const { phone, agent, double } = await startStream();
    const other = await agent('agent', 1_700);
    double.slowJoin(1_500);
    const caller = phone();
    await caller.started;
    await other.endCall();
    expect((await caller.ended).status).toBe('completed');
  });

  it('waits for a slow server, and the phone is heard then', async () => {
    const { phone, agent, double } = await startStream();
    const other = await agent('agent', 1_700);
    double.slowJoin(2_000);
    const caller = phone(1_000);
    await heardBy('the agent', () => agentLevel(other, 1_000));
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
  });
});

describe('a call that can not be joined', () => {
  const APOLOGY = { say: 'Sorry, nobody can talk to you now.', language: 'en-GB' };

  it('is told so in words, and hung up', async () => {
    const { phone, double, gateway } = await startStream({
      bridge: { joinSeconds: 2 },
      gateway: { apology: APOLOGY },
    });
    double.refuseCoordinator(true);
    const outcome = await phone().ended;
    expect(outcome).toMatchObject({ status: 'completed', said: [APOLOGY.say], error: undefined });
    expect(gateway.stats().activeCalls).toBe(0);
  });

  it('is told so when its room is no name that Stream takes', async () => {
    const { phone } = await startStream({
      gateway: { prepareCall: () => ({ room: 'no such name' }), apology: APOLOGY },
    });
    expect((await phone().ended).said).toEqual([APOLOGY.say]);
  });

  it('is told so when it is lost later on and can not be joined again', async () => {
    const { phone, agent, double, bridge } = await startStream({ bridge: { joinSeconds: 2 } });
    const caller = phone(1_000);
    await agent('agent', 1_700);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    double.refuseCoordinator(true);
    for (const { pid } of bridge.workers().filter(({ legs }) => legs > 0)) process.kill(pid, 'SIGKILL');
    const outcome = await caller.ended;
    expect(outcome.said).toEqual([expect.stringContaining('cannot be connected')]);
  });

  it('is not left ringing where we placed it', async () => {
    const double = await startStream();
    const bridge = new StreamBridge({
      apiKey: double.double.apiKey,
      apiSecret: double.double.apiSecret,
      baseUrl: double.double.url,
      joinSeconds: 1,
    });
    const { gateway, twilio } = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 20_000 } },
      { bridge },
    );
    double.double.refuseCoordinator(true);
    await gateway.placeCall({ to: '+15556667777' }).catch(() => {});
    await eventually(
      'no phone to ring',
      () => gateway.stats().activeCalls === 0 && twilio.liveCalls === 0,
      10_000,
    );
    await bridge.close();
  });
});

describe('what Twilio asks after a stream', () => {
  it('is part of the TwiML of a Stream call', async () => {
    const { url } = await startStream();
    const response = await postForm(url, '/twilio/voice', voiceParameters());
    expect(await response.text()).toMatch(
      /^<\?xml version="1\.0" encoding="UTF-8"\?><Response><Connect><Stream url="wss:\/\/[^"]+"\/><\/Connect><Redirect method="POST">https:\/\/voice\.example\.com\/edge\/twilio\/next<\/Redirect><\/Response>$/,
    );
  });

  it('is answered with a hang-up where there is nothing more to do', async () => {
    const { url } = await startStream();
    const response = await postForm(url, '/twilio/next', voiceParameters());
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('<Response><Hangup/></Response>');
  });

  it('is signed like every webhook', async () => {
    const { url } = await startStream();
    const response = await fetch(`${url}/twilio/next`, {
      method: 'POST',
      body: new URLSearchParams(voiceParameters()),
    });
    expect(response.status).toBe(403);
  });
});

describe('at start', () => {
  it.each([
    ['an API key', { apiKey: 'wrong' }],
    ['a secret', { apiSecret: 'wrong' }],
  ])('bad keys are told at once: %s', async (_, wrong) => {
    const { double } = await startStream();
    const bridge = new StreamBridge({
      apiKey: double.apiKey,
      apiSecret: double.apiSecret,
      baseUrl: double.url,
      ...wrong,
    });
    const gateway = createGateway({
      port: 0,
      maxCpuPercent: 0,
      bridge,
      twilio: { validate: false },
      logLevel: 'silent',
    });
    await expect(gateway.listen()).rejects.toMatchObject({
      code: 'GW_STREAM_KEYS',
      message: expect.stringMatching(/^Expected a STREAM_API_KEY and STREAM_API_SECRET .+ but received /),
    });
    expect(bridge.workers(), 'no process is left behind').toEqual([]);
    await gateway.close();
  });

  it('a busy Stream is asked again', async () => {
    const { double, phone, agent, bridge } = await startStream();
    const other = await agent('agent', 1_700);
    double.failNext({ path: '/users', status: 429, times: 2 });
    double.failNext({ path: '/video/call/default/room', method: 'POST', status: 503, times: 1 });
    const caller = phone(1_000);
    await heardBy('the agent', () => agentLevel(other, 1_000));
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    expect(bridge.stats().retries).toBeGreaterThanOrEqual(2);
  });
});
