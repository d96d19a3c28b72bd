import { expect, it } from 'vitest';
import { CallHistory, type HistoryEntry } from '../../src/calls/history.js';

const status = (event: string, sequence: number, second: number): HistoryEntry => ({
  at: `2026-01-01T00:00:${String(second).padStart(2, '0')}.000Z`,
  source: 'status',
  event,
  sequence,
});
const stream = (event: string, ms: number): HistoryEntry => ({
  at: `2026-01-01T00:00:01.${ms}Z`,
  source: 'stream',
  event,
  streamSid: 'MZ1',
});

it('sorts entries by when they happened, whatever the order of arrival, without duplicates', () => {
  const told = [
    status('initiated', 0, 0),
    status('ringing', 1, 0),
    status('in-progress', 2, 1),
    stream('stream-started', 400),
    stream('stream-stopped', 900),
    status('completed', 3, 2),
  ];
  for (const order of [told, told.toReversed(), [3, 0, 5, 1, 4, 2].map((i) => told[i] as HistoryEntry)]) {
    const history = new CallHistory();
    for (const entry of [...order, ...order]) history.add(entry);
    const events = history.entries.map(({ event }) => event);
    expect(events.filter((event) => !event.startsWith('stream'))).toEqual([
      'initiated',
      'ringing',
      'in-progress',
      'completed',
    ]);
    expect(events).toHaveLength(6);
    expect(events.indexOf('stream-started')).toBeLessThan(events.indexOf('stream-stopped'));
    expect(events.at(-1)).toBe('completed');
  }
});

it('keeps a bounded number: the first entries and the last', () => {
  const history = new CallHistory();
  for (let i = 0; i < 1_000; i++) history.add({ ...stream(`event-${i}`, 100), streamSid: `MZ${i}` });
  expect(history.entries).toHaveLength(64);
  expect(history.entries[0]?.event).toBe('event-0');
  expect(history.entries.at(-1)?.event).toBe('event-999');
});
