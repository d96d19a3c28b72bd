import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { createResampler, RESAMPLER_RATES } from '../../src/media/rate-converter.js';
import { amplitudeAt, noise, randomNumbers, tone } from '../support/media.js';

const PAIRS = RESAMPLER_RATES.flatMap((from) =>
  RESAMPLER_RATES.filter((to) => to !== from).map((to) => [from, to] as const),
);

/** All that comes out of pieces of these lengths. */
async function through(
  from: number,
  to: number,
  pcm: Int16Array,
  lengths: () => number,
): Promise<Int16Array> {
  const converter = await createResampler(from, to);
  const all = new Int16Array(2 * Math.ceil((pcm.length * to) / from) + to / 10);
  let end = 0;
  const add = (part: Int16Array) => {
    all.set(part, end);
    end += part.length;
  };
  for (let at = 0; at < pcm.length; ) {
    const length = lengths();
    add(converter.process(pcm.subarray(at, at + length)));
    at += length;
  }
  add(converter.flush());
  converter.close();
  return all.slice(0, end);
}

describe.each(PAIRS)('%i Hz to %i Hz', (from, to) => {
  test('any cut of the input gives the same samples, and exactly as many as the rates say', async () => {
    const pcm = noise(Math.floor(from * 0.13) + 1, 1);
    const next = randomNumbers(9);
    // First, while no longer piece has made more room: output that fills the library's buffer must not cost input.
    const exact = await through(from, to, pcm, () => from / 25);
    const whole = await through(from, to, pcm, () => pcm.length);
    expect(Buffer.compare(Buffer.from(exact.buffer), Buffer.from(whole.buffer))).toBe(0);
    for (const lengths of [() => 1 + (next() % 700), () => 160, () => 1]) {
      expect(
        Buffer.compare(
          Buffer.from((await through(from, to, pcm, lengths)).buffer),
          Buffer.from(whole.buffer),
        ),
      ).toBe(0);
    }
    const { delayMs } = await createResampler(from, to);
    expect(whole.length).toBe(Math.ceil(((pcm.length + (delayMs * from) / 1_000) * to) / from - 1e-9));
  });

  test('gives an empty output for an empty input', async () => {
    const converter = await createResampler(from, to);
    expect(converter.process(new Int16Array())).toHaveLength(0);
    converter.process(noise(from / 50, 2));
    expect(converter.process(new Int16Array())).toHaveLength(0);
    converter.close();
  });

  test('an hour of audio gives exactly as many samples as the rates say', async () => {
    const converter = await createResampler(from, to);
    const second = new Int16Array(from / 10);
    let out = 0;
    for (let i = 0; i < 100; i++) out += converter.process(second).length;
    // 10 s here; the count of each step is exact, so that of any number of steps is.
    const steps = Math.floor((100 * second.length) / converter.step);
    expect(out).toBe((steps * converter.step * to) / from);
    expect((100 * from) / 10 - steps * converter.step).toBeLessThan(converter.step);
    converter.close();
  });

  test('1 kHz keeps its level, its purity, and comes after the documented delay', async () => {
    const converter = await createResampler(from, to);
    const out = converter.process(tone(1_000, from, from, 16_000));
    const settled = out.subarray(Math.floor(to / 10), Math.floor(to / 10) + Math.floor(to / 2));
    const level = amplitudeAt(1_000, to, settled);
    expect(20 * Math.log10(level / 16_000)).toBeGreaterThan(-0.1);
    expect(20 * Math.log10(level / 16_000)).toBeLessThan(0.1);
    const power = settled.reduce((sum, sample) => sum + sample * sample, 0) / settled.length;
    const residue = Math.max(power - (level * level) / 2, 1e-3);
    expect(
      10 * Math.log10((level * level) / 2 / residue),
      'signal to noise and distortion, dB',
    ).toBeGreaterThan(70);

    const impulse = new Int16Array(from / 10);
    impulse[0] = 20_000;
    converter.flush();
    const answer = converter.process(impulse);
    const peak = answer.reduce(
      (best, sample, i) => (Math.abs(sample) > Math.abs(answer[best] as number) ? i : best),
      0,
    );
    expect(Math.abs((peak / to) * 1_000 - converter.delayMs)).toBeLessThanOrEqual(1_000 / Math.min(from, to));
    converter.close();
  });

  test('nothing of a stream is heard in the next one', async () => {
    const fresh = await createResampler(from, to);
    const wanted = fresh.process(tone(440, from, from / 10, 9_000));
    fresh.process(noise(777, 2));
    fresh.close();
    const again = await createResampler(from, to);
    expect(
      Buffer.compare(
        Buffer.from(again.process(tone(440, from, from / 10, 9_000)).buffer),
        Buffer.from(wanted.buffer),
      ),
    ).toBe(0);
    again.close();
  });
});

test('reuses filters: ten thousand streams need no more memory than one', async () => {
  const { default: speex } = createRequire(import.meta.url)('speex-resampler');
  let made = 0;
  const original = speex.prototype.processChunk;
  const seen = new Set<object>();
  speex.prototype.processChunk = function (this: object, chunk: Buffer) {
    seen.add(this);
    made = seen.size;
    return original.call(this as never, chunk);
  };
  try {
    for (let i = 0; i < 10_000; i++) {
      const converter = await createResampler(8_000, 24_000);
      converter.process(new Int16Array(160));
      converter.close();
      converter.close();
    }
  } finally {
    speex.prototype.processChunk = original;
  }
  expect(made).toBe(1);
});

test('the same rate is a copy', async () => {
  const same = await createResampler(16_000, 16_000);
  const pcm = noise(10, 3);
  const out = same.process(pcm);
  expect(out).toEqual(pcm);
  expect(out.buffer).not.toBe(pcm.buffer);
  expect(same.flush()).toHaveLength(0);
  same.close();
  expect(() => same.process(pcm)).toThrow(expect.objectContaining({ code: 'GW_RESAMPLER_CLOSED' }));
});

test.each([0, 11_025, '8000', Number.NaN, undefined])('%s is no rate', async (rate) => {
  await expect(createResampler(rate as number, 8_000)).rejects.toMatchObject({ code: 'GW_RESAMPLER_RATE' });
  await expect(createResampler(8_000, rate as number)).rejects.toMatchObject({ code: 'GW_RESAMPLER_RATE' });
});

test('rejects other types and a closed converter', async () => {
  const converter = await createResampler(8_000, 16_000);
  expect(() => converter.process(new Uint8Array(2) as never)).toThrow(
    new TypeError('Expected an Int16Array for pcm but received Uint8Array of 2 bytes'),
  );
  converter.close();
  expect(() => converter.process(new Int16Array(2))).toThrow(
    expect.objectContaining({ code: 'GW_RESAMPLER_CLOSED' }),
  );
  expect(() => converter.flush()).toThrow(expect.objectContaining({ code: 'GW_RESAMPLER_CLOSED' }));
});

test('leaves no listener of the library on the faults of the process', () => {
  const program = `
    process.on('unhandledRejection', (error) => console.log('heard', error.message));
    const { createResampler } = await import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)});
    (await createResampler(16_000, 48_000)).close();
    Promise.reject(new Error('ours'));
    setTimeout(() => console.log(process.listenerCount('uncaughtException'), process.listenerCount('unhandledRejection')), 20);
  `;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  expect(stdout.trim().split('\n')).toEqual(['heard ours', '0 1']);
  expect(status).toBe(0);
});
