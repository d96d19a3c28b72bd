import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import wavefile from 'wavefile';
import { Clips } from '../../src/control/clips.js';
import { Caller } from '../support/caller.js';
import { hears, startControlled } from '../support/control.js';
import { startGateway } from '../support/gateway.js';
import { TestLeg } from '../support/leg.js';
import { tone } from '../support/media.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const LEVEL = 8_000;
/** {@link LEVEL} relative to full scale. */
const DBFS = -12.25;
const SILENT = -45;
const WAV = { 'content-type': 'audio/wav' };

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'trunkline-play-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A tone of a second as a WAV file. */
function wavOf(hz: number, { rate = 8_000, depth = '16', channels = 1, seconds = 1 } = {}): Uint8Array {
  const pcm = tone(hz, rate, Math.round(rate * seconds), LEVEL);
  const scale = { '32f': 1 / 32_768, '24': 2 ** 8, '32': 2 ** 16 }[depth];
  const samples = scale === undefined ? pcm : Float64Array.from(pcm, (sample) => sample * scale);
  const wav = new wavefile.WaveFile();
  const all = channels === 1 ? samples : [samples, samples];
  const isLaw = depth === '8m' || depth === '8a';
  wav.fromScratch(channels, rate, isLaw ? '16' : depth, all as unknown as number[]);
  if (depth === '8m') wav.toMuLaw();
  if (depth === '8a') wav.toALaw();
  return wav.toBuffer();
}

/** Silence in µ-law of a length in seconds. */
function mulawOf(seconds: number): Uint8Array {
  const wav = Buffer.alloc(44 + seconds * 8_000, 0xff);
  wav.write('RIFF', 0, 'latin1');
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write('WAVEfmt ', 8, 'latin1');
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(7, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(8_000, 24);
  wav.writeUInt32LE(8_000, 28);
  wav.writeUInt16LE(1, 32);
  wav.writeUInt16LE(8, 34);
  wav.write('data', 36, 'latin1');
  wav.writeUInt32LE(wav.length - 44, 40);
  return wav;
}

/** Milliseconds from the first sound a phone heard to the last. */
function soundMs(heard: Int16Array): number {
  const loud = (sample: number) => Math.abs(sample) > LEVEL / 4;
  return (heard.findLastIndex(loud) - heard.findIndex(loud)) / 8;
}

const start = async (more = {}) => {
  const started = await startControlled({
    playDir: directory,
    prepareCall: () => ({ room: 'desk' }),
    ...more,
  });
  // An empty program keeps the echo agent away.
  const leg = await TestLeg.join(started.url, 'desk', '?rate=16000');
  return { ...started, ...(await started.place()), leg };
};

describe('a play', () => {
  it.each([
    [{}],
    [{ depth: '8m' }],
    [{ depth: '8a' }],
    [{ rate: 16_000 }],
    [{ rate: 11_025, depth: '24' }],
    [{ rate: 96_000, depth: '32', channels: 2 }],
    [{ rate: 22_050 }],
    [{ rate: 24_000, channels: 2 }],
    [{ rate: 32_000 }],
    [{ rate: 44_100, channels: 2 }],
    [{ rate: 44_100, depth: '32f' }],
    [{ rate: 48_000 }],
    [{ rate: 48_000, depth: '32f', channels: 2 }],
  ])('of a WAV body %j is heard as it is: its tone, its level, its length', async (format) => {
    const { control, phone, event } = await start({ leadMs: 1_000 });
    const { status, body } = await control('POST', 'play', wavOf(800, format), WAV);
    expect(status).toBe(201);
    expect(body).toEqual({ playId: expect.any(String), durationMs: 1_000 });
    const played = await event('call.played');
    expect(played).toMatchObject({ playId: body.playId, end: 'finished' });
    expect(played?.playedMs).toBeGreaterThanOrEqual(1_000);
    expect(played?.playedMs).toBeLessThanOrEqual(1_040);
    await sleep(250);
    const ms = soundMs(phone.heard());
    expect(ms, 'nothing is missing').toBeGreaterThan(975);
    expect(ms, 'nothing is in between but what a busy machine makes').toBeLessThan(1_300);
    expect(Math.abs(hears(phone, 800, 1_000) - DBFS), 'its level').toBeLessThan(1);
    await phone.hangUp();
  });

  it('replaces the other side or is mixed with it, at the pace of speech', async () => {
    const { control, phone, leg, callId, gateway, event } = await start();
    leg.say(tone(600, 16_000, 25 * 16_000, LEVEL));
    await eventually('the room', () => hears(phone, 600, 300) > -20);
    await control('POST', 'play', wavOf(800, { seconds: 3 }), WAV);
    await eventually('the play alone', () => hears(phone, 800, 300) > -20 && hears(phone, 600, 300) < SILENT);
    expect(gateway.stream(callId)?.leadMs, 'no further ahead than the lead').toBeLessThanOrEqual(120);
    const { droppedLead } = gateway.stream(callId)?.counts() ?? {};
    await sleep(500);
    expect(gateway.stream(callId)?.counts().droppedLead, 'nothing found no room').toBe(droppedLead);
    const stopped = await control('DELETE', 'play');
    expect(stopped).toMatchObject({ status: 200, body: { end: 'stopped' } });
    expect(stopped.body.playedMs).toBeLessThan(3_000);
    expect(await event('call.played')).toEqual(stopped.body);
    await eventually(
      'the room is back',
      () => hears(phone, 600, 300) > -20 && hears(phone, 800, 300) < SILENT,
    );
    await control('POST', 'play?over=true&loop=0&gain=-6', wavOf(800), WAV);
    await eventually('both', () => hears(phone, 600, 300) > -20 && hears(phone, 800, 300) > DBFS - 7);
    expect(hears(phone, 800, 300), 'six decibels softer').toBeLessThan(DBFS - 5);
    leg.tell({ type: 'clear' });
    await eventually('cleared with the rest', () => hears(phone, 800, 300) < SILENT);
    await phone.hangUp();
  });

  it('replaces another, loops, and ends with a clear', async () => {
    const { control, phone, events } = await start();
    const first = await control('POST', 'play?loop=0', wavOf(800, { seconds: 0.5 }), WAV);
    expect(first.body.durationMs).toBeNull();
    await sleep(1_200);
    expect(hears(phone, 800, 400), 'without a gap').toBeGreaterThan(-14);
    const second = await control('POST', 'play?loop=3', wavOf(1_200, { seconds: 0.4 }), WAV);
    expect(second.body.durationMs).toBe(1_200);
    await eventually('the second', () => hears(phone, 1_200, 300) > -20);
    await control('POST', 'clear');
    await eventually('silence', () => hears(phone, 1_200, 300) < SILENT);
    const played = events
      .filter(({ type }) => type === 'call.played')
      .map(({ data }) => [data.playId, data.end]);
    expect(played).toEqual([
      [first.body.playId, 'replaced'],
      [second.body.playId, 'cleared'],
    ]);
    expect(await control('DELETE', 'play')).toMatchObject({
      status: 404,
      body: { error: { code: 'GW_PLAY_NONE' } },
    });
    await phone.hangUp();
  });

  it('ends with its call, and is reported before that ends', async () => {
    const { control, phone, event, events } = await start();
    await control('POST', 'play?loop=0', wavOf(800), WAV);
    await sleep(200);
    await phone.hangUp();
    expect(await event('call.ended')).toBeDefined();
    const order = events
      .map(({ type }) => type)
      .filter((type) => type === 'call.played' || type === 'call.ended');
    expect(order).toEqual(['call.played', 'call.ended']);
    expect(await event('call.played')).toMatchObject({ end: 'call-ended' });
  });

  it('may play a file, also as music on hold, and reads it again after a change', async () => {
    mkdirSync(join(directory, 'music'));
    const path = join(directory, 'music', 'wait.wav');
    writeFileSync(path, wavOf(800));
    const { control, phone, event } = await start();
    const { status } = await control('POST', 'play', { file: 'music/wait.wav' });
    expect(status).toBe(201);
    expect(await event('call.played')).toMatchObject({ end: 'finished' });
    expect(hears(phone, 800, 500)).toBeGreaterThan(-20);
    writeFileSync(path, wavOf(1_200, { seconds: 2 }));
    expect(await control('POST', 'hold', { file: 'music/wait.wav' })).toMatchObject({ status: 200 });
    await eventually('the new music', () => hears(phone, 1_200, 300) > -20, 8_000);
    await sleep(2_500);
    expect(hears(phone, 1_200, 300), 'again and again').toBeGreaterThan(-20);
    expect((await control('POST', 'play', wavOf(500), WAV)).status).toBe(201);
    await eventually(
      'a play before music',
      () => hears(phone, 500, 300) > -20 && hears(phone, 1_200, 300) < SILENT,
    );
    await eventually('the music again', () => hears(phone, 1_200, 300) > -20, 8_000);
    await phone.hangUp();
  }, 30_000);

  it('reads nothing outside its directory', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'trunkline-outside-'));
    writeFileSync(join(outside, 'secret.wav'), wavOf(800));
    symlinkSync(join(outside, 'secret.wav'), join(directory, 'link.wav'));
    symlinkSync(outside, join(directory, 'linked'));
    writeFileSync(join(directory, 'good.wav'), wavOf(800));
    execFileSync('mkfifo', [join(directory, 'pipe.wav')]);
    symlinkSync('good.wav', join(directory, 'alias.wav'));
    const { control, phone } = await start();
    try {
      for (const file of [
        '../secret.wav',
        `${outside}/secret.wav`,
        `../${outside.split('/').at(-1)}/secret.wav`,
        'link.wav',
        'linked/secret.wav',
        'missing.wav',
        'pipe.wav',
        'good.wav\0.wav',
        '.',
        '../server',
      ]) {
        expect(await control('POST', 'play', { file }), file).toMatchObject({
          status: 404,
          body: { error: { code: 'GW_PLAY_FILE_UNKNOWN' } },
        });
      }
      expect((await control('POST', 'play', { file: 'alias.wav' })).status).toBe(201);
    } finally {
      await phone.hangUp();
      rmSync(outside, { recursive: true });
    }
  });

  it('accepts only a readable WAV file within its size', async () => {
    const { control, phone } = await start();
    const bad = async (body: Uint8Array, what: string) =>
      expect(await control('POST', 'play', body, WAV), what).toMatchObject({
        status: 400,
        body: {
          error: { code: 'GW_WAV_INVALID', message: expect.stringMatching(/^Expected .* but received /) },
        },
      });
    const good = wavOf(800);
    await bad(new TextEncoder().encode('no WAV at all'), 'text');
    await bad(new Uint8Array(), 'nothing');
    await bad(good.subarray(0, 40), 'no data');
    await bad(good.subarray(0, 44), 'no sample');
    const twenty = Uint8Array.from(good);
    twenty[34] = 20;
    await bad(twenty, '20 bits');
    await bad(wavOf(800, { rate: 12_345 }), 'an odd rate');
    const three = Uint8Array.from(good);
    three[22] = 3;
    await bad(three, 'three channels');
    const large = await control('POST', 'play', new Uint8Array(2 * 1024 * 1024 + 1), WAV).catch(
      () => undefined,
    );
    // The connection may close before the answer is read.
    if (large !== undefined)
      expect(large).toMatchObject({ status: 413, body: { error: { code: 'GW_BODY_TOO_LARGE' } } });
    for (const query of [
      '?loop=x',
      '?loop=-1',
      '?loop=1.5',
      '?gain=13',
      '?over=1',
      '?colour=red',
      '?wav=a',
    ]) {
      expect(await control('POST', `play${query}`, good, WAV), query).toMatchObject({
        status: 400,
        body: { error: { code: 'GW_BAD_REQUEST' } },
      });
    }
    // WAV files written to a pipe have no length.
    const piped = Buffer.from(good);
    piped.writeUInt32LE(0xffffffff, 40);
    expect(await control('POST', 'play', piped, WAV)).toMatchObject({
      status: 201,
      body: { durationMs: 1_000 },
    });
    await phone.hangUp();
  });

  it('lasts at most ten minutes, from a file of limited size', async () => {
    const { gateway, callId, control, phone } = await start();
    await expect(gateway.control.play(callId, mulawOf(601))).rejects.toMatchObject({
      code: 'GW_WAV_TOO_LONG',
      status: 413,
    });
    const path = join(directory, 'huge.wav');
    writeFileSync(path, mulawOf(1));
    truncateSync(path, 117 * 1024 * 1024);
    expect(await control('POST', 'play', { file: 'huge.wav' })).toMatchObject({
      status: 413,
      body: { error: { code: 'GW_WAV_TOO_LONG' } },
    });
    await phone.hangUp();
  });

  it('reads no file of a directory whose name begins the same', async () => {
    const parent = mkdtempSync(join(tmpdir(), 'trunkline-sibling-'));
    for (const name of ['sounds', 'sounds-of-others']) {
      mkdirSync(join(parent, name));
      writeFileSync(join(parent, name, 'a.wav'), mulawOf(1));
    }
    const clips = new Clips(join(parent, 'sounds'));
    expect((await clips.get('a.wav')).durationMs).toBe(1_000);
    await expect(clips.get('../sounds-of-others/a.wav')).rejects.toMatchObject({
      code: 'GW_PLAY_FILE_UNKNOWN',
    });
    rmSync(parent, { recursive: true });
  });

  it('of uploads takes bounded memory over all calls, freed when they end', async () => {
    const { gateway, url } = await startControlled({ stuckSeconds: 3_600 });
    const wav = mulawOf(600);
    const callers = await Promise.all(Array.from({ length: 15 }, () => Caller.call(url)));
    await eventually('all are live', () => gateway.calls.listActive().every(({ state }) => state === 'live'));
    const ids = gateway.calls.listActive().map(({ callId }) => callId);
    expect(ids).toHaveLength(15);
    const play = (id: string, sound = wav) =>
      gateway.control
        .play(id, sound)
        .then(({ durationMs }) => durationMs)
        .catch(({ code }) => code);
    const [first, last] = [ids[0] as string, ids[14] as string];
    const outcomes: unknown[] = [];
    for (const id of ids) outcomes.push(await play(id));
    // 9.6 MB each, of 128 MiB.
    const most = [...Array.from({ length: 13 }, () => 600_000), 'GW_PLAYS_FULL', 'GW_PLAYS_FULL'];
    expect(outcomes).toEqual(most);
    await gateway.control.stopPlay(first);
    expect(await play(last)).toBe(600_000);
    for (const id of [...ids.slice(1, 13), last]) await gateway.control.stopPlay(id);
    // A sound that is never played frees its memory too.
    for (let i = 0; i < 15; i++) expect(await play(first, wav.subarray(4))).toBe('GW_WAV_INVALID');
    const late = Promise.all([play(first), play(first)]);
    await gateway.control.stopPlay(first).catch(() => {});
    expect(await late).toEqual(['GW_SUPERSEDED', 'GW_SUPERSEDED']);
    expect(await Promise.all(ids.map((id) => play(id))), 'all at once').toEqual(most);
    for (const caller of callers) caller.hangUp();
  }, 60_000);

  it('of a file needs PLAY_DIR, which must be a directory', async () => {
    const { control, phone } = await start({ playDir: undefined });
    expect(await control('POST', 'play', { file: 'x.wav' })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_PLAY_OFF' } },
    });
    await phone.hangUp();
    await expect(startGateway({ playDir: join(directory, 'none') })).rejects.toMatchObject({
      code: 'GW_PLAY_DIR',
    });
  });
});
