import { describe, expect, it } from 'vitest';
import type { CallReport } from '../../src/index.js';
import { Caller } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

virtualTime();

const metric = async (url: string, sample: string) =>
  Number(
    (await (await fetch(`${url}/metrics`)).text())
      .split('\n')
      .find((line) => line.startsWith(`${sample} `))
      ?.split(' ')[1],
  );

describe('the watchdog', () => {
  it('ends a live call without messages, lets Twilio continue, and counts it', async () => {
    const { url, gateway } = await startGateway({ stuckSeconds: 2 });
    const reports: CallReport[] = [];
    gateway.on('end', (_call, _cause, report) => reports.push(report));
    const silent = await Caller.call(url);
    const talking = await Caller.call(url);
    silent.media(toneMulaw(700, 20));
    const talk = clock.every(20, () => talking.media(toneMulaw(700, 20)));
    try {
      await eventually('the end of the silent call', () => silent.closed !== undefined, 8_000);
      expect(silent.closed).toEqual({ code: 1001, reason: 'no messages from Twilio' });
      expect(reports).toMatchObject([{ cause: 'silent', result: 'upstream' }]);
      expect(await metric(url, 'trunkline_calls_stuck_total{why="silent"}')).toBe(1);
      expect(talking.closed).toBeUndefined();
    } finally {
      clock.cancel(talk);
    }
  });

  it('reports a cleanup that does not finish, once', async () => {
    const never = new Promise<void>(() => {});
    const { url } = await startGateway({
      stuckSeconds: 1,
      bridge: {
        name: 'clinging',
        join: async () => ({ write() {}, dtmf() {}, close: () => never }),
        close: async () => {},
      },
    });
    const caller = await Caller.call(url);
    await eventually('live', () => caller.received.length >= 0);
    caller.stop();
    await eventually('the close', () => caller.closed !== undefined);
    const stuck = () => metric(url, 'trunkline_calls_stuck_total{why="ending"}');
    await eventually('the stuck end', async () => (await stuck()) === 1, 8_000);
    await sleep(2_200);
    expect(await metric(url, 'trunkline_calls_stuck_total{why="ending"}')).toBe(1);
  });
});

describe('the report of a call', () => {
  it('shows the latency of its frames in the event, the log and the control API', async () => {
    const lines: { msg: string }[] = [];
    const { pino } = await import('pino');
    const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) });
    const key = 'control-key-of-this-test';
    const { url, gateway } = await startGateway({ log, controlApiKey: key });
    const reports: CallReport[] = [];
    gateway.on('end', (_call, _cause, report) => reports.push(report));
    const caller = await Caller.call(url);
    for (let i = 0; i < 30; i++) {
      caller.media(toneMulaw(700, 20));
      await eventually('echo', () => caller.mediaCount > i);
      // At a phone's pace: anything faster fills the lead.
      await sleep(20);
    }
    const headers = { authorization: `Bearer ${key}` };
    const { calls } = (await (await fetch(`${url}/v1/calls`, { headers })).json()) as {
      calls: { latency: CallReport['latency'] }[];
    };
    expect(calls[0]?.latency.gateway.count).toBe(30);
    caller.stop();
    await eventually('the end', () => reports.length === 1);
    const [report] = reports as [CallReport];
    expect(report).toMatchObject({
      cause: 'stop',
      result: 'success',
      traffic: { framesIn: 30, framesOut: 30 },
    });
    for (const stage of [
      'transcodeIn',
      'decodedLeg',
      'legEncoded',
      'transcodeOut',
      'encodedSocket',
      'gateway',
      'playoutLead',
    ] as const) {
      const { count, p50Us, p99Us, p999Us } = report.latency[stage];
      // Inner stages are sampled from every eighth frame.
      if (stage === 'gateway') expect(count).toBe(30);
      else expect([stage, count >= 3 && count <= 5]).toEqual([stage, true]);
      expect(p50Us <= p99Us && p99Us <= p999Us).toBe(true);
    }
    expect(report.latency.intakeJitter.count).toBe(29);
    // Each stage is part of the whole path, even for the slowest frame.
    const { gateway: whole, transcodeIn, encodedSocket } = report.latency;
    expect(whole.maxUs).toBeGreaterThanOrEqual(Math.max(transcodeIn.maxUs, encodedSocket.maxUs));
    const line = lines.find(({ msg }) => msg === 'call ended');
    expect(line).toMatchObject({
      cause: 'stop',
      result: 'success',
      framesIn: 30,
      us: { gateway: expect.any(String) },
    });
    // The gateway's own histograms contain the same frames.
    expect(gateway.stats().latency.gateway.count).toBe(30);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('trunkline_stage_seconds_count{stage="gateway"} 30');
    expect(metrics).toContain('trunkline_calls_result_total{result="success"} 1');
  });

  it('shows a slow leg in the stage that waits for it', async () => {
    const { url, gateway } = await startGateway({
      bridge: {
        name: 'late',
        join: async () => {
          await sleep(150);
          return { write() {}, dtmf() {}, close() {} };
        },
        close: async () => {},
      },
    });
    const reports: CallReport[] = [];
    gateway.on('end', (_call, _cause, report) => reports.push(report));
    const caller = await Caller.call(url);
    for (let i = 0; i < 3; i++) caller.media(toneMulaw(700, 20));
    await sleep(300);
    caller.stop();
    await eventually('the end', () => reports.length === 1);
    const { decodedLeg } = (reports[0] as CallReport).latency;
    expect(decodedLeg.count).toBe(3);
    expect(decodedLeg.p50Us).toBeGreaterThan(20_000);
    expect(decodedLeg.p50Us).toBeLessThan(5_000_000);
  });
});
