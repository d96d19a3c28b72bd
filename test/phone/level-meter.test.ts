import { expect, it } from 'vitest';
import { LevelMeter, SILENCE_DB } from '../../src/phone/level-meter.js';

const sine = (peak: number) =>
  new Int16Array(960).map((_, i) => Math.round(peak * Math.sin((2 * Math.PI * 400 * i) / 48_000)));

it('returns the RMS of a sine, 3 dB below its peak, and resets', () => {
  const meter = new LevelMeter();
  meter.sampleLevel(sine(32_767 * 10 ** (-17 / 20)));
  expect(meter.readLevel()).toBeCloseTo(-20, 1);
  expect(meter.readLevel()).toBeUndefined();
});

it('returns the loudest sampled frame: one in eight', () => {
  const meter = new LevelMeter();
  for (let i = 0; i < 16; i++) meter.sampleLevel(sine(i === 8 ? 16_384 : i % 8 === 0 ? 1_000 : 32_767));
  expect(meter.readLevel()).toBeCloseTo(-9, 1);
});

it('measures silence and full scale correctly', () => {
  const meter = new LevelMeter();
  meter.sampleLevel(new Int16Array(960));
  expect(meter.readLevel()).toBe(SILENCE_DB);
  for (let i = 0; i < 8; i++) meter.sampleLevel(new Int16Array(960).fill(-32_768));
  expect(meter.readLevel()).toBe(0);
});
