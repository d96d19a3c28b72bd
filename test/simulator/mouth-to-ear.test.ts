import { afterEach, describe, expect, it } from 'vitest';
import { core } from '../../src/media/thread-core.js';
import {
  AudioSource,
  type HeardInstant,
  InstantReader,
  MouthToEar,
  type SimulatedPhone,
  SimulatedTwilio,
  SWEEP_MS,
} from '../../src/simulator/index.js';
import { noise, resample } from '../support/media.js';
import { ReferenceGateway, type ReferenceGatewayOptions } from '../support/reference-gateway.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

const time = virtualTime();
const SWEEP = AudioSource.sweep();
const TALK = AudioSource.sweep({ pauses: 1 });

/** How far off readings are, in milliseconds, and how many of them there are. */
function errorsOf(
  readings: readonly HeardInstant[],
  stepMs: number,
  instantOf = (at: number) => at,
): number[] {
  return readings.flatMap((reading, i) => {
    if (typeof reading !== 'number') return [];
    const error = (reading - instantOf((i + 0.5) * stepMs)) % SWEEP_MS;
    return error > SWEEP_MS / 2 ? error - SWEEP_MS : error < -SWEEP_MS / 2 ? error + SWEEP_MS : error;
  });
}
const worst = (errors: readonly number[]) => Math.max(...errors.map(Math.abs));

describe('a sweep', () => {
  it('identifies each of its instants by its sound, after µ-law', () => {
    const readings = new InstantReader().read(SWEEP.pcm);
    expect(readings).toHaveLength(SWEEP_MS / 20);
    const errors = errorsOf(readings, 20);
    expect(errors).toHaveLength(readings.length);
    expect(worst(errors)).toBeLessThan(3);
  });

  it('identifies them with noise at -20 dB', () => {
    const hiss = noise(SWEEP.pcm.length, 5);
    const noisy = SWEEP.pcm.map((sample, n) => sample + Math.round((hiss[n] as number) / 32));
    const errors = errorsOf(new InstantReader().read(noisy, 5), 5);
    expect(errors.length).toBeGreaterThan((0.99 * SWEEP_MS) / 5);
    expect(worst(errors)).toBeLessThan(5);
  });

  it('identifies them at 48 kHz, after the core’s filters', () => {
    const wide = resample(new core.Upsampler(), 6, SWEEP.pcm);
    const readings = new InstantReader().read(wide, 20, 48_000);
    const errors = errorsOf(readings.slice(1, -1), 20, (at) => at + 20);
    expect(errors).toHaveLength(readings.length - 2);
    // The filter is late by the same for all.
    const late = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    expect(worst(errors.map((error) => error - late))).toBeLessThan(3);
  });

  it('recognises silence, and sound that is not a sweep', () => {
    const reader = new InstantReader();
    expect(reader.read(new Int16Array(800))).toEqual(Array(5).fill('silence'));
    const speech = reader.read(AudioSource.speech().pcm).filter((reading) => typeof reading === 'number');
    expect(speech.length).toBeLessThan(20);
    expect(new Set(reader.read(AudioSource.tone(1_000).pcm))).toEqual(new Set(['unknown']));
  });

  it('has the pauses of a talker if asked for', () => {
    const readings = new InstantReader().read(TALK.pcm, 5);
    const silent = readings.filter((reading) => reading === 'silence').length / readings.length;
    expect(silent).toBeGreaterThan(0.3);
    expect(silent).toBeLessThan(0.5);
    expect(worst(errorsOf(readings, 5))).toBeLessThan(5);
    const pauses = readings
      .map((reading) => (reading === 'silence' ? 's' : 't'))
      .join('')
      .split(/t+/)
      .map((pause) => pause.length * 5);
    for (const pause of pauses.slice(1, -1)) {
      expect(pause).toBeGreaterThanOrEqual(195);
      expect(pause).toBeLessThanOrEqual(710);
    }
    expect(AudioSource.sweep({ pauses: 1 }).pcm).toEqual(TALK.pcm);
    expect(AudioSource.sweep({ pauses: 2 }).pcm).not.toEqual(TALK.pcm);
  });
});

describe('mouth to ear', () => {
  const at = 5_000;
  const milliseconds = (ms: number) => ms * 8;
  const heardOf = (parts: readonly Int16Array[]) => {
    const heard = new Int16Array(parts.reduce((sum, part) => sum + part.length, 0));
    let end = 0;
    for (const part of parts) {
      heard.set(part, end);
      end += part.length;
    }
    return heard;
  };
  const piece = (audio: AudioSource, from: number, to: number) =>
    audio.pcm.subarray(milliseconds(from), milliseconds(to));
  const silence = (ms: number) => new Int16Array(milliseconds(ms));

  it('is known at each moment, with cuts and late audio', () => {
    const heard = heardOf([silence(83), piece(SWEEP, 0, 2_000), silence(500), piece(SWEEP, 2_000, 4_000)]);
    const cut = heardOf([heard, piece(SWEEP, 4_300, 6_000)]);
    const way = new MouthToEar({ utterance: { audio: SWEEP, at }, heard: cut, heardAt: at });
    expect(way.delayMs(at, at + 2_000)).toBeCloseTo(83, 0);
    expect(way.delayMs(at + 2_600, at + 4_500)).toBeCloseTo(583, 0);
    expect(way.delayMs(at + 4_600)).toBeCloseTo(283, 0);
    expect(Math.abs((way.longestMs(at) as number) - 583)).toBeLessThan(5);
    expect(way.delayMs(at + 20_000)).toBeUndefined();
    expect(Math.abs((way.backAt(300, at) as number) - (at + 4_583))).toBeLessThan(15);
    expect(way.backAt(200, at)).toBeUndefined();
    expect(Math.abs(way.lostMs(at, at + 6_000) - 300)).toBeLessThanOrEqual(10);
    expect(way.lostMs(at, at + 4_000)).toBe(0);
    expect(way.unknownMs).toBeLessThanOrEqual(30);
  });

  it('continues after the end of a loop, and counts no pause as lost', () => {
    const heard = heardOf([silence(40), TALK.pcm, TALK.pcm]);
    const way = new MouthToEar({ utterance: { audio: TALK, at }, heard, heardAt: at });
    expect(way.delayMs(at + SWEEP_MS, at + 2 * SWEEP_MS)).toBeCloseTo(40, 0);
    expect(way.backAt(43, at)).toBeLessThan(at + 60);
    expect(way.lostMs(at, at + 2 * SWEEP_MS)).toBe(0);
  });

  it('counts all missing last words', () => {
    const heard = heardOf([silence(40), piece(SWEEP, 0, 1_163)]);
    const way = new MouthToEar({ utterance: { audio: SWEEP, at, until: at + 1_200 }, heard, heardAt: at });
    expect(Math.abs(way.lostMs(at, at + 5_000) - 37)).toBeLessThanOrEqual(5);
  });

  it('is right for audio shortened by overlap', () => {
    // Ten percent faster: of every 110 ms 10 are faded over.
    const parts: Int16Array[] = [silence(500)];
    for (let from = 0; from < 4_400; from += 110) {
      const [before, after] = [piece(SWEEP, from, from + 10), piece(SWEEP, from + 10, from + 20)];
      const seam = before.map((sample, n) =>
        Math.round((sample * (80 - n) + (after[n] as number) * n) / before.length),
      );
      parts.push(seam, piece(SWEEP, from + 20, from + 110));
    }
    const way = new MouthToEar({ utterance: { audio: SWEEP, at }, heard: heardOf(parts), heardAt: at });
    expect(Math.abs((way.delayMs(at + 500, at + 600) as number) - 490)).toBeLessThan(8);
    expect(Math.abs((way.delayMs(at + 4_400, at + 4_500) as number) - 105)).toBeLessThan(12);
    expect(Math.abs(way.lostMs(at, at + 4_400) - 400)).toBeLessThan(60);
    expect(way.lostMs(at, at + 4_400, 25)).toBe(0);
  });

  it('needs a sweep', () => {
    const utterance = { audio: AudioSource.speech(), at };
    expect(() => new MouthToEar({ utterance, heard: silence(10), heardAt: at })).toThrow(
      'Expected a sweep but received speech',
    );
  });
});

describe('a phone with a stalling line', () => {
  let gateway: ReferenceGateway;
  let twilio: SimulatedTwilio;

  const call = async (audio: AudioSource, options: ReferenceGatewayOptions = {}): Promise<SimulatedPhone> => {
    gateway = await ReferenceGateway.listen(options);
    twilio = new SimulatedTwilio({ clock: time, authToken: '12345' });
    const phone = twilio.placeCall({
      webhookUrl: gateway.voiceUrl,
      from: '+12065550100',
      to: '+14155550123',
      record: true,
      audio,
    });
    await phone.started;
    return phone;
  };
  const streamOf = (phone: SimulatedPhone) => phone.stream ?? expect.fail('no stream');

  afterEach(async () => {
    await twilio.close();
    expect(time.pending).toBe(0);
    await gateway.close();
  });

  it.each(['reading', 'sending'] as const)('in %s hears an echo later from then on, whole', async (way) => {
    const phone = await call(SWEEP);
    await sleep(2_000);
    const begun = clock.now();
    const stream = streamOf(phone);
    await (way === 'reading' ? stream.stallReading(1_000) : stream.stallSending(1_000));
    const over = clock.now();
    expect(over - begun).toBe(1_000);
    await sleep(3_000);
    const ear = MouthToEar.between(phone);
    const before = ear.delayMs(0, begun) as number;
    expect(before).toBeLessThan(40);
    // What was buffered is played, then nothing comes, then all of it at once, at the pace of speech.
    expect(ear.delayMs(begun + 60, over)).toBeUndefined();
    const after = ear.delayMs(over + 100) as number;
    expect(Math.abs(after - before - 1_000)).toBeLessThanOrEqual(25);
    expect(ear.lostMs(begun, over)).toBe(0);
    await phone.hangUp();
  });

  it('echoes marks when the audio before them was heard, also while reading stalls', async () => {
    const phone = await call(AudioSource.silence(), { onStream: () => {} });
    const [socket] = gateway.sockets;
    const echoes: { name: string; at: number }[] = [];
    socket?.on('message', (data) => {
      const { event, mark } = JSON.parse(String(data));
      if (event === 'mark') echoes.push({ name: mark.name, at: clock.now() });
    });
    const { streamSid } = streamOf(phone);
    const say = (ms: number, name: string) => {
      const payload = Buffer.alloc(ms * 8, 0x80).toString('base64');
      gateway.send({ event: 'media', streamSid, media: { payload } });
      gateway.send({ event: 'mark', streamSid, mark: { name } });
    };
    say(400, 'before');
    await sleep(100);
    const begun = clock.now();
    void streamOf(phone).stallReading(1_000);
    say(400, 'held');
    await sleep(100);
    expect(echoes).toEqual([]);
    await eventually('both', () => echoes.length === 2);
    const [before, held] = echoes.map(({ at }) => at - begun) as [number, number];
    expect(Math.abs(before - 320)).toBeLessThanOrEqual(10);
    expect(Math.abs(held - 1_420)).toBeLessThanOrEqual(10);
    // In a stall of sending they wait.
    void streamOf(phone).stallSending(500);
    say(100, 'late');
    await sleep(450);
    expect(echoes).toHaveLength(2);
    await eventually('the last', () => echoes.length === 3);
    await phone.hangUp();
  });

  it('in both directions, longer than its buffer, discards what it could not send', async () => {
    const phone = await call(SWEEP);
    await sleep(500);
    const warnings: number[] = [];
    phone.on('warning', ({ code }) => warnings.push(code));
    await Promise.all([streamOf(phone).stallReading(6_000), streamOf(phone).stallSending(6_000)]);
    await sleep(500);
    expect(warnings).toEqual([31930]);
    const discarded = phone.report()?.framesDiscarded ?? 0;
    expect(discarded).toBeGreaterThan(50);
    expect(discarded).toBeLessThan(150);
    await phone.hangUp();
  });

  it('hangs up during a stall', async () => {
    const phone = await call(SWEEP);
    const stalls = [streamOf(phone).stallReading(60_000), streamOf(phone).stallSending(60_000)];
    await sleep(200);
    const begun = clock.now();
    expect((await phone.hangUp()).streamEnd?.by).toBe('stop');
    await Promise.all(stalls);
    expect(clock.now() - begun).toBeLessThan(1_000);
    await eventually('the goodbye', () => gateway.messages.some(({ event }) => event === 'stop'));
    await streamOf(phone).stallReading(1_000);
    await expect(streamOf(phone).stallSending(-1)).rejects.toThrow('Expected at least 0 milliseconds');
  });
});
