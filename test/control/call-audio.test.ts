import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { CallAudio, type PlayResult } from '../../src/control/call-audio.js';
import { Clip } from '../../src/control/clip.js';
import { FrameClock } from '../../src/media/frame-clock.js';
import type { AudioFilter } from '../../src/phone/audio-tap.js';
import type { TwilioMediaStream } from '../../src/phone/media-stream.js';

const FRAME = new Int16Array(960).fill(5_000);
/** A second of audio with its own level. */
const SECOND = new Clip(new Int16Array(8_000).fill(1_000));
const ONCE = { loop: 1, gain: 0, over: false };

/** A media stream whose listener plays in real time of the test's clock. */
class Line {
  filter: AudioFilter | undefined;
  isWritable = true;
  readonly injected: number[] = [];
  private endsAt = 0;

  get leadMs(): number {
    return Math.max(0, this.endsAt - performance.now());
  }

  inject(frame: Int16Array): void {
    this.injected.push(frame[480] as number);
    this.endsAt = Math.max(this.endsAt, performance.now()) + 20;
  }

  /** Sends a second of the other side in real time. @returns the largest lead before one of its frames, in milliseconds */
  hearRoom(): number {
    let most = 0;
    for (let i = 0; i < 50; i++) {
      vi.advanceTimersByTime(20);
      const heard = this.filter === undefined ? FRAME : this.filter.replace(FRAME);
      if (heard === undefined) continue;
      most = Math.max(most, this.leadMs);
      this.inject(heard);
    }
    return most;
  }
}

function start(leadMs = 120) {
  const line = new Line();
  const played: PlayResult[] = [];
  const audio = new CallAudio(
    line as unknown as TwilioMediaStream,
    leadMs,
    (result) => played.push(result),
    new FrameClock(systemClock),
  );
  return { line, audio, played };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  expect(vi.getTimerCount(), 'a clock left running').toBe(0);
  vi.useRealTimers();
});

describe('a call’s audio', () => {
  it.each([
    [40, 40],
    [120, 100],
    [1_000, 200],
  ])('with a lead of %i ms is never more than %i ms ahead, and never dry', (leadMs, mostMs) => {
    const { line, audio, played } = start(leadMs);
    audio.start(SECOND, ONCE);
    let least = Number.POSITIVE_INFINITY;
    for (let ms = 0; ms < 900; ms++) {
      vi.advanceTimersByTime(1);
      expect(line.leadMs).toBeLessThanOrEqual(mostMs);
      if (ms > 40) least = Math.min(least, line.leadMs);
    }
    expect(least).toBeGreaterThan(0);
    vi.advanceTimersByTime(200);
    expect(line.injected).toHaveLength(50);
    expect(played).toEqual([{ playId: expect.any(String), end: 'finished', playedMs: 1_000 }]);
  });

  it('catches up after a stall within its lead, and waits for a full socket', () => {
    const { line, audio } = start();
    audio.start(SECOND, ONCE);
    vi.advanceTimersByTime(200);
    line.isWritable = false;
    const before = line.injected.length;
    vi.advanceTimersByTime(500);
    expect(line.injected).toHaveLength(before);
    line.isWritable = true;
    vi.advanceTimersByTime(25);
    expect(line.injected.length - before).toBeLessThanOrEqual(6);
    audio.close();
  });

  it('ranks keys over a play over music; what was interrupted continues', () => {
    const { line, audio } = start();
    const levels = () => line.injected.splice(0).map((level) => (level === 0 ? 0 : Math.round(level / 100)));
    audio.hold(new Clip(new Int16Array(8_000).fill(300)));
    vi.advanceTimersByTime(200);
    expect(new Set(levels().slice(1))).toEqual(new Set([3]));
    audio.start(new Clip(new Int16Array(1_600).fill(1_000)), ONCE);
    vi.advanceTimersByTime(40);
    audio.dial('w');
    levels();
    vi.advanceTimersByTime(400);
    expect(new Set(levels()), 'half a second of silence').toEqual(new Set([0]));
    vi.advanceTimersByTime(600);
    const after = levels();
    expect(after).toContain(10);
    expect(after.lastIndexOf(10)).toBeLessThan(after.indexOf(3));
    expect(audio.isHeld).toBe(true);
    audio.close();
  });

  it('filters the stream only while needed', () => {
    const { line, audio, played } = start();
    expect(line.filter).toBeUndefined();
    audio.mute('room');
    expect(line.filter?.replace(FRAME)).toBeUndefined();
    expect(line.filter?.silencesCaller).toBe(false);
    audio.mute('caller');
    expect(line.filter?.replace(FRAME)).toBe(FRAME);
    expect(line.filter?.silencesCaller).toBe(true);
    audio.mute(undefined);
    expect(line.filter).toBeUndefined();
    audio.dial('1');
    expect(line.filter?.replace(FRAME)).toBeUndefined();
    vi.advanceTimersByTime(400);
    expect(line.filter?.replace(FRAME), 'heard with the next frame').toBe(FRAME);
    expect(line.filter).toBeUndefined();
    audio.start(SECOND, ONCE);
    expect(line.filter).toBe(audio);
    audio.cleared();
    expect(line.filter).toBeUndefined();
    expect(played.map(({ end }) => end)).toEqual(['cleared']);
    expect(audio.stop()).toBeUndefined();
  });

  it.each([
    ['keys', (audio: CallAudio) => audio.dial('12')],
    ['a short play', (audio: CallAudio) => audio.start(new Clip(new Int16Array(320).fill(1_000)), ONCE)],
    ['music', (audio: CallAudio) => setTimeout(() => audio.unhold(), 300) && audio.hold(SECOND)],
    ['a mute', (audio: CallAudio) => setTimeout(() => audio.mute(undefined), 300) && audio.mute('room')],
  ])('leaves the other side no later after %s than before', (_, begin) => {
    const { line, audio } = start();
    expect(line.hearRoom()).toBe(0);
    begin(audio);
    line.hearRoom();
    line.hearRoom();
    expect(line.hearRoom()).toBeLessThanOrEqual(20);
    expect(line.filter).toBeUndefined();
  });

  it('drops nothing that the other side sent before a hold too late to be heard', () => {
    const { line, audio } = start();
    for (let i = 0; i < 50; i++) line.inject(FRAME);
    audio.hold(SECOND);
    vi.advanceTimersByTime(300);
    audio.unhold();
    expect(line.filter).toBeUndefined();
  });

  it('begins a mixed play when the other side is heard again', () => {
    const { line, audio, played } = start();
    audio.hold(SECOND);
    line.hearRoom();
    audio.start(new Clip(new Int16Array(4_000).fill(1_000)), { ...ONCE, over: true });
    audio.unhold();
    line.injected.length = 0;
    for (let second = 0; second < 2; second++) expect(line.hearRoom()).toBeLessThanOrEqual(40);
    const mixed = line.injected.filter((level) => Math.abs(level - 6_000) < 20);
    expect(mixed.length, 'of 25 frames').toBeGreaterThan(20);
    expect(played).toMatchObject([{ end: 'finished', playedMs: 500 }]);
    expect(line.filter).toBeUndefined();
  });

  it('mixes at the pace of the other side, and continues alone when that falls silent', () => {
    const { line, audio } = start();
    audio.start(SECOND, { ...ONCE, over: true });
    vi.advanceTimersByTime(30);
    const alone = line.injected.length;
    expect(alone, 'no more than it needs').toBeLessThanOrEqual(3);
    const mixed = Array.from({ length: 10 }, () => (audio.replace(FRAME) as Int16Array)[480]);
    expect(mixed.every((sample) => Math.abs((sample as number) - 6_000) < 20)).toBe(true);
    const loud = new Int16Array(960).fill(32_500);
    const together = (audio.replace(loud) as Int16Array)[480];
    expect(together, 'limited, not clipped').toBeGreaterThan(28_000);
    expect(together).toBeLessThan(32_500);
    expect(FRAME[480], 'what comes is not changed').toBe(5_000);
    vi.advanceTimersByTime(300);
    expect(line.injected.length).toBeGreaterThan(alone + 10);
    audio.close();
  });

  it('stays closed, whatever comes late', () => {
    const { line, audio, played } = start();
    audio.start(SECOND, { ...ONCE, loop: Number.POSITIVE_INFINITY });
    audio.close();
    audio.hold(SECOND);
    audio.mute('both');
    audio.close();
    expect(line.filter).toBeUndefined();
    vi.advanceTimersByTime(200);
    expect(line.injected).toEqual([]);
    expect(played.map(({ end }) => end)).toEqual(['call-ended']);
  });
});
