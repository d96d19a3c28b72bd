import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DtmfTones } from '../../src/media/dtmf.js';
import { core } from '../../src/media/thread-core.js';
import { decibels, noise, resample, sha256, tone } from '../support/media.js';

const RATE = 48_000;
const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477, 1633];
const KEYPAD = '123A456B789C*0#D';
const KEYS = [...KEYPAD].map((key, index) => ({
  key,
  row: ROWS[index >> 2] as number,
  column: COLUMNS[index & 3] as number,
}));

/** Samples of a tone, of the silence after it, and of the ramps at its edges. */
const TONE = 4800;
const KEY = 9600;
const RAMP = 240;

/** More samples than any test here reads. */
const scratch = new Int16Array(1_000_000);

/** Amplitudes at 0 dBm0: of the sequence in table 6 of ITU-T G.711, which is a sine of 1 kHz at that level. */
const ZERO_DBM0 = (() => {
  const pcm = new Int16Array(8);
  core.decodeMulaw(Uint8Array.of(0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e), pcm);
  return Math.sqrt((2 * pcm.reduce((sum, sample) => sum + sample ** 2, 0)) / 8);
})();

/** All there is left in it, a frame at a time, and silence up to the end of the last frame. */
function readAll(tones: DtmfTones, frameSamples = 480): Int16Array {
  let end = 0;
  while (tones.read(scratch.subarray(end, end + frameSamples))) end += frameSamples;
  return scratch.slice(0, end);
}

function play(digits: string, frameSamples?: number): Int16Array {
  const tones = new DtmfTones();
  tones.push(digits);
  return readAll(tones, frameSamples);
}

/** What the phone gets of it: ÷6, µ-law, and back to linear at 8 kHz. */
function onThePhone(pcm: Int16Array): Int16Array {
  const bytes = new Uint8Array(pcm.length / 6);
  new core.Transcoder().encode(pcm, bytes);
  const linear = new Int16Array(bytes.length);
  core.decodeMulaw(bytes, linear);
  return linear;
}

/** Power of one frequency by Goertzel's recurrence: for a sine of amplitude A in N samples (A·N / 2)². */
function goertzel(samples: ArrayLike<number>, frequency: number, rate: number): number {
  const coefficient = 2 * Math.cos((2 * Math.PI * frequency) / rate);
  let [s1, s2] = [0, 0];
  for (let n = 0; n < samples.length; n++) {
    [s1, s2] = [(samples[n] as number) + coefficient * s1 - s2, s1];
  }
  return s1 ** 2 + s2 ** 2 - coefficient * s1 * s2;
}

/** Level of one frequency in dBm0, through a Hann window so that neighbours do not leak into it. */
function levelAt(samples: Int16Array, frequency: number, rate: number): number {
  const windowed = Array.from(
    samples,
    (sample, n) => sample * (0.5 - 0.5 * Math.cos((2 * Math.PI * (n + 0.5)) / samples.length)),
  );
  const amplitude = (2 * Math.sqrt(goertzel(windowed, frequency, rate))) / (samples.length / 2);
  return decibels(amplitude / ZERO_DBM0);
}

/** What Q.23 wants of the steady part of a key. */
function expectPair(samples: Int16Array, rate: number, row: number, column: number): void {
  expect(Math.abs(levelAt(samples, row, rate) - -9)).toBeLessThan(0.3);
  expect(Math.abs(levelAt(samples, column, rate) - -7)).toBeLessThan(0.3);
  for (const other of [...ROWS, ...COLUMNS]) {
    if (other !== row && other !== column) expect(levelAt(samples, other, rate)).toBeLessThan(-9 - 30);
  }
}

// A plain software receiver as telephone systems have it: blocks of 205 samples at 8 kHz.
const BLOCK = 205;
const LEAST_DBM0 = -29;
const HIGHEST_TWIST_DB = 4;
const HIGHEST_REVERSE_TWIST_DB = 8;
const PEAK_OVER_OTHERS_DB = 8;
const SHARE_OF_ENERGY = 0.6;

/** The key in a block, or '' for none. */
function keyIn(block: Int16Array): string {
  const power = (frequency: number) => goertzel(block, frequency, 8000);
  const rows = ROWS.map(power);
  const columns = COLUMNS.map(power);
  const [row, column] = [Math.max(...rows), Math.max(...columns)];
  const energy = block.reduce((sum, sample) => sum + sample ** 2, 0);
  const least = ((ZERO_DBM0 * 10 ** (LEAST_DBM0 / 20) * BLOCK) / 2) ** 2;
  const twist = 10 * Math.log10(column / row);
  const standsOut = (group: number[], peak: number) =>
    group.every((other) => other === peak || 10 * Math.log10(peak / other) > PEAK_OVER_OTHERS_DB);
  const heard =
    Math.min(row, column) > least &&
    twist < HIGHEST_TWIST_DB &&
    -twist < HIGHEST_REVERSE_TWIST_DB &&
    standsOut(rows, row) &&
    standsOut(columns, column) &&
    (2 * (row + column)) / BLOCK > SHARE_OF_ENERGY * energy;
  return heard ? (KEYPAD[4 * rows.indexOf(row) + columns.indexOf(column)] as string) : '';
}

/** The keys in audio at 8 kHz: a key counts once it fills two blocks running, and again after two without it. */
function keysIn(samples: Int16Array): string {
  let keys = '';
  let current = '';
  let last = '';
  for (let begin = 0; begin + BLOCK <= samples.length; begin += BLOCK) {
    const key = keyIn(samples.subarray(begin, begin + BLOCK));
    if (key === last && key !== current) {
      current = key;
      keys += key;
    }
    last = key;
  }
  return keys;
}

describe('a key', () => {
  test.each(KEYS)('$key is $row Hz and $column Hz at their levels, and nothing else', (pair) => {
    const steady = play(pair.key).subarray(RAMP, TONE - RAMP);
    expectPair(steady, RATE, pair.row, pair.column);
  });

  // Frequency, phase and amplitude to the last bit of every sample: nothing drifts.
  test.each(KEYS)('$key is its formula from the first sample to the last', ({ key, row, column }) => {
    const [rowAmplitude, columnAmplitude] = [8039, 10_121];
    const audio = play(key);
    let worst = 0;
    for (let n = 0; n < TONE; n++) {
      const toEdge = Math.min(n, TONE - n);
      const envelope = toEdge < RAMP ? 0.5 - 0.5 * Math.cos((Math.PI * toEdge) / RAMP) : 1;
      const angle = (2 * Math.PI * n) / RATE;
      const exact =
        envelope * (rowAmplitude * Math.sin(row * angle) + columnAmplitude * Math.sin(column * angle));
      worst = Math.max(worst, Math.abs((audio[n] as number) - exact));
    }
    expect(worst).toBeLessThan(0.5001);
  });

  test.each(KEYS)('$key goes through ÷6 and µ-law unharmed', ({ key, row, column }) => {
    const heard = onThePhone(play(key));
    // The ÷6 filter delays by about 3 ms and rings as long again.
    expectPair(heard.subarray(80, 760), 8000, row, column);
  });

  test.each(KEYS)('$key has its higher frequency 2 dB above its lower', ({ key, row, column }) => {
    const steady = play(key).subarray(RAMP, TONE - RAMP);
    expect(levelAt(steady, column, RATE) - levelAt(steady, row, RATE)).toBeCloseTo(2, 1);
  });

  test('sounds for 100 ms and is silent for 100 ms, to the sample', () => {
    for (const { key } of KEYS) {
      const audio = play(key, 1);
      expect(audio).toHaveLength(KEY);
      const sounding = [...audio.keys()].filter((n) => audio[n] !== 0);
      // The ramps begin and end at nothing: a few samples at either edge round to zero.
      expect(sounding[0]).toBeLessThan(20);
      expect(sounding.at(-1)).toBeGreaterThan(TONE - 20);
      expect(sounding.at(-1)).toBeLessThan(TONE);
    }
  });

  test('begins and ends without a click, and does not clip', () => {
    for (const { key, row, column } of KEYS) {
      const audio = play(key);
      const steps = audio.map((sample, n) => Math.abs(sample - (audio[n - 1] ?? 0)));
      expect(Math.max(...steps)).toBeLessThan((2 * Math.PI * (8039 * row + 10_121 * column)) / RATE);
      expect(Math.max(...audio, ...audio.map((sample) => -sample))).toBeLessThanOrEqual(8039 + 10_121);
      // No tone uses 3.4 kHz: energy there is the click at the edges.
      for (const edge of [0, TONE - 2 * RAMP]) {
        expect(levelAt(audio.subarray(edge, edge + 2 * RAMP), 3400, RATE)).toBeLessThan(-60);
      }
    }
  });

  test('may be a small letter', () => {
    deepStrictEqual(play('abcd'), play('ABCD'));
  });
});

describe('several keys', () => {
  const everyKey = '0123456789*#ABCD';

  test('come in their order, each as if it were alone', () => {
    const audio = play(everyKey);
    expect(audio).toHaveLength(KEY * everyKey.length);
    for (const [index, key] of [...everyKey].entries()) {
      deepStrictEqual(audio.subarray(KEY * index, KEY * (index + 1)), play(key));
    }
  });

  test('are what a telephone system hears', () => {
    expect(keysIn(onThePhone(play(everyKey)))).toBe(everyKey);
    expect(keysIn(onThePhone(play('5500w0##')))).toBe('55000##');
    expect(keysIn(onThePhone(play('wW')))).toBe('');
  });

  test('are heard wherever they begin in the blocks of a receiver', () => {
    for (let offset = 0; offset < BLOCK; offset += 17) {
      const silence = new Int16Array(6 * offset);
      const audio = Int16Array.of(...silence, ...play('1D'));
      expect(keysIn(onThePhone(audio))).toBe('1D');
    }
  });

  test('the receiver of these tests hears nothing in noise, silence and single tones', () => {
    expect(keysIn(noise(16_000, 1))).toBe('');
    expect(keysIn(new Int16Array(16_000))).toBe('');
    for (const frequency of [...ROWS, ...COLUMNS]) expect(keysIn(tone(frequency, 8000, 8000))).toBe('');
  });

  test('w is half a second of silence and W a whole one', () => {
    const audio = play('1w2W', 960);
    expect(audio).toHaveLength(2 * KEY + 24_000 + 48_000);
    deepStrictEqual(audio.subarray(0, KEY), play('1'));
    deepStrictEqual(audio.subarray(KEY, KEY + 24_000), new Int16Array(24_000));
    deepStrictEqual(audio.subarray(KEY + 24_000, 2 * KEY + 24_000), play('2'));
    deepStrictEqual(audio.subarray(2 * KEY + 24_000), new Int16Array(48_000));
  });

  test('sound the same in frames of any length', () => {
    const digits = '1w9#D';
    const wanted = play(digits, 960);
    expect(wanted).toHaveLength(4 * KEY + 24_000);
    for (const size of [1, 480, 481, 4799, 4800, 4801, 9600, 100_000]) {
      const audio = play(digits, size);
      expect(audio.length).toBe(Math.ceil(wanted.length / size) * size);
      expect(sha256(audio.subarray(0, wanted.length))).toBe(sha256(wanted));
      expect(audio.subarray(wanted.length).every((sample) => sample === 0)).toBe(true);
    }
    const sizes = fc.array(fc.integer({ min: 0, max: 6000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(sizes, (pieces) => {
        const tones = new DtmfTones();
        tones.push(digits);
        let position = 0;
        for (const size of pieces) {
          const frame = new Int16Array(size);
          if (!tones.read(frame)) break;
          const left = wanted.subarray(position, position + size);
          deepStrictEqual(frame.subarray(0, left.length), left);
          expect(frame.subarray(left.length).every((sample) => sample === 0)).toBe(true);
          position += size;
        }
        expect(tones.isActive).toBe(position < wanted.length);
      }),
      { numRuns: 40 },
    );
  });
});

describe('custom lengths', () => {
  const timed = (digits: string, toneMs?: number, pauseMs?: number) => {
    const tones = new DtmfTones();
    tones.push(digits, toneMs, pauseMs);
    const { leftMs } = tones;
    return { leftMs, audio: readAll(tones, 48) };
  };

  test.each([
    [40, 40],
    [65, 300],
    [2_000, 40],
    [100, 100],
  ])('of %i ms and %i ms of silence are kept to the sample', (toneMs, pauseMs) => {
    for (const { key, row, column } of KEYS) {
      const { leftMs, audio } = timed(key, toneMs, pauseMs);
      expect(leftMs).toBe(toneMs + pauseMs);
      expect(audio).toHaveLength(48 * (toneMs + pauseMs));
      const end = 48 * toneMs;
      expect(audio.subarray(end).every((sample) => sample === 0)).toBe(true);
      expect(audio.subarray(end - 48, end).some((sample) => sample !== 0)).toBe(true);
      let worst = 0;
      for (let n = RAMP; n < end - RAMP; n++) {
        const angle = (2 * Math.PI * n) / RATE;
        const exact = 8039 * Math.sin(row * angle) + 10_121 * Math.sin(column * angle);
        worst = Math.max(worst, Math.abs((audio[n] as number) - exact));
      }
      expect(worst, 'drift').toBeLessThan(0.51);
    }
  });

  test('apply to the keys they were pushed with', () => {
    const tones = new DtmfTones();
    tones.push('1', 50, 60);
    tones.push('w2');
    tones.push('3', 200);
    const wanted = ['1', 'w2', '3'].map(
      (digits, i) => [timed(digits, 50, 60), timed(digits), timed(digits, 200)][i]?.audio as Int16Array,
    );
    expect(tones.leftMs).toBe(110 + 700 + 300);
    deepStrictEqual(readAll(tones, 48), Int16Array.of(...wanted.flatMap((part) => [...part])));
  });

  test('are rejected outside 40 to 2,000 ms', () => {
    const tones = new DtmfTones();
    for (const ms of [0, 39, 2_001, Number.NaN, Number.POSITIVE_INFINITY, -100]) {
      expect(() => tones.push('1', ms)).toThrow(/^Expected 40 to 2000 milliseconds for toneMs but received /);
      expect(() => tones.push('1', 100, ms)).toThrow(
        /^Expected 40 to 2000 milliseconds for pauseMs but received /,
      );
    }
    expect(() => tones.push('1', '50' as never)).toThrow('Expected a number for toneMs but received "50"');
    expect(tones.isActive).toBe(false);
  });
});

describe('the queue', () => {
  test('is active from the first push to the end of the last silence', () => {
    const tones = new DtmfTones();
    const frame = new Int16Array(960);
    expect(tones.isActive).toBe(false);
    tones.push('');
    expect(tones.isActive).toBe(false);
    tones.push('7');
    for (let n = 0; n < 10; n++) {
      expect(tones.isActive).toBe(true);
      expect(tones.read(frame)).toBe(true);
    }
    expect(tones.isActive).toBe(false);
    frame.fill(5);
    expect(tones.read(frame)).toBe(false);
    expect(frame.every((sample) => sample === 5)).toBe(true);
  });

  test('accepts more keys while it sounds, and keeps the pause between', () => {
    const tones = new DtmfTones();
    const begin = new Int16Array(1000);
    tones.push('4');
    tones.read(begin);
    tones.push('2');
    deepStrictEqual(Int16Array.of(...begin, ...readAll(tones, 1820)), play('42'));
  });

  test('is empty and starts anew after clear', () => {
    const tones = new DtmfTones();
    const frame = new Int16Array(480);
    tones.push('12W');
    tones.read(frame);
    tones.clear();
    expect(tones.isActive).toBe(false);
    expect(tones.read(frame)).toBe(false);
    tones.push('3');
    deepStrictEqual(readAll(tones), play('3'));
    tones.clear();
    expect(tones.isActive).toBe(false);
  });

  test('holds 64 digits including the one that sounds, and rejects a push beyond them whole', () => {
    const tones = new DtmfTones();
    const expectFull = (digits: string) =>
      expect(() => tones.push(digits)).toThrow(
        expect.objectContaining({
          name: 'RangeError',
          code: 'GW_DTMF_QUEUE_FULL',
          message: 'Expected at most 64 digits for the queue but received 65 digits',
        }),
      );
    expectFull('1'.repeat(65));
    expect(tones.isActive).toBe(false);
    tones.push('12'.repeat(31));
    expectFull('345');
    tones.push('34');
    expectFull('5');
    expectFull('w');
    tones.read(new Int16Array(KEY - 1));
    expectFull('5');
    tones.read(new Int16Array(1));
    tones.push('5');
    expectFull('6');
    expect(sha256(readAll(tones))).toBe(sha256(play(`2${'12'.repeat(30)}345`)));
  });

  test('rejects a push with any other character, and queues none of its digits', () => {
    const tones = new DtmfTones();
    for (const [digits, index] of [
      ['x', 0],
      ['12 3', 2],
      ['1234E', 4],
      ['e', 0],
      ['1,2', 1],
      ['12\0', 2],
      ['9１', 1],
      ['12é', 2],
      ['+49', 0],
      [`${'1'.repeat(70)}p`, 70],
    ] as const) {
      expect(() => tones.push(digits)).toThrow(
        new RangeError(
          `Expected only 0-9 * # A-D w W for digits but received another character at index ${index}`,
        ),
      );
    }
    expect(tones.isActive).toBe(false);
    for (const [digits, named] of [
      [undefined, 'undefined'],
      [5, '5'],
      [['1'], 'Array'],
    ] as const) {
      expect(() => tones.push(digits as never)).toThrow(
        new TypeError(`Expected a string for digits but received ${named}`),
      );
    }
  });

  test('any one character is a digit or refused', () => {
    for (let code = 0; code < 0x250; code++) {
      const character = String.fromCharCode(code);
      const push = () => new DtmfTones().push(character);
      if (/^[0-9*#A-Da-dwW]$/.test(character)) push();
      else expect(push).toThrow(RangeError);
    }
  });

  test('reads into an Int16Array only', () => {
    const tones = new DtmfTones();
    tones.push('1');
    expect(() => tones.read(new Float32Array(480) as never)).toThrow(
      new TypeError('Expected an Int16Array for out but received Float32Array of 1920 bytes'),
    );
    deepStrictEqual(readAll(tones), play('1'));
  });

  test('shares nothing with another queue', () => {
    const [a, b] = [new DtmfTones(), new DtmfTones()];
    const [frameA, frameB] = [new Int16Array(480), new Int16Array(480)];
    a.push('1');
    b.push('9');
    const [wantedA, wantedB] = [play('1'), play('9')];
    for (let begin = 0; begin < KEY; begin += 480) {
      expect(a.read(frameA) && b.read(frameB)).toBe(true);
      deepStrictEqual(frameA, wantedA.subarray(begin, begin + 480));
      deepStrictEqual(frameB, wantedB.subarray(begin, begin + 480));
    }
  });
});

describe('the generator in the core', () => {
  test('says how many samples are left', () => {
    const generator = new core.DtmfGenerator();
    expect(generator.push('1')).toBe(9600);
    expect(generator.push('wW')).toBe(9600 + 72_000);
    expect(generator.read(new Int16Array(1000))).toBe(80_600);
    expect(generator.push('')).toBe(80_600);
    expect(generator.read(new Int16Array(80_601))).toBe(0);
    expect(generator.read(new Int16Array(10))).toBe(0);
    generator.push('1');
    generator.clear();
    expect(generator.push('')).toBe(0);
  });

  test('writes silence when there is nothing left', () => {
    const out = new Int16Array(960).fill(9);
    new core.DtmfGenerator().read(out);
    expect(out.every((sample) => sample === 0)).toBe(true);
  });

  test('rejects other receivers', () => {
    const generator = new core.DtmfGenerator();
    expect(() => (core.DtmfGenerator as unknown as () => void)()).toThrow(TypeError);
    expect(() => generator.read.call(new core.Upsampler() as never, new Int16Array(1))).toThrow(TypeError);
  });

  test('makes keys that survive ÷6 and ×6', () => {
    const audio = onThePhone(play('8'));
    const wide = resample(new core.Upsampler(), 6, audio);
    expectPair(wide.subarray(1000, 4700), RATE, 852, 1336);
  });
});
