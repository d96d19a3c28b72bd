import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { AdmissionControl } from '../../src/calls/admission.js';
import { createLog } from '../../src/telemetry/log.js';
import { ACCOUNT_SID, AUTH_TOKEN, postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** An admission whose time only advances when the test says so. */
function setUp(limits: { maxCalls?: number; maxLoopDelayMs?: number; maxCpuPercent?: number } = {}) {
  const state = { calls: 0, draining: false, media: false, descriptors: false, delay: 0, cpu: 0 };
  const clock = new VirtualClock();
  const output = new PassThrough({ encoding: 'utf8' });
  const admission = new AdmissionControl(
    { maxCalls: 10, maxLoopDelayMs: 50, maxCpuPercent: 80, ...limits },
    {
      activeCalls: () => state.calls,
      isDraining: () => state.draining,
      isBridgeOverloaded: () => state.media,
      isShortOfDescriptors: () => state.descriptors,
      loopDelayMs: () => state.delay,
      cpuMs: () => state.cpu,
    },
    clock,
    createLog('warn', output),
  );
  const logged = () =>
    String(output.read() ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  /** One second at this load. */
  const second = (cpuPercent: number, delay = 0) => {
    clock.advance(1_000);
    state.cpu += cpuPercent * 10;
    state.delay = delay;
    admission.sample();
    return admission.busyReason;
  };
  return { state, admission, second, clock, logged };
}

describe('admission', () => {
  it('logs one line per reason and minute, with the count so far', () => {
    const { state, admission, clock, logged } = setUp();
    state.calls = 10;
    for (let i = 0; i < 3; i++) admission.refuse();
    state.calls = 0;
    state.media = true;
    admission.refuse();
    expect(logged()).toMatchObject([
      { msg: 'rejecting new calls as busy', reason: 'full', refused: 1 },
      { msg: 'rejecting new calls as busy', reason: 'media', refused: 1 },
    ]);
    clock.advance(60_000);
    admission.refuse();
    expect(logged()).toMatchObject([{ reason: 'media', refused: 2 }]);
  });

  it('accepts calls below every limit', () => {
    const { state, second } = setUp();
    state.calls = 9;
    expect(second(80, 50)).toBeUndefined();
  });

  it('rejects calls at the maximum, and accepts again when the first one ends', () => {
    const { state, admission } = setUp();
    state.calls = 10;
    expect(admission.busyReason).toBe('full');
    state.calls = 9;
    expect(admission.busyReason).toBeUndefined();
  });

  it('rejects calls while the bridge is at capacity, whatever the load', () => {
    const { state, admission, second } = setUp();
    state.media = true;
    expect(admission.refuse()).toBe('media');
    expect(second(95)).toBe('media');
    state.media = false;
    expect(admission.busyReason).toBe('cpu');
    expect(admission.refused).toEqual(new Map([['media', 1]]));
  });

  it('rejects calls at once under load, from CPU or event-loop delay', () => {
    expect(setUp().second(81)).toBe('cpu');
    expect(setUp().second(10, 51)).toBe('loop_delay');
  });

  it('restarts the count of calm seconds after a busy one', () => {
    const { second } = setUp();
    for (const load of [95, 60, 60, 95, 60, 60]) expect(second(load)).toBe('cpu');
    expect(second(60)).toBeUndefined();
  });

  it('reopens only after three calm seconds in a row', () => {
    const { second } = setUp();
    expect(second(95)).toBe('cpu');
    expect(second(60)).toBe('cpu');
    expect(second(60)).toBe('cpu');
    // Below the limit but not calm: the count restarts.
    expect(second(70)).toBe('cpu');
    expect(second(60)).toBe('cpu');
    expect(second(60)).toBe('cpu');
    expect(second(60)).toBeUndefined();
  });

  it('does not flap when the load hovers around the limit', () => {
    const { second } = setUp();
    let changes = 0;
    let before: string | undefined;
    for (let i = 0; i < 60; i++) {
      const after = second(i % 2 === 0 ? 82 : 78);
      if (after !== before) changes += 1;
      before = after;
    }
    expect(changes).toBe(1);
  });

  it('treats 0 as no limit', () => {
    expect(setUp({ maxLoopDelayMs: 0, maxCpuPercent: 0 }).second(400, 5_000)).toBeUndefined();
  });

  it('counts rejected calls by reason', () => {
    const { state, admission, second } = setUp();
    second(95);
    admission.refuse();
    admission.refuse();
    state.draining = true;
    admission.refuse();
    expect([...admission.refused]).toEqual([
      ['cpu', 2],
      ['draining', 1],
    ]);
  });
});

describe('a gateway under load', () => {
  it('answers busy, reports not ready, and refuses to place calls while its running call continues', async () => {
    const clock = new VirtualClock();
    const { url, gateway } = await startGateway({
      clock,
      maxLoopDelayMs: 50,
      controlApiKey: 'control-key-of-this-test',
      twilio: {
        accountSid: ACCOUNT_SID,
        authTokens: [AUTH_TOKEN],
        from: '+15550009999',
        apiUrl: 'http://127.0.0.1:9',
      },
    });
    await postForm(url, '/twilio/voice', voiceParameters());
    expect((await fetch(`${url}/ready`)).status).toBe(200);
    // Every tick of this second is late.
    for (let i = 0; i < 20; i++) clock.stall(100);
    expect(await (await fetch(`${url}/ready`)).json()).toEqual({
      ready: false,
      draining: false,
      full: false,
      closure: 'loop_delay',
    });
    const answer = await postForm(url, '/twilio/voice', voiceParameters());
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain('<Reject reason="busy"/>');
    await expect(gateway.placeCall({ to: '+15551234567' })).rejects.toMatchObject({
      code: 'GW_OVERLOADED',
      status: 503,
    });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('trunkline_admission_open 0');
    expect(metrics).toContain('trunkline_calls_refused_total{reason="loop_delay"} 2');
    expect(gateway.stats().activeCalls).toBe(1);
    // After four seconds without delay it accepts calls again.
    clock.advance(6_000);
    expect((await fetch(`${url}/ready`)).status).toBe(200);
  });
});
