import { beforeEach, expect, it } from 'vitest';
import { PastCalls } from '../../src/calls/past-calls.js';
import { CallWebhookInput } from '../../src/twilio/webhook.js';
import { VirtualClock } from '../support/virtual-clock.js';

const HOUR_MS = 3_600_000;
const webhook = (CallSid: string, CallStatus = 'ringing') => new CallWebhookInput({ CallSid, CallStatus });

let clock: VirtualClock;
beforeEach(() => {
  clock = new VirtualClock();
});

it('recognises webhooks of ended calls and counts replays per call', () => {
  const past = new PastCalls(clock);
  past.add('CA1', false);
  past.add('CA2', false);
  expect(past.replayOf(webhook('CA0'))).toBe(0);
  expect([
    past.replayOf(webhook('CA1')),
    past.replayOf(webhook('CA1')),
    past.replayOf(webhook('CA2')),
  ]).toEqual([1, 2, 1]);
  expect(past.metrics.map((figure) => 'kind' in figure && figure.read())).toEqual([3]);
});

it('forgets after an hour', () => {
  const past = new PastCalls(clock);
  past.add('CA1', true);
  clock.advance(HOUR_MS - 1);
  expect(past.replayOf(webhook('CA1'))).toBe(1);
  clock.advance(2);
  expect(past.replayOf(webhook('CA1'))).toBe(0);
});

it('accepts a caller sent back by TwiML until Twilio reports the call completed', () => {
  const past = new PastCalls(clock);
  past.add('CA1', false);
  expect(past.replayOf(webhook('CA1', 'in-progress'))).toBe(0);
  past.add('CA1', true);
  past.add('CA1', false);
  expect(past.replayOf(webhook('CA1', 'in-progress'))).toBe(1);
});

it('evicts the oldest at capacity', () => {
  const past = new PastCalls(clock, 2);
  for (const callSid of ['CA1', 'CA2', 'CA3', 'CA2', 'CA4']) past.add(callSid, false);
  expect(['CA1', 'CA2', 'CA3', 'CA4'].map((callSid) => past.replayOf(webhook(callSid)))).toEqual([
    0, 1, 0, 1,
  ]);
});
