import { expect, it } from 'vitest';
import { CallLatencies, STAGE } from '../../src/telemetry/call-latencies.js';
import { LatencyHistogram } from '../../src/telemetry/histogram.js';
import { RecentLatency } from '../../src/telemetry/recent-latency.js';

/** 100 ns units in a microsecond. */
const US = 10;

it("returns only values since the last read, within a bucket's width", () => {
  const latencies = new CallLatencies();
  for (let i = 0; i < 50; i++) latencies.record(STAGE.gateway, 9_000 * US);
  latencies.settle();
  const recent = new RecentLatency(latencies.countsOf(STAGE.gateway));
  for (let i = 1; i <= 100; i++) latencies.record(STAGE.gateway, i * US);
  latencies.settle();
  recent.sample();
  expect(recent.p50Us).toBeGreaterThanOrEqual(50);
  expect(recent.p50Us).toBeLessThan(50 * 1.13);
  expect(recent.p99Us).toBeGreaterThanOrEqual(99);
  expect(recent.p99Us).toBeLessThan(99 * 1.13);
  recent.sample();
  expect([recent.p50Us, recent.p99Us]).toEqual([undefined, undefined]);
});

it('ignores other stages', () => {
  const latencies = new CallLatencies();
  const recent = new RecentLatency(latencies.countsOf(STAGE.gateway));
  latencies.record(STAGE.intakeJitter, 500 * US);
  latencies.settle();
  recent.sample();
  expect(recent.p50Us).toBeUndefined();
});

it('puts every value into the bin of its upper edge, the longest into the last', () => {
  const histogram = new LatencyHistogram();
  const recent = new RecentLatency(histogram);
  for (const us of [1, 5, 50, 60, 5_000_000]) histogram.record(us * US);
  const bins = { edgesUs: [10, 100, 1_000], counts: [7, 7, 7, 7] };
  recent.sample(bins);
  expect(bins.counts).toEqual([2, 2, 0, 1]);
});

it('survives a reset of the histogram', () => {
  const histogram = new LatencyHistogram();
  for (let i = 0; i < 10; i++) histogram.record(10 * US);
  const recent = new RecentLatency(histogram);
  histogram.reset();
  histogram.record(1_000 * US);
  recent.sample();
  expect(recent.p50Us).toBeGreaterThanOrEqual(1_000);
  expect(recent.p50Us).toBeLessThan(1_040);
});
