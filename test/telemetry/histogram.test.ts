import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LatencyHistogram } from '../../src/telemetry/histogram.js';
import { ingressNow, ingressTicksBetween } from '../../src/telemetry/ingress-time.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** Widest bucket relative to its values. */
const WIDTH = 0.032;
/** Stamps of 100 ns, spread over all magnitudes. */
const stamps = fc
  .tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 2 ** 31 - 1 }))
  .map(([bits, value]) => value % 2 ** (bits + 1));
const QUANTILES = [0, 0.01, 0.5, 0.9, 0.99, 0.999, 1];

function histogramOf(values: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

describe('the histogram', () => {
  test('is exact for values below 6.4 µs, and at most 3.2 % too high above', () => {
    const values = Array.from({ length: 64 }, (_, i) => i);
    for (let value = 64; value < 2 ** 31; value = Math.ceil(value * 1.003)) values.push(value);
    for (const value of [...values, 2 ** 31 - 1]) {
      // The largest value caps the answer, so the one asked for must not be the largest.
      const us = histogramOf([value, 2 ** 31 - 1]).quantileUs(0.5);
      expect(us * 10).toBeGreaterThanOrEqual(value);
      expect(us * 10).toBeLessThanOrEqual(value < 64 ? value : value * (1 + WIDTH));
    }
  });

  test('finds the quantiles of a sorted list', () => {
    fc.assert(
      fc.property(fc.array(stamps, { minLength: 1, maxLength: 300 }), (values) => {
        const histogram = histogramOf(values);
        const sorted = [...values].sort((a, b) => a - b);
        for (const q of QUANTILES) {
          const exact = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] as number;
          const found = histogram.quantileUs(q) * 10;
          expect(found).toBeGreaterThanOrEqual(exact - 1e-6);
          expect(found).toBeLessThanOrEqual(exact * (1 + WIDTH) + 1e-6);
        }
      }),
    );
  });

  test('sums up', () => {
    const { p50Us, p999Us, ...exact } = histogramOf([10, 20, 30, 1_000_000]).summary();
    expect(exact).toMatchObject({ count: 4, meanUs: 25_001.5, maxUs: 100_000 });
    expect(p50Us).toBe(2);
    expect(p999Us).toBe(100_000);
    expect(histogramOf([5_000_000, 15_000_000]).sumSeconds).toBeCloseTo(2, 9);
  });

  test('is all zero while empty and after a reset', () => {
    const zero = { count: 0, meanUs: 0, p50Us: 0, p90Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 };
    const histogram = new LatencyHistogram();
    expect(histogram.summary()).toEqual(zero);
    histogram.record(77);
    histogram.reset();
    expect(histogram.summary()).toEqual(zero);
    expect(histogram.countUpTo(1e9)).toBe(0);
    expect(histogram.sumSeconds).toBe(0);
  });

  test('has the values of both when merged', () => {
    fc.assert(
      fc.property(fc.array(stamps), fc.array(stamps), (a, b) => {
        const merged = histogramOf(a);
        merged.merge(histogramOf(b));
        const both = histogramOf([...a, ...b]);
        expect(merged.summary()).toEqual(both.summary());
        for (const us of [1, 100, 1e4, 1e6]) expect(merged.countUpTo(us)).toBe(both.countUpTo(us));
      }),
    );
  });

  test('counts up to a limit, within one bucket', () => {
    const limits = fc.constantFrom(1, 2, 5, 10, 20, 50, 100, 1e3, 1e4, 1e5, 5e5);
    fc.assert(
      fc.property(fc.array(stamps, { maxLength: 200 }), limits, (values, us) => {
        const counted = histogramOf(values).countUpTo(us);
        const upTo = (limit: number) => values.filter((value) => value <= limit).length;
        expect(counted).toBeGreaterThanOrEqual(upTo(us * 10 * (1 - WIDTH)));
        expect(counted).toBeLessThanOrEqual(upTo(us * 10));
      }),
    );
    const exact = histogramOf([9, 10, 11, 50, 51]);
    expect([1, 5].map((us) => exact.countUpTo(us))).toEqual([2, 4]);
    expect(exact.countUpTo(1e9)).toBe(5);
  });

  test('counts invalid values as zero', () => {
    const histogram = histogramOf([-1, -(2 ** 31), Number.NaN]);
    expect(histogram.summary()).toMatchObject({ count: 3, maxUs: 0, meanUs: 0 });
    expect(histogram.countUpTo(0)).toBe(3);
  });
});

describe('an ingress time', () => {
  test('is a 32-bit integer that counts 100 ns', () => {
    const clock = new VirtualClock();
    const earlier = ingressNow(clock);
    clock.advance(30);
    expect(earlier).toBe(earlier | 0);
    expect(ingressTicksBetween(earlier, ingressNow(clock))).toBe(300_000);
    // Some 215 s later it wraps.
    clock.advance(250_000);
    const wrapped = ingressNow(clock);
    expect(wrapped).toBe(wrapped | 0);
    clock.advance(0.1);
    expect(ingressTicksBetween(wrapped, ingressNow(clock))).toBe(1_000);
  });

  test('is right across the wrap, and negative in the other direction', () => {
    expect(ingressTicksBetween(2 ** 31 - 10, -(2 ** 31) + 20)).toBe(30);
    expect(ingressTicksBetween(-5, 5)).toBe(10);
    expect(ingressTicksBetween(5, -5)).toBe(-10);
  });
});
