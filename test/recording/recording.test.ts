import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import wavefile from 'wavefile';
import { Recording, type RecordRate } from '../../src/recording/recording.js';
import { WavFile } from '../../src/recording/wav-file.js';
import { tone } from '../support/media.js';
import { VirtualClock } from '../support/virtual-clock.js';

const LEVEL = 8_000;
const FRAME_MS = 20;
const FRAME = 960;

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'trunkline-recording-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A recording on a clock driven by the test. */
async function start(name: string, rate: RecordRate = 16_000) {
  const path = join(directory, `${name}-${rate}.wav`);
  const wav = await WavFile.create(path, rate, (error) => {
    throw error;
  });
  const clock = new VirtualClock();
  const options = { callId: 'c', file: name, rate, maxSeconds: 60, leadMs: 120 };
  const recording = new Recording(options, wav, clock);
  recording.begin();
  return {
    recording,
    clock,
    finish: async () => {
      const result = await recording.finish('stopped');
      const file = new wavefile.WaveFile(readFileSync(path));
      const [left, right] = file.getSamples(false, Int16Array) as unknown as [Int16Array, Int16Array];
      return { result, left, right };
    },
  };
}

/** 48 kHz frames, silent except for a tone. */
function speech(totalMs: number, fromMs: number, untilMs: number): Int16Array[] {
  const pcm = new Int16Array(totalMs * 48);
  pcm.set(tone(1_000, 48_000, (untilMs - fromMs) * 48, LEVEL), fromMs * 48);
  return Array.from({ length: totalMs / FRAME_MS }, (_, i) => pcm.subarray(i * FRAME, (i + 1) * FRAME));
}

/** Start and end of the sound in milliseconds. */
function sound(pcm: Int16Array, rate: number): [number, number] {
  const isLoud = (sample: number) => Math.abs(sample) > LEVEL / 2;
  return [(pcm.findIndex(isLoud) * 1_000) / rate, (pcm.findLastIndex(isLoud) * 1_000) / rate];
}

/** From the half-level threshold and, at 8 kHz, the core's filter. */
const PRECISION_MS = 2;

describe('a recording places everything at its time in the call', () => {
  it.each([8_000, 16_000, 48_000] as const)('within 2 ms at %i Hz, however audio arrives', async (rate) => {
    const { recording, clock, finish } = await start('clock', rate);
    const begun = clock.now();
    const caller = speech(6_000, 1_000, 4_000);
    const rest = speech(6_000, 2_000, 2_500);
    let nextSaid = 0;
    for (let ms = 0; ms <= 6_000; ms += 5) {
      clock.advance(begun + ms - clock.now());
      // Lets the disk keep up.
      if (ms % 100 === 0) await clock.pass(0);
      // The network stalls for 1.5 seconds during the caller's words; otherwise up to 15 ms of jitter.
      const isStalled = ms > 2_000 && ms < 3_500;
      while (
        !isStalled &&
        (nextSaid + 1) * FRAME_MS + ((nextSaid * 7) % 16) <= ms &&
        nextSaid < caller.length
      ) {
        recording.callerAudio(caller[nextSaid] as Int16Array, 700 + nextSaid * FRAME_MS);
        nextSaid += 1;
      }
      // Five frames at once every 100 ms: each is heard after the ones before it.
      if (ms % 100 === 0 && ms < 6_000) {
        for (let k = 0; k < 5; k++) recording.phoneAudio(rest[ms / FRAME_MS + k] as Int16Array, k * FRAME_MS);
      }
    }
    const { result, left, right } = await finish();
    expect(result).toMatchObject({ end: 'stopped', seconds: 6, droppedMs: 0, lateMs: 0 });
    expect([left.length, right.length]).toEqual([6 * rate, 6 * rate]);
    const [callerFrom, callerUntil] = sound(left, rate);
    expect(Math.abs(callerFrom - 1_000)).toBeLessThan(PRECISION_MS);
    expect(Math.abs(callerUntil - 4_000)).toBeLessThan(PRECISION_MS);
    const [restFrom, restUntil] = sound(right, rate);
    expect(Math.abs(restFrom - 2_000)).toBeLessThan(PRECISION_MS);
    expect(Math.abs(restUntil - 2_500)).toBeLessThan(PRECISION_MS);
    // No seam in the caller's three seconds: every period of the tone has its peak.
    const period = rate / 1_000;
    for (let ms = 1_010; ms < 3_990; ms++) {
      const peak = Math.max(...left.subarray(ms * period, (ms + 1) * period).map(Math.abs));
      expect(peak, `at ${ms} ms`).toBeGreaterThan(0.85 * LEVEL);
      expect(peak).toBeLessThan(1.15 * LEVEL);
    }
  });

  it('as silence if there is no audio, for however long', async () => {
    const { recording, clock, finish } = await start('silence');
    const begun = clock.now();
    const [loud] = speech(20, 0, 20);
    recording.phoneAudio(loud as Int16Array, 0);
    clock.advance(begun + 50_000 - clock.now());
    recording.phoneAudio(loud as Int16Array, 0);
    clock.advance(begun + 55_000 - clock.now());
    const { result, left, right } = await finish();
    expect(result).toMatchObject({ seconds: 55, droppedMs: 0 });
    expect(left.every((sample) => sample === 0)).toBe(true);
    expect(Math.abs(sound(right.subarray(16_000), 16_000)[0] - 49_000)).toBeLessThan(PRECISION_MS);
    expect(right.subarray(1_600, 49 * 16_000).every((sample) => sample === 0)).toBe(true);
  });

  it.each([1_000, 100])('up to the last word before it ends, after %i ms', async (ms) => {
    const { recording, clock, finish } = await start(`last-word-${ms}`);
    for (const [i, frame] of speech(ms, ms / 2, ms).entries()) {
      clock.advance(FRAME_MS);
      recording.callerAudio(frame, i * FRAME_MS);
    }
    const { left } = await finish();
    expect(left).toHaveLength(ms * 16);
    expect(Math.abs(sound(left, 16_000)[1] - ms)).toBeLessThan(FRAME_MS + PRECISION_MS);
  });

  it('without cleared audio, and with the audio after it', async () => {
    const { recording, clock, finish } = await start('clear');
    const begun = clock.now();
    const frames = speech(100, 0, 100);
    for (const [i, frame] of frames.entries()) recording.phoneAudio(frame, i * FRAME_MS);
    clock.advance(begun + 30 - clock.now());
    recording.cleared(0);
    clock.advance(begun + 300 - clock.now());
    recording.phoneAudio(frames[0] as Int16Array, 0);
    clock.advance(begun + 500 - clock.now());
    const { right } = await finish();
    expect(Math.abs(sound(right.subarray(0, 4_000), 16_000)[1] - 30)).toBeLessThan(PRECISION_MS);
    expect(right.subarray(30 * 16, 294 * 16).every((sample) => sample === 0)).toBe(true);
    expect(Math.abs(sound(right.subarray(4_000), 16_000)[0] - 50)).toBeLessThan(PRECISION_MS);
  });

  it('without audio more than two seconds late, which is counted', async () => {
    const { recording, clock, finish } = await start('late');
    const begun = clock.now();
    const [loud] = speech(20, 0, 20);
    clock.advance(begun + 20 - clock.now());
    recording.callerAudio(loud as Int16Array, 0);
    clock.advance(begun + 3_000 - clock.now());
    recording.callerAudio(loud as Int16Array, 20);
    recording.callerAudio(loud as Int16Array, 2_980);
    const { result, left } = await finish();
    expect(result.lateMs).toBe(20);
    expect(Math.abs(sound(left, 16_000)[1] - 3_000)).toBeLessThan(PRECISION_MS + 4);
  });

  it('and records nothing of a call that was never answered', async () => {
    const path = join(directory, 'unanswered.wav');
    const wav = await WavFile.create(path, 16_000, () => {});
    const options = { callId: 'c', file: 'f', rate: 16_000, maxSeconds: 60, leadMs: 120 } as const;
    const recording = new Recording(options, wav, new VirtualClock());
    recording.callerAudio(new Int16Array(FRAME), 0);
    recording.phoneAudio(new Int16Array(FRAME), 0);
    expect(await recording.finish('call-ended')).toMatchObject({ seconds: 0, end: 'call-ended' });
    expect(readFileSync(path)).toHaveLength(44);
  });
});
