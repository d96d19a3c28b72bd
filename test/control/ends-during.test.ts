import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import wavefile from 'wavefile';
import {
  type BridgeLeg,
  type GatewayOptions,
  type JoinRequest,
  LocalBridge,
  type PhoneLine,
} from '../../src/index.js';
import { WavFile } from '../../src/recording/wav-file.js';
import { Caller } from '../support/caller.js';
import { ask, startControlled } from '../support/control.js';
import { HeldApi } from '../support/held-api.js';
import { KEY, TestLeg } from '../support/leg.js';
import { goodBodyOf } from '../support/operations.js';
import { eventually, virtualTime } from '../support/time.js';

virtualTime();

const OTHER = '+15557778888';
const ENDED = { status: 409, body: { error: { code: 'GW_CALL_ENDED' } } };

const freed: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const free of freed.splice(0)) await free();
});

/** Local rooms that expose their phones and legs, in the order in which they joined. */
class WatchedBridge extends LocalBridge {
  readonly lines: PhoneLine[] = [];
  readonly legs: { readonly room: string; closed: number }[] = [];

  override async join(request: JoinRequest, line: PhoneLine): Promise<BridgeLeg> {
    const leg = await super.join(request, line);
    const watched = { room: request.room, closed: 0 };
    this.lines.push(line);
    this.legs.push(watched);
    const close = leg.close.bind(leg);
    leg.close = () => {
      watched.closed += 1;
      return this.closing(request.room, () => close());
    };
    return leg;
  }

  /** Called when a leg leaves. */
  protected async closing(_room: string, close: () => unknown): Promise<void> {
    await close();
  }
}

/** A stereo WAV file of a length in seconds. */
function wavOf(seconds: number): Uint8Array {
  const samples = new Int16Array(seconds * 44_100).fill(1_000);
  const wav = new wavefile.WaveFile();
  wav.fromScratch(2, 44_100, '16', [samples, samples] as unknown as number[]);
  return wav.toBuffer();
}

/** Bytes of uploaded sounds that are playing. */
const uploadedBytes = (gateway: object) =>
  (gateway as { callControl: { uploads: { bytes: number } } }).callControl.uploads.bytes;

describe('a call that ends while marks are under way', () => {
  it('reports none of them, even if Twilio returns one late, and rejects another', async () => {
    const { url, gateway, events } = await startControlled({ prepareCall: () => ({ bridge: false }) });
    const caller = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    const callId = gateway.calls.listActive()[0]?.callId as string;
    const mark = (name: string) => ask(url, 'POST', callId, 'mark', { name });
    gateway.stream(callId)?.sendAudio(new Int16Array(48_000));
    for (const name of ['first', 'second', 'third']) {
      expect(await mark(name)).toEqual({ status: 202, body: { name } });
    }
    const marks = () =>
      caller.received.filter(({ event }) => event === 'mark').map((each) => each.mark?.name);
    await eventually('the marks', () => marks().length === 3);
    const echo = (name: string) =>
      caller.json({ event: 'mark', streamSid: caller.streamSid, mark: { name } });
    echo('first');
    await eventually('the first', () => events.some(({ type }) => type === 'call.mark'));
    caller.stop();
    echo('second');
    await eventually('the end', () => events.some(({ type }) => type === 'call.ended'));
    expect(await mark('fourth')).toMatchObject(ENDED);
    const told = events.filter(({ type }) => type === 'call.mark').map(({ data }) => data.name);
    expect(told).toEqual(['first']);
    expect(events.at(-1)?.type, 'nothing comes after the end').toBe('call.ended');
  });
});

const WAV = 'audio/wav';

describe('a call that ends while the body', () => {
  it.each([
    ...['clear', 'mark', 'dtmf', 'play', 'hold', 'mute', 'transfer', 'legs'].map((name) => [name, 'JSON']),
    ['play', WAV],
  ])('for %s is on its way, as %s: 409, and nothing is done', async (name, type) => {
    const { url, gateway, events, place, twilio } = await startControlled();
    const { phone, callId } = await place();
    const stream = gateway.stream(callId);
    const json = JSON.stringify(goodBodyOf({ method: 'post', path: `/v1/calls/{callId}/${name}` }));
    const body = type === WAV ? Buffer.from(wavOf(5)) : Buffer.from(json);
    const request = http.request(`${url}/v1/calls/${callId}/${name}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${KEY}`,
        'content-type': type === WAV ? WAV : 'application/json',
        'content-length': body.length,
      },
    });
    const answered = new Promise<http.IncomingMessage>((resolve) => request.on('response', resolve));
    await new Promise((resolve) => request.write(body.subarray(0, body.length / 2), resolve));
    await phone.hangUp();
    await eventually('the end', () => gateway.calls.get(callId) === undefined);
    request.end(body.subarray(body.length / 2));
    const response = await answered;
    let text = '';
    for await (const chunk of response) text += chunk;
    expect({ status: response.statusCode, body: JSON.parse(text) }).toMatchObject(ENDED);
    expect(stream?.filter).toBeUndefined();
    expect(events.at(-1)?.type).toBe('call.ended');
    expect(uploadedBytes(gateway)).toBe(0);
    expect(twilio.liveCalls).toBe(0);
  });
});

describe('a call that ends while a WAV file', () => {
  it('is being converted: 409, and its memory is freed', async () => {
    const { gateway, events, place } = await startControlled();
    const { callId } = await place();
    const stream = gateway.stream(callId);
    const asked = gateway.control.play(callId, wavOf(20));
    gateway.calls.require(callId).end('hangup');
    await expect(asked).rejects.toMatchObject({ code: 'GW_CALL_ENDED', status: 409 });
    expect(stream?.filter).toBeUndefined();
    expect(events.map(({ type }) => type)).not.toContain('call.played');
    expect(uploadedBytes(gateway)).toBe(0);
  });

  it('of its recording is created: 409, and the file is complete', async () => {
    const recordDir = mkdtempSync(join(tmpdir(), 'trunkline-ends-'));
    freed.push(() => rmSync(recordDir, { recursive: true }));
    const { gateway, place } = await startControlled({ recordDir });
    const { callId, control } = await place();
    const create = WavFile.create.bind(WavFile);
    vi.spyOn(WavFile, 'create').mockImplementation(async (...of) => {
      const file = await create(...of);
      gateway.calls.require(callId).end('hangup');
      return file;
    });
    expect(await control('POST', 'recording')).toMatchObject(ENDED);
    expect((await control('GET', 'recording')).body.error.code).toBe('GW_RECORDING_NONE');
    const [name = ''] = readdirSync(recordDir);
    const whole = () => new wavefile.WaveFile(readFileSync(join(recordDir, name))).getSamples();
    await eventually('the file', () => {
      try {
        return whole() !== undefined;
      } catch {
        return false;
      }
    });
  });
});

describe('while a request to Twilio is under way', () => {
  /** A live caller, and a simulated Twilio that delays its first answer. */
  async function start(options: GatewayOptions = {}) {
    const api = await HeldApi.start();
    const bridge = new WatchedBridge();
    const started = await startControlled(
      { bridge, ...options, twilio: { apiUrl: api.url } },
      { callee: { does: 'answer', afterMs: 20 } },
    );
    api.target = started.apiUrl;
    const question = () => eventually('the question', () => api.asked.length === 1);
    return { ...started, api, bridge, question };
  }

  /** Ways to end the first call meanwhile. */
  const ENDS = {
    'the caller hangs up': async ({ phone }: Placed) => void (await phone.hangUp()),
    'a DELETE hangs up': async ({ control }: Placed) => {
      expect(await control('DELETE', '')).toMatchObject({ status: 200, body: { state: 'ended' } });
    },
    'its bridge hangs up': async ({ bridge, phone }: Placed) => {
      bridge.lines[0]?.hangUp();
      // Nothing follows the media stream, so Twilio ends the call.
      await phone.ended;
    },
  };
  type Started = Awaited<ReturnType<typeof start>>;
  type Placed = Pick<Started, 'bridge'> & Awaited<ReturnType<Started['place']>>;

  it.each(Object.entries(ENDS))('for a second leg, %s: that leg is hung up', async (_, end) => {
    const { api, bridge, question, gateway, place, twilio, url } = await start();
    const placed = await place();
    const answer = placed.control('POST', 'legs', { to: OTHER, callId: 'second' });
    await question();
    await end({ ...placed, bridge });
    await eventually('the end', () => gateway.calls.get(placed.callId) === undefined);
    api.release();
    expect(await answer).toMatchObject(ENDED);
    await eventually(
      'nobody on the phone',
      () => twilio.liveCalls === 0 && gateway.stats().activeCalls === 0,
    );
    expect((await ask(url, 'GET', 'second', '')).status).toBe(404);
    expect(bridge.legs.every(({ closed }) => closed === 1)).toBe(true);
  });

  it.each(Object.entries(ENDS))('for a transfer, %s', async (_, end) => {
    const { api, bridge, question, gateway, place, twilio, event } = await start();
    const placed = await place();
    const answer = placed.control('POST', 'transfer', { number: OTHER });
    await question();
    await end({ ...placed, bridge });
    api.release();
    expect(await answer).toMatchObject(ENDED);
    await eventually(
      'nobody on the phone',
      () => twilio.liveCalls === 0 && gateway.stats().activeCalls === 0,
    );
    expect((await event('call.ended'))?.cause).not.toBe('transferred');
    expect(bridge.legs).toMatchObject([{ closed: 1 }]);
  });

  it('for a new call, a DELETE cancels it: 409, and no phone rings', async () => {
    const { api, question, gateway, twilio, url } = await start();
    const request = { method: 'POST', headers: { authorization: `Bearer ${KEY}` } };
    const placed = fetch(`${url}/v1/calls`, {
      ...request,
      body: JSON.stringify({ to: OTHER, callId: 'mine' }),
    });
    await question();
    expect((await ask(url, 'DELETE', 'mine', '')).status).toBe(200);
    api.release();
    const answer = await placed;
    expect({ status: answer.status, body: await answer.json() }).toMatchObject(ENDED);
    await eventually(
      'nobody on the phone',
      () => twilio.liveCalls === 0 && gateway.stats().activeCalls === 0,
    );
  });

  it('to hang up, the caller hangs up and another DELETE comes: the call ends once', async () => {
    const { api, bridge, question, events, place } = await start();
    const { control, phone } = await place();
    const answer = control('DELETE', '');
    await question();
    expect(await control('DELETE', '')).toMatchObject({
      status: 404,
      body: { error: { code: 'GW_CALL_UNKNOWN' } },
    });
    await phone.hangUp();
    api.release();
    expect(await answer).toMatchObject({ status: 200, body: { state: 'ended', endCause: 'hangup' } });
    expect(events.filter(({ type }) => type === 'call.ended')).toHaveLength(1);
    expect(bridge.legs).toMatchObject([{ closed: 1 }]);
  });
});

describe('a call that ends during a transfer to another room', () => {
  it('while leaving the old one: it was moved, and is in neither', async () => {
    let letGo = () => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    class SlowToLeave extends WatchedBridge {
      protected override async closing(room: string, close: () => unknown) {
        if (room === 'first') await held;
        await close();
      }
    }
    const bridge = new SlowToLeave();
    const { url, place, event } = await startControlled({ bridge, prepareCall: () => ({ room: 'first' }) });
    const { control, phone, callId } = await place();
    const answer = control('POST', 'transfer', { room: 'second' });
    await eventually('the leave', () => bridge.legs[0]?.closed === 1);
    await phone.hangUp();
    expect(await event('call.ended')).toMatchObject({ cause: 'stop' });
    letGo();
    expect(await answer).toEqual({ status: 200, body: { callId, to: 'room', room: 'second' } });
    expect(bridge.legs).toEqual([
      { room: 'first', closed: 1 },
      { room: 'second', closed: 1 },
    ]);
    for (const room of ['first', 'second']) {
      const leg = await TestLeg.join(url, room);
      await eventually('nobody else', () => leg.ready.phones.length === 0);
      leg.close();
    }
  });
});
