import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import {
  AudioSource,
  type LoadOptions,
  type LoadProgress,
  runLoad as runLoadOn,
} from '../../src/simulator/index.js';
import { ReferenceGateway } from '../support/reference-gateway.js';
import { sleep, virtualTime } from '../support/time.js';

const clock = virtualTime();
const runLoad = (options: LoadOptions) => runLoadOn({ clock, ...options });

let gateway: ReferenceGateway;
afterEach(() => gateway.close());

describe('load', () => {
  it('runs fifty phones and reports their results', async () => {
    gateway = await ReferenceGateway.listen();
    const progress: LoadProgress[] = [];
    const report = await runLoad({
      webhookUrl: gateway.voiceUrl,
      authToken: '12345',
      calls: 50,
      rate: 100,
      durationMs: 2000,
      onProgress: (each) => progress.push(each),
    });
    expect(report).toMatchObject({ calls: 50, streams: 50, failed: 0, lostCalls: 0, framesMissing: 0 });
    expect(report).toMatchObject({ pairing: 'valid', framesLost: 0, framesDiscarded: 0, heldMs: 2000 });
    // 50 frames a second and phone, over the hold and half of the ramp.
    expect(report.framesSent).toBeGreaterThan(50 * 50 * 2);
    expect(report.roundTrip.count).toBeGreaterThan(50 * 50 * 1.9);
    expect(report.roundTrip.maxMs).toBeLessThan(20);
    expect(report).toMatchObject({ gaps: 0, underruns: 0, mostStreaming: 50 });
    expect(report.proof?.received.correlation).toBeGreaterThan(0.999);
    expect(report.warnings).toMatchObject({ 31930: 0, 31950: 0, 31951: 0 });
    expect(report.webhook.count).toBe(50);
    expect(report.generator.cpu).toBeGreaterThan(0);
    expect(report.generator.lateness.count).toBeGreaterThan(100);
    expect(report.generator.lateness.maxMs).toBeLessThanOrEqual(1);
    expect(typeof report.generatorLimited).toBe('boolean');
    expect(progress.map((each) => each.phase)).toEqual(expect.arrayContaining(['ramp', 'hold', 'end']));
    expect(progress.at(-1)).toMatchObject({ placed: 50, streaming: 0, failed: 0 });
    expect(gateway.sockets.size).toBe(0);
  });

  it('counts failed calls and continues', async () => {
    let asked = 0;
    gateway = await ReferenceGateway.listen({
      answer: (_, url) => {
        asked += 1;
        return asked % 2 === 0
          ? '<Response><Reject reason="busy"/></Response>'
          : `<Response><Connect><Stream url="${url}"/></Connect></Response>`;
      },
    });
    const report = await runLoad({
      webhookUrl: gateway.voiceUrl,
      authToken: '12345',
      calls: 6,
      rate: 200,
      durationMs: 300,
      proofCalls: 0,
    });
    expect(report).toMatchObject({ calls: 6, streams: 3, failed: 3, pairing: 'valid', lostCalls: 0 });
    expect(report.firstFailure).toMatch(/<Reject reason="busy">/);
  });

  it('can be ended early, and counts calls lost', async () => {
    gateway = await ReferenceGateway.listen({
      onStream: (socket) => void sleep(100).then(() => socket.close()),
    });
    const abort = new AbortController();
    void sleep(400).then(() => abort.abort());
    const begun = clock.now();
    const report = await runLoad({
      webhookUrl: gateway.voiceUrl,
      authToken: '12345',
      calls: 3,
      durationMs: 60_000,
      proofCalls: 0,
      signal: abort.signal,
    });
    expect(clock.now() - begun).toBeLessThan(450);
    expect(report).toMatchObject({ lostCalls: 3, failed: 0 });
  });

  it('ramps up, churns and ramps down according to its steps', async () => {
    gateway = await ReferenceGateway.listen();
    const report = await runLoad({
      webhookUrl: gateway.voiceUrl,
      authToken: '12345',
      steps: [
        { kind: 'ramp', calls: 10, rate: 100 },
        { kind: 'churn', rate: 10, seconds: 2 },
        { kind: 'ramp', calls: 3, rate: 100 },
        { kind: 'hold', seconds: 1 },
      ],
      proofCalls: 2,
    });
    expect(report).toMatchObject({
      calls: 30,
      streams: 30,
      mostStreaming: expect.any(Number),
      aborted: false,
    });
    expect(report).toMatchObject({ failed: 0, lostCalls: 0, framesMissing: 0, heldMs: 3000 });
    expect(report.mostStreaming).toBeLessThanOrEqual(11);
    expect(report.webhook.count).toBe(30);
    // Those that record are spared, so their proof is of a whole call.
    expect(report.proof?.received.correlation).toBeGreaterThan(0.999);
    const { samples } = report;
    expect(samples.length).toBeGreaterThan(5);
    expect(samples.at(-1)).toMatchObject({ streaming: 3, placed: 30, failed: 0, lost: 0 });
    expect(samples.every((sample, i) => sample.seconds > (samples[i - 1]?.seconds ?? 0))).toBe(true);
    expect(Math.max(...samples.map((sample) => sample.roundTripP99Ms))).toBeGreaterThan(0);
    expect(gateway.sockets.size).toBe(0);
  });

  it('reports mouth-to-ear delay over time, and what a stall leaves of it', async () => {
    gateway = await ReferenceGateway.listen();
    const options = { webhookUrl: gateway.voiceUrl, authToken: '12345', calls: 2, proofCalls: 2 };
    const clean =
      (await runLoad({ ...options, durationMs: 10_000 })).delay ?? expect.fail('nothing measured');
    expect(clean).toMatchObject({ stalls: 0, afterStallMs: undefined });
    expect(clean.tracks).toHaveLength(2);
    for (const { samples } of clean.tracks) {
      expect(samples.length).toBeGreaterThan(12);
      for (const { delayMs } of samples) expect(Math.abs(delayMs - clean.beginMs)).toBeLessThan(6);
    }
    expect(clean.beginMs).toBeGreaterThan(15);
    expect(clean.endMs).toBeLessThan(50);
    // An echo that returns everything it gets stays late.
    const stalling = (
      await runLoad({
        ...options,
        durationMs: 16_000,
        profile: { stallEveryMs: 6_000, stallMs: 500 },
        audio: AudioSource.sweep({ pauses: 4 }),
      })
    ).delay;
    const { beginMs, endMs, stalls, afterStallMs } = stalling ?? expect.fail('nothing measured');
    expect(endMs - beginMs).toBeGreaterThan(480);
    expect(stalls).toBeGreaterThanOrEqual(4);
    expect(afterStallMs).toBeGreaterThan(480);
  });

  it('reports no delay for tones, which all sound the same, nor without an echo', async () => {
    for (const [audio, onStream] of [
      [AudioSource.tone(440), undefined],
      [AudioSource.speech(), () => {}],
    ] as const) {
      gateway = await ReferenceGateway.listen(onStream === undefined ? {} : { onStream });
      const options = { webhookUrl: gateway.voiceUrl, authToken: '12345', calls: 1, durationMs: 6_000 };
      expect((await runLoad({ ...options, audio })).delay).toBeUndefined();
      await gateway.close();
    }
  });

  it('reports when it was the limit itself', async () => {
    gateway = await ReferenceGateway.listen();
    const busy = setInterval(() => {
      const until = performance.now() + 80;
      while (performance.now() < until);
    }, 90);
    const report = await runLoad({
      webhookUrl: gateway.voiceUrl,
      authToken: '12345',
      calls: 5,
      durationMs: 1000,
      proofCalls: 0,
      // What it costs is a matter of the machine.
      clock: systemClock,
    });
    clearInterval(busy);
    expect(report.generatorLimited).toBe(true);
    expect(report.generator.limits.join()).toMatch(/\d+ % of its frames left more than 10 ms late/);
    // Beside other work it may not have got that much of a core; then it must not say so.
    const { cpu, limits } = report.generator;
    expect(limits.some((limit) => /^it used \d+ % of a core, more than 70 %/.test(limit))).toBe(cpu > 0.7);
  });

  it('rejects options out of range', async () => {
    gateway = await ReferenceGateway.listen();
    const options = { webhookUrl: gateway.voiceUrl, authToken: '12345' };
    await expect(runLoad({ ...options, calls: 0 })).rejects.toThrow(
      'Expected 1 to 10000 for calls but received 0',
    );
    await expect(runLoad({ ...options, calls: 1, rate: 0 })).rejects.toThrow(/for rate but received 0/);
  });
});
