import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { TwilioCall } from '../../src/calls/call.js';
import { TwilioCallRegistry } from '../../src/calls/registry.js';
import { CallWebhookInput } from '../../src/twilio/webhook.js';

const webhook = (callSid: string) => new CallWebhookInput({ CallSid: callSid });

/** The error fields that a route sends. */
function refusal(work: () => unknown): { code?: string; status?: number } {
  try {
    work();
  } catch (error) {
    const { name, code, status } = error as Record<string, unknown>;
    expect(name).toBe('GatewayError');
    return { code: code as string, status: status as number };
  }
  return {};
}

const EXISTS = { code: 'GW_CALL_EXISTS', status: 409 };
const UNKNOWN = { code: 'GW_CALL_UNKNOWN', status: 404 };
const INVALID = { code: 'GW_TOKEN_INVALID', status: 401 };
const USED = { code: 'GW_TOKEN_USED', status: 409 };
const EXPIRED = { code: 'GW_TOKEN_EXPIRED', status: 410 };

describe('the registry', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('finds a call by its id and by its CallSid', () => {
    const registry = new TwilioCallRegistry();
    const call = registry.create('a', webhook('CA1'));
    expect(registry.get('a')).toBe(call);
    expect(registry.require('a')).toBe(call);
    expect(registry.getBySid('CA1')).toBe(call);
    expect(registry.get('b')).toBeUndefined();
    expect(registry.getBySid('CA2')).toBeUndefined();
    expect(refusal(() => registry.require('b'))).toEqual(UNKNOWN);
  });

  test('finds an outbound call by a CallSid bound later', () => {
    const registry = new TwilioCallRegistry();
    const call = registry.create('a');
    registry.bindSid(call, 'CA1');
    expect(call.callSid).toBe('CA1');
    expect(registry.getBySid('CA1')).toBe(call);
    call.end();
    expect(registry.getBySid('CA1')).toBeUndefined();
    registry.bindSid(call, 'CA1');
    expect(registry.getBySid('CA1')).toBeUndefined();
  });

  test('forgets the CallSid a call had before', () => {
    const registry = new TwilioCallRegistry();
    const call = registry.create('a', webhook('CA1'));
    registry.bindSid(call, 'CA2');
    call.end();
    expect(registry.getBySid('CA2')).toBeUndefined();
    expect(registry.getBySid('CA1')).toBeUndefined();
  });

  test('does not find a call by a CallSid that was never bound', () => {
    const registry = new TwilioCallRegistry();
    registry.create('a', webhook(''));
    expect(registry.getBySid('')).toBeUndefined();
  });

  test.each(['', 'a/b', 'a b', 'ä', '..', 'a'.repeat(65), undefined, 7])('rejects the id %j', (id) => {
    const registry = new TwilioCallRegistry();
    expect(() => registry.create(id as string)).toThrow(TypeError);
    expect(registry.size).toBe(0);
  });

  test('accepts any id that fits in a URL', () => {
    const registry = new TwilioCallRegistry();
    expect(registry.create(`${'Az09_-'.repeat(10)}abcd`).callId).toHaveLength(64);
  });

  test('rejects an id in use and leaves the first call alone', () => {
    const registry = new TwilioCallRegistry();
    const first = registry.create('a');
    const prepare = vi.fn();
    expect(refusal(() => registry.create('a', undefined, { prepare }))).toEqual(EXISTS);
    expect(registry.get('a')).toBe(first);
    expect(registry.listActive().length).toBe(1);
    expect(prepare).not.toHaveBeenCalled();
  });

  test('accepts an id again once its call has ended', () => {
    const registry = new TwilioCallRegistry();
    registry.create('a').end();
    expect(registry.create('a').state).toBe('ringing');
    expect(registry.listActive().length).toBe(1);
  });

  test('gives each call its own token of 43 characters', () => {
    const registry = new TwilioCallRegistry();
    const tokens = Array.from({ length: 50 }, (_, i) => registry.create(`${i}`).token);
    expect(new Set(tokens).size).toBe(50);
    for (const token of tokens) expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  test('validates without using up the token, and claims once', () => {
    const registry = new TwilioCallRegistry();
    const call = registry.create('a');
    expect(registry.validate('a', call.token)).toBe(call);
    expect(registry.validate('a', call.token)).toBe(call);
    expect(call.state).toBe('ringing');
    expect(registry.claim('a', call.token)).toBe(call);
    expect(call.state).toBe('connecting');
    expect(refusal(() => registry.claim('a', call.token))).toEqual(USED);
    call.goLive();
    expect(refusal(() => registry.claim('a', call.token))).toEqual(USED);
  });

  test('rejects unknown calls and wrong tokens; a wrong token does not use up the right one', () => {
    const registry = new TwilioCallRegistry();
    const call = registry.create('a');
    const other = registry.create('b');
    expect(refusal(() => registry.claim('c', call.token))).toEqual(UNKNOWN);
    const wrong = [other.token, '', call.token.slice(1), `${call.token}=`, undefined, '\ud800'.repeat(43)];
    for (const token of wrong) {
      expect(refusal(() => registry.validate('a', token as string))).toEqual(INVALID);
      expect(refusal(() => registry.claim('a', token as string))).toEqual(INVALID);
    }
    expect(registry.claim('a', call.token)).toBe(call);
  });

  test('never shows a token in an error', () => {
    const registry = new TwilioCallRegistry();
    const { token } = registry.create('a');
    registry.claim('a', token);
    expect(() => registry.claim('a', token)).toThrow(expect.not.stringContaining(token));
    expect(() => registry.claim('a', 'wrong-token')).toThrow(expect.not.stringContaining('wrong-token'));
  });

  test('rejects an expired token with 410, even before the sweep, and forgets the call later', () => {
    const registry = new TwilioCallRegistry({ timeToLiveMs: 60_000 });
    const call = registry.create('a', webhook('CA1'));
    vi.advanceTimersByTime(59_999);
    expect(call.isExpired).toBe(false);
    vi.setSystemTime(0);
    vi.advanceTimersByTime(1);
    expect(refusal(() => registry.claim('a', call.token))).toEqual(EXPIRED);
    vi.advanceTimersByTime(2_000);
    expect(call).toMatchObject({ state: 'ended', endCause: 'expired' });
    expect(registry.listActive().length).toBe(0);
    expect(registry.listActive()).toEqual([]);
    expect(registry.size).toBe(1);
    expect(refusal(() => registry.claim('a', 'x'.repeat(43)))).toEqual(INVALID);
    expect(refusal(() => registry.claim('a', call.token))).toEqual(EXPIRED);
    vi.advanceTimersByTime(61_000);
    expect(refusal(() => registry.claim('a', call.token))).toEqual(UNKNOWN);
    expect(registry.getBySid('CA1')).toBeUndefined();
    expect(registry.size).toBe(0);
  });

  test('gives an outbound call the lifetime it asks for', () => {
    const registry = new TwilioCallRegistry({ timeToLiveMs: 1_000 });
    const call = registry.create('a', undefined, { timeToLiveMs: 75_000 });
    vi.advanceTimersByTime(74_000);
    expect(registry.claim('a', call.token)).toBe(call);
  });

  test('does not expire a connected call', () => {
    const registry = new TwilioCallRegistry({ timeToLiveMs: 1_000 });
    const call = registry.create('a');
    registry.claim('a', call.token);
    vi.advanceTimersByTime(3_600_000);
    expect(call.state).toBe('connecting');
    expect(registry.get('a')).toBe(call);
  });

  test('has a timer only while it has calls', () => {
    const registry = new TwilioCallRegistry();
    expect(vi.getTimerCount()).toBe(0);
    const calls = ['a', 'b', 'c'].map((id) => registry.create(id));
    expect(vi.getTimerCount()).toBe(1);
    for (const call of calls) call.end();
    vi.advanceTimersByTime(1_000);
    expect(vi.getTimerCount()).toBe(0);
    registry.create('d');
    vi.advanceTimersByTime(200_000);
    expect(registry.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('has no timer after close, and ends every call', () => {
    const registry = new TwilioCallRegistry();
    const call = registry.create('a', webhook('CA1'));
    registry.create('b').end('refused');
    registry.close();
    expect(vi.getTimerCount()).toBe(0);
    expect(call.endCause).toBe('drain');
    expect(registry.size).toBe(0);
    expect(registry.getBySid('CA1')).toBeUndefined();
  });

  test('forgets a call when it ends, whichever side ends it', () => {
    const registry = new TwilioCallRegistry();
    for (const cause of ['stop', 'socket-closed', 'status', 'hangup', 'failed', 'internal'] as const) {
      const call = registry.create(cause, webhook(cause));
      call.end(cause);
      expect(registry.get(cause)).toBeUndefined();
      expect(registry.getBySid(cause)).toBeUndefined();
    }
    expect(registry.listActive().length).toBe(0);
  });

  test('keeps a refused call for a while, so that a repeated webhook is refused too', () => {
    const registry = new TwilioCallRegistry();
    const call = registry.create('a', webhook('CA1'));
    call.end('refused');
    expect(registry.getBySid('CA1')).toBe(call);
    expect(registry.listActive().length).toBe(0);
    expect(refusal(() => registry.claim('a', call.token))).toEqual(EXPIRED);
    vi.advanceTimersByTime(125_000);
    expect(registry.size).toBe(0);
  });

  test('ends and forgets a removed call', () => {
    const registry = new TwilioCallRegistry();
    const call = registry.create('a', webhook('CA1'));
    expect(registry.remove('a')).toBe(call);
    expect(call.endCause).toBe('hangup');
    expect(registry.get('a')).toBeUndefined();
    expect(registry.getBySid('CA1')).toBeUndefined();
    expect(registry.remove('a')).toBeUndefined();
  });

  test('lists the calls that have not ended', () => {
    const registry = new TwilioCallRegistry();
    const calls = ['a', 'b', 'c'].map((id) => registry.create(id)) as [TwilioCall, TwilioCall, TwilioCall];
    calls[1].end('refused');
    expect(registry.listActive()).toEqual([calls[0], calls[2]]);
    expect(registry.size).toBe(3);
    expect(registry.listActive().length).toBe(2);
  });

  test.each([0, -1, Number.NaN])('rejects a lifetime of %d ms', (timeToLiveMs) => {
    expect(() => new TwilioCallRegistry({ timeToLiveMs })).toThrow(TypeError);
  });
});

test('a registry with calls does not keep the process alive', () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const registry = new TwilioCallRegistry();
  registry.create('a');
  expect(timers()).toBe(before);
  const ours = setTimeout(() => {}, 1_000);
  expect(timers()).toBe(before + 1);
  clearTimeout(ours);
  registry.close();
});
