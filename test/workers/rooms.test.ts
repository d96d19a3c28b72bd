import { expect, it } from 'vitest';
import { AudioSource } from '../../src/simulator/index.js';
import { hears } from '../support/control.js';
import { startMachine, type TestWorker } from '../support/machine.js';
import { eventually, virtualTime } from '../support/time.js';

virtualTime();

const TO = '+15552223333';
const SILENT = -45;
const LOUD = -20;

/** Two workers, and callers of one number who meet in its room. */
async function pair(options: Parameters<typeof startMachine>[1] = {}) {
  const machine = await startMachine(2, { localRoom: 'to', leadMs: 300, ...options });
  const [a, b] = machine.workers as [TestWorker, TestWorker];
  return { ...machine, a, b };
}

it('two callers of one room hear each other, though their sockets reach different workers', async () => {
  const { a, b, call, owners } = await pair();
  const first = await call(a, TO, AudioSource.tone(600));
  const second = await call(b, TO, AudioSource.tone(1_000));
  await eventually('the second hears the first', () => hears(second.phone, 600, 300) > LOUD);
  await eventually('the first hears the second', () => hears(first.phone, 1_000, 300) > LOUD);
  expect(hears(first.phone, 600, 300)).toBeLessThan(SILENT);
  expect(a.gateway.calls.get(second.callId)?.state).toBe('live');
  expect(owners.size).toBe(1);
  await second.phone.hangUp();
  await first.phone.hangUp();
  await eventually('the room is free', () => owners.size === 0);
});
