import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { LiveViewer } from '../../src/http/live-viewer.js';
import type { StreamedAnswer } from '../../src/http/streamed-answer.js';
import { Caller, postForm, voiceParameters } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { startGateway } from '../support/gateway.js';
import { HeldApi } from '../support/held-api.js';
import { KEY, TestLeg } from '../support/leg.js';
import { eventually, sleep, virtualTime } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';
import { VirtualClock } from '../support/virtual-clock.js';

const clock = virtualTime();
const FRAME = toneMulaw(700, 20);

const servers: { close(): unknown }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Stalls this process and everything in it. */
const stall = (ms: number) => clock.byHand(async () => clock.stall(ms));

describe('a gateway after a stall', () => {
  it('does not treat messages sent during the stall as a flood, but does so later', async () => {
    const { url } = await startGateway({ stuckSeconds: 600 });
    const caller = await Caller.call(url);
    const burst = async (frames: number) => {
      const before = caller.mediaCount;
      for (let i = 0; i < frames; i++) caller.media(FRAME);
      await eventually('an echo or a close', () => caller.mediaCount > before || caller.closed !== undefined);
      await sleep(1_000);
    };
    await burst(5);
    await stall(33_000);
    await burst(33_000 / 20);
    await stall(120_000);
    await burst(120_000 / 20);
    expect(caller.closed).toBeUndefined();
    // The unused allowance soon expires.
    await sleep(120_000);
    await burst(33_000 / 20);
    expect(caller.closed).toMatchObject({ code: 1008 });
  });

  it('drops audio too old to be heard, but delivers it to taps', async () => {
    const { gateway, url } = await startGateway({ stuckSeconds: 600 });
    const callers = [await Caller.call(url), await Caller.call(url)] as const;
    await eventually('both', () => gateway.stats().activeCalls === 2);
    const streams = gateway.calls.listActive().map(({ callId }) => gateway.stream(callId));
    let listened = 0;
    streams[1]?.on('audio', ({ length }) => {
      listened += length / 960;
    });
    for (const caller of callers) caller.media(FRAME);
    await eventually('echoes', () => callers.every(({ mediaCount }) => mediaCount > 0));
    const frames = 33_000 / 20;
    await stall(33_000);
    for (const caller of callers) for (let i = 0; i < frames; i++) caller.media(FRAME);
    await eventually('all', () => streams.every((stream) => (stream?.counts().framesIn ?? 0) > frames));
    expect(listened).toBeGreaterThan(frames);
    for (const stream of streams) {
      const counts = stream?.counts();
      expect(counts?.framesIn).toBe(frames + 1);
      expect(counts?.droppedIntake).toBeGreaterThan(frames - 50);
    }
    // Audio that arrives now is heard.
    const before = callers.map(({ mediaCount }) => mediaCount);
    await sleep(1_000);
    for (let i = 0; i < 20; i++) {
      for (const caller of callers) caller.media(FRAME);
      await sleep(20);
    }
    await eventually('echoes', () =>
      callers.every(({ mediaCount }, i) => mediaCount >= (before[i] ?? 0) + 20),
    );
  });

  it('does not treat a program’s messages sent during the stall as a flood', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const leg = await TestLeg.join(url, 'desk', '?rate=16000');
    const other = await TestLeg.join(url, 'desk', '?rate=16000');
    const burst = (of: TestLeg) => {
      for (let i = 0; i < 12_000; i++) of.say(new Int16Array(16));
    };
    await stall(33_000);
    burst(leg);
    leg.tell({ type: 'mark', name: 'after' });
    await eventually('all to be read', () => leg.all('mark').length > 0 || leg.closed !== undefined, 60_000);
    expect(leg.closed).toBeUndefined();
    // The unused allowance soon expires.
    other.say(new Int16Array(16));
    await sleep(60_000);
    // All at once.
    await clock.byHand(async () => {
      burst(other);
      await once(other.socket, 'close');
    });
    expect(other.closed).toMatchObject({ code: 1008 });
  });

  it('does not treat a call as silent before its messages have been read', async () => {
    const { gateway, url } = await startGateway({ stuckSeconds: 10 });
    await Caller.call(url);
    await eventually('a live call', () => gateway.stats().activeCalls === 1);
    await sleep(3_000);
    await stall(120_000);
    await sleep(5_000);
    expect(gateway.stats().activeCalls).toBe(1);
    await sleep(5_000);
    expect(gateway.stats().activeCalls).toBe(0);
  });

  it('still waits for the start of a stream', async () => {
    const { url } = await startGateway();
    const caller = await Caller.connect(url);
    await sleep(5_000);
    await stall(33_000);
    caller.start();
    caller.media(FRAME);
    await eventually('an echo', () => caller.mediaCount > 0);
  });

  it('still accepts the token of a ringing call', async () => {
    const { url } = await startGateway();
    const parameters = voiceParameters();
    const twiml = await (await postForm(url, '/twilio/voice', parameters)).text();
    await stall(120_000);
    const caller = await Caller.answer(url, twiml, parameters);
    caller.start();
    caller.media(FRAME);
    await eventually('an echo', () => caller.mediaCount > 0);
  });

  it('still waits for its hook’s decision', async () => {
    let decide = (_: object) => {};
    const { url } = await startGateway({
      prepareCall: () =>
        new Promise<object>((resolve) => {
          decide = resolve;
        }),
    });
    const answered = postForm(url, '/twilio/voice', voiceParameters());
    await sleep(5_000);
    await stall(33_000);
    decide({});
    expect(await (await answered).text()).toContain('<Stream');
  });

  it('still waits up to fifteen seconds for Twilio’s REST API', async () => {
    const api = await HeldApi.start();
    const { gateway, apiUrl } = await startWithCarrier({}, { twilio: { apiUrl: api.url } });
    api.target = apiUrl;
    const place = () => gateway.placeCall({ to: '+15551234567' });
    const placing = place();
    await eventually('the question', () => api.asked.length === 1);
    await stall(60_000);
    await sleep(5_000);
    api.release();
    expect((await placing).callSid).toMatch(/^CA/);
    const mute = createServer(() => {}).listen(0, '127.0.0.1');
    servers.push({ close: () => mute.close().closeAllConnections() });
    await once(mute, 'listening');
    api.target = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`;
    const begun = clock.now();
    await expect(place()).rejects.toMatchObject({ code: 'GW_TWILIO_REFUSED', status: 502 });
    expect(Math.round((clock.now() - begun) / 1_000)).toBe(15);
  });

  it('still waits for its router’s answer', async () => {
    let answer: (() => void) | undefined;
    const router = createServer((_, response) => {
      answer = () => response.end('{"room":"desk"}');
    }).listen(0, '127.0.0.1');
    servers.push(router);
    await once(router, 'listening');
    const { port } = router.address() as AddressInfo;
    const { url } = await startGateway({
      router: { url: `http://127.0.0.1:${port}`, secret: 'a-secret-of-the-tests' },
    });
    const answered = postForm(url, '/twilio/voice', voiceParameters());
    await eventually('a question', () => answer !== undefined);
    await stall(33_000);
    answer?.();
    expect(await (await answered).text()).toContain('<Stream');
  });
});

it('does not disconnect a viewer whose socket is full because of the stall', () => {
  const time = new VirtualClock();
  let isClosed = false;
  const viewer = new LiveViewer(
    {
      write: () => false,
      close: () => {
        isClosed = true;
      },
    } as unknown as StreamedAnswer,
    time,
  );
  viewer.show('now');
  time.stall(120_000);
  viewer.show('then');
  expect(isClosed).toBe(false);
  time.advance(30_000);
  viewer.show('in the end');
  expect(isClosed).toBe(true);
});
