import { expect, it } from 'vitest';
import { CALL_ROW_FIELDS } from '../../src/live/call-row.js';
import type { DashboardFeed, LiveHead } from '../../src/live/dashboard-feed.js';
import { MachineFeed } from '../../src/workers/machine-feed.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime();

const EDGES_US = [10, 20, 40];

const HEAD: LiveHead = {
  at: 1,
  version: '1',
  bridge: 'local',
  node: 'a',
  calls: 1,
  maxCalls: 9,
  closure: null,
  refused: {},
  refusedAt: {},
  ended: { total: 10, recent: 4, serverFailures: 1, stuck: 2 },
  limits: {},
  loopDelayMs: 1,
  cpuPercent: 20,
  gateway: { p50Us: 5, p99Us: 15, edgesUs: EDGES_US, counts: [98, 2, 0, 0] },
  registry: 'up',
  nodes: [],
  deaf: null,
  fields: CALL_ROW_FIELDS,
};

const row = (callId: string) => JSON.stringify(CALL_ROW_FIELDS.map((_, i) => (i === 0 ? callId : 0)));

/** Workers whose own feeds do what the test says. */
async function machine(count: number) {
  const { add, kill } = workersInMemory(clock);
  const workers = Array.from({ length: count }, () => {
    const peers = add();
    const own = {
      isOn: false,
      onRows: (_: readonly string[]) => {},
      onRound: (_: LiveHead, __: readonly string[]) => {},
      start() {
        own.isOn = true;
      },
      stop() {
        own.isOn = false;
      },
    };
    const feed = new MachineFeed(peers, own as unknown as DashboardFeed, clock);
    const rounds: { readonly head: LiveHead; readonly rows: readonly string[] }[] = [];
    feed.onRound = (head, rows) => rounds.push({ head, rows });
    /** A round of two turns. */
    const round = (head: Partial<LiveHead> = {}, ...rows: string[]) => {
      own.onRows(rows.slice(0, 1));
      own.onRows(rows.slice(1));
      own.onRound({ ...HEAD, ...head }, rows);
    };
    peers.serve();
    return { peers, own, feed, rounds, round };
  });
  await eventually('all serve', () => workers.every(({ peers }) => peers.serving.length === count));
  return { workers, kill };
}

type Machine = Awaited<ReturnType<typeof machine>>;

/** The first one's next round, once what the others sent has come. */
async function shown({ workers: [a] }: Machine, head: Partial<LiveHead> = {}, ...rows: string[]) {
  await sleep(10);
  a?.round(head, ...rows);
  return a?.rounds.at(-1);
}

it('adds the workers’ figures, and shows the busiest and the slowest where a sum says nothing', async () => {
  const three = await machine(3);
  const [a, b, c] = three.workers;
  a?.feed.start();
  await eventually('all sample', () => three.workers.every(({ own }) => own.isOn));
  b?.round(
    {
      calls: 5,
      refused: { full: 3, cpu: 1 },
      refusedAt: { full: 50, cpu: 70 },
      loopDelayMs: 7,
      cpuPercent: 10,
      gateway: { p50Us: 9, p99Us: 38, edgesUs: EDGES_US, counts: [50, 40, 10, 0] },
    },
    row('b1'),
    row('b2'),
    row('b3'),
  );
  c?.round({ gateway: { p50Us: null, p99Us: null, edgesUs: EDGES_US, counts: [0, 0, 0, 0] } });
  const round = await shown(
    three,
    { closure: 'cpu', refused: { full: 2 }, refusedAt: { full: 60 } },
    row('a1'),
  );
  expect(round?.rows).toEqual([row('a1'), row('b1'), row('b2'), row('b3')]);
  expect(round?.head).toEqual({
    ...HEAD,
    calls: 7,
    closure: null,
    refused: { full: 5, cpu: 1 },
    refusedAt: { full: 60, cpu: 70 },
    ended: { total: 30, recent: 12, serverFailures: 3, stuck: 6 },
    loopDelayMs: 7,
    cpuPercent: 20,
    // Half of the frames were in the first bin, and all but a hundredth in the third.
    gateway: { p50Us: 9, p99Us: 38, edgesUs: EDGES_US, counts: [148, 42, 10, 0] },
  });
  b?.round({ closure: 'full' });
  c?.round({ closure: 'full' });
  expect((await shown(three, { closure: 'cpu' }))?.head.closure).toBe('cpu');
});

it('samples at other workers only while somebody watches, and leaves out those that are gone or late', async () => {
  const three = await machine(3);
  const [a, b, c] = three.workers;
  a?.feed.start();
  b?.feed.start();
  await eventually('the third samples', () => c?.own.isOn);
  b?.round({}, row('b'));
  c?.round({}, row('c'));
  expect((await shown(three, {}, row('a')))?.rows).toEqual([row('a'), row('b'), row('c')]);
  if (b !== undefined) three.kill(b.peers);
  await sleep(10);
  c?.round({}, row('c2'));
  expect((await shown(three, {}, row('a')))?.rows).toEqual([row('a'), row('c2')]);
  // The third hangs.
  await sleep(3_100);
  expect((await shown(three, {}, row('a')))?.rows).toEqual([row('a')]);
  const rounds = a?.rounds.length;
  a?.feed.stop();
  expect(a?.own.isOn).toBe(false);
  await sleep(6_100);
  c?.round({}, row('c3'));
  c?.round({}, row('c3'));
  expect(c?.own.isOn).toBe(false);
  expect(a?.rounds.length).toBe(rounds);
});

it('leaves out what another version sends that is no round of calls', async () => {
  const two = await machine(2);
  const [a, b] = two.workers;
  a?.feed.start();
  await eventually('both sample', () => b?.own.isOn);
  const says = (head: unknown, rows: unknown) => {
    b?.peers.notify(1, 'live.rows', rows);
    b?.peers.notify(1, 'live.head', head);
  };
  const bad: [head: unknown, rows: unknown][] = [
    [null, null],
    ['head', { length: 5 }],
    [{ ...HEAD, calls: 'many' }, []],
    [{ ...HEAD, ended: undefined }, []],
    [{ ...HEAD, refused: { full: [] } }, []],
    [{ ...HEAD, fields: ['callId'] }, ['["x"]']],
    [{ ...HEAD, gateway: { ...HEAD.gateway, counts: null } }, []],
  ];
  for (const [head, rows] of bad) {
    says(head, rows);
    expect(await shown(two, {}, row('a'))).toEqual({ head: HEAD, rows: [row('a')] });
  }
  says(HEAD, ['not JSON', '{}', '["short"]', 5, `${row('b')}\n`, row('x'.repeat(5_000)), row('good')]);
  expect((await shown(two, {}, row('a')))?.rows).toEqual([row('a'), row('good')]);
  // Other bins have no sum with ours.
  says({ ...HEAD, gateway: { ...HEAD.gateway, edgesUs: [1], counts: [5, 5] } }, []);
  expect((await shown(two))?.head.gateway).toEqual(HEAD.gateway);
});
