import { beforeEach, expect, it } from 'vitest';
import type { PhoneLine } from '../../src/bridge/bridge.js';
import { LegLine } from '../../src/calls/leg-line.js';

const told: string[] = [];
const phone: PhoneLine = {
  isLive: true,
  write: (frame) => told.push(`frame ${frame[0]}`),
  clear: () => {
    told.push('clear');
    return { playedMs: 40, discardedMs: 20 };
  },
  mark: (name) => told.push(`mark ${name}`),
  hangUp: () => told.push('hangUp'),
  transfer: (to) => told.push(`transfer ${to}`),
  fail: () => told.push('fail'),
};
beforeEach(() => {
  told.length = 0;
});

it('plays the audio of the current leg only', () => {
  const [first, second] = [new LegLine(phone), new LegLine(phone)];
  first.activate();
  first.write(Int16Array.of(1), 0);
  second.write(Int16Array.of(2), 0);
  first.retire();
  second.activate();
  first.write(Int16Array.of(1), 0);
  second.write(Int16Array.of(2), 0);
  expect(told).toEqual(['frame 1', 'frame 2']);
});

it('lets only the current leg clear, mark, transfer or end the call', () => {
  const line = new LegLine(phone);
  expect(line.clear()).toEqual({ playedMs: 0, discardedMs: 0 });
  expect(() => line.mark('a')).toThrow(expect.objectContaining({ code: 'GW_STREAM_CLOSED' }));
  expect(() => line.transfer('+15551234567')).toThrow(expect.objectContaining({ code: 'GW_STREAM_CLOSED' }));
  line.activate();
  line.mark('a');
  line.transfer('+15551234567');
  expect(line.clear()).toEqual({ playedMs: 40, discardedMs: 20 });
  line.retire();
  line.hangUp();
  line.fail(new Error('gone'));
  expect(told).toEqual(['mark a', 'transfer +15551234567', 'clear']);
});

it('ends the call when its new leg failed before it became current', () => {
  const line = new LegLine(phone);
  line.hangUp();
  expect(told).toEqual([]);
  line.activate();
  expect(told).toEqual(['hangUp']);
});
