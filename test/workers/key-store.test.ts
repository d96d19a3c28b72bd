import { expect, it } from 'vitest';
import { KeyStore } from '../../src/workers/key-store.js';
import { VirtualClock } from '../support/virtual-clock.js';

it('removes what has expired, a part at a time, and nothing else', () => {
  const clock = new VirtualClock();
  const store = new KeyStore(clock);
  for (let i = 0; i < 10_000; i++) store.set(`key-${i}`, 'value', i % 2 ? 1_000 : 1e9);
  clock.advance(2_000);
  store.sweep();
  expect(store.size).toBeGreaterThan(5_000);
  expect(store.size).toBeLessThan(10_000);
  for (let sweep = 0; sweep < 10; sweep++) store.sweep();
  expect(store.size).toBe(5_000);
  expect([store.get('key-0'), store.get('key-1')]).toEqual(['value', null]);
});

it('keeps a key that is set again, and tells how long it lives', () => {
  const clock = new VirtualClock();
  const store = new KeyStore(clock);
  store.set('a', 'old', 1_000);
  clock.advance(900);
  store.set('a', 'new', 1_000);
  clock.advance(900);
  expect([store.get('a'), store.pttl('a'), store.pttl('b')]).toEqual(['new', 100, -2]);
  expect([store.pexpire('a', 5_000), store.pexpire('b', 5_000)]).toEqual([true, false]);
});

it('keeps a hash without a time to live, until its last field is removed', () => {
  const clock = new VirtualClock();
  const store = new KeyStore(clock);
  store.hset('h', { one: 1, two: 'zwei' });
  clock.advance(1e12);
  store.sweep();
  expect(store.hmget('h', 'one', 'none', 'two')).toEqual(['1', null, 'zwei']);
  store.hdel('h', 'one');
  store.hdel('h', 'two');
  expect(store.size).toBe(0);
});
