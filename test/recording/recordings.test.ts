import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import wavefile from 'wavefile';
import { systemClock } from '../../src/clock.js';
import type { GatewayEvent, GatewayOptions, RecordingResult } from '../../src/index.js';
import { Recordings } from '../../src/recording/recordings.js';
import { AudioSource } from '../../src/simulator/index.js';
import { startWithCarrier } from '../support/carrier.js';
import { startGateway } from '../support/gateway.js';
import { KEY, TestLeg } from '../support/leg.js';
import { decibels, tone, usualAmplitude } from '../support/media.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const LEVEL = 8_000;
/** The level of {@link LEVEL} as a simulated caller plays it. */
const DBFS = -12.25;
const BUSY = { leadMs: 300 };

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'trunkline-recordings-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function start(options: GatewayOptions = {}) {
  const started = await startWithCarrier(
    {},
    { ...BUSY, controlApiKey: KEY, recordDir: directory, ...options },
  );
  const results: RecordingResult[] = [];
  started.gateway.on('recording', (result) => results.push(result));
  const told: GatewayEvent[] = [];
  started.gateway.events.subscribe((event) => told.push(event));
  const place = async (audio?: AudioSource) => {
    const called = new Promise<string>((resolve) => {
      started.gateway.once('call', ({ callId }) => resolve(callId));
    });
    const phone = started.twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: 'https://voice.example.com/edge/twilio/voice',
      ...(audio === undefined ? {} : { audio }),
    });
    const callId = await called;
    await phone.started;
    return { phone, callId };
  };
  return { ...started, results, told, place };
}

async function control(url: string, method: string, callId: string, body?: unknown, key = KEY) {
  const response = await fetch(`${url}/v1/calls/${callId}/recording`, {
    method,
    headers: { authorization: `Bearer ${key}` },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests check the body
  return { status: response.status, body: (await response.json()) as any };
}

function read(file: string) {
  const wav = new wavefile.WaveFile(readFileSync(join(directory, file)));
  const { sampleRate: rate } = wav.fmt as { sampleRate: number };
  const [left, right] = wav.getSamples(false, Int16Array) as unknown as [Int16Array, Int16Array];
  return { rate, left, right, seconds: left.length / rate };
}

const levelDb = (pcm: Int16Array, rate: number, hz: number) =>
  decibels(usualAmplitude(hz, rate, pcm) / LEVEL);
const onset = (pcm: Int16Array) => pcm.findIndex((sample) => Math.abs(sample) > LEVEL / 2);

describe('a recording', () => {
  it.each([
    [undefined, 16_000],
    [8_000, 8_000],
    [48_000, 48_000],
  ] as const)('at %s Hz has the caller left and the rest right, at their levels', async (asked, rate) => {
    const { url, place } = await start({ prepareCall: () => ({ room: 'desk' }) });
    const { phone, callId } = await place(AudioSource.tone(1_000, DBFS));
    const begun = await control(url, 'POST', callId, asked && { rate: asked });
    expect(begun).toMatchObject({ status: 201, body: { callId, rate, maxSeconds: 14_400, droppedMs: 0 } });
    const agent = await TestLeg.join(url, 'desk', '?rate=16000');
    agent.say(tone(600, 16_000, 3 * 16_000, LEVEL));
    await sleep(2_500);
    expect((await control(url, 'GET', callId)).body.seconds).toBeGreaterThan(2);
    const ended = await control(url, 'DELETE', callId);
    expect(ended).toMatchObject({ status: 200, body: { callId, end: 'stopped', droppedMs: 0 } });
    expect(readdirSync(directory)).toEqual([ended.body.file]);
    expect(ended.body.file).toContain(callId);
    const wav = read(ended.body.file);
    expect(wav.rate).toBe(rate);
    expect(wav.seconds).toBeCloseTo(ended.body.seconds, 3);
    expect(wav.seconds).toBeGreaterThan(2.4);
    const [left, right] = [wav.left.subarray(rate, 2 * rate), wav.right.subarray(rate, 2 * rate)];
    expect(Math.abs(levelDb(left, rate, 1_000)), 'the caller left').toBeLessThan(1.5);
    expect(Math.abs(levelDb(right, rate, 600)), 'the agent right').toBeLessThan(1.5);
    expect(levelDb(left, rate, 600)).toBeLessThan(-40);
    expect(levelDb(right, rate, 1_000)).toBeLessThan(-40);
    agent.close();
    await phone.hangUp();
  });

  it('has both sides on one clock: an echo has its real delay, and silence its real length', async () => {
    const { gateway, place, results } = await start();
    const { phone, callId } = await place();
    await gateway.record(callId);
    await sleep(300);
    await phone.say(new AudioSource('one', tone(700, 8_000, 3_200, LEVEL)));
    await sleep(700);
    await phone.say(new AudioSource('two', tone(900, 8_000, 3_200, LEVEL)));
    await sleep(300);
    await phone.hangUp();
    await eventually('the recording', () => results.length === 1);
    const [result] = results as [RecordingResult];
    expect(result).toMatchObject({ callId, end: 'call-ended', droppedMs: 0, lateMs: 0 });
    const { left, right } = read(result.file);
    const ms = (samples: number) => samples / 16;
    // The echo agent answers at once; the phone hears it after what came before.
    const delay = ms(onset(right) - onset(left));
    expect(delay).toBeGreaterThan(15);
    expect(delay).toBeLessThan(25 + BUSY.leadMs);
    for (const track of [left, right]) {
      const first = onset(track);
      const second = first + 8_000 + onset(track.subarray(first + 8_000));
      expect(ms(second - first)).toBeGreaterThan(1_050);
      expect(ms(second - first)).toBeLessThan(1_600);
      const between = track.subarray(first + 7_200, second - 1_600);
      expect(Math.max(...between.map(Math.abs)), 'silence between').toBeLessThan(200);
    }
  });

  it('does not contain audio that was cleared before it was heard', async () => {
    const { gateway, place } = await start({ prepareCall: () => ({ bridge: false }), leadMs: 5_000 });
    const { phone, callId } = await place();
    const stream = gateway.stream(callId);
    await gateway.record(callId);
    stream?.sendAudio(tone(600, 48_000, 4 * 48_000, LEVEL));
    await sleep(500);
    const { playedMs } = stream?.clear() ?? { playedMs: 0 };
    await sleep(1_000);
    const { file } = await gateway.stopRecording(callId);
    const { right } = read(file);
    const last = right.findLastIndex((sample) => Math.abs(sample) > LEVEL / 2);
    const heardMs = (last - onset(right)) / 16;
    expect(Math.abs(heardMs - playedMs)).toBeLessThan(30);
    await phone.hangUp();
  });

  it('ends at its limit, and the call continues', async () => {
    const { url, place, results, gateway } = await start();
    const { phone, callId } = await place(AudioSource.tone(1_000));
    await control(url, 'POST', callId, { maxSeconds: 1 });
    await eventually('the limit', () => results.length === 1, 10_000);
    expect(results[0]).toMatchObject({ end: 'limit', seconds: 1 });
    expect(read(results[0]?.file as string).seconds).toBe(1);
    expect(gateway.stats().activeCalls).toBe(1);
    // A new one can be started.
    expect((await control(url, 'POST', callId)).status).toBe(201);
    expect((await control(url, 'DELETE', callId)).status).toBe(200);
    await phone.hangUp();
  });

  it('is complete when the gateway closes', async () => {
    const { gateway, place, results } = await start();
    const { callId } = await place(AudioSource.tone(1_000, DBFS));
    await gateway.record(callId);
    await sleep(700);
    await gateway.close();
    expect(results).toMatchObject([{ callId, droppedMs: 0 }]);
    const { left, seconds } = read(results[0]?.file as string);
    expect(seconds).toBeGreaterThan(0.6);
    expect(Math.abs(levelDb(left.subarray(3_200, 8_000), 16_000, 1_000))).toBeLessThan(2);
  });

  it('can be read while it is running', async () => {
    const { gateway, place } = await start();
    const { phone, callId } = await place(AudioSource.tone(1_000, DBFS));
    const { file } = await gateway.record(callId);
    expect(read(file).seconds).toBe(0);
    await eventually('a second', () => read(file).seconds >= 1, 10_000);
    await phone.hangUp();
  });

  it('of twenty calls at once contains each call’s own caller', { timeout: 30_000 }, async () => {
    const { url, place, results } = await start();
    const calls = [];
    for (let i = 0; i < 20; i++)
      calls.push({ hz: 400 + 100 * i, ...(await place(AudioSource.tone(400 + 100 * i, DBFS))) });
    await Promise.all(
      calls.map(async ({ callId }) => expect((await control(url, 'POST', callId)).status).toBe(201)),
    );
    await sleep(2_500);
    await Promise.all(calls.map(({ phone }) => phone.hangUp()));
    await eventually('twenty recordings', () => results.length === 20);
    for (const { callId, hz } of calls) {
      const result = results.find((each) => each.callId === callId);
      expect(result).toMatchObject({ end: 'call-ended', droppedMs: 0 });
      const { left } = read(result?.file as string);
      const second = left.subarray(16_000, 32_000);
      expect(levelDb(second, 16_000, hz)).toBeGreaterThan(-3);
      expect(levelDb(second, 16_000, hz === 2_300 ? 400 : hz + 100)).toBeLessThan(-20);
    }
  });

  it.skipIf(!existsSync('/dev/full'))('that fails on a disk error does not end its call', async () => {
    const { gateway, place, results, told } = await start();
    const { phone, callId } = await place(AudioSource.tone(1_000));
    const { file } = await gateway.record(callId);
    const { open } = await import('node:fs/promises');
    const full = await open('/dev/full', 'r+');
    const tap = gateway.stream(callId)?.tap as unknown as { wav: { file: FileHandle } };
    tap.wav.file.write = full.write.bind(full) as FileHandle['write'];
    await eventually('the end of the recording', () => results.length === 1, 10_000);
    expect(results[0]).toMatchObject({ end: 'disk-error', error: { code: 'ENOSPC' } });
    // As long as the file's content: empty.
    expect(results[0]?.seconds).toBe(0);
    expect(told.at(-1)).toMatchObject({
      type: 'call.recorded',
      call: { callId },
      data: { file, end: 'disk-error', seconds: 0 },
    });
    expect(gateway.stream(callId)?.tap).toBeUndefined();
    expect(gateway.calls.get(callId)?.state).toBe('live');
    await full.close();
    await phone.hangUp();
  });
});

describe('/v1/calls/{id}/recording rejects', () => {
  it('more than 200 recordings at a time: 503, until one ends', async () => {
    const streams = new Map<string, EventEmitter & { isConnected: boolean; isEnded: boolean }>();
    const sessionOf = (callId: string) => {
      const stream = Object.assign(new EventEmitter(), { isConnected: true, isEnded: false });
      streams.set(callId, stream);
      return { call: {}, stream } as never;
    };
    const recordings = new Recordings(
      directory,
      120,
      sessionOf,
      pino({ level: 'silent' }),
      () => {},
      systemClock,
    );
    const active = () => (recordings.metrics[0] as unknown as { read(): number }).read();
    const ids = Array.from({ length: 200 }, (_, i) => `call-${i}`);
    await Promise.all(ids.map((id) => recordings.startRecording(id, { rate: 8_000 })));
    const full = { code: 'GW_RECORDINGS_FULL', status: 503 };
    await expect(recordings.startRecording('one-more')).rejects.toMatchObject(full);
    expect(readdirSync(directory)).toHaveLength(200);
    streams.get('call-7')?.emit('end');
    await eventually('a place', () => active() === 199);
    await recordings.startRecording('one-more', { rate: 8_000 });
    await recordings.close();
    expect(active()).toBe(0);
    for (const file of readdirSync(directory)) expect(read(file).rate).toBe(8_000);
  });

  it('without RECORD_DIR: 409', async () => {
    const { url, twilio, gateway } = await startWithCarrier({}, { controlApiKey: KEY });
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: 'https://voice.example.com/edge/twilio/voice',
    });
    await phone.started;
    const callId = gateway.calls.listActive()[0]?.callId as string;
    expect(await control(url, 'POST', callId)).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_RECORDING_OFF' } },
    });
    await phone.hangUp();
  });

  it('a wrong key, unknown and ended calls, invalid bodies, a second recording, and stopping none', async () => {
    const { url, place } = await start();
    const { phone, callId } = await place();
    const code = async (...request: Parameters<typeof control>) => {
      const { status, body } = await control(...request);
      return [status, body.error?.code];
    };
    for (const method of ['POST', 'GET', 'DELETE']) {
      expect(await code(url, method, callId, undefined, 'wrong')).toEqual([401, 'GW_UNAUTHORIZED']);
    }
    expect(await code(url, 'POST', 'nobody')).toEqual([404, 'GW_CALL_UNKNOWN']);
    for (const body of [
      '{',
      '[]',
      '{"maxSeconds":0}',
      '{"maxSeconds":21601}',
      '{"rate":44100}',
      '{"path":"/etc/x"}',
    ]) {
      expect(await code(url, 'POST', callId, body), body).toEqual([400, 'GW_BAD_REQUEST']);
    }
    for (const method of ['GET', 'DELETE']) {
      expect(await code(url, method, callId)).toEqual([404, 'GW_RECORDING_NONE']);
    }
    expect((await control(url, 'POST', callId)).status).toBe(201);
    expect(await code(url, 'POST', callId)).toEqual([409, 'GW_RECORDING_EXISTS']);
    await phone.hangUp();
    await eventually('the end', () => readdirSync(directory).length === 1);
    await eventually('the call to be forgotten', async () => {
      const [status, error] = await code(url, 'POST', callId);
      return status === 404 && error === 'GW_CALL_UNKNOWN';
    });
    expect(readdirSync(directory)).toHaveLength(1);
  });

  it('a missing directory: 503, and the call continues', async () => {
    const { url, place } = await start();
    const { phone, callId } = await place();
    rmSync(directory, { recursive: true });
    const { status, body } = await control(url, 'POST', callId);
    expect([status, body.error.code]).toEqual([503, 'GW_RECORDING_FAILED']);
    expect(body.error.message).not.toContain(directory);
    expect((await control(url, 'GET', callId)).status).toBe(404);
    directory = mkdtempSync(join(tmpdir(), 'trunkline-recordings-'));
    await phone.hangUp();
  });

  it('to start with a directory that is not writable', async () => {
    await expect(startGateway({ recordDir: '/nowhere/at/all' })).rejects.toMatchObject({
      code: 'GW_RECORD_DIR',
    });
  });
});
