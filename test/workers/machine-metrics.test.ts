import { expect, it } from 'vitest';
import { LatencyHistogram } from '../../src/telemetry/histogram.js';
import { counter, durations, gauge, type Merge } from '../../src/telemetry/metric.js';
import { readingOf } from '../../src/telemetry/metric-reading.js';
import type { Metrics } from '../../src/telemetry/metrics.js';
import { MachineMetrics } from '../../src/workers/machine-metrics.js';
import { SUPERVISOR, type SupervisedPeers } from '../../src/workers/peers.js';
import { WorkerMetrics } from '../../src/workers/worker-metrics.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime();

function machine() {
  const { office, add, kill } = workersInMemory(clock);
  new MachineMetrics(office, [gauge('workers', 'Workers', () => office.serving.length)], clock);
  /** A worker with figures that the test sets. */
  const start = async (merge: Merge = 'sum') => {
    const peers = add();
    const figures = { calls: 0, ended: new Map<string, number>() };
    const histogram = new LatencyHistogram();
    const own = [
      gauge('calls', 'Calls', () => figures.calls, { merge }),
      counter('ended_total', 'Ended calls', () => figures.ended, 'cause'),
      durations('hook_seconds', 'Hooks', histogram),
    ];
    const metrics = { read: () => own.map(readingOf) } as unknown as Metrics;
    const worker = new WorkerMetrics(peers, metrics, clock);
    peers.serve();
    await eventually('it serves', () => peers.serving.includes(peers.self));
    return { peers, figures, histogram, worker };
  };
  return { office, start, kill };
}

type Asked = { readonly worker: WorkerMetrics };

/** A sample of a page that is not kept from before. */
async function scrape({ worker }: Asked): Promise<(sample: string) => number | undefined> {
  await sleep(1_001);
  const text = (await worker.text()) ?? '';
  return (sample) => {
    const line = text.split('\n').find((each) => each.startsWith(`trunkline_${sample} `));
    return line === undefined ? undefined : Number(line.split(' ')[1]);
  };
}

it('adds the counters, histograms and gauges of all workers, whichever is asked', async () => {
  const { start } = machine();
  const [a, b] = [await start(), await start()];
  a.figures.calls = 3;
  b.figures.calls = 4;
  a.figures.ended.set('stop', 10).set('drain', 1);
  b.figures.ended.set('stop', 5).set('bridge', 2);
  a.histogram.record(3e4);
  b.histogram.record(3e4);
  b.histogram.record(4e7);
  for (const asked of [a, b]) {
    const value = await scrape(asked);
    expect(value('calls')).toBe(7);
    expect(value('ended_total{cause="stop"}')).toBe(15);
    expect(value('ended_total{cause="drain"}')).toBe(1);
    expect(value('ended_total{cause="bridge"}')).toBe(2);
    expect(value('hook_seconds_bucket{le="0.002"}')).toBe(0);
    expect(value('hook_seconds_bucket{le="0.005"}')).toBe(2);
    expect(value('hook_seconds_count')).toBe(3);
    expect(value('hook_seconds_sum')).toBeCloseTo(4.006, 6);
    expect(value('workers')).toBe(2);
  }
});

it('takes the largest or the smallest value of a gauge that says so', async () => {
  for (const [merge, merged] of [
    ['max', 9],
    ['min', 2],
  ] as const) {
    const { start } = machine();
    const [a, b] = [await start(merge), await start(merge)];
    a.figures.calls = 9;
    b.figures.calls = 2;
    expect((await scrape(a))('calls')).toBe(merged);
  }
});

it('never lets a counter fall: workers that leave, die or hang still count', async () => {
  const { office, start, kill } = machine();
  const [a, b, c] = [await start(), await start(), await start()];
  for (const each of [a, b, c]) {
    each.figures.calls = 1;
    each.figures.ended.set('stop', 100);
    each.histogram.record(1e6);
  }
  expect((await scrape(a))('ended_total{cause="stop"}')).toBe(300);
  // One leaves, with 20 that nobody has scraped.
  b.figures.ended.set('stop', 120);
  b.worker.close();
  await b.peers.request(SUPERVISOR, 'metrics.page', {});
  kill(b.peers);
  // What comes from it after that has been counted.
  const late = [{ name: 'ended_total', help: '', kind: 'counter', merge: 'sum', samples: [['', 500]] }];
  office.receive(b.peers.self, { to: SUPERVISOR, from: b.peers.self, what: 'metrics', about: late });
  // One dies; what it counted after the latest scrape is lost.
  c.figures.ended.set('stop', 130);
  kill(c.peers);
  const value = await scrape(a);
  expect(value('ended_total{cause="stop"}')).toBe(320);
  expect(value('ended_total')).toBeUndefined();
  expect(value('hook_seconds_count')).toBe(3);
  expect(value('calls')).toBe(1);
  // One hangs: the page comes nevertheless, with its latest figures.
  const d = await start();
  d.figures.ended.set('stop', 7);
  await scrape(d);
  d.peers.handle('metrics', () => {});
  d.figures.ended.set('stop', 8);
  const before = clock.now();
  expect((await scrape(a))('ended_total{cause="stop"}')).toBe(327);
  expect(clock.now() - before).toBeLessThan(2_500);
});

it('counts what a dead worker reported unasked', async () => {
  const { start, kill } = machine();
  const [a, b] = [await start(), await start()];
  b.worker.open();
  b.figures.ended.set('stop', 55);
  await sleep(6_000);
  kill(b.peers);
  expect((await scrape(a))('ended_total{cause="stop"}')).toBe(55);
});

it('keeps the page for a second, so that two workers never show an older one after a newer one', async () => {
  const { start } = machine();
  const [a, b] = [await start(), await start()];
  a.figures.calls = 1;
  const first = await a.worker.text();
  a.figures.calls = 2;
  expect(await b.worker.text()).toBe(first);
  // A worker that has it is not sent it again.
  const { number } = (await b.peers.request(SUPERVISOR, 'metrics.page', {})) as { number: number };
  expect(await b.peers.request(SUPERVISOR, 'metrics.page', { number })).toEqual({ number });
  expect(await b.worker.text()).toBe(first);
  await sleep(1_001);
  const second = await b.worker.text();
  expect(second).not.toBe(first);
  expect(await a.worker.text()).toBe(second);
});

it('shows no older page after a newer one when answers overtake one another', async () => {
  const answers: ((page: object) => void)[] = [];
  const peers = { handle() {}, request: () => new Promise((resolve) => answers.push(resolve)) };
  const worker = new WorkerMetrics(peers as unknown as SupervisedPeers, {} as Metrics, clock);
  const [first, second] = [worker.text(), worker.text()];
  answers[1]?.({ number: 8, text: 'newer' });
  expect(await second).toBe('newer');
  answers[0]?.({ number: 7, text: 'older' });
  expect(await first).toBe('newer');
  const third = worker.text();
  answers[2]?.({ number: 8 });
  expect(await third).toBe('newer');
});

it('leaves out what is no metric, from a worker of another version', async () => {
  const { office, start } = machine();
  const a = await start();
  a.figures.calls = 1;
  const good = { name: 'new_total', help: 'New', kind: 'counter', merge: 'sum', samples: [['', 3]] };
  const histogram = { ...good, name: 'hook_seconds', kind: 'histogram', samples: [['_bucket{le="3"}', 9]] };
  const bad: unknown[] = [
    'text',
    null,
    { ...good, name: 'new\ntrunkline_evil' },
    { ...good, help: 'two\nlines' },
    { ...good, kind: 'summary' },
    { ...good, merge: 'constructor' },
    { ...good, samples: [['{a="b"}\n', 3]] },
    { ...good, samples: [['', 'many']] },
    { ...good, samples: [['', null]] },
    { ...good, samples: 'none' },
  ];
  const b = await start();
  const says = (peers: SupervisedPeers, about: unknown) => {
    peers.handle('metrics', () => peers.notify(SUPERVISOR, 'metrics', about));
  };
  for (const about of [...bad.map((each) => [each]), 'text', null, { length: 3 }]) {
    says(b.peers, about);
    await sleep(1_001);
    const text = await a.worker.text();
    expect(text).not.toContain('new');
    expect(text).toContain('trunkline_calls 1\n');
  }
  says(b.peers, [good, histogram, ...bad]);
  const value = await scrape(a);
  expect(value('new_total')).toBe(3);
  // Other buckets have no sum with ours.
  expect(value('hook_seconds_bucket{le="3"}')).toBeUndefined();
  expect(office.serving).toEqual([1, 2]);
});

it('has no page of the machine once the supervisor is gone, not even for a scrape under way', async () => {
  const { office, start, kill } = machine();
  const a = await start();
  expect(await a.worker.text()).toContain('trunkline_calls 0\n');
  office.handle('metrics.page', () => new Promise(() => {}));
  const waits = a.worker.text();
  kill(a.peers);
  expect(await waits).toBeUndefined();
  expect(await a.worker.text()).toBeUndefined();
});

it('rejects a scrape while the supervisor hangs', async () => {
  const { office, start } = machine();
  const a = await start();
  office.handle('metrics.page', () => new Promise(() => {}));
  await expect(a.worker.text()).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
});
