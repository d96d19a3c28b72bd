import { expect, it } from 'vitest';
import { CallCounts } from '../../src/workers/call-counts.js';
import { clock, eventually, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime();

it('knows the calls of all other workers, of one that comes later, and not of one that is gone', async () => {
  const { add, kill } = workersInMemory(clock);
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
