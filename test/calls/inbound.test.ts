import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { CallDecision, MarkEcho, PhoneCall, TwilioMediaStream } from '../../src/index.js';
import { createHangupTwiml } from '../../src/twilio/twiml.js';
import { Caller, localUrl, postForm, sign, upgradeStatus, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { levelDb, toneMulaw } from '../support/tone.js';

virtualTime();

/** Sends 20 ms frames at the pace of a phone, with monotonic deadlines that catch up. */
async function speak(caller: Caller, audio: Uint8Array): Promise<void> {
  const begun = clock.now();
  for (let i = 0; i * 160 < audio.length; i++) {
    const wait = begun + i * 20 - clock.now();
    if (wait > 0) await sleep(wait);
    caller.media(audio.subarray(i * 160, (i + 1) * 160));
  }
}

async function live(options: Parameters<typeof startGateway>[0] = {}) {
  const started = await startGateway(options);
  const known = new Promise<[PhoneCall, TwilioMediaStream]>((resolve) =>
    started.gateway.once('call', (...both) => resolve(both)),
  );
  const caller = await Caller.call(started.url);
  const [call, stream] = await known;
  await eventually('start', () => stream.isConnected);
  return { ...started, caller, call, stream };
}

describe('an inbound call', () => {
  it('gets exactly the documented TwiML', async () => {
    const { url, gateway } = await startGateway();
    const answer = await postForm(url, '/twilio/voice', voiceParameters());
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/xml');
    const [call] = gateway.calls.listActive();
    expect(await answer.text()).toBe(
      '<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url="' +
        `wss://voice.example.com/edge/twilio/media/${call?.callId}/${call?.token}"/></Connect></Response>`,
    );
    expect(call?.token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  it('gets the same answer for a repeat of its CallSid', async () => {
    const { url, gateway } = await startGateway();
    const parameters = voiceParameters();
    const texts = await Promise.all(
      [1, 2, 3].map(async () => (await postForm(url, '/twilio/voice', parameters)).text()),
    );
    expect(new Set(texts).size).toBe(1);
    expect(gateway.calls.size).toBe(1);
  });

  it('does not ring again when its webhook is replayed after it has ended', async () => {
    const { url, gateway } = await startGateway();
    const caller = await Caller.call(url);
    const replay = async (more = {}) =>
      (await postForm(url, '/twilio/voice', { ...caller.parameters, ...more })).text();
    const [call] = gateway.calls.listActive();
    expect(await replay()).toBe(caller.twiml);
    caller.hangUp();
    await eventually('the end', () => gateway.calls.size === 0);
    const calls: string[] = [];
    gateway.on('call', ({ callId }) => calls.push(callId));
    for (let i = 0; i < 3; i++) expect(await replay()).toBe(createHangupTwiml());
    expect([calls, gateway.calls.size]).toEqual([[], 0]);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('\ntrunkline_webhooks_replayed_total 3\n');
    // The continuation is still served, and TwiML may send back a caller who is still on the phone.
    const next = await postForm(url, '/twilio/next', caller.parameters);
    expect(await next.text()).toBe(createHangupTwiml());
    expect(await replay({ CallStatus: 'in-progress' })).toContain('<Stream');
    expect(calls).toHaveLength(1);
    expect(calls).not.toContain(call?.callId);
  });

  it('ends for good when Twilio reports it completed', async () => {
    const { url, gateway } = await startGateway();
    const caller = await Caller.call(url);
    const { CallSid = '' } = caller.parameters;
    const status = { ...caller.parameters, CallStatus: 'completed' };
    expect((await postForm(url, '/twilio/status', status)).status).toBe(204);
    await eventually('the end', () => gateway.calls.size === 0);
    const again = { ...caller.parameters, CallSid, CallStatus: 'in-progress' };
    expect(await (await postForm(url, '/twilio/voice', again)).text()).toBe(createHangupTwiml());
  });

  it('hears its own speech back, frame for frame at the same level', async () => {
    const { caller } = await live();
    const said = toneMulaw(1_013, 600);
    await speak(caller, said);
    await eventually('30 frames back', () => caller.mediaCount === 30);
    expect(caller.heard.length).toBe(said.length);
    // The first 40 ms contain the filter's transient.
    const change = levelDb(caller.heard.subarray(320), 1_013) - levelDb(said.subarray(320), 1_013);
    expect(Math.abs(change)).toBeLessThan(0.2);
    caller.hangUp();
  });

  it('echoes marks with the milliseconds actually played', async () => {
    const { caller, stream } = await live();
    const echoes: MarkEcho[] = [];
    stream.on('mark', (echo) => echoes.push(echo));
    stream.sendAudio(new Int16Array(960 * 3));
    stream.mark('three frames');
    await eventually('the mark', () => caller.received.some((message) => message.event === 'mark'));
    expect(caller.received.map((message) => message.event)).toEqual(['media', 'media', 'media', 'mark']);
    const mark = caller.received.at(-1);
    expect(mark).toEqual({ event: 'mark', streamSid: caller.streamSid, mark: { name: 'three frames' } });
    caller.json({ ...mark, sequenceNumber: '2' });
    await eventually('its echo', () => echoes.length === 1);
    expect(echoes).toEqual([{ name: 'three frames', playedMs: 60, cleared: false }]);
    expect(stream.playedMs).toBeGreaterThanOrEqual(60);
    caller.hangUp();
  });

  it('reports on clear what was heard, and that returned marks were not reached', async () => {
    const { caller, stream } = await live();
    const echoes: MarkEcho[] = [];
    stream.on('mark', (echo) => echoes.push(echo));
    stream.sendAudio(new Int16Array(960 * 5));
    stream.mark('never reached');
    const truth = stream.clear();
    expect(truth.playedMs + truth.discardedMs).toBeCloseTo(100, 0);
    expect(truth.playedMs).toBeLessThan(60);
    await eventually('clear', () => caller.received.some((message) => message.event === 'clear'));
    expect(caller.received.at(-1)).toEqual({ event: 'clear', streamSid: caller.streamSid });
    caller.json({
      event: 'mark',
      sequenceNumber: '2',
      streamSid: caller.streamSid,
      mark: { name: 'never reached' },
    });
    await eventually('its echo', () => echoes.length === 1);
    expect(echoes[0]?.cleared).toBe(true);
    expect(echoes[0]?.playedMs).toBeLessThan(100);
    caller.hangUp();
  });

  it('reports pressed keys', async () => {
    const { caller, stream } = await live();
    const digits: string[] = [];
    stream.on('dtmf', (digit) => digits.push(digit));
    for (const digit of '5#') {
      caller.json({
        event: 'dtmf',
        streamSid: caller.streamSid,
        sequenceNumber: '9',
        dtmf: { track: 'inbound_track', digit },
      });
    }
    await eventually('both keys', () => digits.length === 2);
    expect(digits).toEqual(['5', '#']);
    caller.hangUp();
  });

  it('ends on stop and frees everything', async () => {
    const { caller, call, gateway } = await live();
    caller.stop();
    await eventually('the close', () => caller.closed !== undefined);
    expect(caller.closed?.code).toBe(1000);
    expect(call).toMatchObject({ state: 'ended', endCause: 'stop' });
    expect(gateway.calls.size).toBe(0);
    expect(gateway.stats().activeCalls).toBe(0);
  });

  it('ends when the socket breaks without stop', async () => {
    const { caller, call, gateway } = await live();
    caller.hangUp();
    await eventually('the end', () => call.state === 'ended');
    expect(call.endCause).toBe('socket-closed');
    expect(gateway.calls.size).toBe(0);
  });

  it('ends when the final status arrives first', async () => {
    const { caller, call, url } = await live();
    const status = await postForm(url, '/twilio/status', {
      ...caller.parameters,
      CallStatus: 'completed',
      CallDuration: '3',
      SequenceNumber: '3',
    });
    expect(status.status).toBe(204);
    await eventually('the close', () => caller.closed !== undefined);
    expect(call.endCause).toBe('status');
    const stream = await postForm(url, '/twilio/stream-status', {
      AccountSid: caller.parameters.AccountSid as string,
      CallSid: caller.parameters.CallSid as string,
      StreamSid: caller.streamSid,
      StreamEvent: 'stream-error',
      StreamError: '31920',
    });
    expect(stream.status).toBe(204);
  });
});

describe('closing a stream', () => {
  it('rejects codes and reasons that a close frame cannot carry, and still works afterwards', async () => {
    const { caller, stream, gateway } = await live();
    expect(() => stream.close(9_999)).toThrow(TypeError);
    expect(() => stream.close(1000, null as never)).toThrow(TypeError);
    expect(stream.isConnected).toBe(true);
    stream.close(4_001, `a${'€'.repeat(60)}`);
    await eventually('the close', () => caller.closed !== undefined);
    expect(caller.closed).toEqual({ code: 4_001, reason: `a${'€'.repeat(40)}` });
    expect(gateway.calls.size).toBe(0);
  });
});

describe('a call registered by the user', () => {
  it('connects like any other, e.g. one placed with the user’s own Twilio client', async () => {
    const { url, gateway } = await startGateway();
    const call = gateway.calls.create('by-hand', undefined, { prepare: async () => ({ room: 'mine' }) });
    const publicUrl = `wss://voice.example.com/edge/twilio/media/by-hand/${call.token}`;
    expect(await upgradeStatus(localUrl(url, publicUrl), { 'x-twilio-signature': sign(publicUrl) })).toEqual({
      status: 101,
    });
    await eventually('its end', () => call.state === 'ended');
    expect(gateway.calls.size).toBe(0);
  });
});

describe('a "start" listener that throws', () => {
  it('ends only its own call', async () => {
    const { caller, call, stream, url } = await live();
    const other = await Caller.call(url);
    stream.on('audio', () => {
      throw new Error('a fault in the user’s code');
    });
    caller.media(toneMulaw(700, 20));
    await eventually('the close', () => caller.closed !== undefined);
    expect([caller.closed?.code, call.endCause]).toEqual([1011, 'internal']);
    other.media(toneMulaw(700, 20));
    await eventually('the other to be heard', () => other.mediaCount === 1);
    other.hangUp();
  });
});

describe('a "call" listener that throws', () => {
  it('rejects the call and frees everything', async () => {
    const { url, gateway } = await startGateway();
    gateway.on('call', () => {
      throw new Error('a fault in the user’s code');
    });
    const answer = await postForm(url, '/twilio/voice', voiceParameters());
    expect([answer.status, await answer.text()]).toEqual([
      200,
      expect.stringContaining('<Reject reason="busy"/>'),
    ]);
    expect([gateway.calls.size, gateway.stats().activeCalls]).toEqual([0, 0]);
  });
});

describe('prepareCall', () => {
  it('chooses the room, and its parameters reach the caller’s start message', async () => {
    const { url, gateway } = await startGateway({
      prepareCall: (call) => ({ room: 'lobby', parameters: { from: call.from ?? '' } }),
    });
    const [a, b] = await Promise.all([Caller.call(url), Caller.call(url)]);
    expect(a?.twiml).toContain('<Parameter name="from" value="+15550001111"/>');
    await eventually('both live', () => gateway.calls.listActive().every((call) => call.state === 'live'));
    await speak(a as Caller, toneMulaw(500, 100));
    await eventually('the other to hear it', () => (b as Caller).mediaCount >= 5);
    expect((a as Caller).mediaCount).toBe(0);
    for (const caller of [a, b]) caller?.hangUp();
  });

  it('can refuse as busy, rejected or with words, and leaves nothing connected', async () => {
    const refusals = [
      ['busy', '<Response><Reject reason="busy"/></Response>'],
      ['rejected', '<Response><Reject reason="rejected"/></Response>'],
      [{ say: 'Closed & dark' }, '<Response><Say>Closed &amp; dark</Say><Hangup/></Response>'],
    ] as const;
    for (const [refuse, twiml] of refusals) {
      const { url, gateway } = await startGateway({ prepareCall: async () => ({ refuse }) });
      const answer = await postForm(url, '/twilio/voice', voiceParameters());
      expect(await answer.text()).toContain(twiml);
      expect(gateway.stats().activeCalls).toBe(0);
    }
  });

  it('can leave the stream to the user’s own code, and nothing else plays', async () => {
    const { caller, stream } = await live({ prepareCall: () => ({ bridge: false }) });
    let heard = 0;
    stream.on('audio', () => {
      heard += 1;
      stream.sendAudio(new Int16Array(960).fill(1_000));
    });
    await speak(caller, toneMulaw(1_013, 400));
    await eventually('twenty answers', () => caller.mediaCount === 20);
    expect(heard).toBe(20);
    expect(levelDb(caller.heard.subarray(320), 1_013)).toBeLessThan(-60);
    expect(stream.counts()).toMatchObject({ framesIn: 20, framesOut: 20, droppedLead: 0 });
    caller.hangUp();
  });

  it.each([
    ['a number', 5],
    ['a room that is no name', { room: 7 }],
    ['an empty room', { room: '' }],
    ['a refusal nobody knows', { refuse: 'later' }],
    ['a user without an id', { user: {} }],
  ])(
    'rejects the call when it returns %s: no call is better than one in the wrong room',
    async (_name, nonsense) => {
      const { url, gateway } = await startGateway({ prepareCall: () => nonsense as CallDecision });
      const answer = await postForm(url, '/twilio/voice', voiceParameters());
      expect(await answer.text()).toContain('<Reject reason="busy"/>');
      expect(gateway.stats().activeCalls).toBe(0);
    },
  );

  it('rejects the call as busy when it throws, and logs why', async () => {
    const lines: string[] = [];
    const { url, gateway } = await startGateway({
      log: pino({}, { write: (line) => lines.push(line) }),
      prepareCall: () => {
        throw new Error('the database is down');
      },
    });
    const answer = await postForm(url, '/twilio/voice', voiceParameters());
    expect(await answer.text()).toContain('<Reject reason="busy"/>');
    expect(gateway.stats().activeCalls).toBe(0);
    expect(lines.join('')).toContain('the database is down');
  });

  it('aborts when the caller hangs up first', async () => {
    let aborted = false;
    const { url, gateway } = await startGateway({
      prepareCall: (_call, signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            resolve({});
          });
        }),
    });
    const parameters = voiceParameters();
    const answer = postForm(url, '/twilio/voice', parameters);
    await eventually('the webhook to be known', () => gateway.calls.size === 1);
    await postForm(url, '/twilio/status', { ...parameters, CallStatus: 'canceled', SequenceNumber: '1' });
    expect((await answer).status).toBe(200);
    expect(aborted).toBe(true);
  });
});
