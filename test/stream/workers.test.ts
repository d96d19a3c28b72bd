import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { StreamBridge } from '../../src/index.js';
import { notHeardBy, phoneLevel } from '../support/stream-call.js';
import { audioPasses, realStream } from '../support/stream-real.js';
import { bound, eventually } from '../support/time.js';

const { talk } = realStream({ pool: { legsPerWorker: 1 } });

it('a crashing worker interrupts its own call briefly and no other; no ghost of it is heard', async () => {
  const hurt = await talk();
  const other = await talk({ bridge: { watchdogSeconds: 60 } });
  const { pool, double, userId, cid, caller } = hurt;
  await eventually(
    'two workers and a spare',
    () => pool.list().filter(({ isReady }) => isReady).length === 3,
    20_000,
  );
  const [first, second] = pool.list();
  double.leaveGhost(userId);
  process.kill(first?.pid as number, 'SIGSEGV');
  await eventually('the call to be joined again', () => hurt.bridge.stats().rejoins === 1, 10_000);
  await audioPasses(double);
  await hurt.hear(' again');
  await other.hear(' still');
  const sessions = double.state.calls.find((call) => call.cid === cid)?.participants ?? [];
  expect(
    sessions.filter((one) => one.userId === userId),
    'the ghost is still there',
  ).toHaveLength(2);
  await notHeardBy('the phone, of its own voice,', () => phoneLevel(caller, 1_000));
  expect(other.bridge.stats()).toMatchObject({ joined: 1, rejoins: 0 });
  expect(pool.list()).toContainEqual(expect.objectContaining({ pid: second?.pid, legs: 1 }));
  expect(pool.deaths).toBe(1);
  await eventually('a new spare', () => pool.list().length === 3, 20_000);
});

it('a hung worker is replaced long before one that may only be slow', async () => {
  const { pool, bridge, hear } = await talk();
  const busy = pool.list().find(({ legs }) => legs > 0);
  const begun = performance.now();
  process.kill(busy?.pid as number, 'SIGSTOP');
  await eventually('the call to be joined again', () => bridge.stats().rejoins === 1, 20_000);
  // Fifteen seconds at least, where it were not seen that its thread does nothing.
  expect(performance.now() - begun).toBeLessThan(bound(14_000));
  await hear(' again');
});

it('workers get no secrets, and end with their bridge', async () => {
  const { double } = await talk();
  const { apiKey, apiSecret, url: baseUrl } = double;
  const bridge = new StreamBridge({ apiKey, apiSecret, baseUrl, maxWorkerDelayMs: 0 });
  await bridge.open();
  const [{ pid } = { pid: 0 }] = bridge.workers();
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
  expect(environment).not.toMatch(/SECRET|TOKEN|STREAM|TWILIO/);
  expect(environment + readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(apiSecret);
  await bridge.close();
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});
