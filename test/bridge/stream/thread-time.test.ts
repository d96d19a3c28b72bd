import { expect, it } from 'vitest';
import { mainThreadMs } from '../../../src/bridge/stream/thread-time.js';

const isLinux = process.platform === 'linux';

it('returns the CPU time of a main thread if the system provides it', () => {
  const before = mainThreadMs(process.pid);
  expect(before === undefined).toBe(!isLinux);
  if (before === undefined) return;
  // The process's own count has its other threads in it as well.
  const { user, system } = process.cpuUsage();
  expect(before).toBeLessThanOrEqual((user + system) / 1_000 + 10);
  let work = 0;
  while ((mainThreadMs(process.pid) as number) < before + 20) work += 1;
  expect(work).toBeGreaterThan(0);
});

it('returns nothing for a process that does not exist', () => {
  expect(mainThreadMs(0x7fff_ffff)).toBeUndefined();
});
