import { deepStrictEqual } from 'node:assert';
import { describe, expect, test } from 'vitest';
import type { Transcoder } from '../../src/media/core.js';
import { core, createTranscoder, info, samples } from '../../src/media/thread-core.js';
import { loadWasm, WASM_MODULES } from '../../src/media/wasm.js';
import { decibels, media, noise, randomNumbers, STREAM_SID, speech, tone } from '../support/media.js';

const FRAME = 160;
/** What the filter looks back over, at 48 kHz. */
const MEMORY = 6 * 51;

function bound(format: 'mulaw' | 'l16le' = 'mulaw'): Transcoder {
  const transcoder = createTranscoder({ format });
  transcoder.bind(STREAM_SID);
  return transcoder;
}

/** Payload of linear audio. */
function encoded(pcm: Int16Array, format: 'mulaw' | 'l16le' = 'mulaw'): Uint8Array {
  if (format === 'l16le') return new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  const bytes = new Uint8Array(pcm.length);
  core.encodeMulaw(pcm, bytes);
  return bytes;
}

/** What is heard of µ-law of which the frames in `lost` did not come; or in place of which silence came. */
function heard(payload: Uint8Array, lost: ReadonlySet<number> = new Set(), inPlace?: 'silence'): Int16Array {
  const transcoder = bound();
  const frames = Math.floor(payload.length / FRAME);
  const all = new Int16Array(6 * FRAME * frames);
  let written = 0;
  for (let frame = 0; frame < frames; frame++) {
    const isLost = lost.has(frame);
    if (isLost && !inPlace) continue;
    const bytes = isLost
      ? new Uint8Array(FRAME).fill(0xff)
      : payload.subarray(FRAME * frame, FRAME * (frame + 1));
    const count = transcoder.receive(media({ payload: bytes, timestamp: 20 * frame }));
    all.set(samples.subarray(0, count), written);
    written += count;
  }
  return all.subarray(0, written);
}

const power = (pcm: Int16Array) => pcm.reduce((sum, sample) => sum + sample ** 2, 0) / pcm.length;
const level = (pcm: Int16Array) => decibels(Math.sqrt(power(pcm)) / 32_768);
const peak = (pcm: Int16Array) => pcm.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
const steps = (pcm: Int16Array) =>
  pcm.slice(1).reduce((most, sample, i) => Math.max(most, Math.abs(sample - (pcm[i] as number))), 0);

/** The signal-to-noise ratio of all 20 ms in which somebody speaks, in dB, each within -10 to 35. */
function ratiosOf(found: Int16Array, wanted: Int16Array, only?: ReadonlySet<number>): number[] {
  const ratios: number[] = [];
  for (let from = 0; from + 960 <= found.length; from += 960) {
    const [a, b] = [found, wanted].map((all) => all.subarray(from, from + 960)) as [Int16Array, Int16Array];
    if (power(b) < 100 ** 2 || only?.has(from / 960) === false) continue;
    let error = 0;
    for (let i = 0; i < 960; i++) error += ((a[i] as number) - (b[i] as number)) ** 2;
    ratios.push(error === 0 ? 35 : Math.max(-10, Math.min(35, 10 * Math.log10((power(b) * 960) / error))));
  }
  return ratios;
}

const mean = (numbers: readonly number[]) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;

describe('lost frames of speech', () => {
  const payload = encoded(speech());
  const frames = Math.floor(payload.length / FRAME);
  const whole = heard(payload);

  /** Never the first or the last, and never so many in a row that they fade. */
  function losses(share: number, seed: number): Set<number> {
    const next = randomNumbers(seed);
    const lost = new Set<number>();
    for (let frame = 1; frame < frames - 1; frame++) {
      if (next() / 2 ** 32 < share && !(lost.has(frame - 1) && lost.has(frame - 2))) lost.add(frame);
    }
    return lost;
  }

  test.each([0.01, 0.03, 0.05])('%d of them are concealed better than by silence', (share) => {
    const ratios: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let round = 1; round <= 12; round++) {
      const lost = losses(share, 7_919 * round);
      const [concealed, silent] = [heard(payload, lost), heard(payload, lost, 'silence')];
      expect(concealed.length, 'nothing is longer or shorter').toBe(whole.length);
      for (const [i, found] of [
        ratiosOf(concealed, whole),
        ratiosOf(silent, whole),
        ratiosOf(concealed, whole, lost),
        ratiosOf(silent, whole, lost),
      ].entries()) {
        ratios[i]?.push(...found);
      }
    }
    const [concealed, silent, ofLost, ofSilent] = ratios.map(mean) as [number, number, number, number];
    const figures = `${concealed} dB against ${silent}, in what was lost ${ofLost} against ${ofSilent}`;
    expect(concealed, figures).toBeGreaterThan(silent + 0.15);
    expect(ofLost, figures).toBeGreaterThan(ofSilent + 6);
  });

  test('click no more than speech does, and are as loud as it', () => {
    for (let round = 1; round <= 5; round++) {
      const concealed = heard(payload, losses(0.1, round));
      expect(steps(concealed)).toBeLessThan(1.2 * steps(whole));
      expect(Math.abs(decibels(power(concealed) / power(whole)) / 2)).toBeLessThan(0.5);
    }
  });

  test('change nothing of what comes after them', () => {
    const lost = new Set([41, 42, 60, 100]);
    const concealed = heard(payload, lost);
    for (let frame = 0; frame < 120; frame++) {
      if (lost.has(frame)) continue;
      // The filter still has what was made up.
      const from = 960 * frame + (lost.has(frame - 1) ? MEMORY : 0);
      deepStrictEqual(
        concealed.subarray(from, 960 * (frame + 1)),
        whole.subarray(from, 960 * (frame + 1)),
        `${frame}`,
      );
    }
  });
});

test.each([90, 125, 200, 333])('a hole in a tone of %i Hz is hardly one', (frequency) => {
  for (const hole of [20, 40]) {
    const pcm = tone(frequency, 8_000, 8_000);
    const lost = new Set(hole === 20 ? [20] : [20, 21]);
    const whole = heard(encoded(pcm));
    const concealed = heard(encoded(pcm), lost);
    const made = concealed.subarray(20 * 960, 20 * 960 + 48 * hole);
    expect(mean(ratiosOf(concealed, whole, lost))).toBeGreaterThan(12);
    expect(Math.abs(level(made) - level(whole))).toBeLessThan(1.5);
    expect(steps(concealed)).toBeLessThan(1.2 * steps(whole));
  }
});

/** 400 ms of audio, a gap, then the same again; returns the audio in the gap, and after it. */
function around(pcm: Int16Array, holeMs: number, format: 'mulaw' | 'l16le' = 'mulaw') {
  const transcoder = bound(format);
  let timestamp = 0;
  const say = () => {
    let count = 0;
    for (let from = 0; from < 3_200; from += FRAME) {
      const payload = encoded(pcm.slice(from, from + FRAME), format);
      const all = transcoder.receive(media({ payload, timestamp }));
      timestamp += 20;
      if (info[2]) return samples.slice(0, all);
      count += all;
    }
    return new Int16Array(count);
  };
  say();
  timestamp += holeMs;
  const all = say();
  return { made: all.subarray(0, all.length - 960), next: all.subarray(all.length - 960) };
}

describe('a hole', () => {
  test.each([60, 100, 200])('of %i ms fades out, and in again at its end', (ms) => {
    const { made } = around(tone(200, 8_000, 3_200), ms);
    expect(made.length).toBe(48 * ms);
    expect(level(made.subarray(0, 480)), 'goes on at first').toBeGreaterThan(-12);
    if (ms > 60) expect(peak(made.subarray(48 * 61, 48 * (ms - 10))), 'is over').toBeLessThan(700);
    expect(level(made.subarray(-96)), 'comes back').toBeGreaterThan(-20);
  });

  test.each([201, 1_000, 60_000])('of %i ms repeats nothing of what was before it', (ms) => {
    const transcoder = bound();
    const loud = encoded(tone(1_000, 8_000, 3_200, 30_000));
    transcoder.receive(media({ payload: loud, timestamp: 0 }));
    const quiet = new Uint8Array(FRAME).fill(0xff);
    expect(transcoder.receive(media({ payload: quiet, timestamp: 400 + ms }))).toBe(6 * 1_600 + 960);
    // A line that was never quiet has noise of -45 dBFS; a tick was 4,000 and more.
    expect(peak(samples.subarray(0, 9_600 + 960))).toBeLessThan(700);
    expect(peak(samples.subarray(9_600 + MEMORY, 9_600 + 960))).toBe(0);
  });

  test.each([
    ['as loud as the line was', -60, -62],
    ['never louder than -45 dBFS', -25, -45],
    ['silent on a silent line', Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ])('has noise %s', (_, line, wanted) => {
    const scale = 10 ** (line / 20) * Math.sqrt(3);
    const { made } = around(
      noise(3_200, 5).map((sample) => Math.round(sample * scale)),
      200,
      'l16le',
    );
    const middle = level(made.subarray(48 * 70, 48 * 180));
    if (Number.isFinite(wanted)) expect(Math.abs(middle - wanted)).toBeLessThan(2.5);
    else expect(middle).toBe(wanted);
  });

  test('has the noise of a line that became noisy', () => {
    const transcoder = bound('l16le');
    const noisy = noise(40_000, 7).map((sample) => Math.round(sample * 0.003));
    const all = Int16Array.from([...new Int16Array(1_600), ...noisy]);
    for (let from = 0; from < all.length; from += FRAME) {
      const payload = encoded(all.slice(from, from + FRAME), 'l16le');
      transcoder.receive(media({ payload, timestamp: from / 8 }));
    }
    transcoder.conceal(9_600);
    expect(Math.abs(level(samples.slice(3_400, 9_600)) - level(noisy))).toBeLessThan(3);
  });

  test('begins without a click where the voice was rising', () => {
    // Half as loud again with every period, and cut off at its peak.
    const pcm = Int16Array.from({ length: 3_360 }, (_, i) =>
      Math.round(9_000 * 1.5 ** ((i - 3_200) / 80) * Math.cos((2 * Math.PI * (i - 3_199)) / 80)),
    );
    const transcoder = bound();
    transcoder.receive(media({ payload: encoded(pcm.subarray(0, 3_200)), timestamp: 0 }));
    const before = samples.slice(18_240, 19_200);
    transcoder.conceal(960);
    const made = samples.slice(0, 960);
    expect(steps(Int16Array.from([...before, ...made]))).toBeLessThan(1.3 * steps(before));
  });

  test('has the noise of the pauses, after words too', () => {
    const transcoder = bound('l16le');
    const line = noise(8_000, 9).map((sample) => sample >> 10);
    const words = tone(300, 8_000, 8_000);
    const all = Int16Array.from([...line, ...words.map((sample, i) => sample + (line[i] as number))]);
    transcoder.receive(media({ payload: encoded(all, 'l16le').subarray(0, 2), timestamp: 0 }));
    for (let from = 0; from < all.length; from += FRAME) {
      transcoder.receive(
        media({ payload: encoded(all.slice(from, from + FRAME), 'l16le'), timestamp: from / 8 }),
      );
    }
    transcoder.conceal(9_600);
    expect(level(samples.slice(3_000, 9_600))).toBeLessThan(-45);
    expect(level(samples.slice(3_000, 9_600))).toBeGreaterThan(-70);
  });
});

describe('conceal', () => {
  const payload = encoded(speech());
  const at = (frame: number) => payload.subarray(FRAME * frame, FRAME * (frame + 1));

  function listening(frames = 50) {
    const transcoder = bound();
    for (let frame = 0; frame < frames; frame++)
      transcoder.receive(media({ payload: at(frame), timestamp: 20 * frame }));
    const receive = (frame: number) => {
      const count = transcoder.receive(media({ payload: at(frame), timestamp: 20 * frame }));
      return { ms: count / 48, filled: info[2], pcm: samples.slice(0, count) };
    };
    return { transcoder, receive };
  }

  test('continues the voice, in pieces of any length', () => {
    // In the middle of a word.
    const whole = listening(30);
    expect(whole.transcoder.conceal(9_600)).toBe(9_600);
    const wanted = samples.slice(0, 9_600);
    const pieces = listening(30);
    let written = 0;
    for (const count of [6, 12, 960, 1_920, 2_880, 3_822]) {
      expect(pieces.transcoder.conceal(count)).toBe(count);
      deepStrictEqual(samples.slice(0, count), wanted.subarray(written, written + count));
      written += count;
    }
    expect(level(wanted.subarray(0, 960))).toBeGreaterThan(-45);
    expect(level(wanted.subarray(3_400))).toBeLessThan(-44);
  });

  test('fades for 50 ms, after 10', () => {
    const transcoder = bound();
    transcoder.receive(media({ payload: encoded(tone(250, 8_000, 3_200)), timestamp: 0 }));
    const before = level(samples.subarray(9_600, 19_200));
    transcoder.conceal(48 * 60);
    const tenths = [0, 1, 2, 3, 4, 5].map((i) => level(samples.slice(480 * i, 480 * (i + 1))) - before);
    // Of the middle of each 10 ms: 1, 0.9, 0.7, 0.5, 0.3, 0.1.
    for (const [i, wanted] of [1, 0.9, 0.7, 0.5, 0.3, 0.1].entries()) {
      expect(Math.abs((tenths[i] as number) - decibels(wanted)), `${10 * i} ms`).toBeLessThan(2);
    }
  });

  test('continues a hiss more softly', () => {
    const transcoder = bound('l16le');
    const hiss = noise(3_200, 11).map((sample) => sample >> 3);
    transcoder.receive(media({ payload: encoded(hiss, 'l16le'), timestamp: 0 }));
    const before = level(samples.subarray(9_600, 19_200));
    transcoder.conceal(480);
    expect(level(samples.slice(0, 480)) - before).toBeGreaterThan(-9);
    expect(level(samples.slice(0, 480)) - before).toBeLessThan(-3);
  });

  test('does not revive a sound that had faded', () => {
    const transcoder = bound();
    transcoder.receive(media({ payload: encoded(tone(250, 8_000, 3_200)), timestamp: 0 }));
    transcoder.conceal(9_600);
    transcoder.receive(media({ payload: new Uint8Array(8).fill(0xff), timestamp: 600 }));
    transcoder.conceal(960);
    expect(peak(samples.subarray(0, 960))).toBeLessThan(700);
  });

  test('advances the timeline: later audio has no gap, or only the rest of a longer one', () => {
    const { transcoder, receive } = listening();
    transcoder.conceal(4_800);
    expect(receive(55)).toMatchObject({ ms: 20, filled: 0 });
    transcoder.conceal(960);
    expect(receive(59)).toMatchObject({ ms: 20 + 40, filled: 40 });
    expect(receive(60)).toMatchObject({ ms: 20, filled: 0 });
  });

  test('fills nothing twice if the audio arrives late or in part', () => {
    const { transcoder, receive } = listening();
    transcoder.conceal(9_600);
    for (const frame of [50, 51, 55, 59, 60, 61]) expect(receive(frame)).toMatchObject({ ms: 20, filled: 0 });
    expect(receive(64)).toMatchObject({ filled: 40 });
    // Once it is over, a step back is a timeline that begins anew, and so is one to before it.
    expect(receive(55)).toMatchObject({ filled: 0 });
    expect(receive(57)).toMatchObject({ filled: 20 });
    transcoder.conceal(960);
    expect(receive(10)).toMatchObject({ filled: 0 });
    expect(receive(12)).toMatchObject({ filled: 20 });
  });

  test('is forgotten by bind, as the timeline is', () => {
    const { transcoder, receive } = listening();
    transcoder.conceal(9_600);
    transcoder.bind(STREAM_SID);
    expect(receive(52)).toMatchObject({ filled: 0 });
    expect(receive(54)).toMatchObject({ filled: 20 });
  });

  test('joins the next audio without a click', () => {
    const whole = heard(payload);
    for (const ms of [20, 60, 200]) {
      for (let frame = 20; frame < 200; frame += 7) {
        const { transcoder, receive } = listening(frame);
        transcoder.conceal(48 * ms);
        const made = samples.slice(0, 48 * ms);
        const next = receive(frame + ms / 20).pcm;
        expect(steps(Int16Array.from([...made, ...next])), `${frame}`).toBeLessThan(1.2 * steps(whole));
        // After 4 ms, and as many as the filter has, it is what it was.
        const from = 6 * 32 + MEMORY;
        deepStrictEqual(next.subarray(from), whole.subarray(960 * (frame + ms / 20)).subarray(from, 960));
      }
    }
  });

  test('joins loud audio without delay', () => {
    // Each frame begins at a peak.
    const wave = tone(100, 8_000, 3_380).subarray(20);
    const transcoder = bound();
    transcoder.receive(media({ payload: encoded(wave.subarray(0, 3_200)), timestamp: 0 }));
    const own = steps(samples.slice(9_600, 19_200));
    for (const timestamp of [600, 820]) {
      transcoder.conceal(9_600);
      const made = samples.slice(4_800, 9_600);
      transcoder.receive(media({ payload: encoded(wave.subarray(3_200)), timestamp }));
      const all = Int16Array.from([...made, ...samples.subarray(0, 960)]);
      expect(steps(all)).toBeLessThan(2 * own);
    }
  });

  test('is silence before the first message, and leaves info unchanged', () => {
    const transcoder = bound();
    transcoder.receive(media({ payload: at(0), timestamp: 5_000 }));
    const before = info.slice();
    const fresh = bound();
    expect(fresh.conceal(48_000)).toBe(48_000);
    expect(samples.subarray(0, 48_000).every((sample) => sample === 0)).toBe(true);
    expect(info).toEqual(before);
    expect(fresh.receive(media({ payload: at(9), timestamp: 5_000 }))).toBe(960);
  });

  test('is the same in every core', () => {
    const [wanted, ...others] = [core, ...WASM_MODULES.map(loadWasm)].map((any) => {
      const transcoder = new any.Transcoder();
      const out = new Int16Array(960);
      const all: number[] = [];
      for (let frame = 30; frame < 90; frame++) {
        if (frame % 5 === 0) {
          transcoder.conceal(960);
          all.push(...new Int16Array(any.slab, any.layout.samples, 960));
        } else {
          transcoder.decode(at(frame), out);
          all.push(...out);
        }
      }
      return all;
    });
    for (const other of others) deepStrictEqual(other, wanted);
  });

  test.each([0, 5, 7, 48_006, -6, 6.5, Number.NaN])('refuses %d samples', (count) => {
    expect(() => bound().conceal(count)).toThrow(
      new RangeError(`Expected a multiple of 6 from 6 to 48000 for samples but received ${count}`),
    );
  });

  test('rejects arguments that are not numbers; works before bind but not after close', () => {
    const transcoder = createTranscoder();
    expect(() => transcoder.conceal('960' as never)).toThrow(
      new TypeError('Expected a number for samples but received "960"'),
    );
    expect(transcoder.conceal(960)).toBe(960);
    transcoder.close();
    expect(() => transcoder.conceal(960)).toThrow(expect.objectContaining({ code: 'GW_TRANSCODER_CLOSED' }));
  });
});
