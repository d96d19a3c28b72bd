import { describe, expect, it } from 'vitest';
import { postForm, voiceParameters } from '../../support/caller.js';
import { startWithCarrier } from '../../support/carrier.js';
import { startGateway } from '../../support/gateway.js';
import { heardBy, phoneLevel } from '../../support/stream-call.js';
import { startRest, startStream, talk } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

const time = virtualTime();

describe('a call', () => {
  it('appears under an id without the number, with a name and the data of the webhook', async () => {
    const { phone, host, rest, gateway } = await startStream();
    phone(undefined, { parameters: { CallerName: 'ADA LOVELACE', FromCity: 'LONDON', FromCountry: 'GB' } });
    await eventually('the phone to be in', () => host.userIds().length === 1);
    const [call] = gateway.calls.listActive();
    expect(host.userIds()).toEqual([`phone-${call?.callId}`]);
    const user = rest.user(`phone-${call?.callId}`);
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

  it('joins the call and as the user that the hook names', async () => {
    const { phone, host } = await startStream({
      gateway: {
        prepareCall: () => ({ room: 'audio_room:desk-7', user: { id: 'customer-1', name: 'Ada' } }),
      },
    });
    phone();
    await eventually('the phone to be in', () => host.userIds('audio_room:desk-7').length === 1);
    expect(host.userIds('audio_room:desk-7')).toEqual(['customer-1']);
  });

  it('gets its own Stream call if the hook names none', async () => {
    const { phone, host, gateway } = await startStream({ gateway: { prepareCall: () => undefined } });
    phone();
    await eventually('the call', () => gateway.calls.listActive().length === 1);
    const cid = `default:${gateway.calls.listActive()[0]?.callId}`;
    await eventually('the phone to be in', () => host.userIds(cid).length === 1);
  });

  it('leaves no ghost when the phone hangs up', async () => {
    const { caller, host, bridge } = await talk();
    expect(bridge.stats().joined).toBe(1);
    await caller.hangUp();
    expect(host.userIds()).toEqual(['agent']);
    expect(bridge.stats().joined).toBe(0);
  });

  it.each(['ended', 'kicked'])('hangs the phone up when it is %s', async (how) => {
    const { caller, rest, gateway, userId } = await talk();
    if (how === 'ended') rest.endCall('default:room');
    else rest.kick('default:room', userId);
    expect(await caller.ended).toMatchObject({ status: 'completed', said: [], error: undefined });
    expect(gateway.stats().activeCalls).toBe(0);
  });

  it('hangs up a phone that was left alone for the configured time', async () => {
    const { caller, other } = await talk({ bridge: { aloneSeconds: 5 } });
    await sleep(10_000);
    expect(caller.status).toBe('in-progress');
    other.leave();
    await sleep(4_500);
    expect(caller.status).toBe('in-progress');
    const begun = time.now();
    expect(await caller.ended).toMatchObject({ status: 'completed', said: [] });
    expect(time.now() - begun).toBeLessThan(2_000);
  });

  it('hangs up nobody for being alone, or not yet joined, during a stall of this process', async () => {
    const { phone, agent, host } = await startStream({ bridge: { aloneSeconds: 5, joinSeconds: 5 } });
    host.joinMs = 1_500;
    const caller = phone();
    await caller.started;
    await eventually('the join to begin', () => host.placed.length === 1);
    await time.byHand(async () => time.stall(33_000));
    await eventually('the phone to be in', () => host.userIds().length === 1, 4_000);
    await sleep(2_000);
    await time.byHand(async () => time.stall(33_000));
    await sleep(1_000);
    agent('agent');
    await sleep(10_000);
    expect(caller.status).toBe('in-progress');
  });

  it('hangs up a phone that nobody joins, but not one that somebody joins in time', async () => {
    const { phone, agent, host } = await startStream({ bridge: { aloneSeconds: 5 } });
    expect((await phone().ended).status).toBe('completed');
    expect(host.userIds()).toEqual([]);
    const lucky = phone();
    await sleep(4_000);
    agent('late');
    await sleep(10_000);
    expect(lucky.status).toBe('in-progress');
  });
});

describe('while it is joining', () => {
  it('a phone that hangs up leaves the call', async () => {
    const { phone, host, gateway } = await startStream();
    host.joinMs = 1_500;
    const caller = phone();
    await caller.started;
    await eventually('the join', () => host.placed.length === 1);
    await caller.hangUp();
    await sleep(5_000);
    expect([host.userIds(), gateway.stats().activeCalls]).toEqual([[], 0]);
  });

  it('the end of the Stream call hangs up the phone', async () => {
    const { phone, agent, host, rest } = await startStream();
    agent();
    host.joinMs = 1_500;
    const caller = phone();
    await caller.started;
    await eventually('the join', () => host.placed.length === 1);
    rest.endCall('default:room');
    expect((await caller.ended).status).toBe('completed');
  });

  it('waits for a slow server, and then the phone is heard', async () => {
    const { phone, agent, host } = await startStream();
    const other = agent('agent', 1_700);
    host.joinMs = 14_000;
    const caller = phone(1_000);
    await eventually('the phone to be heard', () => other.heard(1_000) > 7_000, 20_000);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
  });

  it('retries a busy Stream', async () => {
    const { phone, agent, rest, bridge } = await startStream();
    const other = agent('agent', 1_700);
    rest.failNext({ path: '/users', status: 429, times: 2 });
    rest.failNext({ path: '/video/call/default/room', method: 'POST', status: 503, times: 1 });
    const caller = phone(1_000);
    await eventually('the phone to be heard', () => other.heard(1_000) > 7_000, 20_000);
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    expect(bridge.stats().retries).toBe(3);
  });
});

describe('a call that is lost', () => {
  it('rejoins at once, then with growing delays, while the phone stays connected', async () => {
    const { caller, host, participant, bridge, gateway, hear } = await talk();
    host.joinMs = 1;
    host.readyMs = 0;
    host.fate = 'lost';
    participant.depart('lost');
    expect(bridge.stats()).toMatchObject({ joined: 0, rejoins: 0 });
    await eventually('seven tries', () => host.placed.length === 8, 20_000);
    const tries = host.placed.slice(1).map(({ placedAt }) => placedAt);
    const pauses = tries.slice(1).map((at, i) => Math.round((at - (tries[i] as number)) / 50) * 50);
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 2_000, 2_000]);
    host.fate = 'joins';
    await hear();
    expect(bridge.stats()).toMatchObject({ joined: 1, rejoins: 1 });
    expect(caller.streams).toHaveLength(1);
    expect(gateway.calls.listActive()[0]?.state).toBe('live');
    const [first, ...again] = host.placed.map(({ request }) => request);
    for (const request of again) expect(request, 'as the same user').toEqual({ ...first, isBack: true });
  });

  it('plays no more audio of the lost participant', async () => {
    const { caller, host, participant, hear, other } = await talk();
    participant.depart('lost');
    await eventually('the next one', () => host.placed.length === 2);
    const { listener } = participant;
    listener.departed('ended', 'late');
    listener.event({ type: 'phone.hangup' }, 'agent', 'user');
    listener.others(0);
    listener.joined();
    await hear();
    other.playFrames(() => new Int16Array(960));
    await sleep(1_000);
    listener.write(new Int16Array(960).fill(8_000), 0, 0);
    await sleep(500);
    expect(Math.max(...caller.heard().slice(-4_000))).toBe(0);
    expect(caller.status).toBe('in-progress');
    expect(host.placed).toHaveLength(2);
  });

  it.each(['lost', 'refused'] as const)(
    'and cannot be joined again (%s) is told so in words',
    async (fate) => {
      const { caller, host, participant, gateway } = await talk({ bridge: { joinSeconds: 10 } });
      host.fate = fate;
      const begun = time.now();
      participant.depart('lost');
      expect((await caller.ended).said).toEqual([expect.stringContaining('cannot be connected')]);
      const seconds = (time.now() - begun) / 1_000;
      if (fate === 'lost') expect(seconds).toBeGreaterThan(10);
      expect(seconds).toBeLessThan(fate === 'lost' ? 12 : 2);
      const { length } = host.placed;
      await sleep(10_000);
      expect(host.placed, 'and nobody tries any longer').toHaveLength(length);
      expect(gateway.stats().activeCalls).toBe(0);
    },
  );
});

describe('a call that cannot be joined', () => {
  const APOLOGY = { say: 'Sorry, nobody can talk to you now.', language: 'en-GB' };

  it.each(['lost', 'waits', 'refused'] as const)('is told so in words, and hung up: %s', async (fate) => {
    const { phone, host, gateway } = await startStream({
      bridge: { joinSeconds: 10 },
      gateway: { apology: APOLOGY },
    });
    host.fate = fate;
    const outcome = await phone().ended;
    expect(outcome).toMatchObject({ status: 'completed', said: [APOLOGY.say], error: undefined });
    if (fate === 'refused') expect(outcome.seconds).toBeLessThan(3);
    else expect(outcome.seconds).toBeGreaterThanOrEqual(10);
    expect(outcome.seconds).toBeLessThan(14);
    expect(gateway.stats().activeCalls).toBe(0);
  });

  it('joins if Stream rejects it only once, and counts that', async () => {
    const { phone, agent, host, bridge } = await startStream();
    agent('agent', 1_700);
    host.fate = 'refused';
    const caller = phone();
    await eventually('the refusal', () => bridge.stats().retries === 1);
    host.fate = 'joins';
    await heardBy('the phone', () => phoneLevel(caller, 1_700));
    expect(host.placed).toHaveLength(2);
  });

  it('fails at once if a permission is missing', async () => {
    const { phone, host, bridge } = await startStream({ gateway: { apology: APOLOGY } });
    host.fate = 'forbidden';
    const outcome = await phone().ended;
    expect(outcome.said).toEqual([APOLOGY.say]);
    expect(outcome.seconds).toBeLessThan(2);
    expect([host.placed.length, bridge.stats().retries]).toEqual([1, 0]);
  });

  it('fails if its room is not a valid name for Stream', async () => {
    const { phone } = await startStream({
      gateway: { prepareCall: () => ({ room: 'no such name' }), apology: APOLOGY },
    });
    expect((await phone().ended).said).toEqual([APOLOGY.say]);
  });

  it('fails if Stream is unreachable', async () => {
    const { phone, rest } = await startStream({ gateway: { apology: APOLOGY } });
    rest.refuseCoordinator(true);
    expect((await phone().ended).said).toEqual([APOLOGY.say]);
  });

  it('does not keep ringing if we placed it', async () => {
    const { host, bridgeTo } = await startRest();
    const { gateway, twilio } = await startWithCarrier(
      { callee: { does: 'answer', afterMs: 20_000 } },
      { bridge: bridgeTo({ joinSeconds: 1 }) },
    );
    host.readiness = 'waits';
    await gateway.placeCall({ to: '+15556667777' }).catch(() => {});
    await eventually(
      'no phone to ring',
      () => gateway.stats().activeCalls === 0 && twilio.liveCalls === 0,
      10_000,
    );
  });
});

describe('the request of Twilio after a stream', () => {
  it('is part of the TwiML of a Stream call', async () => {
    const { url } = await startStream();
    const response = await postForm(url, '/twilio/voice', voiceParameters());
    expect(await response.text()).toMatch(
      /^<\?xml version="1\.0" encoding="UTF-8"\?><Response><Connect><Stream url="wss:\/\/[^"]+"\/><\/Connect><Redirect method="POST">https:\/\/voice\.example\.com\/edge\/twilio\/next<\/Redirect><\/Response>$/,
    );
  });

  it('is answered with a hang-up if nothing is left to do', async () => {
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
  ])('invalid keys are reported at once, and no media worker is left: %s', async (_, wrong) => {
    const { bridgeTo, host } = await startRest();
    await expect(startGateway({ bridge: bridgeTo(wrong) })).rejects.toMatchObject({
      code: 'GW_STREAM_KEYS',
      message: expect.stringMatching(/^Stream rejects STREAM_API_KEY and STREAM_API_SECRET: /),
    });
    expect(host.isOpen).toBe(false);
  });
});

it('ended calls leave no participant and no timer', async () => {
  const { phone, bridge, gateway } = await startStream({ gateway: { prepareCall: () => undefined } });
  const round = async () => {
    const phones = Array.from({ length: 10 }, () => phone());
    await eventually('all to be in', () => bridge.stats().joined === 10);
    await Promise.all(phones.map((caller) => caller.hangUp()));
    // Whatever is waited for after a call is over, the answer of an API at the longest.
    await sleep(20_000);
    return time.pending;
  };
  const first = await round();
  for (let i = 0; i < 4; i++) expect(await round()).toBe(first);
  expect(bridge.stats()).toMatchObject({ joined: 0, rejoins: 0 });
  expect(gateway.stats().activeCalls).toBe(0);
});
