import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  AudioSource,
  HandoverTotals,
  handoversOf,
  type InboundCallOptions,
  runLoad,
  type SimulatedPhone,
  SimulatedTwilio,
} from '../../src/simulator/index.js';
import { ReferenceGateway, type ReferenceGatewayOptions } from '../support/reference-gateway.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

const clock = virtualTime();

let gateway: ReferenceGateway;
let twilio: SimulatedTwilio;

afterEach(async () => {
  await twilio?.close();
  await gateway.close();
});

const connect = (url: string, next = '/next') =>
  `<Response><Connect><Stream url="${url}"/></Connect><Redirect method="POST">${next}</Redirect></Response>`;

async function setUp(options: ReferenceGatewayOptions): Promise<void> {
  gateway = await ReferenceGateway.listen(options);
  twilio = new SimulatedTwilio({ authToken: '12345', clock });
}

function call(options: Partial<InboundCallOptions> = {}): SimulatedPhone {
  return twilio.placeCall({
    webhookUrl: gateway.voiceUrl,
    from: '+12065550100',
    to: '+14155550123',
    audio: AudioSource.speech(),
    ...options,
  });
}

const asked = (path: string) => gateway.requests.filter((request) => request.path === path);
const drain = (code = 1001) => {
  for (const socket of gateway.sockets) socket.close(code, 'going away');
};
const hearing = (phone: SimulatedPhone, count: number) =>
  eventually(
    `sound over stream ${count}`,
    () => phone.streams.length === count && phone.stream?.times.firstAudioAt !== undefined,
  );

describe('a hand-over', () => {
  it('continues on another stream as often as the server asks, and is measured', async () => {
    await setUp({ answer: (_, url) => connect(url) });
    const phone = call({ record: true });
    for (let streams = 1; streams <= 4; streams++) {
      await hearing(phone, streams);
      await sleep(100);
      if (streams < 4) drain();
    }
    const outcome = await phone.hangUp();
    expect(outcome).toMatchObject({ status: 'completed', error: undefined, twilioCode: undefined });
    expect(outcome.streamEnd).toMatchObject({ by: 'stop', code: 1000 });
    expect(asked('/next')).toHaveLength(3);
    expect(asked('/next')[0]?.form).toMatchObject({ CallSid: phone.callSid, CallStatus: 'in-progress' });
    expect(new Set(phone.streams.map((stream) => stream.streamSid)).size).toBe(4);
    expect(outcome.handovers).toHaveLength(3);
    for (const { gapMs, reconnectMs, code } of outcome.handovers) {
      expect(code).toBe(1001);
      expect(reconnectMs).toBeGreaterThan(0);
      // A frame comes every 20 ms, so nothing can be back any sooner; both are of one clock.
      expect(gapMs).toBeGreaterThanOrEqual(reconnectMs);
      expect(gapMs).toBeLessThan(100);
    }
    // One recording of the whole call.
    const seconds = phone.heard().length / 8000;
    const [first] = phone.streams;
    const last = phone.streams[3];
    const whole = ((last?.times.endedAt ?? 0) - (first?.times.startedAt ?? 0)) / 1000;
    expect(Math.abs(seconds - whole)).toBeLessThan(0.01);
  });

  it('continues the caller’s speech where it was', async () => {
    await setUp({ answer: (_, url) => connect(url) });
    gateway.keepMedia = true;
    const phone = call();
    await hearing(phone, 1);
    phone.speak(AudioSource.tone(440));
    await sleep(60);
    drain();
    await hearing(phone, 2);
    const payloads = gateway.media.slice(-2).map((message) => (message.media as { payload: string }).payload);
    for (const payload of payloads) expect(AudioSource.tone(440).payloads).toContain(payload);
  });

  it('waits through pauses for a node that accepts the call', async () => {
    let questions = 0;
    await setUp({
      answer: (_, url, path) => {
        if (path === '/voice') return connect(url);
        questions += 1;
        return questions === 1
          ? '<Response><Pause length="1"/><Redirect method="POST">/next</Redirect></Response>'
          : connect(url);
      },
    });
    const phone = call();
    await hearing(phone, 1);
    drain();
    await hearing(phone, 2);
    expect(phone.handovers[0]?.gapMs).toBeGreaterThanOrEqual(1_000);
    expect(phone.handovers[0]?.gapMs).toBeLessThan(1_100);
    expect(await phone.hangUp()).toMatchObject({ status: 'completed', error: undefined });
  });

  it('forgets a failed stream once another runs', async () => {
    await setUp({
      answer: (_, url, path) => connect(path === '/voice' ? 'ws://127.0.0.1:9/gone' : url),
    });
    const phone = call();
    await hearing(phone, 1);
    await expect(phone.started).resolves.toBe(phone.stream);
    expect(await phone.hangUp()).toMatchObject({ error: undefined, twilioCode: undefined, handovers: [] });
  });

  it('survives a server that dies without a close frame: 31903, then the next verb', async () => {
    let questions = 0;
    await setUp({
      answer: (_, url, path) => {
        if (path === '/next') questions += 1;
        return questions === 2 ? '<Response><Hangup/></Response>' : connect(url);
      },
    });
    const phone = call();
    await hearing(phone, 1);
    for (const socket of gateway.sockets) socket.terminate();
    await hearing(phone, 2);
    for (const socket of gateway.sockets) socket.terminate();
    expect(await phone.ended).toMatchObject({
      status: 'completed',
      error: undefined,
      twilioCode: 31903,
      streamEnd: { by: 'server', code: 1006 },
      handovers: [{ code: 1006 }],
    });
  });

  it('does not call back a caller who hung up', async () => {
    await setUp({
      answer: (_, url, path) =>
        path === '/voice' ? connect(url) : '<Response><Pause length="30"/></Response>',
    });
    const phone = call();
    await hearing(phone, 1);
    drain();
    await eventually('a question', () => asked('/next').length === 1);
    const outcome = await phone.hangUp();
    expect(outcome).toMatchObject({ status: 'completed', error: undefined, handovers: [] });
    expect(phone.streams).toHaveLength(1);
  });

  it('ends the call if nobody answers the request for the next verbs', async () => {
    await setUp({
      answer: (_, url, path) =>
        path === '/voice' ? connect(url) : { status: 502, contentType: 'text/html', body: '' },
    });
    const phone = call();
    await hearing(phone, 1);
    drain();
    expect(await phone.ended).toMatchObject({
      status: 'completed',
      error: { code: 'GW_SIM_11200', status: 502 },
      twilioCode: 11200,
    });
  });

  it('yields to REST while it asks for the next verbs', async () => {
    let answer: (() => void) | undefined;
    const slow = createServer((_, response) => {
      answer = () =>
        response.writeHead(200, { 'content-type': 'text/xml' }).end(connect('ws://127.0.0.1:9/'));
    }).listen(0, '127.0.0.1');
    await once(slow, 'listening');
    const { port } = slow.address() as AddressInfo;
    await setUp({ answer: (_, url) => connect(url, `http://127.0.0.1:${port}/`) });
    const phone = call();
    await hearing(phone, 1);
    drain();
    await eventually('a question', () => answer !== undefined);
    phone.redirect('<Response><Say>Goodbye</Say></Response>');
    answer?.();
    expect(await phone.ended).toMatchObject({ said: ['Goodbye'], error: undefined, handovers: [] });
    slow.close();
  });
});

describe('loops', () => {
  it('of redirects without a stream end after ten', async () => {
    await setUp({
      answer: (_, url, path) =>
        path === '/voice' ? connect(url) : '<Response><Redirect method="POST">/next</Redirect></Response>',
    });
    const phone = call();
    await hearing(phone, 1);
    drain();
    expect(await phone.ended).toMatchObject({ twilioCode: 11215, error: { code: 'GW_SIM_11215' } });
    expect(asked('/next')).toHaveLength(10);
  });

  it('of streams that end at once end after a hundred', async () => {
    await setUp({
      answer: (_, url) => connect(url),
      onStream: (socket) =>
        socket.on('message', (data) => {
          if (String(data).includes('"start"')) socket.close(1001);
        }),
    });
    const phone = call();
    const outcome = await phone.ended;
    expect(outcome.error?.message).toMatch(/Expected at most 100 redirects for call CA/);
    expect(asked('/next')).toHaveLength(100);
    expect(phone.streams).toHaveLength(101);
    expect(outcome.handovers).toHaveLength(100);
  });
});

describe('measurement', () => {
  const stream = (startedAt: number, more = {}) => ({
    startedAt,
    endedAt: undefined,
    firstAudioAt: undefined,
    lastAudioAt: undefined,
    closeCode: undefined,
    ...more,
  });

  it('spans streams on which nothing was heard', () => {
    const handovers = handoversOf([
      stream(0, { endedAt: 1000, firstAudioAt: 20, lastAudioAt: 990, closeCode: 1001 }),
      stream(1100, { endedAt: 1200, closeCode: 1006 }),
      stream(1500, { firstAudioAt: 1540, lastAudioAt: 2000 }),
    ]);
    expect(handovers).toEqual([
      { gapMs: undefined, reconnectMs: 100, code: 1001 },
      { gapMs: 550, reconnectMs: 300, code: 1006 },
    ]);
    const totals = new HandoverTotals();
    for (const handover of handovers) totals.add(handover);
    expect(totals.report()).toMatchObject({
      count: 2,
      unheard: 1,
      gap: { count: 1 },
      reconnect: { count: 2 },
    });
  });

  it('of a run adds up: no call lost, every gap counted', async () => {
    await setUp({ answer: (_, url) => connect(url) });
    void sleep(1_500).then(() => drain());
    const report = await runLoad({
      webhookUrl: gateway.voiceUrl,
      authToken: '12345',
      calls: 20,
      rate: 100,
      durationMs: 3000,
      clock,
    });
    expect(report).toMatchObject({ calls: 20, streams: 40, failed: 0, lostCalls: 0 });
    expect(report.handovers).toMatchObject({ count: 20, unheard: 0, gap: { count: 20 } });
    expect(report.handovers.gap.p50Ms).toBeGreaterThan(0);
    expect(report.handovers.gap.maxMs).toBeGreaterThanOrEqual(report.handovers.gap.p50Ms);
    expect(report.handovers.gap.maxMs).toBeLessThan(300);
  });
});
