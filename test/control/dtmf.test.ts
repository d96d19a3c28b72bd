import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { createResampler } from '../../src/index.js';
import { hears, startControlled } from '../support/control.js';
import { TestLeg } from '../support/leg.js';
import { amplitudeAt, decibels, tone } from '../support/media.js';
import { needs } from '../support/needs.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const KEYS = '0123456789*#ABCD';
const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477, 1633];
const KEYPAD = '123A456B789C*0#D';
/** Samples per second that multimon-ng reads. */
const MULTIMON_RATE = 22_050;

const hasMultimon = needs(
  'multimon-ng',
  'apt-get install multimon-ng',
  () => spawnSync('multimon-ng', ['-h']).error === undefined,
);

/** The keys that Debian's multimon-ng detects in what a phone heard. */
async function decoded(heard: Int16Array): Promise<string> {
  const resampler = await createResampler(8_000, MULTIMON_RATE);
  const pcm = Buffer.concat(
    [resampler.process(heard), resampler.flush()].map((part) =>
      Buffer.from(part.buffer, part.byteOffset, part.byteLength),
    ),
  );
  resampler.close();
  const { stdout, error } = spawnSync('multimon-ng', ['-q', '-t', 'raw', '-a', 'DTMF', '-'], { input: pcm });
  if (error !== undefined) throw error;
  return [...String(stdout).matchAll(/^DTMF: (\S)$/gm)].map(([, key]) => key).join('');
}

/** Lengths of sounds and of the silences between them, in milliseconds, measured in windows of 5 ms. */
function stretches(heard: Int16Array): number[] {
  const lengths: number[] = [];
  let wasLoud = false;
  for (let at = 0; at + 40 <= heard.length; at += 40) {
    const isLoud = Math.max(...heard.subarray(at, at + 40).map(Math.abs)) > 1_000;
    if (isLoud !== wasLoud) lengths.push(0);
    if (lengths.length > 0) lengths[lengths.length - 1] = (lengths.at(-1) as number) + 5;
    wasLoud = isLoud;
  }
  return lengths;
}

async function start() {
  // With the largest lead, a busy machine makes no gaps in keys.
  const started = await startControlled({ leadMs: 1_000, prepareCall: () => ({ room: 'desk' }) });
  const leg = await TestLeg.join(started.url, 'desk', '?rate=16000');
  return { ...started, ...(await started.place()), leg };
}

describe('keys', () => {
  it.runIf(hasMultimon).each([
    [{}, 200],
    [{ toneMs: 50, pauseMs: 50 }, 100],
    [{ toneMs: 400, pauseMs: 80 }, 480],
  ])(
    'made with %j are decoded by an independent decoder, all sixteen',
    async (timing, keyMs) => {
      const { control, phone } = await start();
      const { status, body } = await control('POST', 'dtmf', { digits: KEYS, ...timing });
      expect([status, body]).toEqual([202, { durationMs: KEYS.length * keyMs }]);
      await sleep(body.durationMs + 400);
      const heard = phone.heard();
      await phone.hangUp();
      expect(await decoded(heard)).toBe(KEYS);
    },
    30_000,
  );

  it('have the frequencies, levels and times of ITU-T Q.23 and Q.24', async () => {
    const { control, phone } = await start();
    const { body } = await control('POST', 'dtmf', { digits: 'd5w1', toneMs: 70, pauseMs: 60 });
    expect(body.durationMs).toBe(3 * 130 + 500);
    await sleep(1_300);
    const heard = phone.heard();
    await phone.hangUp();
    const [d, pause, five, wait, one] = stretches(heard).slice(0, 5) as [
      number,
      number,
      number,
      number,
      number,
    ];
    for (const [name, ms] of Object.entries({ d, five, one }))
      expect(Math.abs(ms - 70), name).toBeLessThanOrEqual(15);
    expect(Math.abs(pause - 60)).toBeLessThanOrEqual(15);
    expect(Math.abs(wait - 560)).toBeLessThanOrEqual(15);
    const begin = heard.findIndex((sample) => Math.abs(sample) > 1_000);
    // 40 ms within the first key's tone.
    const key = heard.subarray(begin + 80, begin + 400);
    const at = KEYPAD.indexOf('D');
    const level = (hz: number) => decibels(amplitudeAt(hz, 8_000, key) / 22_657);
    const low = level(ROWS[at >> 2] as number);
    const high = level(COLUMNS[at & 3] as number);
    expect(Math.abs(low - -9), 'dBm0 of the row').toBeLessThan(1);
    expect(Math.abs(high - -7), 'dBm0 of the column').toBeLessThan(1);
  });

  it('replace everything else, one row after another, until a clear drops them', async () => {
    const { control, phone, leg } = await start();
    leg.say(tone(600, 16_000, 25 * 16_000, 8_000));
    await eventually('the room', () => hears(phone, 600, 300) > -20);
    await control('POST', 'dtmf', { digits: '1', toneMs: 700 });
    expect((await control('POST', 'dtmf', { digits: '1111', toneMs: 700 })).body.durationMs).toBeGreaterThan(
      3_500,
    );
    await eventually('nothing of the room', () => hears(phone, 600, 300) < -45);
    await control('POST', 'clear');
    await eventually('the room again', () => hears(phone, 600, 300) > -20);
    await phone.hangUp();
  });

  it('are rejected beyond 64 waiting', async () => {
    const { control, phone } = await start();
    expect((await control('POST', 'dtmf', { digits: '1'.repeat(64) })).status).toBe(202);
    expect(await control('POST', 'dtmf', { digits: '12345678' })).toMatchObject({
      status: 409,
      body: { error: { code: 'GW_DTMF_QUEUE_FULL' } },
    });
    for (const bad of [
      {},
      { digits: '' },
      { digits: '1'.repeat(65) },
      { digits: '1x' },
      { digits: 1 },
      { digits: '1', toneMs: 39 },
      { digits: '1', toneMs: 2_001 },
      { digits: '1', pauseMs: 20 },
      { digits: '1', toneMs: 50.5 },
    ]) {
      expect(await control('POST', 'dtmf', bad), JSON.stringify(bad)).toMatchObject({
        status: 400,
        body: { error: { code: 'GW_BAD_REQUEST' } },
      });
    }
    await phone.hangUp();
  });
});
