import { afterEach, describe, expect, test, vi } from 'vitest';
import { type CallOptions, TwilioCall } from '../../src/calls/call.js';
import { systemClock } from '../../src/clock.js';
import { CallWebhookInput } from '../../src/twilio/webhook.js';

const make = <T>(options: Partial<CallOptions<T>> = {}, webhook?: CallWebhookInput) =>
  new TwilioCall<T>('a', webhook, { timeToLiveMs: 60_000, clock: systemClock, ...options });

const tick = () => new Promise((resolve) => setImmediate(resolve));

afterEach(() => {
  vi.useRealTimers();
});

describe('a call', () => {
  test('exposes the webhook’s fields', () => {
    const call = make(
      {},
      new CallWebhookInput({
        CallSid: 'CA1',
        AccountSid: 'AC1',
        From: '+15550001111',
        To: '+15552223333',
        CallStatus: 'ringing',
        Direction: 'inbound',
        Caller: '+15550001111',
        CallerCity: 'OAKLAND',
        CallerState: 'CA',
        CallerCountry: 'US',
        StirVerstat: 'TN-Validation-Passed-A',
      }),
    );
    expect(call).toMatchObject({
      callSid: 'CA1',
      accountSid: 'AC1',
      from: '+15550001111',
      to: '+15552223333',
      callStatus: 'ringing',
      direction: 'inbound',
      caller: '+15550001111',
      callerCity: 'OAKLAND',
      callerState: 'CA',
      callerCountry: 'US',
      stirVerstat: 'TN-Validation-Passed-A',
      state: 'ringing',
    });
  });

  test('exposes the request’s fields when we place it', () => {
    const call = make({ direction: 'outbound-api', from: '+1555', to: 'client:ann' });
    expect(call).toMatchObject({ direction: 'outbound-api', from: '+1555', to: 'client:ann' });
    expect(call.callSid).toBeUndefined();
    expect(call.callStatus).toBeUndefined();
    expect(call.caller).toBeUndefined();
  });

  test('moves from ringing to connecting to live, and never back', () => {
    const call = make();
    call.goLive();
    expect(call.state).toBe('ringing');
    call.connect();
    expect(call.state).toBe('connecting');
    call.goLive();
    expect(call.state).toBe('live');
    call.end();
    call.goLive();
    expect(call.state).toBe('ended');
    expect(() => call.connect()).toThrow(expect.objectContaining({ code: 'GW_TOKEN_EXPIRED', status: 410 }));
  });

  test('keeps the latest status by Twilio’s sequence number, not by arrival', () => {
    const call = make({}, new CallWebhookInput({ CallStatus: 'ringing' }));
    expect(call.callStatus).toBe('ringing');
    call.noteStatus('in-progress', 2);
    call.noteStatus('initiated', 0);
    call.noteStatus('ringing', 1);
    expect(call.callStatus).toBe('in-progress');
    call.noteStatus('completed', 3);
    expect(call.callStatus).toBe('completed');
  });

  test('takes statuses without a sequence number in order of arrival', () => {
    const call = make();
    call.noteStatus('ringing');
    call.noteStatus('completed');
    expect(call.callStatus).toBe('completed');
  });

  test('measures its duration from start to end', () => {
    vi.useFakeTimers();
    const call = make();
    expect(call.durationSeconds).toBeNull();
    vi.advanceTimersByTime(12_500);
    expect(call.durationSeconds).toBeNull();
    call.end();
    vi.advanceTimersByTime(5_000);
    expect(call.durationSeconds).toBe(12.5);
    expect(call.endedAt).toEqual(new Date(call.startedAt.getTime() + 12_500));
  });

  test('never has a negative duration when the wall clock is set back', () => {
    vi.useFakeTimers();
    const call = make();
    vi.setSystemTime(Date.now() - 3_600_000);
    call.end();
    expect(call.durationSeconds).toBeGreaterThanOrEqual(0);
  });

  test('expires after its lifetime unless it has connected', () => {
    vi.useFakeTimers();
    const [late, connected] = [make({ timeToLiveMs: 100 }), make({ timeToLiveMs: 100 })];
    connected.connect();
    vi.advanceTimersByTime(99);
    expect(late.isExpired).toBe(false);
    expect(late.overdueMs).toBeCloseTo(-1);
    vi.advanceTimersByTime(1);
    expect(late.isExpired).toBe(true);
    expect(connected.isExpired).toBe(false);
    expect(() => late.connect()).toThrow(expect.objectContaining({ code: 'GW_TOKEN_EXPIRED', status: 410 }));
  });
});

describe('the end of a call', () => {
  test('happens once: the first cause wins', () => {
    const call = make();
    const finaliser = vi.fn();
    call.onEnd(finaliser);
    call.end('stop');
    const { endedAt } = call;
    call.end('socket-closed');
    expect(call.endCause).toBe('stop');
    expect(call.endedAt).toBe(endedAt);
    expect(finaliser.mock.calls).toEqual([['stop']]);
  });

  test('runs the finalisers last in, first out', () => {
    const call = make();
    const order: number[] = [];
    for (const n of [1, 2, 3]) call.onEnd(() => order.push(n));
    call.end();
    expect(order).toEqual([3, 2, 1]);
  });

  test('runs a finaliser at once when it is registered late or by another finaliser', () => {
    const call = make();
    const seen: string[] = [];
    call.onEnd(() => {
      call.onEnd((cause) => seen.push(`inner ${cause}`));
      call.end('internal');
      seen.push('outer');
    });
    call.end('bridge');
    call.onEnd((cause) => seen.push(`late ${cause}`));
    expect(seen).toEqual(['inner bridge', 'outer', 'late bridge']);
  });

  test('runs all finalisers even if some throw, and emits a warning', async () => {
    const call = make();
    const ran = vi.fn();
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    call.onEnd(ran);
    call.onEnd(() => {
      throw new Error('one');
    });
    call.onEnd(() => {
      throw new Error('two');
    });
    expect(() => call.end()).not.toThrow();
    expect(ran).toHaveBeenCalledOnce();
    expect(warn).toHaveBeenCalledOnce();
    const warning = warn.mock.calls[0]?.[0] as unknown as AggregateError;
    warn.mockRestore();
    expect(warning.errors.map((error) => error.message)).toEqual(['two', 'one']);
    expect(String(warning.stack)).not.toContain(call.token);
  });
});

describe('the preparation of a call', () => {
  test('starts in the background with the call and can be awaited many times', async () => {
    const prepare = vi.fn(async (call: TwilioCall<string>) => `room of ${call.callId}`);
    const call = make<string>({ prepare });
    await Promise.resolve();
    expect(prepare).toHaveBeenCalledOnce();
    expect(await call.awaitPrepare()).toBe('room of a');
    expect(await call.awaitPrepare()).toBe('room of a');
    expect(prepare).toHaveBeenCalledOnce();
  });

  test('is undefined if there is none', async () => {
    expect(await make().awaitPrepare()).toBeUndefined();
  });

  test('may return a plain value', async () => {
    expect(await make({ prepare: () => 7 }).awaitPrepare()).toBe(7);
  });

  test.each([
    ['rejects', () => Promise.reject(new Error('no room'))],
    [
      'throws',
      () => {
        throw new Error('no room');
      },
    ],
  ])('that %s rejects for awaiters only', async (_, prepare) => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    try {
      const call = make({ prepare });
      await tick();
      await tick();
      expect(unhandled).not.toHaveBeenCalled();
      await expect(call.awaitPrepare()).rejects.toThrow('no room');
      await expect(call.awaitPrepare()).rejects.toThrow('no room');
    } finally {
      process.off('unhandledRejection', unhandled);
    }
  });

  test('aborts when the call ends first', async () => {
    let aborted = false;
    const call = make({
      prepare: (_call, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            reject(new Error('aborted'));
          });
        }),
    });
    await tick();
    expect(aborted).toBe(false);
    call.end();
    expect(aborted).toBe(true);
    await expect(call.awaitPrepare()).rejects.toThrow('aborted');
  });

  test('sees an aborted signal if the call ended before it started', async () => {
    let signal: AbortSignal | undefined;
    const call = make({
      prepare: (_call, given) => {
        signal = given;
      },
    });
    call.end();
    await call.awaitPrepare();
    expect(signal?.aborted ?? true).toBe(true);
  });
});
