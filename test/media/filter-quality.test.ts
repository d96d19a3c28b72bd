import { describe, expect, test } from 'vitest';
import { LINEAR, ours } from '../../bench/quality/contenders.js';
import {
  gainDb,
  groupDelayMs,
  keepsSilence,
  rippleDb,
  sinadDb,
  worstAlias,
  worstImage,
} from '../../bench/quality/measures.js';
import { core } from '../../src/media/thread-core.js';

const { up, down } = ours(core);

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
