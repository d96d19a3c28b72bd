import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  AudioSource,
  type InboundCallOptions,
  readWav,
  SimulatedPhone,
  SimulatedTwilio,
} from '../../src/simulator/index.js';
import { ReferenceGateway, type ReferenceGatewayOptions } from '../support/reference-gateway.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

const time = virtualTime();

let gateway: ReferenceGateway;
let twilio: SimulatedTwilio;

async function setUp(options: ReferenceGatewayOptions = {}): Promise<void> {
  gateway = await ReferenceGateway.listen(options);
  twilio = new SimulatedTwilio({
    clock: time,
    authToken: '12345',
    dial: { publicUrl: gateway.publicUrl, target: gateway.target },
  });
}

function call(options: Partial<InboundCallOptions> = {}): SimulatedPhone {
  return twilio.placeCall({
    webhookUrl: gateway.voiceUrl,
    from: '+12065550100',
    to: '+14155550123',
    ...options,
  });
}

const received = (event: string) => gateway.messages.filter((message) => message.event === event);

afterEach(async () => {
  await twilio.close();
  expect(twilio.liveCalls).toBe(0);
  expect(twilio.clock.size).toBe(0);
  expect(time.pending).toBe(0);
  await gateway.close();
});

describe('a call', () => {
  it('sends everything as Twilio does, and hears its own speech again', async () => {
    await setUp({ publicUrl: 'https://voice.example.com' });
    gateway.keepMedia = true;
    const phone = call({ audio: AudioSource.speech(), record: true, dejitterMs: 300 });
    const { streamSid } = await phone.started;
    expect(phone.status).toBe('in-progress');
    await sleep(2100);
    phone.dtmf('5#');
    const outcome = await phone.hangUp();
    await eventually('a close', () => gateway.closes.length > 0);
    expect(gateway.closes).toEqual([1000]);

    const { callSid } = phone;
    const { accountSid } = twilio;
    expect(gateway.messages).toEqual([
      { event: 'connected', protocol: 'Call', version: '1.0.0' },
      {
        event: 'start',
        sequenceNumber: '1',
        streamSid,
        start: {
          streamSid,
          accountSid,
          callSid,
          tracks: ['inbound'],
          customParameters: { caller: '+12065550100' },
          mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
        },
      },
      {
        event: 'dtmf',
        sequenceNumber: expect.any(String),
        streamSid,
        dtmf: { track: 'inbound_track', digit: '5' },
      },
      {
        event: 'dtmf',
        sequenceNumber: expect.any(String),
        streamSid,
        dtmf: { track: 'inbound_track', digit: '#' },
      },
      { event: 'stop', sequenceNumber: expect.any(String), streamSid, stop: { accountSid, callSid } },
    ]);
    const { media } = gateway;
    expect(media.length).toBeGreaterThanOrEqual(105);
    const [{ media: firstFrame } = {}] = media;
    const first = Number((firstFrame as { timestamp: string }).timestamp);
    for (const [i, message] of media.entries()) {
      expect(message).toEqual({
        event: 'media',
        sequenceNumber: String(i + 2),
        streamSid,
        media: {
          track: 'inbound',
          chunk: String(i + 1),
          timestamp: String(first + 20 * i),
          payload: AudioSource.speech().payloads[i],
        },
      });
      expect(Object.keys(message)).toEqual(['event', 'sequenceNumber', 'media', 'streamSid']);
    }
    const numbers = [...received('dtmf'), ...received('stop')].map((message) =>
      Number(message.sequenceNumber),
    );
    expect(numbers).toEqual([media.length + 2, media.length + 3, media.length + 4]);

    expect(outcome).toMatchObject({ status: 'completed', seconds: 3, error: undefined, failedCallbacks: [] });
    expect(outcome.streamEnd).toMatchObject({ by: 'stop', code: 1000 });
    const report = phone.report();
    expect(report).toMatchObject({
      framesSent: media.length,
      framesMissing: 0,
      pairing: 'valid',
      warnings: { 31930: 0, 31950: 0, 31951: 0, first: undefined },
    });
    expect(report?.proof?.received.correlation).toBeGreaterThan(0.999);
    expect(report?.proof?.heard.correlation).toBeGreaterThan(0.999);
    expect(report?.proof?.heard.lagMs).toBeGreaterThan(299);
    expect(report?.proof?.heard.lagMs).toBeLessThan(310);
    expect(report?.roundTrip.p50Ms).toBeLessThan(10);
    expect(
      gateway.requests.map(({ path, form }) => `${path} ${form.StreamEvent ?? form.CallStatus}`),
    ).toEqual(['/voice ringing', '/stream-status stream-started', '/stream-status stream-stopped']);
  });

  it('keeps its pace by the clock: frames are even over time', async () => {
    await setUp();
    const phone = call();
    await phone.started;
    // Between two frames.
    await sleep(10);
    await time.byHand(async () => {
      const before = gateway.mediaCount;
      await time.pass(300);
      // A stall of the process is made up for, not lost.
      time.stall(200);
      await time.pass(300);
      expect(gateway.mediaCount - before).toBe(800 / 20);
    });
  });

  it('records what the caller hears as WAV', async () => {
    await setUp();
    const directory = mkdtempSync(join(tmpdir(), 'trunkline-phone-'));
    const phone = call({ audio: AudioSource.tone(440), record: 400 });
    await phone.started;
    await sleep(500);
    await phone.hangUp();
    phone.saveRecording(join(directory, 'heard.wav'));
    expect(readWav(join(directory, 'heard.wav')).length).toBe(3200);
    rmSync(directory, { recursive: true });
  });

  it('changes what it plays', async () => {
    await setUp();
    gateway.keepMedia = true;
    const phone = call({ audio: AudioSource.tone(440) });
    await phone.started;
    phone.speak(AudioSource.silence());
    await sleep(100);
    const [payload] = AudioSource.silence().payloads;
    expect(gateway.media.at(-1)).toMatchObject({ media: { payload } });
  });

  it('echoes marks when they were played, and at once on clear', async () => {
    await setUp({ onStream: () => {} });
    const phone = call();
    const { streamSid } = await phone.started;
    const [socket] = gateway.sockets;
    const echoes: string[] = [];
    socket?.on('message', (data) => {
      const message = JSON.parse(String(data));
      if (message.event === 'mark') echoes.push(message.mark.name);
    });
    const say = (bytes: number) =>
      gateway.send({
        event: 'media',
        streamSid,
        media: { payload: Buffer.alloc(bytes, 0x7f).toString('base64') },
      });
    const mark = (name: string) => gateway.send({ event: 'mark', streamSid, mark: { name } });
    await time.byHand(async () => {
      mark('idle');
      say(1600);
      mark('after 200 ms');
      say(80_000);
      mark('long "one" é');
      // The far end's own 20 ms come on top.
      await time.pass(219);
      expect(echoes).toEqual(['idle']);
      await time.pass(1);
      expect(echoes).toEqual(['idle', 'after 200 ms']);
      gateway.send({ event: 'clear', streamSid });
      await time.pass(1);
      expect(echoes).toEqual(['idle', 'after 200 ms', 'long "one" é']);
    });
    expect(phone.report()?.playout).toMatchObject({ clears: 1, marks: 3 });
    expect(phone.report()?.warnings.first).toBeUndefined();
  });
});

describe('ends', () => {
  it('abruptly, without stop or close frame', async () => {
    await setUp();
    const phone = call();
    await phone.started;
    const outcome = await phone.drop();
    await eventually('a close', () => gateway.closes.length > 0);
    expect(gateway.closes).toEqual([1006]);
    expect(received('stop')).toEqual([]);
    expect(outcome.streamEnd).toMatchObject({ by: 'abrupt' });
  });

  it('when the server closes: 31921, then the next verb, then the action', async () => {
    let asked = 0;
    await setUp({
      answer: (_, url) => {
        asked += 1;
        return asked === 1
          ? `<Response><Connect action="/voice"><Stream url="${url}"/></Connect></Response>`
          : '<Response><Say>Goodbye</Say></Response>';
      },
    });
    const phone = call({ statusCallback: `${gateway.publicUrl}/status` });
    await phone.started;
    for (const socket of gateway.sockets) socket.close(1000, 'done');
    const outcome = await phone.ended;
    expect(outcome).toMatchObject({
      status: 'completed',
      twilioCode: 31921,
      said: ['Goodbye'],
      error: undefined,
    });
    expect(outcome.streamEnd).toMatchObject({ by: 'server', code: 1000, reason: 'done' });
    expect(gateway.requests.at(-1)).toMatchObject({ path: '/status', form: { CallStatus: 'completed' } });
  });

  it('even when the server has stopped reading', async () => {
    await setUp({ onStream: (socket) => socket.pause() });
    const phone = call();
    await phone.started;
    await phone.hangUp();
    expect(phone.status).toBe('completed');
  });

  it('before the webhook has answered', async () => {
    await setUp();
    const phone = call();
    expect((await phone.hangUp()).status).toBe('canceled');
    await expect(phone.started).rejects.toMatchObject({ code: 'GW_SIM_NO_STREAM' });
  });

  it('although the webhook never answers', async () => {
    await setUp();
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const phone = call({ webhookUrl: `http://127.0.0.1:${port}/voice` });
    await sleep(50);
    expect(await phone.hangUp()).toMatchObject({ status: 'canceled', error: undefined });
    silent.close();
  });

  it('in the middle of a pause', async () => {
    await setUp({ answer: () => '<Response><Say>Wait</Say><Pause length="60"/></Response>' });
    const phone = call();
    await eventually('an answer', () => phone.status === 'in-progress');
    expect(await phone.hangUp()).toMatchObject({ status: 'completed', said: ['Wait'] });
  });
});

describe('refusals', () => {
  it('reports a rejected upgrade as 31920 with its status, also to the stream’s callback', async () => {
    await setUp();
    for (const [faults, status] of [
      [{ signature: 'missing' }, 403],
      [{ signature: 'wrong' }, 403],
      [{ origin: 'https://evil.example' }, 403],
      [{ rewriteUrl: (url: string) => url.replace('token', 'other') }, 401],
    ] as const) {
      const phone = call({ faults });
      await expect(phone.started).rejects.toMatchObject({ code: 'GW_SIM_31920', status });
      expect(await phone.ended).toMatchObject({ twilioCode: 31920, streamEnd: undefined });
    }
    expect(gateway.requests.at(-1)?.form).toMatchObject({
      StreamEvent: 'stream-error',
      StreamError: expect.stringMatching(/^31920: /),
    });
  });

  it('reports a rejected webhook as 11200', async () => {
    await setUp();
    for (const webhookSignature of ['missing', 'wrong'] as const) {
      const phone = call({ faults: { webhookSignature } });
      await expect(phone.started).rejects.toMatchObject({ code: 'GW_SIM_11200', status: 403 });
      expect(await phone.ended).toMatchObject({ status: 'failed', twilioCode: 11200, seconds: 0 });
    }
  });

  it('accepts <Reject>', async () => {
    await setUp({ answer: () => '<Response><Reject reason="busy"/></Response>' });
    const phone = call();
    await expect(phone.started).rejects.toThrow(/received <Reject reason="busy">/);
    expect(await phone.ended).toMatchObject({
      status: 'busy',
      seconds: 0,
      error: { code: 'GW_SIM_REJECTED' },
    });
  });

  it('names a server that is unreachable', async () => {
    await setUp({
      answer: () => '<Response><Connect><Stream url="ws://127.0.0.1:9/a"/></Connect></Response>',
    });
    await expect(call().started).rejects.toMatchObject({ code: 'GW_SIM_31902' });
  });

  it('needs a webhook or TwiML', () => {
    const options = { accountSid: 'AC1', authToken: 'x', from: '+1', to: '+2' };
    expect(() => new SimulatedPhone(options)).toThrow(
      'Expected a webhookUrl or twiml for the call but received',
    );
  });
});

describe('lines', () => {
  const talk = async (profile: InboundCallOptions['profile']) => {
    await setUp();
    gateway.keepMedia = true;
    const phone = call({ audio: AudioSource.speech(), record: true, profile });
    await phone.started;
    await sleep(1000);
    await phone.hangUp();
    const media = gateway.media.map((message) => message.media as { timestamp: string; chunk: string });
    return { media, report: phone.report() };
  };
  const steps = (media: { timestamp: string }[]) =>
    media.slice(1).map((frame, i) => Number(frame.timestamp) - Number(media[i]?.timestamp));

  it('jitter: late, in order, nothing lost', async () => {
    const { media, report } = await talk({ jitterMs: 60 });
    expect(new Set(steps(media))).toEqual(new Set([20]));
    expect(report).toMatchObject({ framesMissing: 0, framesLost: 0, pairing: 'valid' });
    expect(report?.maxGapMs).toBeGreaterThan(25);
    expect(report?.maxGapMs).toBeLessThanOrEqual(20 + 60 + 5);
  });

  it('burst: held and sent together', async () => {
    const { media, report } = await talk({ burstFrames: 10 });
    expect(new Set(steps(media))).toEqual(new Set([20]));
    expect(report?.maxGapMs).toBe(200);
    expect(report?.playout.maxLeadMs).toBe(220);
    expect(report?.pairing).toBe('valid');
  });

  it('loss: timestamps jump, chunks do not', async () => {
    const { media, report } = await talk({ loss: 0.2, seed: 7 });
    const jumps = steps(media);
    expect(report?.framesLost).toBeGreaterThan(3);
    expect(Math.max(...jumps)).toBeGreaterThanOrEqual(40);
    expect(jumps.every((step) => step % 20 === 0)).toBe(true);
    expect(media.map((frame) => Number(frame.chunk))).toEqual(media.map((_, i) => i + 1));
    expect(report?.framesMissing).toBe(0);
  });

  it('stall: nothing passes in either direction, then everything at once', async () => {
    const { media, report } = await talk({ stallEveryMs: 600, stallMs: 300 });
    expect(new Set(steps(media))).toEqual(new Set([20]));
    expect(report?.maxGapMs).toBeGreaterThanOrEqual(300);
    expect(report?.maxGapMs).toBeLessThanOrEqual(330);
    expect(report).toMatchObject({ framesLost: 0, framesMissing: 0, pairing: 'valid' });
  });

  it('stall: a call that ends during one still sends stop', async () => {
    await setUp();
    const phone = call({ profile: { stallEveryMs: 600, stallMs: 500 } });
    await phone.started;
    await sleep(750);
    expect((await phone.hangUp()).streamEnd).toMatchObject({ by: 'stop', code: 1000 });
    expect(received('stop')).toHaveLength(1);
  });

  it('reject endless stalls', async () => {
    await setUp();
    const outcome = await call({ profile: { stallEveryMs: 200, stallMs: 200 } }).ended;
    expect(outcome.error?.message).toMatch(/less than stallEveryMs, for stallMs but received 200/);
  });

  it('reject profiles out of range', async () => {
    await setUp();
    const outcome = await call({ profile: { loss: 2 } }).ended;
    expect(outcome.error?.message).toMatch(/Expected 0 to 1 for loss but received 2/);
  });
});

describe('protocol warnings', () => {
  it.each([
    [31951, 'not JSON', '{'],
    [31951, 'not a JSON object', '[1]'],
    [31951, 'unknown event "hello"', { event: 'hello' }],
    [31951, 'no streamSid', { event: 'clear' }],
    [31951, 'another streamSid', { event: 'clear', streamSid: 'MZ0' }],
    [31951, 'no media.payload', { event: 'media', streamSid: '', media: {} }],
    [31951, 'no mark.name', { event: 'mark', streamSid: '' }],
    [31951, 'an empty media.payload', { event: 'media', streamSid: '', media: { payload: '' } }],
    [31950, 'media.payload is not base64', { event: 'media', streamSid: '', media: { payload: 'a-b_' } }],
    [31951, 'unexpected field extra', { event: 'clear', streamSid: '', extra: 1 }],
    [31950, 'a text message expected, not a binary one', new Uint8Array(3)],
  ] as const)('%i: %s', async (code, reason, message) => {
    await setUp({ onStream: () => {} });
    const phone = call();
    const { streamSid } = await phone.started;
    const isObject = typeof message === 'object' && !(message instanceof Uint8Array);
    gateway.send(
      isObject
        ? { ...message, ...('streamSid' in message && message.streamSid === '' ? { streamSid } : {}) }
        : message,
    );
    await eventually('a warning', () => phone.report()?.warnings.first !== undefined);
    expect(phone.report()?.warnings).toMatchObject({ [code]: 1, first: { code, reason } });
    expect(phone.stream?.isOpen).toBe(true);
  });

  it('counts media before start', async () => {
    const media = { event: 'media', streamSid: 'MZ0', media: { payload: 'AAAA' } };
    await setUp({ onStream: (socket) => socket.send(JSON.stringify(media)) });
    const phone = call({ faults: { startDelayMs: 100 } });
    await phone.started;
    expect(phone.report()?.warnings).toMatchObject({ 31951: 1, first: { reason: 'media before start' } });
    expect(phone.report()?.messagesReceived).toBe(0);
  });

  it('still checks messages after it has learnt the shape of good ones', async () => {
    await setUp({ onStream: () => {} });
    const phone = call();
    const { streamSid } = await phone.started;
    const payload = Buffer.alloc(160, 1).toString('base64');
    const good = `{ "streamSid": "${streamSid}", "media": { "payload": "${payload}" }, "event": "media" }`;
    gateway.send(good);
    gateway.send(good);
    gateway.send(good.replace(payload, 'AAAA'));
    gateway.send(good.replace(payload, '!!!!'));
    gateway.send(good.replace(payload, `${payload}", "track": "x`));
    gateway.send(good.replace('"media" }', '"media", "more": 1 }'));
    await eventually('two warnings', () => phone.report()?.warnings[31951] === 2);
    expect(phone.report()).toMatchObject({ messagesReceived: 5, warnings: { 31950: 1, 31951: 2 } });
  });

  it('discards audio for a server that does not read: 31930', async () => {
    await setUp({ onStream: (socket) => socket.pause() });
    const phone = call();
    const stream = await phone.started;
    // Fill the kernel's buffers, so that the test need not wait for minutes of audio to do it.
    for (let i = 0; i < 200; i++) stream.sendRaw(' '.repeat(64 * 1024));
    await eventually('a frame discarded', () => (phone.report()?.framesDiscarded ?? 0) > 0);
    expect(phone.report()?.warnings[31930]).toBe(1);
  });
});

describe('faults', () => {
  it('sends anything, a second start, and hangs', async () => {
    await setUp({ onStream: (socket) => socket.on('message', (data) => heard.push(String(data))) });
    const heard: string[] = [];
    const phone = call({ faults: { beforeStart: ['before'], callSid: 'CAother', accountSid: 'ACother' } });
    const stream = await phone.started;
    stream.sendRaw('anything');
    stream.sendRaw(new Uint8Array([65, 66]));
    stream.sendStart();
    await eventually('two starts', () => heard.filter((text) => text.includes('"start"')).length === 2);
    expect(heard[1]).toBe('before');
    expect(heard).toEqual(expect.arrayContaining(['anything', 'AB']));
    expect(heard[2]).toMatch(/"accountSid":"ACother".*"callSid":"CAother"/);
    stream.pauseReading();
    for (let i = 0; i < 5; i++) gateway.send({ event: 'clear', streamSid: stream.streamSid });
    await sleep(50);
    expect(phone.report()?.playout.clears).toBe(0);
    stream.resumeReading();
    await eventually('five clears', () => phone.report()?.playout.clears === 5);
    stream.pauseReading();
    await phone.hangUp();
  });
});
