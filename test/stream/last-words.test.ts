import { describe, expect, it } from 'vitest';
import type { PhoneLine } from '../../src/bridge/bridge.js';
import { realStream } from '../support/stream-real.js';
import { eventually, sleep } from '../support/time.js';

const { start } = realStream();

const BLOCK = 480;
const SPEECH_MS = 1_200;
/** The last syllable has a distinct pitch. */
const SYLLABLE_MS = 40;
const [SPEECH_HZ, SYLLABLE_HZ] = [1_000, 3_000];
const LEVEL = 8_000;

/** A phone line that records frames until it is hung up: later ones would not be heard. */
class Line implements PhoneLine {
  readonly isLive = true;
  private readonly frames: Int16Array[] = [];
  ended: { readonly at: number; readonly now: boolean } | undefined;
  failed: unknown;

  write(frame: Int16Array): void {
    if (this.ended === undefined) this.frames.push(frame.slice());
  }

  hangUp({ now = false } = {}): void {
    this.ended ??= { at: performance.now(), now };
  }

  fail(error: unknown): void {
    this.failed = error;
  }

  clear = () => ({ playedMs: 0, discardedMs: 0 });
  mark(): void {}
  transfer(): void {}

  /** Milliseconds in which a pitch was heard, by pieces of 5 ms. */
  heardMs(hz: number): number {
    const step = 240;
    let ms = 0;
    for (const frame of this.frames) {
      for (let at = 0; at < frame.length; at += step) {
        if (amplitude(hz, frame.subarray(at, at + step)) > LEVEL / 2) ms += 5;
      }
    }
    return ms;
  }
}

/** Amplitude of a pitch, of which whole periods fit into the samples. */
function amplitude(hz: number, samples: Int16Array): number {
  let re = 0;
  let im = 0;
  samples.forEach((sample, i) => {
    re += sample * Math.cos((2 * Math.PI * hz * i) / 48_000);
    im += sample * Math.sin((2 * Math.PI * hz * i) / 48_000);
  });
  return (2 * Math.hypot(re, im)) / samples.length;
}

/** A phone and an agent in a call, and a way to let the agent say its sentence. */
async function talk(media?: 'inline') {
  const setup = await start(media === undefined ? {} : { bridge: { media } });
  const other = await setup.agent('agent');
  const line = new Line();
  const { signal } = new AbortController();
  const leg = await setup.bridge.join(
    { callId: 'call', room: setup.room, user: { id: 'phone' }, signal },
    line,
  );
  // The jitter buffer finds its depth.
  await sleep(1_000);
  const blocks = SPEECH_MS / 10;
  const speech = Array.from({ length: blocks }, (_, index) => {
    const hz = index >= blocks - SYLLABLE_MS / 10 ? SYLLABLE_HZ : SPEECH_HZ;
    return Int16Array.from({ length: BLOCK }, (_, i) => LEVEL * Math.sin((2 * Math.PI * hz * i) / 48_000));
  });
  const silence = new Int16Array(BLOCK);
  /** Fulfilled so many milliseconds after the last of it was said; silence follows. */
  const say = (afterMs: number) =>
    new Promise<void>((resolve) => {
      let said = 0;
      other.playFrames(() => {
        const block = speech[said++];
        if (said === blocks + afterMs / 10) resolve();
        return block ?? silence;
      });
    });
  return { ...setup, other, line, leg, say };
}

/** To its end, but for pieces of 5 ms that hide at either edge; a jitter buffer shortens or stretches the rest as it likes. */
function expectAll(line: Line): void {
  const [speech, syllable] = [line.heardMs(SPEECH_HZ), line.heardMs(SYLLABLE_HZ)];
  if (process.env.TEST_LOG) console.log('heard', speech, syllable);
  expect(syllable).toBeGreaterThanOrEqual(SYLLABLE_MS - 10);
}

describe.each([undefined, 'inline'] as const)(
  'everything said before the end is heard (media: %s)',
  (media) => {
    it.each([10, 30, 50])('when the call ends %d ms later', async (ms) => {
      const { say, other, line } = await talk(media);
      await say(ms);
      await other.endCall();
      await eventually('the end', () => line.ended !== undefined, 10_000);
      expectAll(line);
    });

    it.each([10, 30])('when the phone is hung up %d ms later', async (ms) => {
      const { say, other, line } = await talk(media);
      await say(ms);
      await other.sendEvent({ type: 'phone.hangup' });
      await eventually('the end', () => line.ended !== undefined, 10_000);
      expectAll(line);
      expect(line.ended?.now).toBe(false);
    });

    it('when the speaker leaves', async () => {
      const { say, other, line, leg } = await talk(media);
      await say(10);
      await other.leave();
      await sleep(1_000);
      expectAll(line);
      await leg.close();
    });
  },
);

it('is cut off on request', async () => {
  const { say, other, line } = await talk();
  void say(0);
  await sleep(600);
  const begun = performance.now();
  await other.sendEvent({ type: 'phone.hangup', after: 'now' });
  await eventually('the end', () => line.ended !== undefined, 10_000);
  expect(line.ended?.now).toBe(true);
  expect(line.heardMs(SPEECH_HZ)).toBeLessThan(SPEECH_MS - 300);
  expect(line.ended?.at).toBeGreaterThan(begun);
});

it('does not wait for a speaker who keeps talking', async () => {
  const { other, line } = await talk();
  other.play(SPEECH_HZ, LEVEL);
  await eventually('speech', () => line.heardMs(SPEECH_HZ) > 500, 10_000);
  await other.sendEvent({ type: 'phone.hangup' });
  await eventually('the end', () => line.ended !== undefined, 10_000);
});
