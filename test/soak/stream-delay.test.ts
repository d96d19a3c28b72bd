import { expect, it } from 'vitest';
import { StreamBridge } from '../../src/index.js';
import { AudioSource, MouthToEar, type SimulatedPhone } from '../../src/simulator/index.js';
import { STAGE } from '../../src/telemetry/call-latencies.js';
import { RecentLatency } from '../../src/telemetry/recent-latency.js';
import { startGateway } from '../support/gateway.js';
import { callPhone } from '../support/stream-call.js';
import { streamProcess } from '../support/stream-process.js';
import { bound, clock, eventually, sleep } from '../support/time.js';

const PAIRS = 5;
const SECONDS = 60;
/** Of the beginning and of the end. */
const COMPARED_SECONDS = 15;

const stream = streamProcess();

it('ten calls through Stream have the same delay after a minute as at the start', {
  timeout: 180_000,
}, async () => {
  const bridge = new StreamBridge({ ...stream(), maxWorkerDelayMs: 0 });
  let calls = 0;
  const { gateway, url } = await startGateway({
    bridge,
    prepareCall: () => ({ room: `pair-${Math.floor(calls++ / 2)}` }),
  });
  const phones: SimulatedPhone[] = [];
  for (let i = 0; i < 2 * PAIRS; i++) {
    const phone = callPhone(url, undefined, { audio: AudioSource.sweep({ pauses: i }), record: 180_000 });
    phones.push(phone);
    await phone.started;
    await eventually('it to join', () => bridge.stats().joined === i + 1, 20_000);
  }
  const compared = COMPARED_SECONDS * 1_000;
  const streams = gateway.calls.listActive().flatMap(({ callId }) => gateway.stream(callId) ?? []);
  const leads = streams.map(({ latencies }) => new RecentLatency(latencies.countsOf(STAGE.playoutLead)));
  /** What frames found waiting since the last time, p50 of each call, of those the median. */
  const lead = () => {
    for (const { latencies } of streams) latencies.settle();
    for (const each of leads) each.sample();
    return median(leads.map(({ p50Us }) => (p50Us ?? Number.NaN) / 1_000));
  };
  lead();
  const begun = clock.now();
  await sleep(compared);
  const first = lead();
  await sleep(SECONDS * 1_000 - 2 * compared);
  lead();
  await sleep(compared);
  const last = lead();
  const over = clock.now();
  const ways = phones.map((phone, i) => {
    const way = MouthToEar.between(phone, phones[i ^ 1] as SimulatedPhone);
    return [way.delayMs(begun, begun + compared), way.delayMs(over - compared, over)] as [number, number];
  });
  const [before, after] = [0, 1].map((i) => median(ways.map((way) => way[i] as number))) as [number, number];
  const figures = `lead ${first} then ${last} ms, mouth to ear ${before} then ${after} ms`;
  if (process.env.TEST_LOG) console.log(figures, ways);
  expect(last, figures).toBeLessThanOrEqual(bound(20));
  expect(after - before, figures).toBeLessThan(bound(40));
  await Promise.all(phones.map((phone) => phone.hangUp()));
  await bridge.close();
});

function median(of: readonly number[]): number {
  return [...of].sort((a, b) => a - b)[of.length >> 1] ?? Number.NaN;
}
