import { expect, it } from 'vitest';
import { CallCounts, TELL_MS } from '../../src/workers/call-counts.js';
import { MachineCallCounts } from '../../src/workers/machine-call-counts.js';
import { SUPERVISOR } from '../../src/workers/peers.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime();

it('knows the calls of all other workers, of one that comes later, and not of one that is gone', async () => {
  const { office, add, kill } = workersInMemory(clock);
  new MachineCallCounts(office, clock);
  const calls = [3, 4, 5];
  const workers = [add(), add(), add()];
  const counts = workers.map((peers, i) => {
    const each = new CallCounts(peers, () => calls[i] as number, clock);
    each.open();
    return each;
  });
  const [first, second] = counts as [CallCounts, CallCounts];
  workers[0]?.serve();
  workers[1]?.serve();
  await eventually('the second is counted', () => first.others === 4);
  expect(second.others).toBe(3);
  await clock.sleep(1_000);
  workers[2]?.serve();
  await eventually('the third is counted', () => first.others === 9);
  await eventually('the third counts the others', () => counts[2]?.others === 7);
  calls[1] = 0;
  await eventually('calls have ended', () => first.others === 5);
  kill(workers[2] as NonNullable<(typeof workers)[2]>);
  await eventually('a worker has died', () => first.others === 0);
  for (const each of counts) each.close();
});

it('sends at most two letters for each worker and period while counts change', async () => {
  const { office, add } = workersInMemory(clock);
  new MachineCallCounts(office, clock);
  const { receive, broadcast } = office;
  let letters = 0;
  office.receive = (from, message) => {
    if ((message as { what?: string }).what === 'calls') letters += 1;
    receive.call(office, from, message);
  };
  const broadcasts = () => (letters += office.serving.length);
  office.broadcast = (what, about) => {
    if (what === 'calls') broadcasts();
    broadcast.call(office, what, about);
  };
  let calls = 0;
  const counts = Array.from({ length: 8 }, () => {
    const peers = add();
    const each = new CallCounts(peers, () => calls, clock);
    each.open();
    peers.serve();
    return each;
  });
  await eventually('all serve', () => office.serving.length === 8);
  letters = 0;
  const periods = 20;
  for (let ms = 0; ms < periods * TELL_MS; ms += 10) {
    calls += 1;
    await sleep(10);
  }
  expect(letters).toBeGreaterThan(periods * 8);
  expect(letters).toBeLessThanOrEqual((periods + 2) * 2 * 8);
  await sleep(2 * TELL_MS);
  for (const each of counts) expect(each.others).toBe(7 * calls);
  for (const each of counts) each.close();
});

it('ignores counts that are not numbers', async () => {
  const { office, add } = workersInMemory(clock);
  new MachineCallCounts(office, clock);
  const peers = [add(), add()] as const;
  const [a, b] = peers.map((each) => new CallCounts(each, () => 1, clock)) as [CallCounts, CallCounts];
  for (const each of peers) each.serve();
  for (const each of [a, b]) each.open();
  await eventually('both are counted', () => a.others === 1 && b.others === 1);
  for (const about of [null, 'many', 1.5, {}]) peers[1].notify(SUPERVISOR, 'calls', about);
  for (const about of [null, 5, [null, 5, [2], [2, 'x'], [2, 1]]]) office.notify(1, 'calls', about);
  await sleep(4 * TELL_MS);
  expect(a.others).toBe(1);
  for (const each of [a, b]) each.close();
});
