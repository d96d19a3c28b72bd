import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import {
  AudioSource,
  encodeMulaw,
  parseScript,
  readScript,
  runLoad,
  ScriptedCaller,
  SimulatedTwilio,
  writeWav,
} from '../../src/simulator/index.js';
import { ReferenceGateway, type ReferenceGatewayOptions } from '../support/reference-gateway.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

const clock = virtualTime();
/** A server that ends its streams after a while. */
const closesAfter = (ms: number) => (socket: WebSocket) => void sleep(ms).then(() => socket.close());

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-script-'));
  writeWav(join(folder, 'hello.wav'), new Int16Array(2400).fill(1000));
});
afterAll(() => rmSync(folder, { recursive: true }));

const script = (text: string) => parseScript(text, 'a.txt', folder);

describe('a script', () => {
  it('has one step on each line', () => {
    writeFileSync(
      join(folder, 'order.txt'),
      `# An order.\r\n\n  wait for sound within 5s # the greeting\nwait for silence 1.5s\nsay hello.wav\n` +
        'repeat   speech\nwait 200ms\nbe quiet\npress 1w*#A\nwait for silence 2s within 1m\nhang up\n',
    );
    const { name, steps } = readScript(join(folder, 'order.txt'));
    expect(name).toBe('order.txt');
    expect(steps.map((step) => ({ ...step, audio: undefined }))).toEqual([
      { does: 'wait for sound', withinMs: 5000, line: 3, text: 'wait for sound within 5s' },
      { does: 'wait for silence', ms: 1500, withinMs: 30_000, line: 4, text: 'wait for silence 1.5s' },
      { does: 'say', line: 5, text: 'say hello.wav' },
      { does: 'repeat', line: 6, text: 'repeat speech' },
      { does: 'wait', ms: 200, line: 7, text: 'wait 200ms' },
      { does: 'be quiet', line: 8, text: 'be quiet' },
      { does: 'press', keys: '1w*#A', line: 9, text: 'press 1w*#A' },
      { does: 'wait for silence', ms: 2000, withinMs: 60_000, line: 10, text: expect.any(String) },
      { does: 'hang up', line: 11, text: 'hang up' },
    ]);
    expect(steps[2]).toMatchObject({ audio: { payloads: { length: 15 } } });
    expect(steps[3]).toMatchObject({ audio: AudioSource.speech() });
  });

  it('names every mistake with its line', () => {
    const text =
      'sing\nsay\nsay missing.wav\npress 5E\nwait 5\nwait 2h\nwait for silence 9s within 8s\nhang up\nwait 1s';
    let message = '';
    try {
      script(text);
    } catch (error) {
      expect(error).toMatchObject({ code: 'GW_SIM_SCRIPT' });
      message = (error as Error).message;
    }
    const lines = message.split('\n');
    expect(lines).toHaveLength(8);
    expect(lines[0]).toMatch(
      /^a\.txt:1: Expected "say FILE", .* or "hang up" for a step but received "sing"$/,
    );
    expect(lines[1]).toMatch(/^a\.txt:2: Expected .* received "say"$/);
    expect(lines[2]).toMatch(/^a\.txt:3: Expected a readable WAV file for .*missing\.wav/);
    expect(lines[3]).toBe('a.txt:4: Expected keys 0-9, *, #, A-D and w for press but received "5E"');
    expect(lines[4]).toMatch(/^a\.txt:5: .* received "wait 5"$/);
    expect(lines[5]).toBe('a.txt:6: Expected more than nothing and at most 1h for a time but received "2h"');
    expect(lines[6]).toBe('a.txt:7: Expected at least 9s for within but received "8s"');
    expect(lines[7]).toBe('a.txt:9: Expected nothing after "hang up" but received a step');
    expect(() => script('# nothing\n')).toThrow('a.txt: Expected at least one step but received none');
    expect(() => script('be quiet\n'.repeat(1001))).toThrow('Expected at most 1000 steps but received 1001');
    expect(() => readScript(join(folder, 'none.txt'))).toThrow(/Expected a script at .*none\.txt/);
  });
});

describe('a scripted caller', () => {
  let gateway: ReferenceGateway;
  let twilio: SimulatedTwilio;

  async function converse(text: string, options: ReferenceGatewayOptions = {}) {
    gateway = await ReferenceGateway.listen(options);
    gateway.keepMedia = true;
    twilio = new SimulatedTwilio({ authToken: '12345', clock });
    const phone = twilio.placeCall({
      webhookUrl: gateway.voiceUrl,
      from: '+12065550100',
      to: '+14155550123',
      listens: true,
    });
    const begun = clock.now();
    const outcome = await new ScriptedCaller(phone, script(text), clock).run();
    return { phone, outcome, ms: clock.now() - begun };
  }

  afterEach(async () => {
    await twilio?.close();
    await gateway?.close();
  });

  const tone = (ms: number) => {
    const { pcm } = AudioSource.tone(440);
    return Buffer.from(encodeMulaw(pcm.subarray(0, 8 * ms))).toString('base64');
  };
  /** Answers a key with so much tone, all at once. */
  const menu = (key: string, ms: number) => (socket: WebSocket) =>
    socket.on('message', (data) => {
      const { event, streamSid, dtmf } = JSON.parse(String(data));
      if (event !== 'dtmf' || dtmf.digit !== key) return;
      socket.send(JSON.stringify({ event: 'media', streamSid, media: { payload: tone(ms) } }));
    });

  it('speaks, presses keys, listens to the answer, and hangs up', async () => {
    const { phone, outcome, ms } = await converse(
      'say hello.wav\nwait 100ms\npress 4w5\nwait for sound within 5s\nwait for silence 300ms\nhang up',
      { onStream: menu('5', 800) },
    );
    expect(outcome).toEqual({ completed: true, failure: undefined });
    expect((await phone.ended).streamEnd).toMatchObject({ by: 'stop' });
    // Word, pause, keys, then the tone as long as it plays although it came at once, and the silence behind it.
    const least = 300 + 100 + 200 + 500 + 700 + 300;
    expect(ms).toBeGreaterThan(least);
    expect(ms).toBeLessThan(least + 200);
  });

  it('plays a recording once', async () => {
    const { phone } = await converse('say hello.wav\nwait 200ms\nhang up');
    await phone.ended;
    const [silence] = AudioSource.silence().payloads;
    const said = gateway.media.map((message) => (message.media as { payload: string }).payload);
    expect(said.filter((payload) => payload !== silence)).toHaveLength(15);
    expect(said.findLastIndex((payload) => payload !== silence)).toBe(14);
    expect(said.length).toBeGreaterThan(20);
  });

  it.each([
    ['wait for sound within 300ms', 'silence for 0.3 s', 300, () => {}],
    ['wait for end within 200ms', 'a call that continues after 0.2 s', 200, () => {}],
    [
      'wait for silence 200ms within 400ms',
      'no such silence for 0.4 s',
      400,
      (socket: WebSocket) =>
        socket.on('message', (data) => {
          const { event, streamSid } = JSON.parse(String(data));
          if (event === 'start')
            socket.send(JSON.stringify({ event: 'media', streamSid, media: { payload: tone(1000) } }));
        }),
    ],
    ['wait 5s', 'the end of the call', 200, closesAfter(200)],
    ['say speech', 'the end of the call', 200, closesAfter(200)],
  ])('%s: reports %s', async (step, problem, afterMs, onStream) => {
    const { outcome, ms } = await converse(`be quiet\n${step}`, { onStream });
    expect(outcome).toEqual({
      completed: false,
      failure: `a.txt:2: Expected "${step}" but received ${problem}`,
    });
    expect(ms).toBeGreaterThanOrEqual(afterMs);
    expect(ms).toBeLessThan(afterMs + 50);
  });

  it('succeeds when the server ends the call, if it waits for that', async () => {
    const { outcome } = await converse('wait for end', {
      onStream: closesAfter(100),
    });
    expect(outcome.completed).toBe(true);
  });

  it('reports why its call did not start', async () => {
    const { outcome } = await converse('hang up', {
      answer: () => '<Response><Reject reason="busy"/></Response>',
    });
    expect(outcome).toEqual({ completed: false, failure: expect.stringContaining('<Reject reason="busy">') });
  });

  it('is one of many: a run ends when all are done, and counts their results', async () => {
    let streams = 0;
    gateway = await ReferenceGateway.listen({
      onStream: (socket) => {
        streams += 1;
        // Every third call is ended in the middle.
        if (streams % 3 === 0) closesAfter(100)(socket);
      },
    });
    const begun = clock.now();
    const report = await runLoad({
      webhookUrl: gateway.voiceUrl,
      authToken: '12345',
      calls: 9,
      rate: 200,
      durationMs: 60_000,
      script: script('wait 500ms\npress 1\nhang up'),
      clock,
    });
    expect(clock.now() - begun).toBeLessThan(1_500);
    expect(report).toMatchObject({ calls: 9, failed: 0, lostCalls: 0, aborted: false });
    expect(report.script).toEqual({
      name: 'a.txt',
      completed: 6,
      failed: 3,
      cutShort: 0,
      firstFailure: 'a.txt:1: Expected "wait 500ms" but received the end of the call',
    });
    await eventually('the end of all streams', () => gateway.sockets.size === 0);
  });

  it('is interrupted by the end of the run', async () => {
    gateway = await ReferenceGateway.listen();
    const report = await runLoad({
      webhookUrl: gateway.voiceUrl,
      authToken: '12345',
      calls: 2,
      durationMs: 300,
      script: script('wait 30s\nhang up'),
      clock,
    });
    expect(report.script).toMatchObject({ completed: 0, failed: 0, cutShort: 2 });
  });
});
