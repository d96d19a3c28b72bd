import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { LINEAR, ours } from '../../bench/quality/contenders.js';
import {
  gainDb,
  groupDelayMs,
  keepsSilence,
  range,
  rippleDb,
  sinadDb,
  worstAlias,
  worstImage,
} from '../../bench/quality/measures.js';
import { core } from '../../src/media/thread-core.js';

const { up, down } = ours(core);

const TAP_COUNT = 312;
const COEFFICIENTS = readFileSync(new URL('../../native/coefficients.h', import.meta.url), 'utf8');

/** The impulse response at 48 kHz that a table of native/coefficients.h stands for, with a gain of 1 at 0 Hz. */
function tapsOf(table: string): number[] {
  const [, rows = ''] = new RegExp(`${table}\\[[^=]*= {\\n([^;]*)};`).exec(COEFFICIENTS) ?? [];
  const taps: number[] = [];
  let unit = Number.NaN;
  for (const line of rows.split('\n')) {
    const scale = /: Q(\d+)$/.exec(line);
    if (scale) unit = 2 ** -Number(scale[1]);
    else taps.push(...(line.match(/-?\d+/g) ?? []).map((tap) => Number(tap) * unit));
  }
  const gain = taps.reduce((sum, tap) => sum + tap, 0);
  return taps.map((tap) => tap / gain);
}

/** Gain in dB and group delay in ms at a frequency. */
function responseOf(taps: readonly number[], hz: number): { db: number; delayMs: number } {
  let [re, im, momentRe, momentIm] = [0, 0, 0, 0];
  for (const [n, tap] of taps.entries()) {
    const angle = (-2 * Math.PI * hz * n) / 48_000;
    const [x, y] = [tap * Math.cos(angle), tap * Math.sin(angle)];
    re += x;
    im += y;
    momentRe += n * x;
    momentIm += n * y;
  }
  const power = re * re + im * im;
  return { db: 10 * Math.log10(power), delayMs: (momentRe * re + momentIm * im) / power / 48 };
}

describe.each(['kUpTaps', 'kDownTaps'])('the table %s', (table) => {
  const taps = tapsOf(table);
  const gains = (from: number, to: number) => range(from, to, 2).map((hz) => responseOf(taps, hz).db);

  test('has a ripple below 0.01 dB up to 3.4 kHz and nothing above -94 dB from 4 kHz', () => {
    expect(taps).toHaveLength(TAP_COUNT);
    expect(Math.max(...gains(0, 3_400).map(Math.abs))).toBeLessThan(0.01);
    expect(Math.max(...gains(4_000, 24_000))).toBeLessThan(-94);
  });

  test('delays 1 kHz by less than 0.35 ms and 3.4 kHz by less than 1.6 ms', () => {
    expect(responseOf(taps, 1_000).delayMs).toBeLessThan(0.35);
    expect(responseOf(taps, 3_400).delayMs).toBeLessThan(1.6);
  });
});

describe.each([
  ['8 to 48 kHz', up],
  ['48 to 8 kHz', down],
])('the filter as it was built, %s', (_, direction) => {
  test('is flat to 0.01 dB up to 3.4 kHz, and keeps the level', { timeout: 60_000 }, () => {
    expect(rippleDb(direction)).toBeLessThanOrEqual(0.01);
    expect(Math.abs(gainDb(direction, 1_000))).toBeLessThanOrEqual(0.01);
  });

  test('delays 1 kHz by at most 0.35 ms and 3.4 kHz by at most 1.6 ms', { timeout: 60_000 }, () => {
    expect(groupDelayMs(direction, 1_000)).toBeGreaterThan(0.1);
    expect(groupDelayMs(direction, 1_000)).toBeLessThanOrEqual(0.35);
    expect(groupDelayMs(direction, 3_400)).toBeLessThanOrEqual(1.6);
  });

  test('adds nothing to 1 kHz, and makes no sound of silence', { timeout: 60_000 }, () => {
    expect(sinadDb(direction)).toBeGreaterThan(direction === up ? 84 : 95);
    expect(keepsSilence(direction)).toBe(true);
  });
});

test('images are 90 dB down', { timeout: 60_000 }, () => {
  expect(worstImage(up).db).toBeLessThanOrEqual(-90);
});

test('aliases of 4.0 kHz and above are 90 dB down', { timeout: 60_000 }, () => {
  expect(worstAlias(down).db).toBeLessThanOrEqual(-90);
});

test('the measures see a bad filter: straight lines between samples', { timeout: 60_000 }, () => {
  expect(rippleDb(LINEAR.up)).toBeGreaterThan(3);
  expect(worstImage(LINEAR.up).db).toBeGreaterThan(-20);
  expect(worstAlias(LINEAR.down).db).toBeGreaterThan(-1);
});
