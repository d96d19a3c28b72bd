import { describe, expect, it } from 'vitest';
import wavefile from 'wavefile';
import type { MarkEcho } from '../../src/index.js';
import { core } from '../../src/media/thread-core.js';
import {
  AudioSource,
  MouthToEar,
  type SimulatedPhone,
  type SimulatedStream,
} from '../../src/simulator/index.js';
import { ask } from '../support/control.js';
import { startWithPhones } from '../support/heard.js';
import { KEY, TestLeg } from '../support/leg.js';
import { resample } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

/** The filters hold back a few milliseconds. */
const FILTER_MS = 10;
/** Shortening cuts pieces of at most this length, one pitch period. */
const SEAM_MS = 25;
/** A network delay that is not unusual. */
const USUAL_WAY_MS = 150;

/**
 * A program and some phones.
 * @param apartMs time between one call and the next
 */
async function desk(count = 1, apartMs = 500) {
  const started = await startWithPhones({ controlApiKey: KEY, prepareCall: () => ({ room: 'desk' }) });
  const leg = await TestLeg.join(started.url, 'desk');
  const calls: { phone: SimulatedPhone; stream: SimulatedStream }[] = [];
  for (let i = 0; i < count; i++) {
    calls.push(await started.place(`+1555000111${i}`));
    await sleep(apartMs);
  }
  const [{ phone, stream }] = calls as [(typeof calls)[number]];
  return { ...started, leg, calls, phone, stream };
}

const SWEEP = AudioSource.sweep();
/** The first `ms` milliseconds of the sweep at a program's rate. */
const sweep = (ms: number) => resample(new core.Upsampler(), 6, SWEEP.pcm.subarray(0, ms * 8));

/** How much of a program's sweep was never heard. */
function lostMs(phone: SimulatedPhone, at: number, ms: number): number {
  const heardAt = phone.streams[0]?.times.startedAt ?? Number.NaN;
  const utterance = { audio: SWEEP, at, until: at + ms };
  return new MouthToEar({ utterance, heard: phone.heard(), heardAt }).lostMs(at, at + ms);
}

/** Changes what the carrier does with echoes of marks. */
function echoes(
  stream: SimulatedStream,
  change: (message: string, send: (message: string) => void, serial: number) => void,
): void {
  const send = stream.sendRaw.bind(stream);
  let serial = 0;
  stream.sendRaw = (message) => {
    if (typeof message === 'string' && message.startsWith('{"event":"mark"')) {
      serial += 1;
      change(message, send, serial);
    } else send(message);
  };
}

describe('a program among phones', () => {
  it.each([500, 505, 510, 515])('is heard by two of them that send %i ms apart', async (apartMs) => {
    const { leg, calls } = await desk(2, apartMs);
    const at = clock.now();
    leg.say(sweep(2_000));
    await sleep(2_500);
    for (const { phone } of calls) expect(lostMs(phone, at, 2_000)).toBeLessThanOrEqual(FILTER_MS);
    leg.close();
  });

  it('continues for the others when one stalls', async () => {
    const { leg, calls } = await desk(3);
    const at = clock.now();
    leg.say(sweep(8_000));
    await sleep(2_000);
    await calls[2]?.stream.stallReading(4_000);
    await sleep(2_500);
    for (const { phone } of calls.slice(0, 2)) {
      expect(lostMs(phone, at, 8_000)).toBeLessThanOrEqual(FILTER_MS);
    }
    leg.close();
  });
});

describe('a program’s last words', () => {
  it('are heard completely, even through a stall, when it hangs up and disconnects, and nothing is left behind', async () => {
    const { leg, phone, stream, gateway, url } = await desk();
    const at = clock.now();
    leg.say(sweep(10_000));
    leg.tell({ type: 'hangup' });
    await sleep(100);
    leg.close();
    await sleep(1_900);
    await stream.stallReading(3_000);
    await eventually('the end', () => gateway.calls.size === 0, 15_000);
    expect(lostMs(phone, at, 10_000)).toBeLessThanOrEqual(FILTER_MS);
    await sleep(50);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/^trunkline_legs_active 0$/m);
  });

  it('can be tones, followed by marks', async () => {
    const { leg, phone, gateway } = await desk();
    leg.tell({ type: 'dtmf', digits: '123456' });
    leg.tell({ type: 'mark', name: 'dialled' });
    leg.tell({ type: 'hangup' });
    const begun = clock.now();
    await leg.event('mark');
    expect(clock.now() - begun).toBeGreaterThan(6 * 100);
    await eventually('the end', () => gateway.calls.size === 0);
    const heard = phone.heard();
    const isLoud = (sample: number) => Math.abs(sample) > 1_000;
    const ms = (heard.findLastIndex(isLoud) - heard.findIndex(isLoud)) / 8;
    expect(ms).toBeGreaterThan(6 * 100);
    leg.close();
  });

  it('do not delay the end for phones that receive nothing', async () => {
    const { leg, gateway, stream } = await desk();
    leg.say(sweep(4_000));
    await sleep(1_000);
    void stream.stallReading(60_000);
    void stream.stallSending(60_000);
    await sleep(1_000);
    const begun = clock.now();
    leg.tell({ type: 'hangup' });
    await eventually('the end', () => gateway.calls.size === 0, 30_000);
    // The waiting audio, plus the slack of the program's and the phone's hang-up.
    expect(clock.now() - begun).toBeLessThan(2_000 + 2 * (300 + 240));
    leg.close();
  });
});

describe('a stall', () => {
  it.each([900, 3_000])('of %i ms at the very beginning leaves no delay', async (ms) => {
    const { place } = await startWithPhones({ localRoom: 'to' });
    const caller = await place('+15550001111', AudioSource.sweep({ pauses: 1 }));
    await sleep(1_000);
    const other = await place('+15550002222');
    await other.stream.stallReading(ms);
    const over = clock.now();
    await sleep(6_000);
    const way = MouthToEar.between(caller.phone, other.phone);
    expect((way.backAt(60, over) ?? Number.POSITIVE_INFINITY) - over).toBeLessThan(3_000);
    expect(way.lostMs(over, clock.now() - 1_000, SEAM_MS)).toBeLessThanOrEqual(140);
  });

  it('of 300 ms at the very beginning leaves no more than network delay, and loses no word', async () => {
    const { place } = await startWithPhones({ localRoom: 'to' });
    const caller = await place('+15550001111', AudioSource.sweep({ pauses: 1 }));
    await sleep(1_000);
    const other = await place('+15550002222');
    await other.stream.stallReading(300);
    await sleep(12_000);
    const way = MouthToEar.between(caller.phone, other.phone);
    const end = clock.now() - 1_000;
    expect(way.delayMs(end - 1_000, end)).toBeLessThanOrEqual(USUAL_WAY_MS + 20);
    expect(way.lostMs(end - 11_000, end)).toBeLessThanOrEqual(FILTER_MS);
  });

  it('right after the start of a play, during talk, loses nothing of the play', async () => {
    const { place, url, gateway } = await startWithPhones({ controlApiKey: KEY, localRoom: 'to' });
    const { phone, stream } = await place('+15550001111');
    const [call] = gateway.calls.listActive();
    await place('+15550002222', AudioSource.tone(400, -30));
    await sleep(2_500);
    const wav = new wavefile.WaveFile();
    wav.fromScratch(1, 8_000, '16', SWEEP.pcm.subarray(0, 32_000) as unknown as number[]);
    const at = clock.now();
    const headers = { 'content-type': 'audio/wav' };
    expect((await ask(url, 'POST', call?.callId ?? '', 'play', wav.toBuffer(), headers)).status).toBe(201);
    await sleep(200);
    await stream.stallReading(3_000);
    await sleep(6_000);
    expect(lostMs(phone, at, 4_000)).toBeLessThanOrEqual(FILTER_MS);
  });

  it('returns each mark once, in order, and as cleared only if not all audio before it was heard', async () => {
    const { place, gateway } = await startWithPhones({ prepareCall: () => ({ bridge: false }) });
    const { phone, stream } = await place('+15550001111');
    const [call] = gateway.calls.listActive();
    const media = gateway.stream(call?.callId ?? '') ?? expect.fail('no stream');
    await eventually('the start', () => media.isConnected);
    const back: MarkEcho[] = [];
    media.on('mark', (echo) => back.push(echo));
    const pcm = sweep(10_000);
    const placed: string[] = [];
    const played: number[] = [];
    for (let i = 0; i < 500; i++) {
      media.sendAudio(pcm.subarray(i * 960, (i + 1) * 960));
      if (i % 5 === 4) {
        placed.push(`mark ${i}`);
        media.mark(`mark ${i}`);
      }
      if (i === 100) void stream.stallReading(1_000);
      played.push(media.playedMs);
      await sleep(20);
    }
    await sleep(1_000);
    expect(back.map(({ name }) => name)).toEqual(placed);
    expect(back.filter(({ cleared }) => cleared).length).toBeLessThanOrEqual(5);
    const told = back.map(({ playedMs }) => playedMs);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(played).toEqual([...played].sort((a, b) => a - b));
    const heardMs = phone.report()?.playout.playedMs ?? Number.NaN;
    expect(Math.abs(media.playedMs - heardMs)).toBeLessThanOrEqual(60);
  });
});

describe('a carrier', () => {
  it.each([
    ['loses an echo', (message, send, serial) => serial !== 5 && send(message)],
    ['loses every seventh echo', (message, send, serial) => serial % 7 !== 0 && send(message)],
    ['echoes nothing', () => {}],
    ['echoes all twice', (message, send) => [message, message].forEach(send)],
    ['echoes 500 ms late', (message, send) => clock.after(500, () => send(message))],
    ['renames marks', (message, send) => send(message.replace('"name":"', '"name":"x'))],
  ] as [string, Parameters<typeof echoes>[1]][])('that %s silences no program', async (_, change) => {
    const { leg, phone, stream } = await desk();
    echoes(stream, change);
    const at = clock.now();
    for (let i = 0; i < 8; i++) {
      leg.say(sweep(8_000).subarray(i * 48_000, (i + 1) * 48_000));
      leg.tell({ type: 'mark', name: `${i}` });
      await sleep(1_000);
    }
    // It waits for an echo now and then, but not for long.
    await sleep(3_000);
    expect(lostMs(phone, at, 8_000)).toBeLessThanOrEqual(FILTER_MS);
    leg.close();
  });
});
