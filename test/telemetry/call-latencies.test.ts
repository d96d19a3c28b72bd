import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CallLatencies, STAGE, type Stage } from '../../src/telemetry/call-latencies.js';
import { LatencyHistogram } from '../../src/telemetry/histogram.js';
import { Latencies } from '../../src/telemetry/latencies.js';

/** Buckets a power of two of a call's histograms, as the power. */
const SUB_BITS = 3;
/** 26.8 s, in stamps. */
const LARGEST = 2 ** 28 - 1;
const names = Object.keys(STAGE) as (keyof typeof STAGE)[];
const notes = fc.array(
  fc.tuple(
    fc.constantFrom(...names),
    fc.oneof(fc.integer({ min: -9, max: 300 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
  ),
  { maxLength: 700 },
);

test('buffered values give the same histograms as values counted at once, for the call and its gateway', () => {
  fc.assert(
    fc.property(fc.array(notes, { minLength: 1, maxLength: 3 }), (calls) => {
      const whole = new Latencies();
      const expectedWhole = new Latencies();
      for (const values of calls) {
        const call = new CallLatencies(whole);
        const expected = Object.fromEntries(
          names.map((name) => [name, new LatencyHistogram(undefined, SUB_BITS)]),
        );
        for (const [name, stamps] of values) {
          call.record(STAGE[name], stamps);
          expected[name]?.record(Math.min(stamps, LARGEST));
          expectedWhole[name].record(Math.min(stamps, LARGEST));
        }
        for (const name of names) expect(call.summaries()[name]).toEqual(expected[name]?.summary());
      }
      expect(whole.summaries()).toEqual(expectedWhole.summaries());
    }),
    { numRuns: 30 },
  );
});

test('the gateway has the latest values after they are flushed, each once', () => {
  const whole = new Latencies();
  const call = new CallLatencies(whole);
  call.record(STAGE.gateway, 70);
  call.settle();
  call.settle();
  expect(whole.gateway.summary()).toMatchObject({ count: 1, maxUs: 7 });
  expect(call.summaries().gateway.count).toBe(1);
  expect(whole.gateway.count).toBe(1);
});

test('a reset of the gateway removes nothing from its calls', () => {
  const whole = new Latencies();
  const call = new CallLatencies(whole);
  for (let i = 0; i < 1_000; i++) call.record((i % names.length) as Stage, i);
  call.settle();
  whole.reset();
  call.record(STAGE.gateway, 10);
  const { gateway } = call.summaries();
  expect([gateway.count, whole.gateway.count]).toEqual([126, 1]);
});
