import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { EchoPairs } from '../../src/simulator/echo-pairs.js';
import {
  AudioSource,
  encodeMulaw,
  FRAME_BYTES,
  FRAME_MS,
  type InboundCallOptions,
  MULAW_SILENCE,
  SimulatedTwilio,
} from '../../src/simulator/index.js';
import { ReferenceGateway } from '../support/reference-gateway.js';
import { clock, sleep, virtualTime } from '../support/time.js';

virtualTime();

/** What a server does to the frames that it echoes. */
interface Deed {
  readonly at: number;
  readonly what: 'leaves out' | 'puts in silence' | 'repeats' | 'silences' | 'shortens';
  /** Frames; bytes where it shortens. */
  readonly by: number;
}

/** Bytes in, bytes out, as an echo that does something to some frames. */
class Echo {
  private readonly deeds: Map<number, Deed>;
  private frame = 0;
  private leaving = 0;
  private silencing = 0;

  constructor(deeds: readonly Deed[]) {
    this.deeds = new Map(deeds.map((deed) => [deed.at, deed]));
  }

  /** @returns what it says for a frame: none, or more than one */
  next(frame: Uint8Array): Uint8Array {
    const deed = this.deeds.get(this.frame);
    this.frame += 1;
    const by = deed?.by ?? 0;
    if (deed?.what === 'leaves out') this.leaving = by;
    if (deed?.what === 'silences') this.silencing = by;
    if (this.leaving > 0) {
      this.leaving -= 1;
      return new Uint8Array(0);
    }
    if (this.silencing > 0) {
      this.silencing -= 1;
      return silence(1);
    }
    if (deed?.what === 'puts in silence') return Buffer.concat([silence(by), frame]);
    if (deed?.what === 'repeats') return Buffer.concat(Array.from({ length: by + 1 }, () => frame));
    return deed?.what === 'shortens' ? frame.subarray(by) : frame;
  }
}

const silence = (frames: number) => new Uint8Array(frames * FRAME_BYTES).fill(MULAW_SILENCE);
const speech = AudioSource.speech();
const FRAMES = speech.payloads.length;
const levels = Array.from({ length: FRAMES }, (_, frame) => {
  const samples = speech.pcm.subarray(frame * FRAME_BYTES, (frame + 1) * FRAME_BYTES);
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return 10 * Math.log10(power / 32_768 ** 2);
});
/** The first frame from one on with which so many pauses, or words, begin. */
function first(kind: 'pause' | 'word', frames: number, from: number): number {
  const fits = (at: number) => {
    const level = levels[at % FRAMES] as number;
    return kind === 'pause' ? level < -42 : level > -30;
  };
  for (let at = from; ; at++) {
    if (Array.from({ length: frames }, (_, i) => fits(at + i)).every(Boolean)) return at;
  }
}

/** An echo without sockets: frame by frame, a millisecond or more later, through a filter that takes half a millisecond. */
function converse(audio: AudioSource, frames: number, deeds: readonly Deed[], delayMs = 1) {
  const pairs = new EchoPairs((sentAt, cameAt) => roundTrips.push(cameAt - sentAt));
  const roundTrips: number[] = [];
  const { payloads, pcm } = audio;
  const echo = new Echo(deeds);
  const late: { at: number; payload: string }[] = [];
  let waiting = Buffer.alloc(0);
  const filter = 4;
  for (let frame = 0; frame < frames; frame++) {
    const sentAt = frame * FRAME_MS;
    const begin = frame * FRAME_BYTES - filter;
    const samples = new Int16Array(FRAME_BYTES).map((_, i) => pcm.at((begin + i) % pcm.length) as number);
    waiting = Buffer.concat([waiting, echo.next(encodeMulaw(samples))]);
    pairs.frameSent(payloads[frame % payloads.length] as string, sentAt);
    for (; waiting.length >= FRAME_BYTES; waiting = waiting.subarray(FRAME_BYTES)) {
      late.push({ at: sentAt + delayMs, payload: waiting.toString('base64', 0, FRAME_BYTES) });
    }
    while (late[0] !== undefined && late[0].at < sentAt + FRAME_MS) {
      const { at, payload } = late.shift() as { at: number; payload: string };
      pairs.mediaReceived(payload, FRAME_BYTES, at);
    }
  }
  pairs.conclude();
  const due = pairs.sentUntil(frames * FRAME_MS - delayMs - 300);
  return { roundTrips, isRight: pairs.isRight, back: pairs.framesBack, ...pairs.leftOut(due) };
}

/** Numbers that look random and are the same each time. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
}

/** Some such deeds one after the other, at places that differ from seed to seed. */
function deedsOf(seed: number, what: Deed['what'], kind: 'pause' | 'word', least: number): Deed[] {
  const below = random(seed);
  const deeds: Deed[] = [];
  for (let from = 10 + below(40); from < 500; ) {
    const by = least + below(6);
    const at = first(kind, by, from);
    deeds.push({ at, what, by });
    from = at + by + 25 + below(80);
  }
  return deeds.filter(({ at }) => at < 500);
}
const sum = (deeds: readonly Deed[]) => deeds.reduce((total, { by }) => total + by, 0);
const SEEDS = Array.from({ length: 25 }, (_, i) => i + 1);

describe('frames and their echoes', () => {
  it('are paired in order if nothing is left out, however late', () => {
    for (const delayMs of [1, 400, 1999]) {
      const { roundTrips, back, ...found } = converse(speech, 500, [], delayMs);
      expect(found).toEqual({ isRight: true, framesMissing: 0, pausesLeftOut: 0, wordsShortenedMs: 0 });
      expect(roundTrips).toEqual(Array.from({ length: back }, () => delayMs));
    }
  });

  it('are found after pauses that were left out', () => {
    for (const seed of SEEDS) {
      const deeds = deedsOf(seed, 'leaves out', 'pause', 1);
      const delayMs = seed % 3 === 0 ? 150 : 1;
      const { roundTrips, back, ...found } = converse(speech, 600, deeds, delayMs);
      expect(found, `seed ${seed}`).toMatchObject({ isRight: true, framesMissing: 0 });
      expect(Math.abs(found.pausesLeftOut - sum(deeds)), `seed ${seed}`).toBeLessThanOrEqual(1);
      expect(new Set(roundTrips), `seed ${seed}`).toEqual(new Set([delayMs]));
      expect(roundTrips.length, `seed ${seed}`).toBeGreaterThan(0.8 * back);
    }
  });

  it('are missing where words were dropped or replaced by silence', () => {
    for (const what of ['leaves out', 'silences'] as const) {
      for (const seed of SEEDS) {
        const deeds = deedsOf(seed, what, 'word', 3);
        const { roundTrips, back, framesMissing, pausesLeftOut } = converse(speech, 600, deeds);
        const which = `${what}, seed ${seed}`;
        expect(Math.abs(framesMissing - sum(deeds)), which).toBeLessThanOrEqual(2);
        expect(pausesLeftOut, which).toBeLessThanOrEqual(2);
        // Within a vowel, adjacent frames are indistinguishable.
        expect(roundTrips.filter((ms) => ms !== 1).length, which).toBeLessThanOrEqual(0.02 * back);
        expect(roundTrips.length, which).toBeGreaterThan(0.6 * back);
      }
    }
  });

  it('are found after inserted silence', () => {
    for (const seed of SEEDS) {
      const deeds = deedsOf(seed, 'puts in silence', 'word', 1);
      const { roundTrips, back, framesMissing, isRight } = converse(speech, 600, deeds);
      expect(isRight, `seed ${seed}`).toBe(true);
      // Silence within a word may look like silence in the place of a part of it.
      expect(framesMissing, `seed ${seed}`).toBeLessThanOrEqual(3);
      expect(roundTrips.filter((ms) => ms !== 1).length, `seed ${seed}`).toBeLessThanOrEqual(0.02 * back);
      expect(roundTrips.length, `seed ${seed}`).toBeGreaterThan(0.6 * back);
    }
  });

  it('are found after repeated frames', () => {
    const deeds = [40, 150, 320].map((from) => ({
      at: first('word', 3, from),
      what: 'repeats' as const,
      by: 3,
    }));
    const { roundTrips, back, framesMissing } = converse(speech, 500, deeds);
    expect(framesMissing).toBe(0);
    expect(roundTrips.filter((ms) => ms !== 1).length).toBeLessThanOrEqual(0.02 * back);
    expect(roundTrips.length).toBeGreaterThan(0.7 * back);
  });

  it('are not missing where words are slightly shorter; those that straddle two have no round trip', () => {
    // 7 ms in every 80: less than 15 % of them.
    const deeds = Array.from({ length: 25 }, (_, i) => ({
      at: 20 + 4 * i,
      what: 'shortens' as const,
      by: 56,
    }));
    const { roundTrips, framesMissing, pausesLeftOut, wordsShortenedMs } = converse(speech, 500, deeds);
    expect(framesMissing).toBeLessThanOrEqual(1);
    const cutMs = 25 * 7;
    expect(Math.abs(wordsShortenedMs + pausesLeftOut * FRAME_MS - cutMs)).toBeLessThanOrEqual(40);
    expect(wordsShortenedMs).toBeGreaterThan(cutMs / 2);
    // No echo arrives before its frame was sent, or more than a frame later.
    expect(Math.max(...roundTrips)).toBeLessThanOrEqual(21);
    // One cut, and all that comes after it is neither this frame's nor the next's.
    const cut = first('word', 4, 60);
    const once = converse(speech, 500, [{ at: cut, what: 'shortens', by: 80 }]);
    expect(once).toMatchObject({ framesMissing: 0, pausesLeftOut: 0, isRight: true });
    expect(once.roundTrips.length).toBeLessThanOrEqual(cut);
  });

  it('are missing where more is cut than words may be shortened by', () => {
    // 15 ms out of every 40.
    const deeds = Array.from({ length: 60 }, (_, i) => ({
      at: 110 + 2 * i,
      what: 'shortens' as const,
      by: 120,
    }));
    expect(converse(speech, 500, deeds).framesMissing).toBeGreaterThan(10);
  });

  it('are paired one to one if the sound does not vary', () => {
    for (const audio of [AudioSource.tone(440), AudioSource.silence()]) {
      const { roundTrips, back, isRight, framesMissing } = converse(audio, 300, [], 100);
      expect({ isRight, framesMissing }, audio.name).toEqual({ isRight: undefined, framesMissing: 0 });
      expect(roundTrips, audio.name).toEqual(Array.from({ length: back }, () => 100));
    }
  });

  it('are not paired with another sound', () => {
    const other = new AudioSource('backwards', speech.pcm.slice().reverse());
    const roundTrips: number[] = [];
    const pairs = new EchoPairs((sentAt, cameAt) => roundTrips.push(cameAt - sentAt));
    for (let frame = 0; frame < 1_000; frame++) {
      pairs.frameSent(speech.payloads[frame % FRAMES] as string, frame * FRAME_MS);
      pairs.mediaReceived(other.payloads[frame % FRAMES] as string, FRAME_BYTES, frame * FRAME_MS + 1);
    }
    pairs.conclude();
    expect(pairs.isRight).toBe(false);
    expect(roundTrips.length).toBeLessThan(100);
  });

  it('are paired one to one if no echo is expected', () => {
    const roundTrips: number[] = [];
    const pairs = new EchoPairs((sentAt, cameAt) => roundTrips.push(cameAt - sentAt), false);
    for (let frame = 0; frame < 200; frame++) {
      pairs.frameSent(speech.payloads[frame] as string, frame * FRAME_MS);
      const other = AudioSource.tone(300).payloads[0] as string;
      if (frame < 150) pairs.mediaReceived(other, FRAME_BYTES, frame * FRAME_MS + 7);
    }
    pairs.conclude();
    expect(pairs.isRight).toBeUndefined();
    expect(roundTrips).toEqual(Array.from({ length: 150 }, () => 7));
    expect(pairs.leftOut(200)).toEqual({ framesMissing: 50, pausesLeftOut: 0, wordsShortenedMs: 0 });
  });

  it('may arrive in messages of any size', () => {
    const roundTrips: number[] = [];
    const pairs = new EchoPairs((sentAt, cameAt) => roundTrips.push(cameAt - sentAt));
    const bytes = Buffer.concat(speech.payloads.map((payload) => Buffer.from(payload, 'base64')));
    for (let frame = 0; frame < FRAMES; frame++) pairs.frameSent(speech.payloads[frame] as string, frame);
    const below = random(7);
    for (let at = 0; at < bytes.length; ) {
      const size = at < bytes.length / 2 ? 1 + below(1000) : bytes.length - at;
      pairs.mediaReceived(bytes.toString('base64', at, at + size), Math.min(size, bytes.length - at), FRAMES);
      at += size;
    }
    pairs.conclude();
    expect(pairs).toMatchObject({ isRight: true, framesBack: FRAMES });
    expect(pairs.leftOut(FRAMES)).toEqual({ framesMissing: 0, pausesLeftOut: 0, wordsShortenedMs: 0 });
    expect(roundTrips).toEqual(Array.from({ length: FRAMES }, (_, frame) => FRAMES - frame));
  });
});

describe('a phone whose server', () => {
  let gateway: ReferenceGateway;
  let twilio: SimulatedTwilio;
  let deeds: readonly Deed[];
  let delayMs: number;
  beforeEach(async () => {
    deeds = [];
    delayMs = 0;
    gateway = await ReferenceGateway.listen({ onStream: answer });
    twilio = new SimulatedTwilio({
      clock,
      authToken: '12345',
      dial: { publicUrl: gateway.publicUrl, target: gateway.target },
    });
  });
  afterEach(async () => {
    await twilio.close();
    await gateway.close();
  });

  function answer(socket: WebSocket): void {
    const echo = new Echo(deeds);
    let waiting = Buffer.alloc(0);
    socket.on('message', (data) => {
      const { event, streamSid, media } = JSON.parse(String(data));
      if (event !== 'media') return;
      waiting = Buffer.concat([waiting, echo.next(Buffer.from(media.payload, 'base64'))]);
      for (; waiting.length >= FRAME_BYTES; waiting = waiting.subarray(FRAME_BYTES)) {
        const payload = waiting.toString('base64', 0, FRAME_BYTES);
        const message = JSON.stringify({ event: 'media', streamSid, media: { payload } });
        if (delayMs === 0) socket.send(message);
        else clock.after(delayMs, () => socket.send(message));
      }
    });
  }

  async function talk(ms: number, options: Partial<InboundCallOptions> = {}) {
    const call = { webhookUrl: gateway.voiceUrl, from: '+12065550100', to: '+14155550123', audio: speech };
    const phone = twilio.placeCall({ ...call, record: true, ...options });
    await phone.started;
    await sleep(ms);
    await phone.hangUp();
    const report = phone.report();
    if (report === undefined) throw new Error('Expected a report');
    return report;
  }

  it('leaves out pauses hears all of its words, in time', async () => {
    deeds = deedsOf(3, 'leaves out', 'pause', 2).filter(({ at }) => at < 350);
    const report = await talk(8_000);
    expect(report).toMatchObject({ framesMissing: 0, pairing: 'valid', wordsShortenedMs: 0 });
    expect(Math.abs(report.pausesLeftOut - sum(deeds))).toBeLessThanOrEqual(1);
    expect(report.proof?.received.correlation).toBeGreaterThan(0.99);
    expect(report.proof?.heard.correlation).toBeGreaterThan(0.98);
    expect(report.roundTrip.maxMs).toBeLessThan(20);
    expect(report.roundTrip.count).toBeGreaterThan(0.8 * report.framesReceived);
  });

  it('shortens words hears them all', async () => {
    deeds = Array.from({ length: 30 }, (_, i) => ({ at: 20 + 5 * i, what: 'shortens', by: 72 }));
    const report = await talk(5_000);
    expect(report).toMatchObject({ pairing: 'valid' });
    expect(report.framesMissing).toBeLessThanOrEqual(1);
    expect(report.wordsShortenedMs).toBeGreaterThan(0);
    expect(report.proof?.received.correlation).toBeGreaterThan(0.98);
  });

  it('drops words misses them', async () => {
    deeds = [100, 200].map((from) => ({ at: first('word', 8, from), what: 'leaves out', by: 8 }));
    const report = await talk(6_000);
    expect(report).toMatchObject({ framesMissing: 16, pausesLeftOut: 0, pairing: 'valid' });
    expect(report.roundTrip.maxMs).toBeLessThan(20);
  });

  it('is always late sees that', async () => {
    delayMs = 500;
    const report = await talk(6_000);
    expect(report).toMatchObject({ framesMissing: 0, pausesLeftOut: 0, pairing: 'valid' });
    expect(report.roundTrip.p50Ms).toBeGreaterThanOrEqual(500);
    expect(report.roundTrip.p50Ms).toBeLessThan(520);
  });

  it('inserts silence detects that, and hears everything', async () => {
    deeds = [{ at: first('word', 1, 120), what: 'puts in silence', by: 25 }];
    const report = await talk(6_000);
    expect(report).toMatchObject({ framesMissing: 0, pausesLeftOut: 0, pairing: 'valid' });
    expect(report.framesReceived).toBeGreaterThan(report.framesSent);
    expect(report.roundTrip.maxMs).toBeLessThan(20);
    expect(report.proof?.received.correlation).toBeGreaterThan(0.98);
  });
});
