import { describe, expect, it } from 'vitest';
import { AdmissionControl } from '../../src/calls/admission.js';
import { ACCOUNT_SID, AUTH_TOKEN, postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** An admission whose seconds pass when the test says so. */
function setUp(limits: { maxCalls?: number; maxLoopDelayMs?: number; maxCpuPercent?: number } = {}) {
  const state = { calls: 0, draining: false, media: false, descriptors: false, delay: 0, cpu: 0 };
  const clock = new VirtualClock();
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
  );
  /** A second at this load. */
  const second = (cpuPercent: number, delay = 0) => {
    clock.advance(1_000);
    state.cpu += cpuPercent * 10;
    state.delay = delay;
    admission.sample();
    return admission.busyReason;
  };
  return { state, admission, second };
}

describe('admission', () => {
  it('is open below every limit', () => {
    const { state, second } = setUp();
    state.calls = 9;
    expect(second(80, 50)).toBeUndefined();
  });

  it('closes at the number of calls, and opens with the first that ends', () => {
    const { state, admission } = setUp();
    state.calls = 10;
    expect(admission.busyReason).toBe('full');
    state.calls = 9;
    expect(admission.busyReason).toBeUndefined();
  });

  it('closes while the bridge can carry no more, whatever the load', () => {
    const { state, admission, second } = setUp();
    state.media = true;
    expect(admission.refuse()).toBe('media');
    expect(second(95)).toBe('media');
    state.media = false;
    expect(admission.busyReason).toBe('cpu');
    expect(admission.refused).toEqual(new Map([['media', 1]]));
  });

  it('closes at once under load, by CPU or by a late event loop', () => {
    expect(setUp().second(81)).toBe('cpu');
    expect(setUp().second(10, 51)).toBe('loop_delay');
  });

  it('counts the calm seconds anew after another that was not', () => {
    const { second } = setUp();
    for (const load of [95, 60, 60, 95, 60, 60]) expect(second(load)).toBe('cpu');
    expect(second(60)).toBeUndefined();
  });

  it('opens only after three calm seconds in a row', () => {
    const { second } = setUp();
    expect(second(95)).toBe('cpu');
    expect(second(60)).toBe('cpu');
    expect(second(60)).toBe('cpu');
    // Below the limit, yet not calm: the count begins anew.
    expect(second(70)).toBe('cpu');
    expect(second(60)).toBe('cpu');
    expect(second(60)).toBe('cpu');
    expect(second(60)).toBeUndefined();
  });

  it('does not flap at the limit: few openings in a minute of a load that hovers about it', () => {
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

  it('knows no limit of 0', () => {
    expect(setUp({ maxLoopDelayMs: 0, maxCpuPercent: 0 }).second(400, 5_000)).toBeUndefined();
  });

  it('counts whom it turns away, by reason', () => {
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
  it('answers busy, is not ready, and refuses to place calls; the call that it has goes on', async () => {
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
    // Every tick of a second is late.
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
    // Four seconds in which nothing is late, and it takes calls again.
    clock.advance(6_000);
    expect((await fetch(`${url}/ready`)).status).toBe(200);
  });
});
