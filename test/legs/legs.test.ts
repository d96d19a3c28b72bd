import { once } from 'node:events';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { Room } from '../../src/bridge/local/room.js';
import type { Gateway } from '../../src/index.js';
import { RawLeg } from '../../src/legs/raw-leg.js';
import { FrameClock } from '../../src/media/frame-clock.js';
import { loadResampler } from '../../src/media/rate-converter.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { Caller, upgradeStatus } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { startGateway } from '../support/gateway.js';
import { KEY, legUrl, TestLeg } from '../support/leg.js';
import { amplitudeAt, decibels, tone, usualAmplitude } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { VirtualClock } from '../support/virtual-clock.js';

virtualTime();

const LEVEL = 8_000;
/** Tolerance for a slow machine: phones conceal nothing that is late by less. */
const PATIENT_MS = 300;
const BEARER = { authorization: `Bearer ${KEY}` };
const offer = (key: string) => `trunkline.leg, key.${Buffer.from(key).toString('base64url')}`;

const CALL = {
  from: '+15550001111',
  to: '+15552223333',
  webhookUrl: 'https://voice.example.com/edge/twilio/voice',
};

/** A gateway with a control key, and a caller in a room with it. */
async function startWithPhone(audio?: AudioSource) {
  const started = await startWithCarrier(
    {},
    { controlApiKey: KEY, leadMs: PATIENT_MS, prepareCall: () => ({ room: 'desk' }) },
  );
  const phone = started.twilio.placeCall({
    ...CALL,
    record: true,
    listens: true,
    dejitterMs: PATIENT_MS,
    ...(audio === undefined ? {} : { audio }),
  });
  await phone.started;
  const [call] = started.gateway.calls.listActive();
  return { ...started, phone, callId: call?.callId as string };
}

/** Level of a pitch in what a caller heard, at 8 kHz, relative to what was sent. */
function heardDb(phone: SimulatedPhone, hz: number, fromMs: number, toMs: number): number {
  return decibels(usualAmplitude(hz, 8_000, phone.heard().subarray(fromMs * 8, toMs * 8)) / LEVEL);
}

describe('a raw leg is rejected before the upgrade', () => {
  const url = (gateway: string, query = '') => legUrl(gateway, 'desk', query);

  it('with 404 without a control API', async () => {
    const { url: gateway } = await startGateway();
    expect(await upgradeStatus(url(gateway), BEARER)).toEqual({ status: 404, code: 'GW_NOT_FOUND' });
  });

  it('with 401 without the key, or with a wrong one', async () => {
    const { url: gateway } = await startGateway({ controlApiKey: KEY });
    for (const headers of [
      {},
      { authorization: `Bearer ${KEY}x` },
      { 'sec-websocket-protocol': offer(`${KEY}x`) },
      { 'sec-websocket-protocol': 'trunkline.leg' },
      { authorization: 'Bearer wrong', 'sec-websocket-protocol': offer(KEY) },
    ]) {
      const status = await upgradeStatus(url(gateway), headers as unknown as Record<string, string>);
      expect(status, JSON.stringify(headers)).toEqual({ status: 401, code: 'GW_UNAUTHORIZED' });
    }
  });

  it("with 403 for an Origin other than this server's", async () => {
    const { url: gateway } = await startGateway({ controlApiKey: KEY });
    const { host } = new URL(gateway);
    for (const origin of [
      'https://evil.example',
      'null',
      `http://${host}.evil.example`,
      'http://127.0.0.1',
    ]) {
      const status = await upgradeStatus(url(gateway), { ...BEARER, origin });
      expect(status, origin).toEqual({ status: 403, code: 'GW_ORIGIN_REFUSED' });
    }
    for (const headers of [
      { origin: `http://${host}` },
      { origin: 'https://voice.example.com', 'x-forwarded-host': 'Voice.example.com' },
    ]) {
      expect(await upgradeStatus(url(gateway), { ...BEARER, ...headers })).toEqual({ status: 101 });
    }
  });

  it('with 400 for an invalid rate, buffer, listen or room', async () => {
    const { url: gateway } = await startGateway({ controlApiKey: KEY });
    for (const query of [
      '?rate=11025',
      '?sendRate=1',
      '?rate=x',
      '?buffer=99',
      '?buffer=120001',
      '?buffer=1.5',
      '?listen=yes',
    ]) {
      const status = await upgradeStatus(url(gateway, query), BEARER);
      expect(status, query).toEqual({ status: 400, code: 'GW_BAD_REQUEST' });
    }
    for (const room of ['x'.repeat(201), '']) {
      expect((await upgradeStatus(legUrl(gateway, room), BEARER)).status).toBeOneOf([400, 404]);
    }
    const broken = legUrl(gateway, 'desk').replace('desk', '%E0%A4%A');
    expect(await upgradeStatus(broken, BEARER)).toEqual({ status: 400, code: 'GW_BAD_REQUEST' });
  });

  it('with 409 on a bridge without rooms', async () => {
    const bridge = { name: 'other', join: () => new Promise<never>(() => {}), close: async () => {} };
    const { url: gateway } = await startGateway({ controlApiKey: KEY, bridge });
    expect(await upgradeStatus(url(gateway), BEARER)).toEqual({ status: 409, code: 'GW_BRIDGE_NOT_LOCAL' });
  });

  it('with 409 except for 16 of forty that connect at once', async () => {
    const { url: gateway } = await startGateway({ controlApiKey: KEY });
    const sockets = Array.from({ length: 40 }, () => new WebSocket(url(gateway), { headers: BEARER }));
    const answers = await Promise.all(
      sockets.map(
        (socket) =>
          new Promise((resolve) => {
            socket.on('open', () => resolve(101)).on('error', () => {});
            socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
          }),
      ),
    );
    expect(answers.filter((status) => status === 101)).toHaveLength(16);
    expect(answers.filter((status) => status === 409)).toHaveLength(24);
    for (const socket of sockets) socket.terminate();
  });

  it('with 409 at 16 legs in a room and 503 at MAX_LEGS, until one leaves', async () => {
    const { url: gateway } = await startGateway({ controlApiKey: KEY, maxLegs: 18 });
    const crowd = await Promise.all(
      Array.from({ length: 16 }, () => TestLeg.join(gateway, 'desk', '?listen=1')),
    );
    expect(await upgradeStatus(url(gateway), BEARER)).toEqual({ status: 409, code: 'GW_ROOM_FULL' });
    const others = await Promise.all([TestLeg.join(gateway, 'a'), TestLeg.join(gateway, 'b')]);
    expect(await upgradeStatus(legUrl(gateway, 'c'), BEARER)).toEqual({ status: 503, code: 'GW_LEGS_FULL' });
    crowd[0]?.close();
    let again: TestLeg | undefined;
    for (let i = 0; i < 100 && again === undefined; i++) {
      const { status } = await upgradeStatus(url(gateway), BEARER);
      if (status === 101) again = await TestLeg.join(gateway, 'c');
    }
    expect(again?.ready.room).toBe('c');
    for (const leg of [...crowd, ...others, again]) leg?.close();
  });
});

describe('a raw leg', () => {
  it('accepts its key as a subprotocol and answers with the other one; no log contains the key', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const { url } = await startGateway({ controlApiKey: KEY, log });
    const offered = Buffer.from(KEY).toString('base64url');
    const socket = new WebSocket(legUrl(url, 'to:+15550001234'), ['trunkline.leg', `key.${offered}`]);
    await once(socket, 'open');
    expect(socket.protocol).toBe('trunkline.leg');
    socket.terminate();
    await upgradeStatus(legUrl(url, 'desk', '?rate=1'), { 'sec-websocket-protocol': offer(KEY) });
    await eventually('its end in the log', () => lines.join('').includes('raw leg ended'));
    const text = lines.join('');
    expect(text).toContain('"room":"to:+•••••••••34"');
    expect(text).toContain('raw leg refused');
    for (const secret of [KEY, offered, '0001234']) expect(text).not.toContain(secret);
  });

  it('receives ready with its parameters', async () => {
    const { url } = await startGateway({ controlApiKey: KEY });
    const leg = await TestLeg.join(url, 'to:+15550001', '?rate=24000&sendRate=16000&buffer=5000&listen=1');
    expect(leg.ready).toEqual({
      type: 'ready',
      version: 1,
      room: 'to:+15550001',
      rate: 24_000,
      sendRate: 16_000,
      frameMs: 20,
      bufferMs: 5_000,
      listen: true,
      phones: [],
      playedMs: 0,
      resumed: false,
    });
    leg.close();
  });

  it.each([8_000, 16_000, 24_000, 48_000])(
    'at %i Hz hears the caller in 20 ms frames and is heard, a burst at the pace of speech',
    async (rate) => {
      const { url, phone, callId, gateway } = await startWithPhone(AudioSource.tone(1_000, -12.25));
      const leg = await TestLeg.join(url, 'desk', `?rate=${rate}`);
      const known = () => [...leg.ready.phones, ...leg.all('joined').map((event) => event.phone)];
      await eventually('the caller', () => known().length > 0);
      expect(known()).toEqual([callId]);
      // Two seconds at once, in odd pieces.
      const speech = tone(700, rate, 2 * rate, LEVEL);
      for (let at = 0; at < speech.length; at += 777) leg.say(speech.subarray(at, at + 777));
      leg.tell({ type: 'mark', name: 'said' });
      const said = clock.now();
      await eventually('the mark', () => leg.all('mark').length > 0, 10_000);
      const took = clock.now() - said;
      expect(leg.all('mark')).toMatchObject([{ type: 'mark', name: 'said', place: 'heard' }]);
      expect(took).toBeGreaterThan(1_900);
      const report = phone.report();
      expect(report?.playout.maxLeadMs).toBeLessThanOrEqual(2 * PATIENT_MS + 20);
      expect(leg.frames.every((frame) => frame.length === rate / 50)).toBe(true);
      const own = usualAmplitude(1_000, rate, leg.heard.subarray(-rate / 2));
      expect(decibels(own / LEVEL), 'the caller').toBeGreaterThan(-1.5);
      expect(decibels(own / LEVEL)).toBeLessThan(1.5);
      const first = phone.heard().findIndex((sample) => Math.abs(sample) > LEVEL / 2) / 8;
      expect(Math.abs(heardDb(phone, 700, first + 500, first + 1_500)), 'the program').toBeLessThan(1.5);
      const { droppedLead, droppedBackpressure } = gateway.stats().traffic;
      expect({ droppedLead, droppedBackpressure }).toEqual({ droppedLead: 0, droppedBackpressure: 0 });
      leg.close();
    },
  );

  it.each([16_000, 48_000])(
    'at %i Hz sounds the same in pieces of any size, and half a sample does not survive a clear',
    async (rate) => {
      const speech = Buffer.from(tone(700, rate, rate / 2, LEVEL).buffer);
      /** What the caller hears, from the first to the last sound. */
      const heardIn = async (bytes: number, before: (leg: TestLeg) => Promise<unknown> = async () => {}) => {
        const { url, phone } = await startWithPhone();
        const leg = await TestLeg.join(url, 'desk', `?rate=${rate}`);
        await eventually('the caller', () => leg.all('joined').length + leg.ready.phones.length > 0);
        await before(leg);
        for (let at = 0; at < speech.length; at += bytes) leg.socket.send(speech.subarray(at, at + bytes));
        leg.tell({ type: 'mark', name: 'said' });
        await leg.event('mark');
        await sleep(300);
        expect(leg.all('error')).toEqual([]);
        leg.close();
        const heard = phone.heard();
        const isSound = (sample: number) => sample !== 0;
        return heard.subarray(heard.findIndex(isSound), heard.findLastIndex(isSound) + 1);
      };
      const whole = await heardIn(speech.length);
      expect(decibels(usualAmplitude(700, 8_000, whole) / LEVEL)).toBeCloseTo(0, 0);
      for (const bytes of [4_095, 1_697, 4_063]) {
        expect(await heardIn(bytes), `${bytes} bytes`).toEqual(whole);
      }
      const cleared = await heardIn(4_000, async (leg) => {
        leg.socket.send(Buffer.alloc(4_095));
        leg.tell({ type: 'clear' });
        await leg.event('cleared');
      });
      expect(cleared).toEqual(whole);
    },
  );

  it('gets events when callers join, press keys and leave', async () => {
    const { url } = await startGateway({ controlApiKey: KEY, prepareCall: () => ({ room: 'desk' }) });
    const leg = await TestLeg.join(url, 'desk');
    const watcher = await TestLeg.join(url, 'desk', '?listen=1');
    const caller = await Caller.connect(url);
    await sleep(1_500);
    expect(leg.all('joined')).toEqual([]);
    caller.start();
    // Silence that arrives with it is not waited for.
    await sleep(20);
    caller.media(new Uint8Array(160).fill(0xff));
    const { phone, ...answered } = await leg.event('joined');
    expect(answered).toEqual({ type: 'joined', direction: 'inbound', ringSeconds: 1.5 });
    caller.json({
      event: 'dtmf',
      streamSid: caller.streamSid,
      sequenceNumber: '9',
      dtmf: { track: 'inbound_track', digit: '5' },
    });
    expect(await leg.event('dtmf')).toEqual({ type: 'dtmf', phone, digit: '5' });
    const late = await TestLeg.join(url, 'desk');
    expect(late.ready.phones).toEqual([phone]);
    caller.stop();
    expect(await leg.event('left')).toEqual({ type: 'left', phone });
    expect((await watcher.event('left')).phone).toBe(phone);
    for (const each of [leg, watcher, late]) each.close();
  });

  it('plays digits as tones, before the waiting audio', async () => {
    const { url, phone } = await startWithPhone();
    const leg = await TestLeg.join(url, 'desk', '?rate=16000');
    leg.tell({ type: 'dtmf', digits: '1' });
    leg.say(tone(400, 16_000, 8_000, LEVEL));
    leg.tell({ type: 'mark', name: 'end' });
    await leg.event('mark');
    const heard = phone.heard();
    const begin = heard.findIndex((sample) => Math.abs(sample) > 1_000);
    const key = heard.subarray(begin + 80, begin + 720);
    for (const hz of [697, 1_209]) expect(amplitudeAt(hz, 8_000, key)).toBeGreaterThan(2_000);
    const after = heard.subarray(begin + 2_400, begin + 4_000);
    expect(Math.abs(decibels(usualAmplitude(400, 8_000, after) / LEVEL))).toBeLessThan(1.5);
    leg.close();
  });

  it('hangs up one caller, all of them, or none', async () => {
    const { url, gateway, phone } = await startWithPhone();
    const leg = await TestLeg.join(url, 'desk');
    leg.tell({ type: 'hangup', phone: 'nobody' });
    expect(await leg.event('error')).toMatchObject({ code: 'GW_CALL_UNKNOWN' });
    leg.tell({ type: 'hangup' });
    await phone.ended;
    expect((await leg.event('left')).phone).toBeTypeOf('string');
    await eventually('no call', () => gateway.stats().activeCalls === 0);
    leg.close();
  });

  it('hangs up the callers present at the command, and nobody who joined while its words were playing', async () => {
    const { url, gateway, phone, twilio } = await startWithPhone();
    const leg = await TestLeg.join(url, 'desk', '?rate=16000');
    leg.say(tone(700, 16_000, 2 * 16_000, LEVEL));
    leg.tell({ type: 'hangup' });
    const late = twilio.placeCall({ ...CALL, from: '+15550009999' });
    await late.started;
    await phone.ended;
    await sleep(3_000);
    expect([gateway.stats().activeCalls, late.status]).toEqual([1, 'in-progress']);
    expect(leg.all('error')).toEqual([]);
    leg.close();
  });

  it('leaves the room after disconnecting when the last phone it had words for has left', async () => {
    const { url, phone, twilio } = await startWithPhone();
    const leg = await TestLeg.join(url, 'desk', '?rate=16000');
    leg.say(tone(700, 16_000, 20 * 16_000, LEVEL));
    leg.tell({ type: 'hangup' });
    await eventually('speech', () => phone.ear.soundUntil > clock.now());
    leg.close();
    await sleep(1_000);
    const legs = async () =>
      /^trunkline_legs_active (\d+)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1];
    expect(await legs()).toBe('1');
    await phone.hangUp();
    // Metrics are those of the last second.
    await sleep(1_000);
    expect(await legs()).toBe('0');
    const late = twilio.placeCall({ ...CALL, from: '+15550009999', listens: true });
    await late.started;
    await sleep(20_000);
    expect([late.status, late.ear.soundUntil]).toEqual(['in-progress', Number.NEGATIVE_INFINITY]);
  });

  it('silences the caller at once on clear, reports what was not heard, and returns marks as cleared', async () => {
    const { url, phone } = await startWithPhone();
    const leg = await TestLeg.join(url, 'desk', '?rate=16000');
    leg.say(tone(700, 16_000, 10 * 16_000, LEVEL));
    leg.tell({ type: 'mark', name: 'never' });
    await eventually('speech', () => phone.ear.soundUntil > clock.now());
    await sleep(300);
    leg.tell({ type: 'clear' });
    const cleared = await leg.event('cleared');
    await eventually('the clear', () => (phone.report()?.playout.clears ?? 0) > 0);
    expect(phone.ear.soundUntil).toBeLessThanOrEqual(clock.now());
    expect(cleared.discardedMs).toBeGreaterThan(5_000);
    expect(cleared.discardedMs).toBeLessThan(10_000);
    expect(cleared.playedMs + cleared.discardedMs).toBeCloseTo(10_000, -1);
    expect(leg.all('mark')).toMatchObject([{ name: 'never', place: 'cleared', playedMs: cleared.playedMs }]);
    // New audio is heard at once.
    leg.say(tone(700, 16_000, 3_200, LEVEL));
    leg.tell({ type: 'mark', name: 'next' });
    await eventually('the next mark', () => leg.all('mark').length === 2);
    expect(leg.all('mark')[1]).toMatchObject({ name: 'next', place: 'heard' });
    leg.close();
  });

  it('reports a mark as sent only if no phone, or more than one, could echo it', async () => {
    const { url } = await startGateway({ controlApiKey: KEY, prepareCall: () => ({ room: 'desk' }) });
    const leg = await TestLeg.join(url, 'desk');
    leg.tell({ type: 'mark', name: 'alone' });
    expect(await leg.event('mark')).toMatchObject({ name: 'alone', place: 'sent' });
    const callers = await Promise.all([Caller.call(url), Caller.call(url)]);
    await sleep(20);
    for (const caller of callers) caller.media(new Uint8Array(160).fill(0xff));
    await eventually('both', () => leg.all('joined').length === 2);
    leg.say(new Int16Array(960));
    leg.tell({ type: 'mark', name: 'crowd' });
    await eventually('the mark', () => leg.all('mark').length === 2);
    expect(leg.all('mark')[1]).toMatchObject({ name: 'crowd', place: 'sent' });
    for (const caller of callers) caller.hangUp();
    leg.close();
  });

  it('reports a mark in flight as cleared when its phone hangs up', async () => {
    const { url, phone } = await startWithPhone();
    const leg = await TestLeg.join(url, 'desk');
    leg.say(tone(700, 48_000, 48_000, LEVEL));
    leg.tell({ type: 'mark', name: 'late' });
    await sleep(200);
    await phone.hangUp();
    expect((await leg.event('mark')).place).not.toBe('heard');
    leg.close();
  });

  it('in listen mode hears everybody at their level, is heard by nobody and cannot send anything', async () => {
    const { url, phone } = await startWithPhone(AudioSource.tone(1_000, -12.25));
    const agent = await TestLeg.join(url, 'desk', '?rate=16000');
    const ear = await TestLeg.join(url, 'desk', '?rate=16000&listen=1');
    agent.say(tone(600, 16_000, 3 * 16_000, LEVEL));
    await eventually('two seconds', () => ear.frames.length > 120, 10_000);
    const heard = ear.heard.subarray(24_000, 32_000);
    for (const hz of [600, 1_000]) {
      expect(Math.abs(decibels(usualAmplitude(hz, 16_000, heard) / LEVEL)), `${hz} Hz`).toBeLessThan(1.5);
    }
    expect(usualAmplitude(600, 16_000, agent.heard.subarray(16_000, 32_000)), 'itself').toBeLessThan(
      LEVEL / 100,
    );
    ear.say(new Int16Array(320));
    ear.tell({ type: 'clear' });
    await eventually('two errors', () => ear.all('error').length === 2);
    expect(ear.all('error').map(({ code }) => code)).toEqual(['GW_LEG_LISTENS', 'GW_LEG_LISTENS']);
    for (const leg of [agent, ear]) leg.close();
    await phone.hangUp();
  });

  it('in listen mode leaves the echo agent with a lone caller; one that talks does not', async () => {
    const { url } = await startGateway({ controlApiKey: KEY, prepareCall: () => ({ room: 'desk' }) });
    const ear = await TestLeg.join(url, 'desk', '?listen=1');
    const caller = await Caller.call(url);
    for (let i = 0; i < 5; i++) caller.media(new Uint8Array(160).fill(0x80));
    await eventually('the echo', () => caller.mediaCount >= 5);
    await eventually('the caller to be overheard', () => ear.frames.length >= 5);
    const agent = await TestLeg.join(url, 'desk');
    const before = caller.mediaCount;
    for (let i = 0; i < 5; i++) caller.media(new Uint8Array(160).fill(0x80));
    await eventually('the caller to be heard', () => agent.frames.length >= 5);
    expect(caller.mediaCount, 'no echo').toBe(before);
    agent.close();
    await eventually('the agent gone', () => agent.closed !== undefined);
    for (let i = 0; i < 5; i++) caller.media(new Uint8Array(160).fill(0x80));
    await eventually('the caller to be overheard on', () => ear.frames.length >= 15);
    expect(caller.mediaCount, 'no echo after the agent').toBe(before);
    caller.hangUp();
    ear.close();
  });

  it('two programs and a phone hear each other, but not themselves', async () => {
    const { url, phone } = await startWithPhone(AudioSource.tone(1_000, -12.25));
    const [a, b] = await Promise.all([TestLeg.join(url, 'desk', '?rate=16000'), TestLeg.join(url, 'desk')]);
    a.say(tone(600, 16_000, 3 * 16_000, LEVEL));
    b.say(tone(1_500, 48_000, 3 * 48_000, LEVEL));
    await eventually('two seconds', () => a.frames.length > 120 && b.frames.length > 120, 10_000);
    const level = (pcm: Int16Array, rate: number, hz: number) =>
      decibels(usualAmplitude(hz, rate, pcm.subarray(rate, 2 * rate)) / LEVEL);
    expect(level(a.heard, 16_000, 1_500)).toBeGreaterThan(-2);
    expect(level(b.heard, 48_000, 600)).toBeGreaterThan(-2);
    expect(level(a.heard, 16_000, 600)).toBeLessThan(-40);
    expect(level(b.heard, 48_000, 1_500)).toBeLessThan(-40);
    const begin = phone.heard().findIndex((sample) => Math.abs(sample) > LEVEL / 2) / 8;
    for (const hz of [600, 1_500]) expect(heardDb(phone, hz, begin + 500, begin + 1_500)).toBeGreaterThan(-3);
    for (const leg of [a, b]) leg.close();
  });
});

describe('the limits of a raw leg', () => {
  async function lone(query = ''): Promise<{ leg: TestLeg; gateway: Gateway; url: string }> {
    const { url, gateway } = await startGateway({ controlApiKey: KEY });
    return { leg: await TestLeg.join(url, 'desk', query), gateway, url };
  }

  it('keeps the beginning of audio that exceeds its buffer and reports the rest', async () => {
    const { leg, url } = await lone('?rate=16000&buffer=1000');
    leg.say(new Int16Array(32_000));
    const { of, ms } = await leg.event('dropped');
    expect(of).toBe('sent');
    expect(ms).toBeGreaterThanOrEqual(1_000 - 150);
    expect(ms).toBeLessThanOrEqual(1_000);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(Number(/^trunkline_leg_dropped_sent_ms_total (\S+)/m.exec(metrics)?.[1])).toBeCloseTo(ms, 0);
    expect(metrics).toMatch(/^trunkline_legs_active 1$/m);
    leg.close();
  });

  it('reports mistakes and closes with 1008 after fifty', async () => {
    const { leg } = await lone();
    for (const text of ['', '{', '[]', '{"type":"sing"}', '{"type":"mark"}', '{"type":"dtmf","digits":"x"}'])
      leg.tell(text);
    await eventually('six errors', () => leg.all('error').length === 6);
    expect(leg.all('error').map(({ code }) => code)).toEqual(
      Array.from({ length: 6 }, () => 'GW_LEG_MESSAGE'),
    );
    for (let i = 0; i < 44; i++) leg.tell('?');
    await eventually('the close', () => leg.closed?.code === 1008);
  });

  it('closes with 1009 for an oversized message, text or audio', async () => {
    const { leg, url } = await lone();
    leg.tell(`"${'x'.repeat(16 * 1024)}"`);
    await eventually('the close', () => leg.closed?.code === 1009);
    const other = await TestLeg.join(url, 'desk');
    other.socket.send(Buffer.alloc(1024 * 1024 + 2));
    await eventually('the close', () => other.closed?.code === 1009);
  });

  it('closes with 1008 for a flood, but accepts a minute of audio at once', async () => {
    const { leg } = await lone('?buffer=60000&rate=48000');
    const piece = new Int16Array(960);
    for (let i = 0; i < 3_000; i++) leg.say(piece);
    leg.tell({ type: 'hangup' });
    await leg.event('error');
    expect(leg.closed).toBeUndefined();
    for (let i = 0; i < 20_000; i++) leg.tell({ type: 'clear' });
    await eventually('the close', () => leg.closed?.code === 1008, 10_000);
  });

  it('accepts 256 marks at a time', async () => {
    const { leg } = await lone('?rate=16000');
    leg.say(new Int16Array(16_000));
    for (let i = 0; i <= 256; i++) leg.tell({ type: 'mark', name: `m${i}` });
    expect(await leg.event('error')).toMatchObject({ code: 'GW_TOO_MANY_MARKS' });
    leg.tell({ type: 'clear' });
    await leg.event('cleared');
    expect(leg.all('mark')).toHaveLength(256);
    leg.close();
  });

  it('drops audio that a program does not read, and reports it once it reads again', async () => {
    const sent: (string | Uint8Array | Int16Array)[] = [];
    let buffered = 0;
    const socket = {
      send: (m: string | Uint8Array | Int16Array) => sent.push(m) > 0,
      bufferedBytes: () => buffered,
      close() {},
    };
    const options = {
      room: 'desk',
      rate: 16_000,
      sendRate: 16_000,
      bufferMs: 1_000,
      onlyListens: false,
    } as const;
    const time = new VirtualClock();
    const leg = new RawLeg(options, await loadResampler(), time, new FrameClock(time));
    const room = new Room();
    leg.open(
      socket,
      () => room.joinProgram(leg, false),
      () => {},
    );
    const frame = new Int16Array(960);
    leg.write(frame);
    // More than half a second at 16 kHz.
    buffered = 16_001;
    for (let i = 0; i < 10; i++) leg.write(frame);
    expect(sent).toHaveLength(2);
    buffered = 0;
    leg.drained();
    leg.write(frame);
    expect(sent.slice(2, 3)).toEqual([JSON.stringify({ type: 'dropped', of: 'heard', ms: 200 })]);
    expect(sent).toHaveLength(4);
    expect(leg.counts).toMatchObject({ droppedHeardMs: 200, framesHeard: 2 });
    leg.close(1000, '');
    expect(room.size).toBe(0);
  });

  it('closes with 1001 when the gateway closes', async () => {
    const { leg, gateway } = await lone();
    await gateway.close();
    await eventually('the close', () => leg.closed !== undefined);
    expect(leg.closed).toEqual({ code: 1001, reason: 'going away' });
  });

  it('leaves nothing behind after 300 legs', async () => {
    const { leg, url, gateway } = await lone();
    leg.close();
    for (let i = 0; i < 30; i++) {
      const legs = await Promise.all(
        Array.from({ length: 10 }, (_, k) => TestLeg.join(url, `r${k}`, '?rate=16000')),
      );
      for (const each of legs) each.say(new Int16Array(4_000));
      for (const each of legs) each.close();
    }
    await eventually('no leg', async () =>
      (await (await fetch(`${url}/metrics`)).text()).includes('\ntrunkline_legs_active 0\n'),
    );
    await gateway.close();
  });
});
