import { expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.js';
import { SUPERVISOR } from '../../src/workers/peers.js';
import { clock, eventually, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime();

async function pair() {
  const workers = workersInMemory(clock);
  const [a, b] = [workers.add(), workers.add()];
  a.serve();
  b.serve();
  await eventually('both serve', () => a.serving.length === 2);
  return { ...workers, a, b };
}

it('asks another worker and the supervisor, and gets their answers and errors', async () => {
  const { office, a, b } = await pair();
  b.handle('double', (about) => 2 * (about as number));
  b.handle('refuse', () => {
    throw new GatewayError('GW_FULL', 'All calls are in use');
  });
  office.handle('who', (_, from) => from);
  expect(await a.request(2, 'double', 4)).toBe(8);
  expect(await a.request(SUPERVISOR, 'who', {})).toBe(1);
  await expect(a.request(2, 'refuse', {})).rejects.toMatchObject({ code: 'GW_FULL', status: 503 });
  await expect(a.request(2, 'unheard', {})).rejects.toMatchObject({ code: 'GW_QUESTION_UNKNOWN' });
});

it('reports a worker that is gone at once, and one that does not answer in time', async () => {
  const { a, b, kill } = await pair();
  b.handle('hang', () => new Promise(() => {}));
  await expect(a.request(2, 'hang', {}, 300)).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
  const asked = a.request(2, 'hang', {}, 1e9);
  kill(b);
  await expect(asked).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
  await expect(a.request(2, 'hang', {}, 1e9)).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
  expect(a.serving).toEqual([1]);
});

it('tells when workers begin to serve and leave, and asks all that serve', async () => {
  const { a, b, add, kill, office } = await pair();
  const changes: unknown[] = [];
  a.onChange((worker, isServing) => changes.push([worker, isServing]));
  const third = add(2);
  third.handle('place', () => third.place);
  b.handle('place', () => b.place);
  expect(await a.requestAll('place', {})).toEqual([{ worker: 2, answer: 2 }]);
  third.serve();
  await eventually('the third serves', () => changes.length === 1);
  expect(await a.requestAll('place', {})).toEqual([
    { worker: 2, answer: 2 },
    { worker: 3, answer: 2 },
  ]);
  kill(b);
  await eventually('the second is gone', () => changes.length === 2);
  expect(changes).toEqual([
    [3, true],
    [2, false],
  ]);
  expect(office.serving).toEqual([1, 3]);
});

it('delivers messages in order', async () => {
  const { a, b } = await pair();
  const heard: unknown[] = [];
  b.handle('n', (about) => heard.push(about));
  for (let n = 0; n < 20; n++) a.broadcast('n', n);
  await eventually('all have arrived', () => heard.length === 20);
  expect(heard).toEqual(Array.from({ length: 20 }, (_, n) => n));
});
