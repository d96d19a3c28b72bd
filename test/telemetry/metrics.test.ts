import { describe, expect, test } from 'vitest';
import { LatencyHistogram } from '../../src/telemetry/histogram.js';
import { Latencies } from '../../src/telemetry/latencies.js';
import { Metrics } from '../../src/telemetry/metrics.js';
import { Traffic } from '../../src/telemetry/traffic.js';
import { clock, virtualTime } from '../support/time.js';

virtualTime();

interface Family {
  type: string;
  samples: Map<string, number>;
}

/** A strict reader of Prometheus' text format 0.0.4: what it does not know is an error. */
function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  expect(text.endsWith('\n')).toBe(true);
  const helped = new Set<string>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string];
      if (kind === 'HELP') {
        if (helped.has(name)) throw new Error(`second HELP of ${name}`);
        helped.add(name);
      } else {
        if (families.has(name)) throw new Error(`second TYPE of ${name}`);
        expect(rest).toMatch(/^(counter|gauge|histogram)$/);
        families.set(name, { type: rest, samples: new Map() });
      }
      continue;
    }
    const sample =
      /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$/.exec(line);
    if (!sample) throw new Error(`not a line of the format: ${line}`);
    const [, name, labels = '', value] = sample as unknown as [string, string, string | undefined, string];
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
    if (family === undefined) throw new Error(`sample without TYPE: ${line}`);
    if (family.samples.has(name + labels)) throw new Error(`second sample: ${line}`);
    expect(Number(value)).not.toBeNaN();
    family.samples.set(name + labels, Number(value));
  }
  return families;
}

function setUp() {
  const state = { active: 3, draining: false };
  const traffic = new Traffic();
  const latencies = new Latencies();
  const endedCalls = new Map([['stop', 2]]);
  const delays = new LatencyHistogram();
  const eventLoopDelay = { summary: () => delays.summary() };
  const admission = {
    maxCalls: 40,
    busyReason: undefined as string | undefined,
    refused: new Map([['cpu', 6]]),
  };
  const metrics = new Metrics({
    traffic,
    latencies,
    endedCalls,
    results: new Map([['success', 5]]),
    stuckCalls: new Map([['silent', 1]]),
    eventLoopDelay,
    admission,
    get activeCalls() {
      return state.active;
    },
    get draining() {
      return state.draining;
    },
  });
  const scrape = async () => {
    const families = parseExposition(metrics.text());
    return {
      families,
      value: (sample: string) =>
        families.get(sample.replace(/\{.*/, '').replace(/_(bucket|sum|count)$/, ''))?.samples.get(sample),
    };
  };
  return { state, traffic, latencies, endedCalls, delays, admission, metrics, scrape };
}

describe('the metrics', () => {
  test('are Prometheus text', async () => {
    const { metrics, scrape } = setUp();
    expect(metrics.contentType).toMatch(/^text\/plain; version=0\.0\.4/);
    const { families } = await scrape();
    for (const name of families.keys()) expect(name).toMatch(/^trunkline_[a-z0-9_]+$/);
    for (const [name, { type }] of families) expect(name.endsWith('_total')).toBe(type === 'counter');
  });

  test('have every traffic counter, each with its own value', async () => {
    const { traffic, scrape } = setUp();
    const names = Object.keys(traffic) as (keyof ReturnType<Traffic['counts']>)[];
    for (const [i, name] of names.entries()) traffic[name] = 100 + i;
    const { value } = await scrape();
    for (const [i, name] of names.entries()) {
      const metric = `trunkline_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;
      expect([metric, value(metric)]).toEqual([metric, 100 + i]);
    }
  });

  test('are right in the second scrape too', async () => {
    const { state, traffic, latencies, endedCalls, scrape } = setUp();
    traffic.framesIn = 5;
    latencies.gateway.record(30);
    await scrape();
    traffic.framesIn = 7;
    state.active = 4;
    state.draining = true;
    endedCalls.set('stop', 3).set('hangup', 1);
    latencies.gateway.record(90);
    const { value } = await scrape();
    expect(value('trunkline_frames_in_total')).toBe(7);
    expect(value('trunkline_calls_active')).toBe(4);
    expect(value('trunkline_draining')).toBe(1);
    expect(value('trunkline_calls_ended_total{cause="stop"}')).toBe(3);
    expect(value('trunkline_calls_ended_total{cause="hangup"}')).toBe(1);
    expect(value('trunkline_stage_seconds_count{stage="gateway"}')).toBe(2);
    expect(value('trunkline_stage_seconds_sum{stage="gateway"}')).toBeCloseTo(12e-6, 12);
  });

  test('show whether calls are accepted, why calls were rejected, and how calls ended', async () => {
    const { delays, admission, scrape } = setUp();
    for (let i = 0; i < 1_000; i++) delays.record(i < 995 ? 10_000 : 500_000);
    const { value } = await scrape();
    expect(value('trunkline_admission_open')).toBe(1);
    expect(value('trunkline_calls_max')).toBe(40);
    expect(value('trunkline_calls_refused_total{reason="cpu"}')).toBe(6);
    expect(value('trunkline_calls_result_total{result="success"}')).toBe(5);
    expect(value('trunkline_calls_stuck_total{why="silent"}')).toBe(1);
    expect(value('trunkline_event_loop_delay_seconds{quantile="0.5"}')).toBeCloseTo(0.001, 4);
    expect(value('trunkline_event_loop_delay_seconds{quantile="0.999"}')).toBeCloseTo(0.05, 3);
    admission.busyReason = 'cpu';
    expect((await scrape()).value('trunkline_admission_open')).toBe(0);
  });

  test('have real values of the process', async () => {
    const { value } = await setUp().scrape();
    expect(value('trunkline_process_resident_memory_bytes')).toBeGreaterThan(10e6);
    expect(value('trunkline_process_heap_used_bytes')).toBeGreaterThan(1e6);
    expect(value('trunkline_process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(value('trunkline_process_cpu_seconds_total')).toBeLessThan(clock.now());
  });

  test('have cumulative histograms that end with all values', async () => {
    const { latencies, scrape } = setUp();
    for (const us of [0.5, 3, 3, 700, 1e6, 9e7]) latencies.transcodeIn.record(us * 10);
    const { families } = await scrape();
    for (const name of ['stage', 'encode', 'playout_lead', 'intake_jitter']) {
      expect(families.get(`trunkline_${name}_seconds`)?.type).toBe('histogram');
    }
    const buckets = [...(families.get('trunkline_stage_seconds')?.samples ?? [])]
      .filter(([sample]) => sample.includes('socket_decoded'))
      .flatMap(([sample, n]) => {
        const le = /le="(.+)"/.exec(sample)?.[1];
        return le === undefined ? [] : [[le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), n] as const];
      });
    for (const [i, [le, n]] of buckets.entries()) {
      expect(le).toBeGreaterThan(buckets[i - 1]?.[0] ?? 0);
      expect(n).toBeGreaterThanOrEqual(buckets[i - 1]?.[1] ?? 0);
    }
    const at = new Map(buckets);
    expect([1e-6, 2e-6, 5e-6, 1e-3, 0.5].map((le) => at.get(le))).toEqual([1, 1, 3, 4, 4]);
    expect(buckets.at(-1)).toEqual([Number.POSITIVE_INFINITY, 6]);
  });

  test('of two gateways are separate', async () => {
    const [a, b] = [setUp(), setUp()];
    a.traffic.dtmf = 1;
    expect((await a.scrape()).value('trunkline_dtmf_total')).toBe(1);
    expect((await b.scrape()).value('trunkline_dtmf_total')).toBe(0);
  });
});
