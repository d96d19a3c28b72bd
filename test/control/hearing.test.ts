import { describe, expect, it } from 'vitest';
import { AudioSource } from '../../src/simulator/index.js';
import { hears, startControlled } from '../support/control.js';
import { TestLeg } from '../support/leg.js';
import { decibels, tone, usualAmplitude } from '../support/media.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const LEVEL = 8_000;
/** {@link LEVEL} relative to full scale. */
const DBFS = -12.25;
const SILENT = -45;

/** Level of a tone in a program's latest half second. */
function legHears(leg: TestLeg, hz: number, rate = 16_000): number {
  const frames = leg.frames.slice(-25);
  const pcm = new Int16Array(frames.reduce((sum, frame) => sum + frame.length, 0));
  let at = 0;
  for (const frame of frames) {
    pcm.set(frame, at);
    at += frame.length;
  }
  return decibels(usualAmplitude(hz, rate, pcm) / 32_768);
}

/** A caller who plays 1 kHz, in a room with a program that plays 600 Hz. */
async function startPair() {
  const started = await startControlled({ prepareCall: () => ({ room: 'desk' }) });
  const caller = await started.place(AudioSource.tone(1_000, DBFS));
  const leg = await TestLeg.join(started.url, 'desk', '?rate=16000');
  leg.say(tone(600, 16_000, 25 * 16_000, LEVEL));
  await eventually(
    'both hear each other',
    () => hears(caller.phone, 600) > -20 && legHears(leg, 1_000) > -20,
  );
  return { ...started, ...caller, leg };
}

/** Waits until a level passes a bound. */
const becomes = (what: string, level: () => number, side: 'above' | 'below', bound: number) =>
  eventually(what, () => (side === 'above' ? level() > bound : level() < bound), 8_000);

describe('mute', () => {
  it('silences the caller, the room, or both, until unmuted', async () => {
    const { control, phone, leg } = await startPair();
    expect(await control('POST', 'mute')).toEqual({ status: 200, body: { muted: 'caller' } });
    await becomes('the caller is silent', () => legHears(leg, 1_000), 'below', SILENT);
    expect(hears(phone, 600)).toBeGreaterThan(-20);
    expect(await control('POST', 'mute', { voice: 'room' })).toMatchObject({ body: { muted: 'room' } });
    await becomes('the room is silent', () => hears(phone, 600), 'below', SILENT);
    await becomes('the caller is heard again', () => legHears(leg, 1_000), 'above', -20);
    expect(await control('POST', 'mute', { voice: 'both' })).toMatchObject({ body: { muted: 'both' } });
    await becomes('the caller is silent again', () => legHears(leg, 1_000), 'below', SILENT);
    expect(hears(phone, 600)).toBeLessThan(SILENT);
    expect(await control('DELETE', 'mute')).toEqual({ status: 200, body: { muted: null } });
    await becomes('the caller is back', () => legHears(leg, 1_000), 'above', -20);
    await becomes('the room is back', () => hears(phone, 600), 'above', -20);
    leg.close();
    await phone.hangUp();
  });
});

describe('hold', () => {
  it('plays music to the caller; neither side hears the other', async () => {
    const { control, phone, leg } = await startPair();
    expect(await control('POST', 'hold')).toEqual({ status: 200, body: { held: true } });
    await becomes('the caller is silent', () => legHears(leg, 1_000), 'below', SILENT);
    await becomes('the room is silent', () => hears(phone, 600), 'below', SILENT);
    const loudest = () => Math.max(...phone.heard().subarray(-48_000).map(Math.abs));
    await sleep(6_000);
    expect(loudest(), 'the notes').toBeGreaterThan(400);
    expect(loudest(), 'softly').toBeLessThan(2_000);
    expect(await control('DELETE', 'hold')).toEqual({ status: 200, body: { held: false } });
    await becomes('the caller is back', () => legHears(leg, 1_000), 'above', -20);
    await becomes('the room is back', () => hears(phone, 600), 'above', -20);
    leg.close();
    await phone.hangUp();
  }, 30_000);
});

describe('clear', () => {
  it('drops queued audio and the current play', async () => {
    const { control, phone, callId, gateway, event } = await startControlled({
      prepareCall: () => ({ bridge: false }),
      leadMs: 5_000,
    }).then(async (started) => ({ ...started, ...(await started.place()) }));
    gateway.stream(callId)?.sendAudio(tone(600, 48_000, 4 * 48_000, LEVEL));
    await becomes('the tone', () => hears(phone, 600, 300), 'above', -20);
    const { status, body } = await control('POST', 'clear');
    expect(status).toBe(200);
    expect(body.discardedMs).toBeGreaterThan(1_000);
    expect(body.playedMs + body.discardedMs).toBeGreaterThan(3_900);
    await becomes('silence', () => hears(phone, 600, 300), 'below', SILENT);
    await gateway.control.play(callId, { file: 'x' }).catch(({ code }) => expect(code).toBe('GW_PLAY_OFF'));
    await phone.hangUp();
    expect(await event('call.ended')).toMatchObject({ cause: 'stop' });
  });
});

describe('mark', () => {
  it('reports whether it was heard or cleared', async () => {
    const { control, phone, callId, gateway, events, event } = await startControlled({
      prepareCall: () => ({ bridge: false }),
      leadMs: 5_000,
    }).then(async (started) => ({ ...started, ...(await started.place()) }));
    const stream = gateway.stream(callId);
    stream?.sendAudio(tone(600, 48_000, 24_000, LEVEL));
    expect(await control('POST', 'mark', { name: 'half a second' })).toEqual({
      status: 202,
      body: { name: 'half a second' },
    });
    const marked = new Promise((resolve) =>
      gateway.once('mark', (call, echo) => resolve([call.callId, echo])),
    );
    expect(await marked).toEqual([callId, { name: 'half a second', playedMs: 500, cleared: false }]);
    expect(await event('call.mark')).toEqual({ name: 'half a second', playedMs: 500, cleared: false });
    stream?.sendAudio(tone(600, 48_000, 48_000, LEVEL));
    await control('POST', 'mark', { name: 'never' });
    await control('POST', 'clear');
    const echoes = () => events.filter(({ type }) => type === 'call.mark');
    await eventually('the second mark', () => echoes().length === 2);
    expect(echoes()[1]?.data).toMatchObject({ name: 'never', cleared: true });
    // Marks of others are not reported.
    stream?.mark('by hand');
    const own = new Promise((resolve) => stream?.once('mark', resolve));
    expect(await own).toMatchObject({ name: 'by hand' });
    expect(echoes()).toHaveLength(2);
    await phone.hangUp();
  });
});
