import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import wavefile from 'wavefile';
import type { Bridge, BridgeLeg } from '../../src/index.js';
import { core } from '../../src/media/thread-core.js';
import { AudioSource, MouthToEar, type SimulatedPhone } from '../../src/simulator/index.js';
import { ask } from '../support/control.js';
import { startWithPhones } from '../support/heard.js';
import { KEY, TestLeg } from '../support/leg.js';
import { resample } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

/** Speech with pauses, and continuous music. */
const TALK = () => AudioSource.sweep({ pauses: 1 });
const MUSIC = () => AudioSource.sweep();
/** Delay that may remain. */
const BACK_MS = 40;
/** Words that may be lost: the gateway's lead, plus a few milliseconds around a seam. */
const LOST_MS = 120 + 20;
/** Shortening cuts pieces of at most this length, one pitch period. */
const SEAM_MS = 25;

/**
 * Two phones in a room of a gateway.
 * @param says `third` adds a third phone, so that the room mixes
 */
async function twoPhones(says: {
  readonly caller: AudioSource;
  readonly other?: AudioSource;
  readonly third?: AudioSource;
}) {
  const { place } = await startWithPhones({ localRoom: 'to' });
  const other = await place('+15550002222', says.other);
  if (says.third !== undefined) await place('+15550003333', says.third);
  const caller = await place('+15550001111', says.caller);
  return { caller, other };
}

/** The receiver of a program, which hears a frame when it arrives. */
class ProgramEar {
  private readonly frames: { readonly at: number; readonly pcm: Int16Array }[] = [];

  hear(pcm: Int16Array): void {
    this.frames.push({ at: clock.now(), pcm: pcm.slice() });
  }

  get frameCount(): number {
    return this.frames.length;
  }

  /** @param rate sample rate of the frames, which all have the same length */
  wayFrom(phone: SimulatedPhone, rate = 48_000): MouthToEar {
    const [utterance] = phone.utterances;
    const length = this.frames[0]?.pcm.length ?? 1;
    const heard = new Int16Array(this.frames.length * length);
    this.frames.forEach(({ pcm }, i) => {
      heard.set(pcm, i * length);
    });
    const frameMs = (length * 1_000) / rate;
    const heardAt = (ms: number) => (this.frames[Math.floor(ms / frameMs)]?.at ?? 0) + (ms % frameMs);
    return new MouthToEar({ utterance: utterance ?? expect.fail('nothing was said'), heard, heardAt, rate });
  }
}

/**
 * The delay before a stall, when it is back within 40 ms of that for good, the delay at the end, and how much
 * audio from after the stall was never heard.
 */
function recovery(way: MouthToEar, begun: number, over: number) {
  const before = way.delayMs(begun - 2_000, begun) ?? Number.NaN;
  const back = way.backAt(before + BACK_MS, over);
  const end = clock.now() - 1_000;
  return {
    before,
    backMs: back === undefined ? Number.POSITIVE_INFINITY : back - over,
    atEnd: way.delayMs(end) ?? Number.POSITIVE_INFINITY,
    lostMs: way.lostMs(over, end, SEAM_MS),
  };
}

function isBackWithin(ms: number, figures: ReturnType<typeof recovery>): void {
  const seen = Object.entries(figures).map(([name, value]) => `${name} ${Math.round(value)}`);
  expect(figures.before, seen.join(', ')).toBeLessThan(120);
  expect(figures.backMs, seen.join(', ')).toBeLessThanOrEqual(ms);
  expect(figures.lostMs, seen.join(', ')).toBeLessThanOrEqual(LOST_MS);
}

describe('what a caller hears after a stall', () => {
  it.each([1_000, 3_000, 10_000])('of %i ms on its way to the phone, amid talk', async (ms) => {
    const { caller, other } = await twoPhones({ caller: TALK() });
    await sleep(4_000);
    const begun = clock.now();
    await other.stream.stallReading(ms);
    const over = clock.now();
    await sleep(10_000);
    isBackWithin(3_000, recovery(MouthToEar.between(caller.phone, other.phone), begun, over));
  });

  it.each([1_000, 3_000, 10_000])('of %i ms on its way to the phone, amid music', async (ms) => {
    const { caller, other } = await twoPhones({ caller: MUSIC() });
    await sleep(4_000);
    const begun = clock.now();
    await other.stream.stallReading(ms);
    const over = clock.now();
    await sleep(15_000);
    isBackWithin(10_000, recovery(MouthToEar.between(caller.phone, other.phone), begun, over));
  });

  it.each([1_000, 3_000])('of %i ms both ways', async (ms) => {
    const { caller, other } = await twoPhones({
      caller: TALK(),
      other: AudioSource.sweep({ pauses: 2 }),
    });
    await sleep(4_000);
    const begun = clock.now();
    await Promise.all([other.stream.stallReading(ms), other.stream.stallSending(ms)]);
    const over = clock.now();
    await sleep(10_000);
    isBackWithin(3_000, recovery(MouthToEar.between(caller.phone, other.phone), begun, over));
    isBackWithin(2_000, recovery(MouthToEar.between(other.phone, caller.phone), begun, over));
  });

  it.each([1_000, 3_000])('of %i ms on its way from the phone', async (ms) => {
    const { caller, other } = await twoPhones({ caller: TALK() });
    await sleep(4_000);
    const begun = clock.now();
    await caller.stream.stallSending(ms);
    const over = clock.now();
    await sleep(10_000);
    isBackWithin(2_000, recovery(MouthToEar.between(caller.phone, other.phone), begun, over));
  });

  it.each(['to', 'from'] as const)('of a second on its way %s the phone, in a mix of three', async (way) => {
    const { caller, other } = await twoPhones({ caller: TALK(), third: AudioSource.silence() });
    await sleep(4_000);
    const begun = clock.now();
    await (way === 'to' ? other.stream.stallReading(1_000) : caller.stream.stallSending(1_000));
    const over = clock.now();
    await sleep(10_000);
    const figures = recovery(MouthToEar.between(caller.phone, other.phone), begun, over);
    isBackWithin(way === 'to' ? 3_000 : 2_000, figures);
  });

  it('of a second from the listening phone, whose marks are late', async () => {
    const { caller, other } = await twoPhones({ caller: TALK() });
    await sleep(4_000);
    const begun = clock.now();
    await other.stream.stallSending(1_000);
    const over = clock.now();
    await sleep(10_000);
    isBackWithin(3_000, recovery(MouthToEar.between(caller.phone, other.phone), begun, over));
  });

  it('of a second each, three times', async () => {
    const { caller, other } = await twoPhones({ caller: TALK() });
    await sleep(4_000);
    const begun = clock.now();
    for (let stall = 0; stall < 3; stall++) {
      await other.stream.stallReading(1_000);
      const over = clock.now();
      await sleep(6_000);
      isBackWithin(3_000, recovery(MouthToEar.between(caller.phone, other.phone), begun, over));
    }
  });
});

describe('what a program hears', () => {
  it('after a second without audio from the phone', async () => {
    const { place, url } = await startWithPhones({
      controlApiKey: KEY,
      prepareCall: () => ({ room: 'desk' }),
    });
    const leg = await TestLeg.join(url, 'desk');
    const ear = new ProgramEar();
    leg.socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) ear.hear(new Int16Array(Uint8Array.from(data).buffer));
    });
    const { phone, stream } = await place('+15550001111', TALK());
    await sleep(4_000);
    const begun = clock.now();
    await stream.stallSending(1_000);
    const over = clock.now();
    await sleep(10_000);
    isBackWithin(2_000, recovery(ear.wayFrom(phone), begun, over));
    leg.close();
  });

  it.each([0, 1_000, 2_500])(
    'of a caller who speaks at once, when joining takes %i ms: every word, and live again',
    async (ms) => {
      const ear = new ProgramEar();
      let joined = Number.NaN;
      const leg: BridgeLeg = { write: (frame) => ear.hear(frame), dtmf: () => {}, close: () => {} };
      const bridge: Bridge = {
        name: 'slow',
        join: async () => {
          await sleep(ms);
          joined = clock.now();
          return leg;
        },
        close: async () => {},
      };
      const { place } = await startWithPhones({ bridge });
      // Two fifths of its first seconds are pauses, as in the whole.
      const { phone } = await place('+15550001111', AudioSource.sweep({ pauses: 10 }));
      await sleep(ms + 10_000);
      await eventually('audio', () => ear.frameCount > 100);
      const way = ear.wayFrom(phone);
      const end = clock.now() - 1_000;
      const usual = way.delayMs(end - 2_000, end) ?? Number.POSITIVE_INFINITY;
      const back = (way.backAt(usual + BACK_MS, joined) ?? Number.POSITIVE_INFINITY) - joined;
      const lost = way.lostMs(0, end, SEAM_MS);
      const seen = `usual ${Math.round(usual)}, back after ${Math.round(back)}, lost ${lost}`;
      expect(usual, seen).toBeLessThan(80);
      expect(lost, seen).toBeLessThanOrEqual(20);
      expect(back, seen).toBeLessThanOrEqual(4_000);
    },
  );
});

describe('a recording of a call whose downlink stalls', () => {
  const directory = mkdtempSync(join(tmpdir(), 'trunkline-heard-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('stays in time on both sides', async () => {
    const { place, url, gateway } = await startWithPhones({
      localRoom: 'to',
      controlApiKey: KEY,
      recordDir: directory,
    });
    const listener = await place('+15550002222', AudioSource.sweep({ pauses: 2 }));
    const [call] = gateway.calls.listActive();
    const speaker = await place('+15550001111', TALK());
    await sleep(1_000);
    const at = clock.now();
    const callId = call?.callId ?? '';
    const asked = await ask(url, 'POST', callId, 'recording', { rate: 8_000 });
    expect(asked.status).toBe(201);
    await sleep(4_000);
    const begun = clock.now();
    await listener.stream.stallReading(1_000);
    const over = clock.now();
    await sleep(8_000);
    const end = clock.now();
    const { body } = await ask(url, 'DELETE', callId, 'recording');
    const wav = new wavefile.WaveFile(readFileSync(join(directory, body.file)));
    const [left, right] = wav.getSamples(false, Int16Array) as unknown as [Int16Array, Int16Array];
    const wayOf = (phone: SimulatedPhone, heard: Int16Array) => {
      const [utterance] = phone.utterances;
      return new MouthToEar({ utterance: utterance ?? expect.fail('said nothing'), heard, heardAt: at });
    };
    for (const [side, way] of [
      ['the caller', wayOf(listener.phone, left)],
      ['the other', wayOf(speaker.phone, right)],
    ] as const) {
      const before = way.delayMs(at, begun) ?? expect.fail(`nothing of ${side}`);
      expect(Math.abs(before), side).toBeLessThan(150);
      const after = way.delayMs(over + 3_000, end) ?? expect.fail(`nothing of ${side}`);
      expect(Math.abs(after - before), side).toBeLessThanOrEqual(BACK_MS);
    }
    const caller = wayOf(listener.phone, left);
    const usual = caller.delayMs(at, begun) ?? Number.NaN;
    expect(caller.longestMs(at)).toBeLessThanOrEqual(usual + BACK_MS);
    expect(caller.lostMs(at + 100, end - 500)).toBeLessThanOrEqual(20);
  });
});

describe('last words', () => {
  /** A program says something and hangs up right after it. */
  async function lastWords(
    ms: number,
    options: { readonly after?: 'now' | 'words'; readonly isMute?: boolean } = {},
  ) {
    const { place, url, gateway } = await startWithPhones({
      controlApiKey: KEY,
      prepareCall: () => ({ room: 'desk' }),
    });
    const leg = await TestLeg.join(url, 'desk');
    const { phone, stream } = await place('+15550001111');
    await leg.event('joined');
    await sleep(500);
    // Then no mark is echoed.
    if (options.isMute === true) void stream.stallSending(60_000);
    const audio = AudioSource.sweep();
    const at = clock.now();
    leg.say(resample(new core.Upsampler(), 6, audio.pcm.subarray(0, ms * 8)));
    leg.tell({ type: 'hangup', ...(options.after && { after: options.after }) });
    await eventually('the end', () => gateway.calls.size === 0, ms + 5_000);
    const tookMs = clock.now() - at;
    leg.close();
    const way = new MouthToEar({
      utterance: { audio, at, until: at + ms },
      heard: phone.heard(),
      heardAt: stream.times.startedAt,
    });
    return { lostMs: way.lostMs(at, at + ms), tookMs };
  }

  it.each([
    [200, {}],
    [1_200, { after: 'words' }],
    [2_000, {}],
  ] as const)(
    'of %i ms that a program sends right before it hangs up are heard (%j)',
    async (ms, options) => {
      const { lostMs, tookMs } = await lastWords(ms, options);
      // The filters hold back a few milliseconds.
      expect(lostMs).toBeLessThanOrEqual(10);
      expect(tookMs).toBeLessThan(ms + 600);
    },
  );

  it('are waited for by the clock if no mark is echoed', async () => {
    const { lostMs, tookMs } = await lastWords(1_200, { isMute: true });
    expect(lostMs).toBeLessThanOrEqual(10);
    expect(tookMs).toBeLessThan(1_200 + 120 + 300 + 300);
  });

  it('are cut off if the program asks for it', async () => {
    const { lostMs, tookMs } = await lastWords(2_000, { after: 'now' });
    expect(lostMs).toBeGreaterThan(1_500);
    expect(tookMs).toBeLessThan(500);
  });
});

it('a program is heard by one phone while the way to another stalls, and by both afterwards', async () => {
  const { place, url } = await startWithPhones({
    controlApiKey: KEY,
    prepareCall: () => ({ room: 'desk' }),
  });
  const leg = await TestLeg.join(url, 'desk', '?rate=48000');
  const one = await place('+15550001111');
  const other = await place('+15550002222');
  await eventually('both', () => leg.all('joined').length === 2);
  await sleep(1_000);
  const audio = TALK();
  const ms = 8_000;
  const at = clock.now();
  leg.say(resample(new core.Upsampler(), 6, audio.pcm.subarray(0, ms * 8)));
  await sleep(1_000);
  const begun = clock.now();
  await other.stream.stallReading(1_000);
  const over = clock.now();
  await sleep(ms);
  leg.close();
  const wayTo = ({ phone, stream }: typeof one) =>
    new MouthToEar({
      utterance: { audio, at, until: at + ms },
      heard: phone.heard(),
      heardAt: stream.times.startedAt,
    });
  expect(wayTo(one).lostMs(at, at + ms)).toBeLessThanOrEqual(20);
  expect(wayTo(one).longestMs(at)).toBeLessThan(100);
  const back = wayTo(other);
  const before = back.delayMs(at, begun) ?? Number.NaN;
  expect(back.delayMs(over + 3_000) ?? Number.NaN).toBeLessThanOrEqual(before + BACK_MS);
  expect(back.lostMs(over, at + ms, SEAM_MS)).toBeLessThanOrEqual(LOST_MS);
});
