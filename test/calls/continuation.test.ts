import { beforeEach, expect, it } from 'vitest';
import { Continuations } from '../../src/calls/continuation.js';
import { createHangupTwiml } from '../../src/twilio/twiml.js';
import { VirtualClock } from '../support/virtual-clock.js';

const HANGUP = createHangupTwiml();

let clock: VirtualClock;
beforeEach(() => {
  clock = new VirtualClock();
});

it('hangs up a call without a continuation', () => {
  const verbs = new Continuations(10, clock);
  expect(verbs.twimlFor('CA1')).toBe(HANGUP);
  expect(HANGUP).toContain('<Hangup/>');
});

it('returns the continuation, and the same one when asked again', () => {
  const verbs = new Continuations(10, clock);
  verbs.set('CA1', 'one');
  verbs.set('CA2', 'two');
  expect([verbs.twimlFor('CA2'), verbs.twimlFor('CA1')]).toEqual(['two', 'one']);
  expect([verbs.twimlFor('CA2'), verbs.twimlFor('CA1')]).toEqual(['two', 'one']);
});

it('keeps the latest continuation', () => {
  const verbs = new Continuations(10, clock);
  verbs.set('CA1', 'one');
  verbs.set('CA1', 'another');
  expect(verbs.twimlFor('CA1')).toBe('another');
});

it('forgets after a minute', () => {
  const verbs = new Continuations(10, clock);
  verbs.set('CA1', 'one');
  verbs.set('CA2', 'two');
  clock.advance(59_000);
  expect(verbs.twimlFor('CA1')).toBe('one');
  clock.advance(2_000);
  expect(verbs.twimlFor('CA2')).toBe(HANGUP);
});

it('counts the minute from the latest continuation', () => {
  const verbs = new Continuations(10, clock);
  verbs.set('CA1', 'one');
  clock.advance(50_000);
  verbs.set('CA1', 'another');
  clock.advance(50_000);
  verbs.set('CA2', 'two');
  expect(verbs.twimlFor('CA1')).toBe('another');
});

it('evicts the oldest entry at capacity', () => {
  const verbs = new Continuations(3, clock);
  for (let i = 1; i <= 5; i++) verbs.set(`CA${i}`, `${i}`);
  expect([1, 2, 3, 4, 5].map((i) => verbs.twimlFor(`CA${i}`))).toEqual([HANGUP, HANGUP, '3', '4', '5']);
});

it('frees the entries that nobody asked for in time', () => {
  const verbs = new Continuations(1_000, clock);
  const size = () => (verbs as unknown as { verbs: Map<string, unknown> }).verbs.size;
  for (let i = 0; i < 500; i++) verbs.set(`CA${i}`, 'x');
  clock.advance(61_000);
  verbs.set('CA-new', 'y');
  expect(size()).toBe(1);
  for (let i = 0; i < 5_000; i++) verbs.set(`CB${i}`, 'x');
  expect(size()).toBeLessThanOrEqual(1_000);
  expect(verbs.twimlFor('CB4999')).toBe('x');
});

it('does not evict another call when a continuation is replaced', () => {
  const verbs = new Continuations(2, clock);
  verbs.set('CA1', 'one');
  verbs.set('CA2', 'two');
  verbs.set('CA2', 'two again');
  expect([verbs.twimlFor('CA1'), verbs.twimlFor('CA2')]).toEqual(['one', 'two again']);
});

it('keeps a replaced continuation longer than older entries', () => {
  const verbs = new Continuations(2, clock);
  verbs.set('CA1', 'one');
  verbs.set('CA2', 'two');
  verbs.twimlFor('CA1');
  verbs.set('CA1', 'one again');
  verbs.set('CA3', 'three');
  expect([verbs.twimlFor('CA1'), verbs.twimlFor('CA2'), verbs.twimlFor('CA3')]).toEqual([
    'one again',
    HANGUP,
    'three',
  ]);
});
